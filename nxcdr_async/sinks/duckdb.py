"""A DuckDB file. Columns have DuckDB's own types: TIMESTAMPTZ, DECIMAL, BOOLEAN, BIGINT, VARCHAR, JSON."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import BusyError, ConfigurationError, NxcdrError, SinkError
from nxcdr_async.records.arrow import EXTRA, MONEY, Table
from nxcdr_async.sinks.duckdb_file import (
    LOCKED,
    MEMORY,
    aside,
    connected,
    connected_to_read,
    copy_into,
    leave_log,
    limit_memory,
    log_of,
    make_file,
    make_private,
    put_in_place,
    shorten_log,
)
from nxcdr_async.sinks.files import file_identity
from nxcdr_async.sinks.locks import DatabaseFileLock, SinkLock, lost_lock_error, no_locks_error, why_no_locks
from nxcdr_async.sinks.paths import check_file_place
from nxcdr_async.sinks.protocol import UnfitError
from nxcdr_async.sinks.sql import SOURCES, WINDOWS, LedgerTable, sources_columns, windows_columns
from nxcdr_async.sinks.sql_sink import SqlFileSink
from nxcdr_async.sinks.values import MICROSECONDS
from nxcdr_async.windows import FARTHEST_OUTSIDE, Window

MEMORY_A_BYTE = 4
"""How many times the size of a window DuckDB may need to take it in."""

MEMORY_A_BYTE_OF_JSON = 6
"""How many times the size of its JSON besides, which DuckDB checks text by text, each in one piece."""

MOST_MEMORY = 2_000_000_000
"""Bytes that DuckDB may use at the most to give back what it holds, whose size nobody knows before."""

_BATCH = "nxcdr_batch"
"""How statements name the rows that are looked for or stored."""

_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
    pa.decimal128(*MONEY): "DECIMAL({},{})".format(*MONEY),
}

_LEDGER = {
    # DuckDB adds no column that may not be null, and has no index here, so no key.
    WINDOWS: LedgerTable({**windows_columns("VARCHAR", "BIGINT"), "refused": "VARCHAR DEFAULT '[]'"}),
    SOURCES: LedgerTable({**sources_columns("VARCHAR", "BIGINT", "TIMESTAMPTZ"), "source": "VARCHAR NOT NULL"}),
}


@define(eq=False)
class DuckDbSink(SqlFileSink):
    """A DuckDB file.

    Others can open it once a run has ended, as DuckDB lets nobody read a file that another process writes.

    It has no index: one of DuckDB's must fit into memory whole. A row is looked for by its key among those whose times
    lie near that of the new one, at most an hour off.

    Attributes:
        path: the file.
    """

    LEDGER = _LEDGER

    _database: duckdb.DuckDBPyConnection | None = field(default=None, init=False)
    _database_lock: DatabaseFileLock = field(init=False)
    _memory: int = field(default=MEMORY, init=False)
    # Between which times rows of a table were looked for last: what others with their keys there are is not known.
    _searched_times: dict[str, list[datetime]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._lock = SinkLock(self._place)
        self._database_lock = DatabaseFileLock(self._place, (log_of(self._place),))

    def open(self) -> None:
        """Lock and open the file, or lock the place of one that is not there yet."""
        check_file_place(self.path, log_of(self.path).suffix)
        # After the one come options to DuckDB, and the other parts folders on all systems.
        if "?" in str(self._place) or "\\" in self._place.as_posix():
            raise ConfigurationError(
                f"DuckDB takes no path with a question mark or a backslash, such as {self._place}: give another --to"
            )
        self._lock.acquire()
        if self.path.exists():
            self._connect()

    def close(self) -> None:
        """Close and unlock the file."""
        self._searched_times.clear()
        super().close()

    def _find(self, table: Table, rows: pa.Table) -> pa.Table:
        if rows.num_rows:
            self._searched_times[table.name] = _times_near(table, rows)
        keyless = rows.filter(pc.is_null(rows[table.key]))
        return pa.concat_tables(
            [
                self._find_in_batch(table, f'"{table.key}" IN (SELECT "{table.key}" FROM {_BATCH})', rows),
                self._find_in_batch(
                    table, f'"{table.key}" IS NULL AND "{table.time}" IN (SELECT "{table.time}" FROM {_BATCH})', keyless
                ),
            ]
        )

    def _find_in_batch(self, table: Table, condition: str, rows: pa.Table) -> pa.Table:
        """Return the rows stored near the times of a batch of rows that meet a condition, which may name the batch."""
        if not rows.num_rows:
            return table.empty()
        with self._translating_errors(), self._batch(rows.select([table.key, table.time])):
            return self._read(table, f'"{table.time}" BETWEEN ? AND ? AND {condition}', _times_near(table, rows))

    def _erase_removed(self, _table: Table) -> None:
        """Write the file anew, as the bytes of what was removed stay in it else."""
        with self._translating_errors(), aside(self._place) as copy:
            self._allow(MOST_MEMORY)
            # So that nothing is lost with the log, which goes before the new file is in place.
            self._execute("CHECKPOINT")
            self._database_lock.remember_files()
            copy_into(self._open_database, copy)
            copy.chmod(self._place.stat().st_mode)
            leave_log(self._open_database)
            self._open_database.close()
            self._database = None
            # Closed, the file has no lock of DuckDB's any more: it is replaced under our own.
            if not self._database_lock.is_intact():
                raise lost_lock_error(self.path)
            put_in_place(copy, self._place)
            self._database_lock.release()
        self._connect()

    @property
    def _is_connected(self) -> bool:
        return self._database is not None

    @property
    def _open_database(self) -> duckdb.DuckDBPyConnection:
        if self._database is None:
            raise self._not_open_error()
        return self._database

    def _make_file(self) -> None:
        with self._translating_errors():
            make_file(self._place)

    def _remove_file(self) -> None:
        for made in (log_of(self._place), self._place):
            made.unlink(missing_ok=True)

    def _connect(self) -> None:
        with self._translating_errors():
            self._database = connected(self._place)
            self._memory = MEMORY
            self._database_lock.acquire()
        self._identity = file_identity(self.path)

    def _connect_to_read(self) -> None:
        with self._translating_errors():
            self._database = connected_to_read(self._place)

    def _files(self) -> list[Path]:
        return [self._place, log_of(self._place)]

    def _disconnect(self) -> None:
        try:
            if self._database is not None:
                # Told where it was written or read; what counts here is to write no more, as DuckDB itself does not
                # after a fault of the disk.
                with suppress(SinkError, duckdb.Error):
                    self._check_alone(self._database)
                self._database.close()
        finally:
            self._database = None
            self._database_lock.release()

    def _check_alone(self, database: duckdb.DuckDBPyConnection) -> None:
        """Check that no other process could write the file since we did; if one could, nothing is written any more."""
        if not self._database_lock.is_intact() and file_identity(self.path) == self._identity:
            leave_log(database)
            raise lost_lock_error(self.path)

    @property
    def _place(self) -> Path:
        """Where the file really is: there, and not beside a link to it, DuckDB keeps its log."""
        return self.path.resolve()

    def _replace_rows(self, table: Table, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        self._allow(MEMORY_A_BYTE * rows.nbytes + MEMORY_A_BYTE_OF_JSON * rows[EXTRA].nbytes)
        with self._batch(rows):
            self._open_database.execute(
                f'DELETE FROM {table.name} WHERE "{table.time}" BETWEEN ? AND ? '
                f'AND "{table.key}" IN (SELECT "{table.key}" FROM {_BATCH})',
                self._searched_times.get(table.name) or _times_near(table, rows),
            )
            self._open_database.execute(f"INSERT INTO {table.name} BY NAME SELECT * FROM {_BATCH}")

    def _allow(self, memory: int) -> None:
        """Let DuckDB use more; not less again, as it may still hold rows of a large window."""
        if memory > self._memory:
            limit_memory(self._open_database, memory)
            self._memory = memory

    def _select(self, table: Table, condition: str, values: Sequence[Any]) -> pa.Table:
        with self._translating_errors():
            return self._read(table, condition, values)

    def _read(self, table: Table, condition: str, values: Sequence[Any]) -> pa.Table:
        columns = ", ".join(f'"{name}"' for name in table.columns if name != EXTRA)
        self._check_alone(self._open_database)
        query = f'SELECT {columns}, "{EXTRA}"::VARCHAR AS "{EXTRA}" FROM {table.name} WHERE {condition}'
        found = self._fetch(query, values)
        return found.select(table.columns).cast(table.schema)

    def _fetch(self, query: str, values: Sequence[Any]) -> pa.Table:
        """Return what a query finds, with as much more memory as that takes."""
        while True:
            try:
                found: pa.Table = self._open_database.sql(query, params=values).to_arrow_table()
            except duckdb.OutOfMemoryException:
                if self._memory >= MOST_MEMORY:
                    raise
                self._allow(2 * self._memory)
            else:
                return found

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        found: list[Any] = self._open_database.execute(statement, values).fetchall()
        return found

    def _columns_in_file(self, name: str) -> dict[str, str]:
        columns = self._execute(
            "SELECT column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = current_database() AND schema_name = current_schema() AND table_name = ?",
            [name],
        )
        return dict(columns)

    def _expected_columns(self, table: Table) -> dict[str, str]:
        return _columns(table)

    def _make_table(self, table: Table) -> None:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in _columns(table).items())
        self._execute(f"CREATE TABLE IF NOT EXISTS {table.name} ({columns})")

    def _count_rows(self, table: Table, windows: Sequence[Window]) -> dict[Window, int]:
        """Count all windows in one go over the times, as a join would take more memory than there is."""
        if not windows:
            return {}
        # A bin of a histogram ends with its last microsecond; between two windows lies one of neither.
        edges = sorted({edge * MICROSECONDS - 1 for window in windows for edge in (window.start, window.end)})
        ends = [moment_at(min(w.start for w in windows)), moment_at(max(w.end for w in windows))]
        ((bins,),) = self._execute(
            f'SELECT histogram(epoch_us("{table.time}"), ?::BIGINT[]) FROM {table.name} '
            f'WHERE "{table.time}" >= ? AND "{table.time}" < ?',
            [edges, *ends],
        )
        return {window: (bins or {}).get(window.end * MICROSECONDS - 1, 0) for window in windows}

    def _time_value(self, second: int) -> datetime:
        return moment_at(second)

    @contextmanager
    def _batch(self, rows: pa.Table) -> Iterator[None]:
        self._open_database.register(_BATCH, rows)
        try:
            yield
        except duckdb.Error:
            # In a transaction that has failed nothing can be unregistered; the next batch takes its place.
            with suppress(duckdb.Error):
                self._open_database.unregister(_BATCH)
            raise
        self._open_database.unregister(_BATCH)

    @contextmanager
    def _transaction(self, _table: Table) -> Iterator[None]:
        with self._translating_errors():
            self._check_alone(self._open_database)
            shorten_log(self._open_database, self._place)
            make_private(log_of(self._place))
            self._open_database.begin()
            try:
                yield
                self._open_database.commit()
            except BaseException:
                # After a fault of the disk DuckDB may have ended the transaction, and all work with the file.
                with suppress(duckdb.Error):
                    self._open_database.rollback()
                raise
            finally:
                self._database_lock.remember_files()

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise _translated(self.path, error) from None
        except OSError as error:
            raise SinkError(f"cannot write {self.path}: {error.strerror}") from None


def _times_near(table: Table, rows: pa.Table) -> list[datetime]:
    """Return the times between which the rows stored under the keys of these rows lie."""
    times, margin = pc.min_max(rows[table.time]).as_py(), timedelta(seconds=FARTHEST_OUTSIDE)
    return [times["min"] - margin, times["max"] + margin]


def _translated(path: Path, error: duckdb.Error) -> NxcdrError:
    """Return an error of DuckDB as one of ours."""
    text = str(error)
    if "not a valid DuckDB database file" in text:
        return ConfigurationError(f"{path} is there and no DuckDB file: give another --to")
    if "already attached" in text:
        return BusyError(
            f"{path} is open in this very process, by a connection of DuckDB that is not ours: close that one, or give "
            "another --to"
        )
    if LOCKED in text:
        refused = why_no_locks(path.resolve().parent)
        if refused is not None:
            return no_locks_error(path, refused)
        return BusyError(f"{path} is open in another program: close it there, or give another --to")
    kind = UnfitError if isinstance(error, duckdb.DataError) else SinkError
    return kind(f"cannot store in {path}: {text.splitlines()[0]}")


def _columns(table: Table) -> dict[str, str]:
    """Return the columns of a table with their types."""
    return {name: "JSON" if name == EXTRA else _TYPES[table.kind(name)] for name in table.columns}

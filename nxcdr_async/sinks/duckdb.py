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
from nxcdr_async.records.arrow import EXTRA, Table
from nxcdr_async.sinks.duckdb_file import (
    MEMORY,
    aside,
    connected,
    copy_into,
    leave_log,
    limit_memory,
    log_of,
    make_file,
    make_private,
    put_in_place,
    shorten_log,
)
from nxcdr_async.sinks.duckdb_tables import LEDGER_TABLES, columns_of
from nxcdr_async.sinks.file_lock import KeptLock, refused_lock, unlockable
from nxcdr_async.sinks.files import check_place, check_still_there, identity, unlocked
from nxcdr_async.sinks.ledger import LedgerChange
from nxcdr_async.sinks.lock import SinkLock
from nxcdr_async.sinks.protocol import Origin, UnfitError
from nxcdr_async.sinks.sql_sink import SqlSink
from nxcdr_async.sinks.values import MICROSECONDS, extent_of
from nxcdr_async.windows import FARTHEST_OUTSIDE, Window

MEMORY_A_BYTE = 4
"""How many times the size of a window DuckDB may need to take it in."""

MEMORY_A_BYTE_OF_JSON = 6
"""How many times the size of its JSON besides, which DuckDB checks text by text, each in one piece."""

MOST_MEMORY = 2_000_000_000
"""Bytes that DuckDB may use at the most to give back what it holds, whose size nobody knows before."""

_BATCH = "nxcdr_batch"


@define(eq=False)
class DuckDbSink(SqlSink):
    """A DuckDB file, readable to its owner only if it is new.

    Others can open it once a run has ended, as DuckDB lets nobody read a file that another process writes.

    It has no index: one of DuckDB's must fit into memory whole. A row is looked for by its key among those whose times
    lie near that of the new one, at most an hour off.

    Attributes:
        path: the file.
    """

    LEDGER = LEDGER_TABLES

    path: Path
    _lock: SinkLock = field(init=False)
    _database: duckdb.DuckDBPyConnection | None = field(default=None, init=False)
    _memory: int = field(default=MEMORY, init=False)
    _identity: tuple[int, int] | None = field(default=None, init=False)
    # Between which times rows of a table were looked for last: what others with their keys there are is not known.
    _looked_at: dict[str, list[datetime]] = field(factory=dict, init=False)
    _kept: KeptLock = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lock, self._kept = SinkLock(self._place), KeptLock(self._place, (log_of(self._place),))

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def database(self) -> duckdb.DuckDBPyConnection:
        """The connection, while it is open."""
        if self._database is None:
            raise SinkError(f"{self.path} is not open")
        return self._database

    def open(self) -> None:
        """Take hold of the file, or of the place of one that is not there yet."""
        check_place(self.path, log_of(self.path).suffix)
        # After the one come options to DuckDB, and the other parts folders on all systems.
        if "?" in str(self._place) or "\\" in self._place.as_posix():
            raise ConfigurationError(
                f"DuckDB takes no path with a question mark or a backslash, such as {self._place}: give another --to"
            )
        self._lock.take()
        if self.path.exists():
            self._connect()

    def create(self, table: Table, origin: Origin) -> None:
        """Make a table, and a file if there is none, and note where its rows come from."""
        is_new = not self.path.exists()
        columns = ", ".join(f'"{name}" {kind}' for name, kind in columns_of(table).items())
        try:
            if self._database is None:
                with self._telling():
                    make_file(self._place)
                self._connect()
            with self._transaction():
                self.database.execute(f"CREATE TABLE IF NOT EXISTS {table.name} ({columns})")
                self._make_ledger(table)
                self._note_origin(table, origin)
        except BaseException:
            if is_new:
                self._disconnect()
                for made in (log_of(self._place), self._place):
                    made.unlink(missing_ok=True)
            raise

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under these keys near their times; those without a key, at their times."""
        if not self._is_there(table):
            return table.empty()
        if rows.num_rows:
            self._looked_at[table.name] = _times_near(table, rows)
        keyless = rows.filter(pc.is_null(rows[table.key]))
        found = [
            self._select(table, f'"{table.key}" IN (SELECT "{table.key}" FROM {_BATCH})', rows),
            self._select(
                table, f'"{table.key}" IS NULL AND "{table.time}" IN (SELECT "{table.time}" FROM {_BATCH})', keyless
            ),
        ]
        stored = pa.concat_tables(found)
        self._found_in[table.name] = extent_of(table, stored)
        return stored

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and the change of the ledger in one transaction."""
        with self._transaction():
            self._take_in(table, rows, change)
        check_still_there(self.path, self._identity)

    def add(self, table: Table, rows: pa.Table) -> None:
        """Store rows in one transaction; the ledger only takes in how many there are."""
        with self._transaction(), self._counting(table, rows):
            self._put(table, rows)
        check_still_there(self.path, self._identity)

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window."""
        if not self._is_there(table):
            return table.empty()
        with self._telling():
            return self._rows(
                table,
                f'"{table.time}" >= ? AND "{table.time}" < ?',
                [moment_at(window.start), moment_at(window.end)],
            )

    def close(self) -> None:
        """Let go of the file."""
        self._looked_at.clear()
        self._found_in.clear()
        self._there.clear()
        self._disconnect()
        self._lock.release()

    def prune(self, table: Table, before: int, *, is_trial: bool) -> int:
        """Remove old rows in one transaction, then write the file anew, as their bytes stay in it else."""
        if is_trial:
            with self._telling():
                return self._rows_before(table, before)
        with self._transaction():
            rows = self._remove_before(table, before)
        with self._telling(), aside(self._place) as anew:
            self._allow(MOST_MEMORY)
            # So that nothing is lost with the log, which goes before the new file is in place.
            self.database.execute("CHECKPOINT")
            self._kept.remember()
            copy_into(self.database, anew)
            anew.chmod(self._place.stat().st_mode)
            leave_log(self.database)
            self.database.close()
            self._database = None
            # Closed, the file has no lock of DuckDB's any more: it is replaced under our own.
            if not self._kept.is_ours():
                raise unlocked(self.path)
            put_in_place(anew, self._place)
            self._kept.release()
        self._connect()
        return rows

    def _connect(self) -> None:
        with self._telling():
            self._database = connected(self._place)
            self._memory = MEMORY
            self._kept.take()
        self._identity = identity(self.path)

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
            self._kept.release()

    def _check_alone(self, database: duckdb.DuckDBPyConnection) -> None:
        """Check that no other process could write the file since we did; if one could, nothing is written any more."""
        if not self._kept.is_ours() and identity(self.path) == self._identity:
            leave_log(database)
            raise unlocked(self.path)

    @property
    def _place(self) -> Path:
        """Where the file really is: there, and not beside a link to it, DuckDB keeps its log."""
        return self.path.resolve()

    def _put(self, table: Table, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        self._allow(MEMORY_A_BYTE * rows.nbytes + MEMORY_A_BYTE_OF_JSON * rows[EXTRA].nbytes)
        with self._batch(rows):
            self.database.execute(
                f'DELETE FROM {table.name} WHERE "{table.time}" BETWEEN ? AND ? '
                f'AND "{table.key}" IN (SELECT "{table.key}" FROM {_BATCH})',
                self._looked_at.get(table.name) or _times_near(table, rows),
            )
            self.database.execute(f"INSERT INTO {table.name} BY NAME SELECT * FROM {_BATCH}")

    def _allow(self, memory: int) -> None:
        """Let DuckDB use more; not less again, as it may still hold rows of a large window."""
        if memory > self._memory:
            limit_memory(self.database, memory)
            self._memory = memory

    def _select(self, table: Table, condition: str, rows: pa.Table) -> pa.Table:
        """Return the rows stored near the times of a batch of rows that meet a condition, which may name the batch."""
        if not rows.num_rows:
            return table.empty()
        with self._telling(), self._batch(rows.select([table.key, table.time])):
            return self._rows(table, f'"{table.time}" BETWEEN ? AND ? AND {condition}', _times_near(table, rows))

    def _rows(self, table: Table, condition: str, values: list[Any]) -> pa.Table:
        columns = ", ".join(f'"{name}"' for name in table.columns if name != EXTRA)
        self._check_alone(self.database)
        query = f'SELECT {columns}, "{EXTRA}"::VARCHAR AS "{EXTRA}" FROM {table.name} WHERE {condition}'
        found = self._found(query, values)
        return found.select(table.columns).cast(table.schema)

    def _found(self, query: str, values: list[Any]) -> pa.Table:
        """Return what a query finds, with as much more memory as that takes."""
        while True:
            try:
                found: pa.Table = self.database.sql(query, params=values).to_arrow_table()
            except duckdb.OutOfMemoryException:
                if self._memory >= MOST_MEMORY:
                    raise
                self._allow(2 * self._memory)
            else:
                return found

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        found: list[Any] = self.database.execute(statement, values).fetchall()
        return found

    def _columns_of(self, name: str) -> dict[str, str]:
        if self._database is None:
            if not self._lock.is_held:
                raise SinkError(f"{self.path} is not open")
            return {}
        columns = self._execute(
            "SELECT column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = current_database() AND schema_name = current_schema() AND table_name = ?",
            [name],
        )
        return dict(columns)

    def _found_columns(self, table: Table) -> dict[str, str]:
        return self._columns_of(table.name)

    def _wanted_columns(self, table: Table) -> dict[str, str]:
        return columns_of(table)

    def _counts(self, table: Table, windows: Sequence[Window]) -> dict[Window, int]:
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

    def _moment(self, second: int) -> datetime:
        return moment_at(second)

    @contextmanager
    def _batch(self, rows: pa.Table) -> Iterator[None]:
        self.database.register(_BATCH, rows)
        try:
            yield
        except duckdb.Error:
            # In a transaction that has failed nothing can be unregistered; the next batch takes its place.
            with suppress(duckdb.Error):
                self.database.unregister(_BATCH)
            raise
        self.database.unregister(_BATCH)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._telling():
            self._check_alone(self.database)
            shorten_log(self.database, self._place)
            make_private(log_of(self._place))
            self.database.begin()
            try:
                yield
                self.database.commit()
            except BaseException:
                # After a fault of the disk DuckDB may have ended the transaction, and all work with the file.
                with suppress(duckdb.Error):
                    self.database.rollback()
                raise
            finally:
                self._kept.remember()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise _told(self.path, error) from None
        except OSError as error:
            raise SinkError(f"cannot write {self.path}: {error.strerror}") from None


def _times_near(table: Table, rows: pa.Table) -> list[datetime]:
    """Return the times between which the rows stored under the keys of these rows lie."""
    times, margin = pc.min_max(rows[table.time]).as_py(), timedelta(seconds=FARTHEST_OUTSIDE)
    return [times["min"] - margin, times["max"] + margin]


def _told(path: Path, error: duckdb.Error) -> NxcdrError:
    """Return an error of DuckDB as one of ours."""
    text = str(error)
    if "not a valid DuckDB database file" in text:
        return ConfigurationError(f"{path} is there and no DuckDB file: give another --to")
    if "already attached" in text:
        return BusyError(
            f"{path} is open in this very process, by a connection of DuckDB that is not ours: close that one, or give "
            "another --to"
        )
    if "Could not set lock" in text:
        refused = refused_lock(path.resolve().parent)
        if refused is not None:
            return unlockable(path, refused)
        return BusyError(f"{path} is open in another program: close it there, or give another --to")
    kind = UnfitError if isinstance(error, duckdb.DataError) else SinkError
    return kind(f"cannot store in {path}: {text.splitlines()[0]}")

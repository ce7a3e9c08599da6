"""A DuckDB file. Columns have DuckDB's own types: TIMESTAMPTZ, DECIMAL, BOOLEAN, BIGINT, VARCHAR, JSON."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field

from nxcdr_async.backfill.ledger import LedgerChange
from nxcdr_async.backfill.sinks.durable import sync_folder
from nxcdr_async.backfill.sinks.files import OWNER_ONLY, OWNER_ONLY_FOLDER, check_place, check_still_there, identity
from nxcdr_async.backfill.sinks.lock import SinkLock
from nxcdr_async.backfill.sinks.protocol import BusyError, Held, Origin
from nxcdr_async.backfill.sinks.sql import SOURCES, WINDOWS, LedgerRow, check_columns, held_by, quoted
from nxcdr_async.backfill.times import moment_if_any, moment_of
from nxcdr_async.errors import ConfigurationError, NxcdrError, SinkError
from nxcdr_async.export.tables import EXTRA, MONEY, Table
from nxcdr_async.windows import FARTHEST_OUTSIDE, Window

MEMORY = 40_000_000
"""Bytes that DuckDB may use, its cache included, unless a window is large."""

MEMORY_A_BYTE = 4
"""How many times the size of a window DuckDB may need to take it in."""

MEMORY_A_BYTE_OF_JSON = 6
"""How many times the size of its JSON besides, which DuckDB checks text by text, each in one piece."""

MOST_MEMORY = 2_000_000_000
"""Bytes that DuckDB may use at the most to give back what it holds, whose size nobody knows before."""

ROWS_A_GROUP = 10_240
"""Rows DuckDB compresses at a time, about those of a window: its own 122,880 want all that memory and more."""

LOG_BYTES = 2_000_000
"""How long the log grows before its rows are moved into the file proper; until then they take up memory."""

_CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,  # each has buffers of its own, and a run waits for the gateway, not for a processor
    "temp_directory": "",  # what DuckDB swaps out would lie open to others
    "checkpoint_threshold": "1TB",  # never as a part of a commit, where it takes more memory: we say when
}
_SINK = "sink"
_BATCH = "nxcdr_batch"

_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
    pa.decimal128(*MONEY): "DECIMAL({},{})".format(*MONEY),
}

_LEDGER = f"""
CREATE TABLE IF NOT EXISTS {WINDOWS} (
    source VARCHAR NOT NULL, start_second BIGINT NOT NULL, end_second BIGINT NOT NULL, read_at BIGINT NOT NULL,
    row_count BIGINT NOT NULL, bad_rows BIGINT NOT NULL, saturated VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS {SOURCES} (
    source VARCHAR NOT NULL, account VARCHAR NOT NULL, zone VARCHAR NOT NULL, complete_until TIMESTAMPTZ
);
"""


@define(eq=False)
class DuckDbSink:
    """A DuckDB file, readable to its owner only if it is new.

    Others can open it once a run has ended, as DuckDB lets nobody read a file that another process writes.

    It has no index: one of DuckDB's must fit into memory whole. A row is looked for by its key among those whose times
    lie near that of the new one, at most an hour off.

    Attributes:
        path: the file.
    """

    path: Path
    _lock: SinkLock = field(init=False)
    _database: duckdb.DuckDBPyConnection | None = field(default=None, init=False)
    _memory: int = field(default=MEMORY, init=False)
    _identity: tuple[int, int] | None = field(default=None, init=False)
    # Between which times rows of a table were looked for last: what others with their keys there are is not known.
    _looked_at: dict[str, list[datetime]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._lock = SinkLock(self._place)

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
        """Take hold of the file, made if it is not there."""
        check_place(self.path)
        if "?" in str(self._place):
            raise ConfigurationError(
                f"DuckDB takes no path with a question mark, such as {self._place}: give another --to"
            )
        self._lock.take()
        with self._telling():
            if not self.path.exists():
                _make(self._place)
            self._database = _connected(self._place)
            self._memory = MEMORY
        self._identity = identity(self.path)
        with self._transaction():
            self.database.execute(_LEDGER)

    def look(self, table: Table) -> Held | None:
        """Return what is known of a table."""
        columns = self._fetch(
            "SELECT column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = current_database() AND schema_name = current_schema() AND table_name = ?",
            table.name,
        )
        if not columns:
            return None
        check_columns(self.name, table, dict(columns), _columns(table))
        origins = self._fetch(f"SELECT account, zone FROM {SOURCES} WHERE source = ?", table.source)
        windows = self._fetch(f"SELECT {quoted(LedgerRow._fields)} FROM {WINDOWS} WHERE source = ?", table.source)
        return held_by(self.name, origins, windows)

    def create(self, table: Table, origin: Origin) -> None:
        """Make a table, and note where its rows come from."""
        columns = ", ".join(f'"{name}" {kind}' for name, kind in _columns(table).items())
        with self._transaction():
            self.database.execute(f"CREATE TABLE IF NOT EXISTS {table.name} ({columns})")
            self.database.execute(
                f"INSERT INTO {SOURCES} (source, account, zone) SELECT $source, $account, $zone "
                f"WHERE NOT EXISTS (FROM {SOURCES} WHERE source = $source)",
                {"source": table.source, "account": origin.account, "zone": origin.zone},
            )
            self.database.execute(
                f"UPDATE {SOURCES} SET account = ?, zone = ? WHERE source = ?",
                [origin.account, origin.zone, table.source],
            )

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under these keys near their times; those without a key, at their times."""
        if rows.num_rows:
            self._looked_at[table.name] = _times_near(table, rows)
        keyless = rows.filter(pc.is_null(rows[table.key]))
        found = [
            self._select(table, f'"{table.key}" IN (SELECT "{table.key}" FROM {_BATCH})', rows),
            self._select(
                table, f'"{table.key}" IS NULL AND "{table.time}" IN (SELECT "{table.time}" FROM {_BATCH})', keyless
            ),
        ]
        return pa.concat_tables(found)

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and the change of the ledger in one transaction."""
        until = moment_if_any(change.complete_until)
        with self._transaction():
            self._put(table, rows)
            for entry in change.replaced:
                self.database.execute(
                    f"DELETE FROM {WINDOWS} WHERE source = ? AND start_second = ?", [table.source, entry.window.start]
                )
            self.database.execute(
                f"INSERT INTO {WINDOWS} VALUES (?, ?, ?, ?, ?, ?, ?)", LedgerRow.of(table, change.entry)
            )
            self.database.execute(f"UPDATE {SOURCES} SET complete_until = ? WHERE source = ?", [until, table.source])
        check_still_there(self.path, self._identity)

    def add(self, table: Table, rows: pa.Table) -> None:
        """Store rows in one transaction, and leave the ledger as it is."""
        with self._transaction():
            self._put(table, rows)
        check_still_there(self.path, self._identity)

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window."""
        with self._telling():
            return self._rows(
                table,
                f'"{table.time}" >= ? AND "{table.time}" < ?',
                [moment_of(window.start), moment_of(window.end)],
            )

    def close(self) -> None:
        """Let go of the file."""
        self._looked_at.clear()
        if self._database is not None:
            self._database.close()
            self._database = None
        self._lock.release()

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
            _limit(self.database, memory)
            self._memory = memory

    def _select(self, table: Table, condition: str, rows: pa.Table) -> pa.Table:
        """Return the rows stored near the times of a batch of rows that meet a condition, which may name the batch."""
        if not rows.num_rows:
            return table.empty()
        with self._telling(), self._batch(rows.select([table.key, table.time])):
            return self._rows(table, f'"{table.time}" BETWEEN ? AND ? AND {condition}', _times_near(table, rows))

    def _rows(self, table: Table, condition: str, values: list[Any]) -> pa.Table:
        columns = ", ".join(f'"{name}"' for name in table.columns if name != EXTRA)
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

    def _fetch(self, query: str, *values: Any) -> list[Any]:
        with self._telling():
            found: list[Any] = self.database.execute(query, values).fetchall()
            return found

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
            _shorten_log(self.database, self._place)
            _make_private(_log_of(self._place))
            self.database.begin()
            try:
                yield
                self.database.commit()
            except BaseException:
                # After a fault of the disk DuckDB may have ended the transaction, and all work with the file.
                with suppress(duckdb.Error):
                    self.database.rollback()
                raise

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise _told(self.path, error) from None
        except OSError as error:
            raise SinkError(f"cannot write {self.path}: {error.strerror}") from None


def _columns(table: Table) -> dict[str, str]:
    return {name: "JSON" if name == EXTRA else _TYPES[table.kind(name)] for name in table.columns}


def _times_near(table: Table, rows: pa.Table) -> list[datetime]:
    """Return the times between which the rows stored under the keys of these rows lie."""
    times, margin = pc.min_max(rows[table.time]).as_py(), timedelta(seconds=FARTHEST_OUTSIDE)
    return [times["min"] - margin, times["max"] + margin]


def _connected(place: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection to a file, made if it is not there; attached, as only that takes the size of groups."""
    database = duckdb.connect(":memory:", config=_CONFIGURATION)
    path = str(place).replace("'", "''")
    try:
        database.execute(f"ATTACH '{path}' AS {_SINK} (ROW_GROUP_SIZE {ROWS_A_GROUP})")
        database.execute(f"USE {_SINK}")
        # Only now, as a log that a killed run left is read back at once, however long it is.
        _shorten_log(database, place)
        _limit(database, MEMORY)
    except duckdb.Error:
        database.close()
        raise
    return database


def _limit(database: duckdb.DuckDBPyConnection, memory: int) -> None:
    database.execute(f"SET memory_limit = '{memory}B'")


def _shorten_log(database: duckdb.DuckDBPyConnection, place: Path) -> None:
    """Move the rows of a log that has grown long into the file."""
    log = _log_of(place)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        database.execute("CHECKPOINT")


def _make(place: Path) -> None:
    """Make a file with nothing but a ledger: aside and renamed, so that nobody meets it half-made or open to others."""
    folder = place.with_name(f".{place.name}.new")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir(OWNER_ONLY_FOLDER)
    try:
        made = folder / place.name
        with _connected(made) as database:
            database.execute(_LEDGER)
        made.chmod(OWNER_ONLY)
        # The log of a file that is gone must not be replayed into this one.
        _log_of(place).unlink(missing_ok=True)
        made.replace(place)
        sync_folder(place.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _log_of(place: Path) -> Path:
    """Return where DuckDB keeps the write-ahead log of a file."""
    return place.with_name(f"{place.name}.wal")


def _make_private(log: Path) -> None:
    """Have the log there before DuckDB makes it anew for everybody to read, as it does after each checkpoint."""
    try:
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
    except FileExistsError:
        return
    sync_folder(log.parent)


def _told(path: Path, error: duckdb.Error) -> NxcdrError:
    """Return an error of DuckDB as one of ours."""
    text = str(error)
    if "not a valid DuckDB database file" in text:
        return ConfigurationError(f"{path} is there and no DuckDB file: give another --to")
    if "Could not set lock" in text or "already attached" in text:
        return BusyError(f"{path} is open in another program: close it there, or give another --to")
    return SinkError(f"cannot store in {path}: {text.splitlines()[0]}")

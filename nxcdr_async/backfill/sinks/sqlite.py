"""A SQLite file. Times are ISO 8601 in UTC, money is exact text, booleans are 0 and 1.

It is written by Python's own `sqlite3`. Two SQLite libraries in one process do not see each other's locks, as POSIX
drops all locks of a process on a file once any part of it closes that file; so it has to be the one that others use.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field

from nxcdr_async.backfill.ledger import LedgerChange
from nxcdr_async.backfill.sinks.files import check_still_there, claimed_file, identity
from nxcdr_async.backfill.sinks.lock import SinkLock
from nxcdr_async.backfill.sinks.protocol import Held, Origin
from nxcdr_async.backfill.sinks.sql import SOURCES, WINDOWS, LedgerRow, check_columns, held_by, quoted
from nxcdr_async.backfill.sinks.text import plain_amounts, plain_times
from nxcdr_async.backfill.times import MICROSECONDS
from nxcdr_async.errors import ConfigurationError, NxcdrError, SinkError
from nxcdr_async.export.tables import Table
from nxcdr_async.windows import Window

SECONDS_TO_WAIT = 30.0
"""How long to wait for others who keep the file locked."""

MILLISECONDS_FOR_LOG = 1_000
"""How long to wait for a moment at which nobody reads, to begin or end with a write-ahead log."""

ROWS_A_STATEMENT = 100
"""Rows handed over at once: few enough for the event loop to get the interpreter between them every millisecond."""

_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED")
_NO_DATABASE = "SQLITE_NOTADB"

# TEXT in the name of a type keeps SQLite from taking an amount for a binary fraction.
_TYPES = {
    pa.string(): "TEXT",
    pa.int64(): "INTEGER",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP TEXT",
}
_MONEY = "DECIMAL TEXT"

_LEDGER = (
    f"""CREATE TABLE IF NOT EXISTS {WINDOWS} (
        source TEXT NOT NULL, start_second INTEGER NOT NULL, end_second INTEGER NOT NULL, read_at INTEGER NOT NULL,
        row_count INTEGER NOT NULL, bad_rows INTEGER NOT NULL, saturated TEXT NOT NULL,
        PRIMARY KEY (source, start_second)
    ) WITHOUT ROWID""",
    f"""CREATE TABLE IF NOT EXISTS {SOURCES} (
        source TEXT PRIMARY KEY, account TEXT NOT NULL, zone TEXT NOT NULL, complete_until TIMESTAMP TEXT
    )""",
)


@define(eq=False)
class SqliteSink:
    """A SQLite file, readable to its owner only if it is new. Others may always read it, and write tables of their own.

    While windows are written it has a write-ahead log, so that readers and the run do not wait for each other. Once it
    is let go of there is none, unless a reader keeps it: a file at rest can be read without the right to write.

    Attributes:
        path: the file.
    """

    path: Path
    _lock: SinkLock = field(init=False)
    _database: sqlite3.Connection | None = field(default=None, init=False)
    _identity: tuple[int, int] | None = field(default=None, init=False)
    # Keys of a table that are known not to be in it, until we write.
    _absent: dict[str, pa.Array] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._lock = SinkLock(self.path)

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def open(self) -> None:
        """Take hold of the file, made if it is not there."""
        try:
            claimed_file(self.path)
            self._lock.take()
            with self._telling():
                self._database = _connected(self.path)
                for statement in _LEDGER:
                    self._run(statement)
            self._identity = identity(self.path)
        except BaseException:
            self.close()
            raise

    def look(self, table: Table) -> Held | None:
        """Return what is known of a table."""
        with self._telling():
            found = self._rows("SELECT name, type FROM pragma_table_info(?)", [table.name])
            origins = self._rows(f"SELECT account, zone FROM {SOURCES} WHERE source = ?", [table.source])
            windows = self._rows(f"SELECT {quoted(LedgerRow._fields)} FROM {WINDOWS} WHERE source = ?", [table.source])
        if not found:
            return None
        check_columns(self.name, table, dict(found), _columns(table))
        return held_by(self.name, origins, windows)

    def create(self, table: Table, origin: Origin) -> None:
        """Make a table, and note where its rows come from."""
        with self._transaction():
            self._run(f"CREATE TABLE IF NOT EXISTS {table.name} ({_definition(table)})")
            for statement in _indexes(table):
                self._run(statement)
            self._run(
                f"INSERT INTO {SOURCES} (source, account, zone) VALUES (?, ?, ?) ON CONFLICT (source) DO UPDATE "
                "SET account = excluded.account, zone = excluded.zone",
                [table.source, origin.account, origin.zone],
            )

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under these keys; those without a key, at their times."""
        keys, keyless = rows[table.key].drop_null(), rows.filter(pc.is_null(rows[table.key]))
        found: list[tuple[Any, ...]] = []
        for part in _parts(keys):
            found += self._found(table, _is_among(table.key, part), part)
        place = table.columns.index(table.key)
        there = pa.array([row[place] for row in found], table.kind(table.key))
        self._absent[table.name] = keys.filter(pc.invert(pc.is_in(keys, value_set=there))).combine_chunks()
        for times in _parts(plain_times(keyless[table.time]).drop_null()):
            found += self._found(table, f'"{table.key}" IS NULL AND {_is_among(table.time, times)}', times)
        return self._read(table, found)

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and the change of the ledger in one transaction."""
        until = None if change.complete_until is None else _time(change.complete_until)
        with self._telling():
            self._keep_log()
        with self._transaction():
            self._put(table, rows)
            for entry in change.replaced:
                self._run(
                    f"DELETE FROM {WINDOWS} WHERE source = ? AND start_second = ?", [table.source, entry.window.start]
                )
            self._run(f"INSERT INTO {WINDOWS} VALUES (?, ?, ?, ?, ?, ?, ?)", LedgerRow.of(table, change.entry))
            self._run(f"UPDATE {SOURCES} SET complete_until = ? WHERE source = ?", [until, table.source])
        check_still_there(self.path, self._identity)

    def add(self, table: Table, rows: pa.Table) -> None:
        """Store rows in one transaction, and leave the ledger as it is."""
        with self._transaction():
            self._put(table, rows)
        check_still_there(self.path, self._identity)

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window."""
        ends = [_time(window.start), _time(window.end)]
        return self._read(table, self._found(table, f'"{table.time}" >= ? AND "{table.time}" < ?', ends))

    def close(self) -> None:
        """Let go of the file."""
        self._absent.clear()
        if self._database is not None:
            _leave_no_log(self._database)
            self._database.close()
            self._database = None
        self._lock.release()

    @property
    def _open_database(self) -> sqlite3.Connection:
        if self._database is None:
            raise SinkError(f"{self.path} is not open")
        return self._database

    def _keep_log(self) -> None:
        """Have a write-ahead log from now on, so that nobody waits; without one if others are at work."""
        database = self._open_database
        database.execute(f"PRAGMA busy_timeout = {MILLISECONDS_FOR_LOG}")
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(_LOCKED):
                raise
        finally:
            database.execute(f"PRAGMA busy_timeout = {SECONDS_TO_WAIT * 1000:.0f}")

    def _run(self, statement: str, values: Sequence[Any] = ()) -> None:
        self._open_database.execute(statement, values)

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._open_database.execute(query, values).fetchall()

    def _put(self, table: Table, rows: pa.Table) -> None:
        """Store rows, some at a time: a statement for all of them would keep the interpreter for itself."""
        keys = rows[table.key].drop_null()
        if pc.count_distinct(keys).as_py() < len(keys):
            self._let_keys_repeat(table)
        absent = self._absent.pop(table.name, pa.array([], keys.type))
        for part in _parts(keys.filter(pc.invert(pc.is_in(keys, value_set=absent))).unique()):
            self._run(f"DELETE FROM {table.name} WHERE {_is_among(table.key, part)}", part)
        places = f"({', '.join('?' * len(table.columns))})"
        most = self._open_database.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // len(table.columns)
        written = _written(rows)
        for start in range(0, rows.num_rows, min(most, ROWS_A_STATEMENT)):
            part = written.slice(start, min(most, ROWS_A_STATEMENT))
            columns = [column.to_pylist() for column in part.columns]
            values = [value for row in zip(*columns, strict=True) for value in row]
            self._run(
                f"INSERT INTO {table.name} ({quoted(table.columns)}) VALUES {', '.join([places] * part.num_rows)}",
                values,
            )

    def _let_keys_repeat(self, table: Table) -> None:
        """Make a table of an earlier version anew, whose keys had to be unique, with all that hangs on it."""
        unique = "SELECT 1 FROM pragma_index_list(?) WHERE \"unique\" AND origin = 'u'"
        if not self._rows(unique, [table.name]):
            return
        further = "SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND type <> 'table' AND sql IS NOT NULL"
        statements = [*(statement for (statement,) in self._rows(further, [table.name])), *_indexes(table)]
        anew, columns = f"nxcdr_new_{table.name}", quoted(table.columns)
        self._run(f"CREATE TABLE {anew} ({_definition(table)})")
        self._run(f"INSERT INTO {anew} ({columns}) SELECT {columns} FROM {table.name}")
        self._run(f"DROP TABLE {table.name}")
        # As a view or a key of a user's may name the table, which is not there for a moment.
        self._run("PRAGMA legacy_alter_table = ON")
        self._run(f"ALTER TABLE {anew} RENAME TO {table.name}")
        for statement in statements:
            self._run(statement)

    def _found(self, table: Table, condition: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._telling():
            return self._rows(f"SELECT {quoted(table.columns)} FROM {table.name} WHERE {condition}", values)

    def _read(self, table: Table, found: list[tuple[Any, ...]]) -> pa.Table:
        """Return rows as SQLite gave them with the types of their columns."""
        try:
            columns = zip(*found, strict=True) if found else ((),) * len(table.columns)
            read = [_read(values, table.kind(name)) for name, values in zip(table.columns, columns, strict=True)]
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SinkError(f"the table {table.name} in {self.path} holds what no backfill stored: {error}") from None
        return pa.table(read, schema=table.schema)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._telling():
            self._run("BEGIN IMMEDIATE")
            try:
                yield
                self._run("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk may have rolled it back already
                    self._run("ROLLBACK")
                raise

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            raise _told(self.path, error) from None


def _connected(path: Path) -> sqlite3.Connection:
    """Return a connection to a file that is there; our own statements begin and end its transactions."""
    # Not by a name that SQLite takes for an address. One thread after the other works with it.
    database = sqlite3.connect(path.absolute(), timeout=SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA synchronous = FULL")
    return database


def _leave_no_log(database: sqlite3.Connection) -> None:
    """Move the log into the file and do without: who may not write can else not read it. A reader may hold it up.

    The last of those who have the file open clears the log away then, and the next run comes back to this.
    """
    with suppress(sqlite3.OperationalError):
        database.execute(f"PRAGMA busy_timeout = {MILLISECONDS_FOR_LOG}")
        database.execute("PRAGMA journal_mode = DELETE")


def _told(path: Path, error: sqlite3.Error | OverflowError) -> NxcdrError:
    """Return an error of SQLite as one of ours."""
    name = getattr(error, "sqlite_errorname", "")
    if name == _NO_DATABASE:
        return ConfigurationError(f"{path} is there and no SQLite file: give another --to")
    if name.startswith(_LOCKED):
        return SinkError(
            f"cannot store in {path}: another program has kept it locked for {SECONDS_TO_WAIT:.0f} seconds; end its "
            "transaction there, or the query that it has not read to the end"
        )
    return SinkError(f"cannot store in {path}: {error}")


def _columns(table: Table) -> dict[str, str]:
    return {name: _TYPES.get(table.kind(name), _MONEY) for name in table.columns}


def _definition(table: Table) -> str:
    """Return the columns of a table as SQL defines them."""
    unique = {table.key: " UNIQUE"} if table.is_key_unique else {}
    return ", ".join(f'"{name}" {kind}{unique.get(name, "")}' for name, kind in _columns(table).items())


def _indexes(table: Table) -> list[str]:
    """Return the statements that make the indexes of a table, where they are not there."""
    columns = {"time": table.time} if table.is_key_unique else {"time": table.time, "key": table.key}
    return [
        f'CREATE INDEX IF NOT EXISTS {table.name}_{name} ON {table.name} ("{column}")'
        for name, column in columns.items()
    ]


def _parts(values: pa.ChunkedArray | pa.Array) -> Iterator[list[Any]]:
    """Yield some values at a time, as many as go into a statement."""
    for start in range(0, len(values), ROWS_A_STATEMENT):
        yield values.slice(start, ROWS_A_STATEMENT).to_pylist()


def _is_among(column: str, values: Sequence[Any]) -> str:
    # Bound one by one: within JSON, SQLite cuts a text at its first NUL.
    return f'"{column}" IN ({", ".join("?" * len(values))})'


def _written(rows: pa.Table) -> pa.Table:
    """Return rows as SQLite keeps them."""
    return pa.table({name: _written_column(rows[name]) for name in rows.schema.names})


def _written_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return plain_times(column)
    if pa.types.is_decimal(column.type):
        return plain_amounts(column)
    return column.cast(pa.int64()) if pa.types.is_boolean(column.type) else column


def _read(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return the values of a column of SQLite with its type."""
    as_kept = pa.string() if pa.types.is_timestamp(kind) or pa.types.is_decimal(kind) else kind
    return pa.array(values, pa.int64() if pa.types.is_boolean(kind) else as_kept).cast(kind)


def _time(second: int) -> str:
    return str(plain_times(pa.array([second * MICROSECONDS], pa.timestamp("us", tz="UTC")))[0])

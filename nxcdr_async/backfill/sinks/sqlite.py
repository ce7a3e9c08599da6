"""A SQLite file. Times are ISO 8601 in UTC, money is exact text, booleans are 0 and 1."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import adbc_driver_sqlite.dbapi as adbc
import msgspec
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
from nxcdr_async.errors import ConfigurationError, SinkError
from nxcdr_async.export.tables import Table
from nxcdr_async.windows import Window

MILLISECONDS_TO_WAIT = 30_000
"""How long to wait for a reader that keeps the file locked."""

MOST_ROWS = 1_000_000
"""Rows that are ever asked for at once: more than a window has."""

_NOT_A_DATABASE = 26

# TEXT in the name of a type keeps SQLite from taking an amount for a binary fraction.
_TYPES = {
    pa.string(): "TEXT",
    pa.int64(): "INTEGER",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP TEXT",
}
_MONEY = "DECIMAL TEXT"

_SET_UP = (
    f"PRAGMA busy_timeout = {MILLISECONDS_TO_WAIT}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
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
    """A SQLite file, readable to its owner only if it is new. Others may read it while a run goes on.

    Attributes:
        path: the file.
    """

    path: Path
    _lock: SinkLock = field(init=False)
    _database: adbc.Connection | None = field(default=None, init=False)
    _identity: tuple[int, int] | None = field(default=None, init=False)

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
                # Not by a name that SQLite takes for an address. Our own statements begin and end transactions.
                self._database = adbc.connect(str(self.path.absolute()), autocommit=True)
                for statement in _SET_UP:
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
        columns = ", ".join(
            f'"{name}" {kind}{" UNIQUE" if name == table.key else ""}' for name, kind in _columns(table).items()
        )
        with self._transaction():
            self._run(f"CREATE TABLE IF NOT EXISTS {table.name} ({columns})")
            self._run(f'CREATE INDEX IF NOT EXISTS {table.name}_time ON {table.name} ("{table.time}")')
            self._run(
                f"INSERT INTO {SOURCES} (source, account, zone) VALUES (?, ?, ?) ON CONFLICT (source) DO UPDATE "
                "SET account = excluded.account, zone = excluded.zone",
                [table.source, origin.account, origin.zone],
            )

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under these keys; those without a key, at their times."""
        keyless = rows.filter(pc.is_null(rows[table.key]))
        keys, times = rows[table.key].drop_null(), plain_times(keyless[table.time])
        return self._select(
            table,
            f'"{table.key}" IN (SELECT value FROM json_each(?)) '
            f'OR ("{table.key}" IS NULL AND "{table.time}" IN (SELECT value FROM json_each(?)))',
            [_json(keys), _json(times)],
        )

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and the change of the ledger in one transaction."""
        until = None if change.complete_until is None else _time(change.complete_until)
        with self._transaction() as cursor:
            _put(cursor, table, rows)
            for entry in change.replaced:
                self._run(
                    f"DELETE FROM {WINDOWS} WHERE source = ? AND start_second = ?", [table.source, entry.window.start]
                )
            self._run(f"INSERT INTO {WINDOWS} VALUES (?, ?, ?, ?, ?, ?, ?)", LedgerRow.of(table, change.entry))
            self._run(f"UPDATE {SOURCES} SET complete_until = ? WHERE source = ?", [until, table.source])
        check_still_there(self.path, self._identity)

    def add(self, table: Table, rows: pa.Table) -> None:
        """Store rows in one transaction, and leave the ledger as it is."""
        with self._transaction() as cursor:
            _put(cursor, table, rows)
        check_still_there(self.path, self._identity)

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window."""
        ends = [_time(window.start), _time(window.end)]
        return self._select(table, f'"{table.time}" >= ? AND "{table.time}" < ?', ends)

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()
            self._database = None
        self._lock.release()

    def _cursor(self) -> adbc.Cursor:
        if self._database is None:
            raise SinkError(f"{self.path} is not open")
        return self._database.cursor()

    def _run(self, statement: str, values: Sequence[Any] = ()) -> None:
        with self._cursor() as cursor:
            cursor.execute(statement, values or None)

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def _select(self, table: Table, condition: str, values: Sequence[Any]) -> pa.Table:
        with self._telling(), self._cursor() as cursor:
            # The driver takes the type of a column from so many rows at its start.
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(MOST_ROWS)})
            cursor.execute(f"SELECT {quoted(table.columns)} FROM {table.name} WHERE {condition}", values)
            found = cursor.fetch_arrow_table()
        try:
            return pa.table([_read(found[name], table.kind(name)) for name in table.columns], schema=table.schema)
        except pa.ArrowInvalid as error:
            raise SinkError(f"the table {table.name} in {self.path} holds what no backfill stored: {error}") from None

    @contextmanager
    def _transaction(self) -> Iterator[adbc.Cursor]:
        with self._telling(), self._cursor() as cursor:
            self._run("BEGIN IMMEDIATE")
            try:
                yield cursor
                self._run("COMMIT")
            except BaseException:
                with suppress(adbc.Error):  # a full disk may have rolled it back already
                    self._run("ROLLBACK")
                raise

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except adbc.Error as error:
            if error.vendor_code == _NOT_A_DATABASE or "not a database" in str(error):
                raise ConfigurationError(f"{self.path} is there and no SQLite file: give another --to") from None
            raise SinkError(f"cannot store in {self.path}: {error}") from None
        except OSError as error:  # what reading a result raises
            raise SinkError(f"cannot read {self.path}: {error}") from None


def _put(cursor: adbc.Cursor, table: Table, rows: pa.Table) -> None:
    if rows.num_rows:
        places = ", ".join("?" * len(table.columns))
        cursor.executemany(
            f"INSERT OR REPLACE INTO {table.name} ({quoted(table.columns)}) VALUES ({places})", _written(rows)
        )


def _columns(table: Table) -> dict[str, str]:
    return {name: _TYPES.get(table.kind(name), _MONEY) for name in table.columns}


def _written(rows: pa.Table) -> pa.Table:
    """Return rows as SQLite keeps them."""
    return pa.table({name: _written_column(rows[name]) for name in rows.schema.names})


def _written_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return plain_times(column)
    if pa.types.is_decimal(column.type):
        return plain_amounts(column)
    return column.cast(pa.int64()) if pa.types.is_boolean(column.type) else column


def _read(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a column of SQLite with its type; SQLite knows none of a column without values."""
    if pa.types.is_null(column.type) or column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    return column.cast(kind)


def _json(values: pa.ChunkedArray) -> str:
    return msgspec.json.encode(values.to_pylist()).decode()


def _time(second: int) -> str:
    return str(plain_times(pa.array([second * MICROSECONDS], pa.timestamp("us", tz="UTC")))[0])

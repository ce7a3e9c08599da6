"""A SQLite file. Times are ISO 8601 in UTC, money is exact text, booleans are 0 and 1."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field

from nxcdr_async.backfill.ledger import LedgerChange
from nxcdr_async.backfill.sinks.files import claimed_file
from nxcdr_async.backfill.sinks.lock import SinkLock
from nxcdr_async.backfill.sinks.protocol import Held, Origin
from nxcdr_async.backfill.sinks.sql import SOURCES, WINDOWS, LedgerRow, check_columns, quoted
from nxcdr_async.backfill.sinks.text import plain_amount
from nxcdr_async.backfill.tables import Table
from nxcdr_async.errors import ConfigurationError, SinkError
from nxcdr_async.windows import Window

SECONDS_TO_WAIT = 30.0
"""How long to wait for a reader that keeps the file locked."""

# TEXT in the name of a type keeps SQLite from taking an amount for a binary fraction.
_TYPES = {
    pa.string(): "TEXT",
    pa.int64(): "INTEGER",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP TEXT",
}
_MONEY = "DECIMAL TEXT"

_LEDGER = f"""
CREATE TABLE IF NOT EXISTS {WINDOWS} (
    source TEXT NOT NULL, start_second INTEGER NOT NULL, end_second INTEGER NOT NULL, read_at INTEGER NOT NULL,
    row_count INTEGER NOT NULL, bad_rows INTEGER NOT NULL, saturated TEXT NOT NULL,
    PRIMARY KEY (source, start_second)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {SOURCES} (
    source TEXT PRIMARY KEY, account TEXT NOT NULL, zone TEXT NOT NULL, complete_until TIMESTAMP TEXT
);
"""


@define(eq=False)
class SqliteSink:
    """A SQLite file, readable to its owner only if it is new.

    Attributes:
        path: the file.
    """

    path: Path
    _lock: SinkLock = field(init=False)
    _database: sqlite3.Connection | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._lock = SinkLock(self.path)

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def database(self) -> sqlite3.Connection:
        """The connection, while it is open."""
        if self._database is None:
            raise SinkError(f"{self.path} is not open")
        return self._database

    def open(self) -> None:
        """Take hold of the file, made if it is not there."""
        claimed_file(self.path)
        self._lock.take()
        with self._telling():
            self._database = sqlite3.connect(
                self.path, timeout=SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_LEDGER)

    def look(self, table: Table) -> Held | None:
        """Return what is known of a table."""
        with self._telling():
            columns = {name: kind for _, name, kind, *_ in self.database.execute(f"PRAGMA table_info({table.name})")}
            origin = self.database.execute(
                f"SELECT account, zone FROM {SOURCES} WHERE source = ?", [table.source]
            ).fetchone()
            rows = self.database.execute(
                f"SELECT {quoted(LedgerRow._fields)} FROM {WINDOWS} WHERE source = ?", [table.source]
            ).fetchall()
        if not columns:
            return None
        check_columns(self.name, table, columns, _columns(table))
        return Held(Origin(*origin or ("", "")), [LedgerRow(*row).entry for row in rows])

    def create(self, table: Table, origin: Origin) -> None:
        """Make a table, and note where its rows come from."""
        columns = ", ".join(
            f'"{name}" {kind}{" UNIQUE" if name == table.key else ""}' for name, kind in _columns(table).items()
        )
        with self._transaction():
            self.database.execute(f"CREATE TABLE IF NOT EXISTS {table.name} ({columns})")
            self.database.execute(f'CREATE INDEX IF NOT EXISTS {table.name}_time ON {table.name} ("{table.time}")')
            self.database.execute(
                f"INSERT INTO {SOURCES} (source, account, zone) VALUES (?, ?, ?) ON CONFLICT (source) DO UPDATE "
                "SET account = excluded.account, zone = excluded.zone",
                [table.source, origin.account, origin.zone],
            )

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under these keys; those without a key, at their times."""
        keyless = rows.filter(pc.is_null(rows[table.key]))
        keys = msgspec.json.encode(rows[table.key].drop_null().to_pylist()).decode()
        times = msgspec.json.encode(_written(keyless[table.time])).decode()
        return self._select(
            table,
            f'"{table.key}" IN (SELECT value FROM json_each(?)) '
            f'OR ("{table.key}" IS NULL AND "{table.time}" IN (SELECT value FROM json_each(?)))',
            [keys, times],
        )

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and the change of the ledger in one transaction."""
        places = ", ".join("?" * len(table.columns))
        values = zip(*(_written(column) for column in rows.columns), strict=True)
        until = None if change.complete_until is None else _second(change.complete_until)
        with self._transaction():
            self.database.executemany(
                f"INSERT OR REPLACE INTO {table.name} ({quoted(table.columns)}) VALUES ({places})", values
            )
            self.database.executemany(
                f"DELETE FROM {WINDOWS} WHERE source = ? AND start_second = ?",
                [(table.source, entry.window.start) for entry in change.replaced],
            )
            self.database.execute(
                f"INSERT INTO {WINDOWS} VALUES (?, ?, ?, ?, ?, ?, ?)", LedgerRow.of(table, change.entry)
            )
            self.database.execute(f"UPDATE {SOURCES} SET complete_until = ? WHERE source = ?", [until, table.source])

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window."""
        return self._select(
            table, f'"{table.time}" >= ? AND "{table.time}" < ?', [_second(window.start), _second(window.end)]
        )

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()
            self._database = None
        self._lock.release()

    def _select(self, table: Table, condition: str, values: list[Any]) -> pa.Table:
        with self._telling():
            rows = self.database.execute(
                f"SELECT {quoted(table.columns)} FROM {table.name} WHERE {condition}", values
            ).fetchall()
        if not rows:
            return table.empty()
        columns = [
            _read(column, table.kind(name)) for name, column in zip(table.columns, zip(*rows, strict=True), strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=table.schema)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._telling():
            self.database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.database.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled it back already.
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")
                raise

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname == "SQLITE_NOTADB":
                raise ConfigurationError(f"{self.path} is there and no SQLite file: give another --to") from None
            raise SinkError(f"cannot store in {self.path}: {error}") from None


def _columns(table: Table) -> dict[str, str]:
    return {name: _TYPES.get(table.kind(name), _MONEY) for name in table.columns}


def _written(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column as SQLite keeps them."""
    if pa.types.is_timestamp(column.type):
        local = column.cast(pa.timestamp("us")).cast(pa.string())
        column = pc.binary_join_element_wise(local, "Z", "")
    values: list[Any] = column.to_pylist()
    if pa.types.is_decimal(column.type):
        return [None if value is None else plain_amount(value) for value in values]
    return values


def _read(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    """Return values of SQLite as a column."""
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.string()).cast(kind)
    convert: Callable[[Any], Any] | None = {pa.bool_(): bool}.get(kind)
    if pa.types.is_decimal(kind):
        convert = Decimal
    return pa.array(
        values if convert is None else [None if value is None else convert(value) for value in values], kind
    )


def _second(moment: int) -> str:
    (text,) = _written(pa.chunked_array([pa.array([moment * 1_000_000], pa.timestamp("us", tz="UTC"))]))
    return str(text)

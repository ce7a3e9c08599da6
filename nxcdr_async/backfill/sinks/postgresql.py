"""Tables in a PostgreSQL database, from version 13 on, in the schema that comes first in the user's search path."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import NoneType
from typing import Any, get_args

import msgspec
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field, fields_dict
from psycopg import errors

from nxcdr_async.backfill.ledger import LedgerChange
from nxcdr_async.backfill.sinks.postgresql_connection import Server
from nxcdr_async.backfill.sinks.postgresql_rows import as_read, clean, from_csv, to_csv
from nxcdr_async.backfill.sinks.protocol import BusyError, Held, Origin
from nxcdr_async.backfill.sinks.sql import SOURCES, WINDOWS, LedgerRow, check_columns, held_by, quoted
from nxcdr_async.backfill.times import moment_if_any, moment_of
from nxcdr_async.errors import ConfigurationError, SinkError
from nxcdr_async.export.tables import EXTRA, Table
from nxcdr_async.windows import Window

SECONDS_TO_WAIT = 3
"""How long to wait for another run to let go: a server takes a moment to notice that a client was killed."""

# As the server itself writes them.
_TYPES = {
    pa.string(): "text",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.timestamp("us", tz="UTC"): "timestamp with time zone",
}
_MONEY = "numeric"
_JSON = "jsonb"
_UNIQUE = " unique"

_LEDGER = {
    WINDOWS: (
        "source text, start_second bigint, end_second bigint NOT NULL, read_at bigint NOT NULL, "
        "row_count bigint NOT NULL, bad_rows bigint NOT NULL, saturated text NOT NULL, "
        "PRIMARY KEY (source, start_second)"
    ),
    SOURCES: "source text PRIMARY KEY, account text NOT NULL, zone text NOT NULL, complete_until timestamptz",
}

_MAKES_KEY_UNIQUE = (
    "indrelid = attrelid AND indisunique AND indisvalid AND indimmediate AND indpred IS NULL "
    "AND indnkeyatts = 1 AND indkey[0] = attnum"
)

_COLUMNS = f"""
SELECT attname, format_type(atttypid, atttypmod) || CASE WHEN attname = %(key)s AND EXISTS (
    SELECT FROM pg_index WHERE {_MAKES_KEY_UNIQUE}
) THEN '{_UNIQUE}' ELSE '' END || CASE WHEN relkind IN ('r', 'p') THEN '' ELSE ' of no table' END
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE attrelid = to_regclass(%(table)s) AND attnum > 0 AND NOT attisdropped
"""

_UNIQUE_INDEXES = f"""
SELECT indexrelid::regclass::text, (
    SELECT quote_ident(conname) FROM pg_constraint WHERE conindid = indexrelid AND contype <> 'f'
)
FROM pg_index JOIN pg_attribute ON {_MAKES_KEY_UNIQUE}
WHERE indrelid = to_regclass(%(table)s) AND attname = %(key)s
"""


@define(eq=False)
class PostgresqlSink:
    """A schema of a PostgreSQL database: the current one of the user who connects.

    Whatever libpq knows works: several hosts, sockets (`?host=/run/postgresql`), `?sslmode=…`,
    `?options=-csearch_path%3Dcalls`, and the password in `PGPASSWORD` or `~/.pgpass`, where no list of processes shows
    it. A pooler has to keep a session on one connection, as the lock that keeps other runs out belongs to it.

    Times are `timestamptz`, amounts `numeric`, keys nobody knows `jsonb`. PostgreSQL cannot hold a NUL character: the
    replacement character U+FFFD stands for it.

    Attributes:
        address: `postgresql://user@host:port/database`.

    Raises:
        ConfigurationError: the address cannot be read.
    """

    address: str = field(repr=False)
    _server: Server = field(init=False)
    _connection: "psycopg.Connection[Any] | None" = field(default=None, init=False, repr=False)
    _schema: str = field(default="", init=False)
    # Keys of a table that are known not to be in it: as nobody else writes there, until we do.
    _absent: dict[str, pa.Array] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._server = Server.at(self.address)

    @property
    def name(self) -> str:
        """The address, without a password and options."""
        return self._server.name

    @property
    def connection(self) -> "psycopg.Connection[Any]":
        """The connection, while it is open."""
        if self._connection is None:
            raise SinkError(f"{self.name} is not open")
        return self._connection

    def open(self) -> None:
        """Connect, take hold of the schema, and make the ledger if it is not there."""
        self._connection = self._server.connect()
        try:
            with self._server.telling():
                self._schema = self._current_schema()
                self._take_lock()
                for name, columns in _LEDGER.items():
                    self._make_table(name, columns)
        except BaseException:
            self.close()
            raise

    def look(self, table: Table) -> Held | None:
        """Return what is known of a table."""
        with self._server.telling():
            found = dict(self._rows(_COLUMNS, {"table": self._place(table.name), "key": table.key}))
            origins = self._rows(f"SELECT account, zone FROM {self._place(SOURCES)} WHERE source = %s", [table.source])
            windows = self._rows(
                f"SELECT {quoted(LedgerRow._fields)} FROM {self._place(WINDOWS)} WHERE source = %s", [table.source]
            )
        if not found:
            return None
        if not table.is_key_unique:
            found[table.key] = str(found.get(table.key)).removesuffix(_UNIQUE)  # as an earlier version made it
        check_columns(self.name, table, found, _columns_with_key(table))
        return held_by(self.name, origins, windows)

    def create(self, table: Table, origin: Origin) -> None:
        """Make a table, and note where its rows come from."""
        with self._transaction():
            if self._make_table(table.name, _definition(table)):
                for column in (table.time,) if table.is_key_unique else (table.time, table.key):
                    self.connection.execute(f'CREATE INDEX ON {self._place(table.name)} ("{column}")')
            self.connection.execute(
                f"INSERT INTO {self._place(SOURCES)} (source, account, zone) VALUES (%s, %s, %s) "
                "ON CONFLICT (source) DO UPDATE SET account = excluded.account, zone = excluded.zone",
                [table.source, origin.account, origin.zone],
            )

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under these keys; those without a key, at their times."""
        cleaned = clean(rows.select([table.key, table.time]))
        keys, keyless = cleaned[table.key].drop_null(), cleaned.filter(pc.is_null(cleaned[table.key]))
        found = [self._select(table, _is_among_json(table), [_json(keys)])]
        self._absent[table.name] = _without(keys, found[0][table.key])
        if keyless.num_rows:
            condition = (
                f'"{table.key}" IS NULL AND "{table.time}" IN (SELECT json_array_elements_text(%s)::timestamptz)'
            )
            found.append(self._select(table, condition, [_json(keyless[table.time])]))
        return as_read(table, pa.concat_tables(found), rows)

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and the change of the ledger in one transaction."""
        until = moment_if_any(change.complete_until)
        replaced = [entry.window.start for entry in change.replaced]
        windows, sources = self._place(WINDOWS), self._place(SOURCES)
        with self._transaction():
            self._put(table, clean(rows))
            self.connection.execute(
                f"DELETE FROM {windows} WHERE source = %s AND start_second = ANY(%s)", [table.source, replaced]
            )
            self.connection.execute(
                f"INSERT INTO {windows} ({quoted(LedgerRow._fields)}) VALUES (%s, %s, %s, %s, %s, %s, %s)",
                LedgerRow.of(table, change.entry),
            )
            self.connection.execute(
                f"UPDATE {sources} SET complete_until = %s WHERE source = %s", [until, table.source]
            )

    def add(self, table: Table, rows: pa.Table) -> None:
        """Store rows in one transaction, and leave the ledger as it is."""
        with self._transaction():
            self._put(table, clean(rows))

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window."""
        return self._select(
            table,
            f'"{table.time}" >= %s AND "{table.time}" < %s',
            [moment_of(window.start), moment_of(window.end)],
        )

    def close(self) -> None:
        """Disconnect; the server lets go of the lock."""
        self._absent.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _current_schema(self) -> str:
        ((schema,),) = self._rows("SELECT current_schema()")
        if schema is None:
            raise ConfigurationError(
                f"no schema that is there is in the search path of the user of {self.name}: create one, or name one by "
                "…?options=-csearch_path%3DSCHEMA"
            )
        return str(schema)

    def _take_lock(self) -> None:
        """Take the lock of the schema, which goes with the connection, however that ends."""
        number = int.from_bytes(hashlib.sha256(f"nxcdr_async\0{self._schema}".encode()).digest()[:8], signed=True)
        try:
            with self.connection.transaction():
                self.connection.execute(f"SET LOCAL lock_timeout = '{SECONDS_TO_WAIT}s'")
                self.connection.execute("SELECT pg_advisory_lock(%s::bigint)", [number])
        except errors.LockNotAvailable:
            raise BusyError(
                f"{self.name} is being written by another run: wait for its end, or give another --to"
            ) from None

    def _make_table(self, name: str, columns: str) -> bool:
        """Make a table if it is not there, which a user who may make none can have had made before."""
        place = self._place(name)
        ((is_there,),) = self._rows("SELECT to_regclass(%s) IS NOT NULL", [place])
        if is_there:
            return False
        self.connection.execute(f"CREATE TABLE {place} ({columns})")
        return True

    def _put(self, table: Table, rows: pa.Table) -> None:
        """Store rows in place of those with their keys."""
        place, keys = self._place(table.name), rows[table.key].drop_null()
        if pc.count_distinct(keys).as_py() < len(keys):
            self._let_keys_repeat(table)
        if self._unique_indexes(table):
            self._copy_over(table, rows)
            return
        self.connection.execute(f"DELETE FROM {place} WHERE {_is_among_json(table)}", [_json(keys.unique())])
        self._copy_in(place, rows)

    def _copy_over(self, table: Table, rows: pa.Table) -> None:
        """Store rows: new ones straight away, which is quickest, others by way of a temporary table.

        That takes no row away that others may refer to by its key.
        """
        key, place = table.key, self._place(table.name)
        absent = self._absent.pop(table.name, rows[key].slice(0, 0).combine_chunks())
        is_new = pc.or_(pc.is_null(rows[key]), pc.is_in(rows[key], value_set=absent))
        self._copy_in(place, rows.filter(is_new))
        rows = rows.filter(pc.invert(is_new))
        if not rows.num_rows:
            return
        aside, columns = f"nxcdr_{table.name}", quoted(table.columns)
        changes = ", ".join(f'"{name}" = excluded."{name}"' for name in table.columns if name != key)
        self.connection.execute(f"CREATE TEMPORARY TABLE {aside} (LIKE {place}) ON COMMIT DROP")
        self._copy_in(f"pg_temp.{aside}", rows)
        self.connection.execute(
            f"INSERT INTO {place} ({columns}) SELECT {columns} FROM pg_temp.{aside} "
            f'ON CONFLICT ("{key}") DO UPDATE SET {changes}'
        )

    def _unique_indexes(self, table: Table) -> list[tuple[str, str | None]]:
        """Return the indexes for which a key has to be unique, each with the constraint that it belongs to, if any."""
        return self._rows(_UNIQUE_INDEXES, {"table": self._place(table.name), "key": table.key})

    def _let_keys_repeat(self, table: Table) -> None:
        """Let several rows of a table of an earlier version share a key."""
        place = self._place(table.name)
        statements = [
            f"DROP INDEX {index}" if constraint is None else f"ALTER TABLE {place} DROP CONSTRAINT {constraint}"
            for index, constraint in self._unique_indexes(table)
        ]
        if not statements:
            return
        statements.append(f'CREATE INDEX ON {place} ("{table.key}")')
        try:
            for statement in statements:
                self.connection.execute(statement)
        except (errors.InsufficientPrivilege, errors.DependentObjectsStillExist) as refused:
            raise ConfigurationError(
                f"several calls share an id, and {table.name} in {self.name} was made for one of each only: have its "
                f"owner run {'; '.join(statements)} ({refused.diag.message_primary})"
            ) from None

    def _copy_in(self, place: str, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        query = f"COPY {place} ({quoted(rows.column_names)}) FROM STDIN (FORMAT csv, ENCODING 'UTF8')"
        with self.connection.cursor() as cursor, cursor.copy(query) as copy:
            copy.write(to_csv(rows))

    def _place(self, name: str) -> str:
        schema = self._schema.replace('"', '""')
        return f'"{schema}"."{name}"'

    def _rows(self, query: str, values: Any = None) -> list[Any]:
        return self.connection.execute(query, values).fetchall()

    def _select(self, table: Table, condition: str, values: list[Any]) -> pa.Table:
        query = f"SELECT {quoted(table.columns)} FROM {self._place(table.name)} WHERE {condition}"
        with (
            self._server.telling(),
            self.connection.cursor() as cursor,
            cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')", values) as copy,
        ):
            text = b"".join(copy)
        try:
            return from_csv(table, text)
        except pa.ArrowInvalid as error:
            raise SinkError(f"the table {table.name} in {self.name} holds what no backfill stored: {error}") from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._server.telling(), self.connection.transaction():
            yield


def _columns(table: Table) -> dict[str, str]:
    return {name: _JSON if name == EXTRA else _TYPES.get(table.kind(name), _MONEY) for name in table.columns}


def _columns_with_key(table: Table) -> dict[str, str]:
    """Return the types of columns, and whether the key has to be unique."""
    columns = _columns(table)
    return {**columns, table.key: columns[table.key] + _UNIQUE} if table.is_key_unique else columns


def _definition(table: Table) -> str:
    """Return the columns of a table as SQL defines them."""
    key = f'"{table.key}" {_columns(table)[table.key]}'
    if not table.is_key_unique:
        key += " NOT NULL"
    else:
        key += " UNIQUE" if _may_lack_key(table) else " PRIMARY KEY"
    return ", ".join(key if name == table.key else f'"{name}" {kind}' for name, kind in _columns(table).items())


def _is_among_json(table: Table) -> str:
    """Return the condition that a key is in a JSON list: one row after the other, by the index of the key."""
    return f'"{table.key}" IN (SELECT json_array_elements_text(%s)::{_columns(table)[table.key]})'


def _may_lack_key(table: Table) -> bool:
    return NoneType in get_args(fields_dict(table.record_class)[table.key].type)


def _without(keys: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.Array:
    return keys.filter(pc.invert(pc.is_in(keys, value_set=others.combine_chunks()))).combine_chunks()


def _json(column: pa.ChunkedArray | pa.Array) -> str:
    return msgspec.json.encode(column.to_pylist()).decode()

"""Tables in a PostgreSQL database, from version 13 on, in the schema that comes first in the user's search path."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

import msgspec
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field
from psycopg import errors

from nxcdr_async.backfill.ledger import LedgerChange
from nxcdr_async.backfill.sinks.postgresql_connection import Server
from nxcdr_async.backfill.sinks.postgresql_rows import as_read, clean, from_csv, to_csv
from nxcdr_async.backfill.sinks.postgresql_tables import (
    COLUMNS,
    LEDGER_TABLES,
    UNIQUE,
    UNIQUE_INDEXES,
    columns_of,
    columns_with_key,
    definition,
)
from nxcdr_async.backfill.sinks.protocol import Origin
from nxcdr_async.backfill.sinks.sql import quoted
from nxcdr_async.backfill.sinks.sql_sink import SqlSink
from nxcdr_async.backfill.times import extent_of, moment_of
from nxcdr_async.errors import BusyError, ConfigurationError, SinkError
from nxcdr_async.export.tables import Table
from nxcdr_async.windows import Window

SECONDS_TO_WAIT = 3
"""How long to wait for another run to let go: a server takes a moment to notice that a client was killed."""

_NAME_OR_SIGN = re.compile(r'"(?:[^"]|"")*"|[?%]')


@define(eq=False)
class PostgresqlSink(SqlSink):
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

    LEDGER = LEDGER_TABLES

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
        """Connect, and take hold of the schema."""
        self._connection = self._server.connect()
        try:
            with self._telling():
                self._schema = self._current_schema()
                self._check_rights()
                self._take_lock()
        except BaseException:
            self.close()
            raise

    def create(self, table: Table, origin: Origin) -> None:
        """Make a table, and note where its rows come from."""
        with self._transaction():
            if not self._is_there(table):
                self._execute(f"CREATE TABLE {self._qualified(table.name)} ({definition(table)})")
                for column in (table.time,) if table.is_key_unique else (table.time, table.key):
                    self._execute(f'CREATE INDEX ON {self._qualified(table.name)} ("{column}")')
            self._make_ledger(table)
            self._note_origin(table, origin)

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under these keys; those without a key, at their times."""
        with self._telling():
            if not self._is_there(table):
                return table.empty()
        cleaned = clean(rows.select([table.key, table.time]))
        keys, keyless = cleaned[table.key].drop_null(), cleaned.filter(pc.is_null(cleaned[table.key]))
        found = [self._select(table, _is_among_json(table), [_json(keys)])]
        self._absent[table.name] = _without(keys, found[0][table.key])
        if keyless.num_rows:
            condition = (
                f'"{table.key}" IS NULL AND "{table.time}" IN (SELECT json_array_elements_text(%s)::timestamptz)'
            )
            found.append(self._select(table, condition, [_json(keyless[table.time])]))
        stored = pa.concat_tables(found)
        self._found_in[table.name] = extent_of(table, stored)
        return as_read(table, stored, rows)

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and the change of the ledger in one transaction."""
        with self._transaction():
            self._take_in(table, clean(rows), change)

    def add(self, table: Table, rows: pa.Table) -> None:
        """Store rows in one transaction; the ledger only takes in how many there are."""
        with self._transaction(), self._counting(table, rows):
            self._put(table, clean(rows))

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window."""
        with self._telling():
            if not self._is_there(table):
                return table.empty()
        return self._select(
            table,
            f'"{table.time}" >= %s AND "{table.time}" < %s',
            [moment_of(window.start), moment_of(window.end)],
        )

    def prune(self, table: Table, before: int, *, is_trial: bool) -> int:
        """Remove old rows in one transaction, and have the server reuse their place.

        Their bytes stay there until others take it, and the files as long as they are: `VACUUM FULL` writes them anew.
        """
        if is_trial:
            with self._telling():
                return self._rows_before(table, before)
        with self._transaction():
            rows = self._remove_before(table, before)
        with self._telling():
            if self._is_there(table):
                self._execute(f"VACUUM {self._qualified(table.name)}")
        return rows

    def close(self) -> None:
        """Disconnect; the server lets go of the lock."""
        self._absent.clear()
        self._found_in.clear()
        self._there.clear()
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

    def _check_rights(self) -> None:
        """Check, before anything is asked for, that rows can be stored: who may make no tables can have had them made.

        Raises:
            ConfigurationError: they cannot.
        """
        ((is_read_only, may_make),) = self._execute(
            "SELECT current_setting('transaction_read_only')::boolean, has_schema_privilege(current_schema(), 'CREATE')"
        )
        if is_read_only:
            raise ConfigurationError(
                f"cannot store in {self.name}: its transactions are read-only; connect to the primary server, as a "
                "user who may write, or give another --to"
            )
        if not may_make and not all(self._columns_of(name) for name in LEDGER_TABLES):
            raise ConfigurationError(
                f"cannot store in {self.name}: permission denied for schema {self._schema}; grant the user CREATE on "
                "the schema and TEMPORARY on the database, or give another --to"
            )

    def _make_ledger(self, table: Table) -> None:
        lacking = [
            f"ALTER TABLE {self._qualified(name)} ADD COLUMN {column} {LEDGER_TABLES[name].columns[column]}"
            for name, column in self._lacking({name: self._columns_of(name) for name in LEDGER_TABLES})
        ]
        try:
            super()._make_ledger(table)
        except errors.InsufficientPrivilege as refused:
            raise ConfigurationError(
                f"the ledger in {self.name} was made by an earlier version, and its user may not change it "
                f"({refused.diag.message_primary}): have its owner run {'; '.join(lacking)}"
            ) from None

    def _put(self, table: Table, rows: pa.Table) -> None:
        """Store rows in place of those with their keys."""
        place, keys = self._qualified(table.name), rows[table.key].drop_null()
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
        key, place = table.key, self._qualified(table.name)
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
        return self._rows(UNIQUE_INDEXES, {"table": self._qualified(table.name), "key": table.key})

    def _let_keys_repeat(self, table: Table) -> None:
        """Let several rows of a table of an earlier version share a key."""
        place = self._qualified(table.name)
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

    def _qualified(self, name: str) -> str:
        schema = self._schema.replace('"', '""')
        return f'"{schema}"."{name}"'

    def _telling(self) -> AbstractContextManager[None]:
        return self._server.telling()

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._rows(_NAME_OR_SIGN.sub(_as_psycopg_has_it, statement), values)

    def _rows(self, query: str, values: Any = None) -> list[Any]:
        cursor = self.connection.execute(query, values)
        return [] if cursor.description is None else cursor.fetchall()

    def _columns_of(self, name: str) -> dict[str, str]:
        return dict(self._rows(COLUMNS, {"table": self._qualified(name), "key": ""}))

    def _found_columns(self, table: Table) -> dict[str, str]:
        found = dict(self._rows(COLUMNS, {"table": self._qualified(table.name), "key": table.key}))
        if found and not table.is_key_unique:
            found[table.key] = str(found.get(table.key)).removesuffix(UNIQUE)  # as an earlier version made it
        return found

    def _wanted_columns(self, table: Table) -> dict[str, str]:
        return columns_with_key(table)

    def _counts(self, table: Table, windows: Sequence[Window]) -> dict[Window, int]:
        found = self._rows(
            f"SELECT (SELECT count(*) FROM {self._qualified(table.name)} "
            f'WHERE "{table.time}" >= to_timestamp(start_second) AND "{table.time}" < to_timestamp(end_second)) '
            "FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS windows (start_second, end_second, number) "
            "ORDER BY number",
            [[window.start for window in windows], [window.end for window in windows]],
        )
        return {window: count for window, (count,) in zip(windows, found, strict=True)}

    def _moment(self, second: int) -> datetime:
        return moment_of(second)

    def _select(self, table: Table, condition: str, values: list[Any]) -> pa.Table:
        query = f"SELECT {quoted(table.columns)} FROM {self._qualified(table.name)} WHERE {condition}"
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
        with self._telling(), self.connection.transaction():
            yield


def _as_psycopg_has_it(found: re.Match[str]) -> str:
    """Return a part of a statement with psycopg's placeholders: names in quotes may have question marks, too."""
    return "%s" if found[0] == "?" else found[0].replace("%", "%%")


def _is_among_json(table: Table) -> str:
    """Return the condition that a key is in a JSON list: one row after the other, by the index of the key."""
    return f'"{table.key}" IN (SELECT json_array_elements_text(%s)::{columns_of(table)[table.key]})'


def _without(keys: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.Array:
    return keys.filter(pc.invert(pc.is_in(keys, value_set=others.combine_chunks()))).combine_chunks()


def _json(column: pa.ChunkedArray | pa.Array) -> str:
    return msgspec.json.encode(column.to_pylist()).decode()

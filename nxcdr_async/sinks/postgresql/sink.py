"""Tables in a PostgreSQL database, from version 13 on, in the schema that comes first in the user's search path."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve, field
from psycopg import errors

from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import BusyError, ConfigurationError, NxcdrError, SinkError
from nxcdr_async.records.arrow import Table
from nxcdr_async.sinks.ledger import LedgerChange
from nxcdr_async.sinks.postgresql.bounded import BoundedConnection
from nxcdr_async.sinks.postgresql.connection import LostConnectionError, Server
from nxcdr_async.sinks.postgresql.hold import Hold
from nxcdr_async.sinks.postgresql.known_ledger import KnownLedger
from nxcdr_async.sinks.postgresql.rows import as_read, clean, from_csv, to_csv
from nxcdr_async.sinks.postgresql.tables import (
    LEDGER_TABLES,
    UNIQUE,
    UNIQUE_INDEXES,
    LackingIdentity,
    as_psycopg_has_it,
    columns_with_key,
    definition,
    identified_by_all_columns,
    is_among_json,
)
from nxcdr_async.sinks.protocol import Held, Origin
from nxcdr_async.sinks.sql import quoted
from nxcdr_async.sinks.sql_sink import SqlSink
from nxcdr_async.sinks.values import extent_of
from nxcdr_async.windows import Window


@define(eq=False)
class PostgresqlSink(SqlSink):
    """A schema of a PostgreSQL database: the current one of the user who connects.

    Whatever libpq knows works: several hosts, sockets (`?host=/run/postgresql`), `?sslmode=…`,
    `?options=-csearch_path%3Dcalls`, and the password in `PGPASSWORD` or `~/.pgpass`, where no list of processes shows
    it. A pooler has to keep a session on one connection, as the lock that keeps other runs out belongs to it. If a
    connection was closed while a run waited for the gateway, another is opened, unless others have changed the ledger.

    Settings of the user, the database or the server do no harm: what values are read and written by is set for the
    session, and no timeout of theirs ends it, but one that the address gives (`?options=-cstatement_timeout%3D60000`).

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
    _hold: Hold | None = field(default=None, init=False, repr=False)
    # The tables that were looked at, and what the ledger says of them.
    _known: dict[Table, KnownLedger] = field(factory=dict, init=False, repr=False)
    # Whether the rows that are written pass through policies of row security, where none can be copied straight away.
    _is_secured: bool = field(default=False, init=False, repr=False)
    # Keys of a table that are known not to be in it: as nobody else writes there, until we do.
    _absent: dict[str, pa.Array] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._server = Server.at(self.address)

    @property
    def name(self) -> str:
        """The address, without a password and options."""
        return self._server.name

    @property
    def connection(self) -> BoundedConnection:
        """The connection, while it is open."""
        return self._held.connection

    @property
    def _held(self) -> Hold:
        if self._hold is None:
            raise SinkError(f"{self.name} is not open")
        return self._hold

    def open(self) -> None:
        """Connect, and take hold of the schema."""
        self._hold = Hold.taken(self._server, LEDGER_TABLES)

    def look(self, table: Table) -> Held | None:
        """Return what is known of a table."""
        with self._telling():
            self._check_row_security(table)
            lacking = self._published_without_identity(table)
        held = super().look(table)
        self._known[table] = KnownLedger.of(held)
        return evolve(held, is_current=False) if held is not None and lacking else held

    def create(self, table: Table, origin: Origin) -> None:
        """Make a table, and note where its rows come from."""
        self._come_back_if_closed()
        with self._transaction(table):
            if not self._is_there(table):
                self._execute(f"CREATE TABLE {self._qualified(table.name)} ({definition(table)})")
                self._identify(self._held.lacking_identity([table.name]))
                for column in (table.time,) if table.is_key_unique else (table.time, table.key):
                    self._execute(f'CREATE INDEX ON {self._qualified(table.name)} ("{column}")')
            self._make_ledger(table)
            self._note_origin(table, origin)
        if table in self._known:
            self._known[table].origin = origin

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under these keys; those without a key, at their times."""
        self._come_back_if_closed()
        with self._telling():
            if not self._is_there(table):
                return table.empty()
        cleaned = clean(rows.select([table.key, table.time]))
        keys, keyless = cleaned[table.key].drop_null(), cleaned.filter(pc.is_null(cleaned[table.key]))
        found = [self._select(table, is_among_json(table), [_json(keys)])]
        self._absent[table.name] = _without(keys, found[0][table.key])
        if keyless.num_rows:
            condition = f'"{table.key}" IS NULL AND "{table.time}" IN (SELECT json_array_elements_text(?)::timestamptz)'
            found.append(self._select(table, condition, [_json(keyless[table.time])]))
        stored = pa.concat_tables(found)
        self._found_in[table.name] = extent_of(table, stored)
        return as_read(table, stored, rows)

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and the change of the ledger in one transaction."""
        with self._transaction(table):
            self._take_in(table, clean(rows), change)
        if table in self._known:
            self._known[table].take_in(change)

    def add(self, table: Table, rows: pa.Table) -> None:
        """Store rows in one transaction; the ledger only takes in how many there are."""
        with self._transaction(table), self._counting(table, rows):
            self._put(table, clean(rows))

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window."""
        self._come_back_if_closed()
        with self._telling():
            if not self._is_there(table):
                return table.empty()
        return self._select(
            table,
            f'"{table.time}" >= ? AND "{table.time}" < ?',
            [moment_at(window.start), moment_at(window.end)],
        )

    def prune(self, table: Table, before: int, *, is_trial: bool) -> int:
        """Remove old rows in one transaction, and have the server reuse their place.

        Their bytes stay there until others take it, and the files as long as they are: `VACUUM FULL` writes them anew.
        """
        self._come_back_if_closed()
        with self._held.connection.patient():
            if is_trial:
                with self._telling():
                    return self._rows_before(table, before)
            with self._transaction(table):
                rows = self._remove_before(table, before)
            if table in self._known:
                self._known[table].prune(before)
            with self._telling():
                if self._is_there(table):
                    self._execute(f"VACUUM {self._qualified(table.name)}")
        return rows

    def lost(self, table: Table) -> list[Window]:
        """Return the windows that have fewer rows than were stored in them."""
        with self._held.connection.patient():
            return super().lost(table)

    def close(self) -> None:
        """Disconnect; the server lets go of the lock."""
        for known in (self._absent, self._found_in, self._there, self._known):
            known.clear()
        if self._hold is not None:
            self._hold.close()
            self._hold = None

    def _come_back_if_closed(self) -> None:
        """Open the connection anew, if it was closed while nothing was asked of it, as servers and lines do.

        Raises:
            SinkError: that cannot be, or others have taken hold of the schema meanwhile and changed the ledger.
        """
        try:
            with self._telling():
                self._held.check_backend()
        except LostConnectionError as lost:
            self._come_back(lost)

    def _come_back(self, lost: LostConnectionError) -> None:
        schema, known = self._held.schema, dict(self._known)
        self.close()
        try:
            self.open()
            for table in known:
                self.look(table)
            if self._held.schema != schema or self._known != known:
                raise SinkError("another run has changed its ledger meanwhile")
        except BusyError:
            raise SinkError(f"{lost}; another run has taken hold of it meanwhile") from None
        except NxcdrError as refused:
            self.close()
            raise type(refused)(f"{lost}; it could not be opened anew: {refused}") from None

    def _check_row_security(self, table: Table) -> None:
        """Check that all rows are seen that are there, and note whether those of records pass through policies."""
        secured = self._held.row_security([table.name, *LEDGER_TABLES])
        hiding = [security.place for security in secured if security.may_hide]
        if hiding:
            raise ConfigurationError(
                f"cannot store in {self.name}: policies of row security may hide rows of {', '.join(hiding)} from the "
                "user, which would be taken for missing; give the user one FOR ALL … USING (true), and no restrictive "
                "one, or BYPASSRLS, or give another --to"
            )
        self._is_secured = self._qualified(table.name) in {security.place for security in secured}

    def _published_without_identity(self, table: Table) -> list[LackingIdentity]:
        """Return the tables whose rows cannot be changed, as a publication could not tell them apart.

        Raises:
            ConfigurationError: the user may not mend that.
        """
        lacking = self._held.published(self._held.lacking_identity([table.name, *LEDGER_TABLES]))
        others = [lacks.mending for lacks in lacking if not lacks.is_owned]
        if others:
            raise ConfigurationError(
                f"cannot store in {self.name}: a publication tells of changes of rows that have no identity, so that "
                f"the server refuses these: have the owner run {'; '.join(others)}"
            )
        return lacking

    def _identify(self, lacking: Collection[LackingIdentity]) -> None:
        for table in lacking:
            self._rows(table.mending)

    def _make_ledger(self, table: Table) -> None:
        lacking = [
            f"ALTER TABLE {self._qualified(name)} ADD COLUMN {column} {LEDGER_TABLES[name].columns[column]}"
            for name, column in self._lacking({name: self._columns_of(name) for name in LEDGER_TABLES})
        ]
        try:
            with self.connection.patient():
                super()._make_ledger(table)
        except errors.InsufficientPrivilege as refused:
            raise ConfigurationError(
                f"the ledger in {self.name} was made by an earlier version, and its user may not change it "
                f"({refused.diag.message_primary}): have its owner run {'; '.join(lacking)}"
            ) from None
        self._identify(self._published_without_identity(table))

    def _put(self, table: Table, rows: pa.Table) -> None:
        """Store rows in place of those with their keys."""
        place, keys = self._qualified(table.name), rows[table.key].drop_null()
        if pc.count_distinct(keys).as_py() < len(keys):
            self._let_keys_repeat(table)
        if self._unique_indexes(table):
            self._copy_over(table, rows)
            return
        self._execute(f"DELETE FROM {place} WHERE {is_among_json(table)}", [_json(keys.unique())])
        absent = self._absent.pop(table.name, keys.slice(0, 0).combine_chunks())
        known = keys.filter(pc.invert(pc.is_in(keys, value_set=absent)))
        if left := self._rows_among(table, known):
            raise self._kept_by_trigger(table, left, "from being replaced")
        self._add(table, rows)

    def _add(self, table: Table, rows: pa.Table, on_conflict: str = "") -> None:
        """Add rows: straight away, which is quickest; by way of a temporary table, where only that can be."""
        place, columns = self._qualified(table.name), quoted(table.columns)
        if not rows.num_rows:
            return
        if not on_conflict and not self._is_secured:
            added = self._copy_in(place, rows)
        else:
            aside = f"pg_temp.nxcdr_{table.name}"
            self._rows(f"CREATE TEMPORARY TABLE {aside} (LIKE {place})")
            self._copy_in(aside, rows)
            adding = f"INSERT INTO {place} ({columns}) SELECT {columns} FROM {aside}{on_conflict}"
            added = self.connection.execute(adding.encode()).rowcount
            self._rows(f"DROP TABLE {aside}")
        keys = rows[table.key].drop_null()
        # Fewer are no fault where a trigger puts them into tables that inherit from this one.
        if added < rows.num_rows and (lacking := len(keys) - self._rows_among(table, keys)) > 0:
            raise self._kept_by_trigger(table, lacking, "from being stored")

    def _rows_among(self, table: Table, keys: pa.ChunkedArray) -> int:
        """Count the rows with some keys."""
        if not len(keys):
            return 0
        counting = f"SELECT count(*) FROM {self._qualified(table.name)} WHERE {is_among_json(table)}"
        ((rows,),) = self._execute(counting, [_json(keys.unique())])
        return int(rows)

    def _copy_over(self, table: Table, rows: pa.Table) -> None:
        """Store rows: new ones straight away, which is quickest, others by way of a temporary table.

        That takes no row away that others may refer to by its key.
        """
        key = table.key
        absent = self._absent.pop(table.name, rows[key].slice(0, 0).combine_chunks())
        is_new = pc.or_(pc.is_null(rows[key]), pc.is_in(rows[key], value_set=absent))
        self._add(table, rows.filter(is_new))
        changes = ", ".join(f'"{name}" = excluded."{name}"' for name in table.columns if name != key)
        self._add(table, rows.filter(pc.invert(is_new)), f' ON CONFLICT ("{key}") DO UPDATE SET {changes}')

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
        statements += [f'CREATE INDEX ON {place} ("{table.key}")', identified_by_all_columns(place)]
        try:
            with self.connection.patient():
                for statement in statements:
                    self._rows(statement)
        except (errors.InsufficientPrivilege, errors.DependentObjectsStillExist) as refused:
            raise ConfigurationError(
                f"several calls share an id, and {table.name} in {self.name} was made for one of each only: have its "
                f"owner run {'; '.join(statements)} ({refused.diag.message_primary})"
            ) from None

    def _copy_in(self, place: str, rows: pa.Table) -> int:
        """Copy rows into a table; return how many went in there itself."""
        query = f"COPY {place} ({quoted(rows.column_names)}) FROM STDIN (FORMAT csv, ENCODING 'UTF8')"
        with self.connection.cursor() as cursor, cursor.copy(query) as copy:
            copy.write(to_csv(rows))
        return cursor.rowcount

    def _qualified(self, name: str) -> str:
        return self._held.qualified(name)

    def _telling(self) -> AbstractContextManager[None]:
        return self._held.telling()

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._rows(as_psycopg_has_it(statement), values)

    def _rows(self, query: str, values: Any = None) -> list[Any]:
        return self._held.rows(query, values)

    def _columns_of(self, name: str) -> dict[str, str]:
        return self._held.columns_of(name)

    def _found_columns(self, table: Table) -> dict[str, str]:
        found = self._held.columns_of(table.name, table.key)
        if found and not table.is_key_unique:
            found[table.key] = str(found.get(table.key)).removesuffix(UNIQUE)  # as an earlier version made it
        return found

    def _wanted_columns(self, table: Table) -> dict[str, str]:
        return columns_with_key(table)

    def _counts(self, table: Table, windows: Sequence[Window]) -> dict[Window, int]:
        found = self._execute(
            f"SELECT (SELECT count(*) FROM {self._qualified(table.name)} "
            f'WHERE "{table.time}" >= to_timestamp(start_second) AND "{table.time}" < to_timestamp(end_second)) '
            "FROM unnest(?::bigint[], ?::bigint[]) WITH ORDINALITY AS windows (start_second, end_second, number) "
            "ORDER BY number",
            [[window.start for window in windows], [window.end for window in windows]],
        )
        return {window: count for window, (count,) in zip(windows, found, strict=True)}

    def _moment(self, second: int) -> datetime:
        return moment_at(second)

    def _select(self, table: Table, condition: str, values: list[Any]) -> pa.Table:
        query = f"SELECT {quoted(table.columns)} FROM {self._qualified(table.name)} WHERE {condition}"
        copying = as_psycopg_has_it(f"COPY ({query}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')")
        with (
            self._telling(),
            self.connection.cursor() as cursor,
            cursor.copy(copying, values) as copy,
        ):
            text = b"".join(copy)
        try:
            return from_csv(table, text)
        except pa.ArrowInvalid as error:
            raise SinkError(f"the table {table.name} in {self.name} holds what no backfill stored: {error}") from None

    @contextmanager
    def _transaction(self, table: Table) -> Iterator[None]:
        with self._held.transaction():
            self._check_row_security(table)
            yield


def _without(keys: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.Array:
    return keys.filter(pc.invert(pc.is_in(keys, value_set=others.combine_chunks()))).combine_chunks()


def _json(column: pa.ChunkedArray | pa.Array) -> str:
    return msgspec.json.encode(column.to_pylist()).decode()

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
from nxcdr_async.records.arrow import TABLES, Table
from nxcdr_async.sinks.ledger import LedgerChange, RunNote
from nxcdr_async.sinks.postgresql.catalog import LackingIdentity
from nxcdr_async.sinks.postgresql.connection import BoundedConnection, LostConnectionError, Server
from nxcdr_async.sinks.postgresql.known_ledger import KnownLedger
from nxcdr_async.sinks.postgresql.rows import as_read, clean, from_csv, to_csv
from nxcdr_async.sinks.postgresql.session import ServerSession
from nxcdr_async.sinks.postgresql.tables import (
    LEDGER_TABLES,
    UNIQUE,
    columns_with_key,
    definition,
    identified_by_all_columns,
    is_among_json,
    with_psycopg_placeholders,
)
from nxcdr_async.sinks.protocol import Origin, TableState, TableSurvey
from nxcdr_async.sinks.sql import quoted
from nxcdr_async.sinks.sql_sink import SqlSink
from nxcdr_async.sinks.values import not_among
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
    _session: ServerSession | None = field(default=None, init=False, repr=False)
    # The tables that were inspected, and what the ledger says of them.
    _known: dict[Table, KnownLedger] = field(factory=dict, init=False, repr=False)
    # Whether the rows that are written pass through policies of row security, where none can be copied straight away.
    _is_secured: bool = field(default=False, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._server = Server.at(self.address)

    @property
    def name(self) -> str:
        """The address, without a password and options."""
        return self._server.name

    @property
    def connection(self) -> BoundedConnection:
        """The connection, while it is open."""
        return self._open_session.connection

    @property
    def _open_session(self) -> ServerSession:
        if self._session is None:
            raise SinkError(f"{self.name} is not open")
        return self._session

    def open(self) -> None:
        """Connect, and take the lock of the schema."""
        self._session = ServerSession.begin(self._server, LEDGER_TABLES)

    def inspect(self, table: Table) -> TableState | None:
        """Return what is known of a table."""
        with self._translating_errors():
            self._check_row_security(table)
            lacking = self._published_without_identity(table)
        state = super().inspect(table)
        self._known[table] = KnownLedger.of(state)
        return evolve(state, is_current=False) if state is not None and lacking else state

    def lost(self, table: Table) -> list[Window]:
        """Return the windows that have fewer rows than were stored in them."""
        with self.connection.allowing():
            return super().lost(table)

    def create(self, table: Table, origin: Origin) -> None:
        """Make a table, and note where its rows come from."""
        self._reconnect_if_closed()
        super().create(table, origin)
        if table in self._known:
            self._known[table].origin = origin

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under these keys; those without a key, at their times."""
        self._reconnect_if_closed()
        return super().find(table, rows)

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and the change of the ledger in one transaction."""
        super().write(table, clean(rows), change)
        if table in self._known:
            self._known[table].apply(change)

    def add(self, table: Table, rows: pa.Table) -> None:
        """Store rows in one transaction; of the ledger only the count of rows changes."""
        super().add(table, clean(rows))

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window."""
        self._reconnect_if_closed()
        return super().scan(table, window)

    def prune(self, table: Table, before: int, *, is_trial: bool) -> int:
        """Remove old rows in one transaction, and have the server reuse their place.

        Their bytes stay there until others take it, and the files as long as they are: `VACUUM FULL` writes them anew.
        """
        self._reconnect_if_closed()
        with self.connection.allowing():
            rows = super().prune(table, before, is_trial=is_trial)
        if table in self._known and not is_trial:
            self._known[table].prune(before)
        return rows

    def note_run(self, table: Table, run: RunNote) -> None:
        """Note a run in place of the one before."""
        self._reconnect_if_closed()
        super().note_run(table, run)

    def close(self) -> None:
        """Disconnect; the server lets go of the lock."""
        self._forget()
        self._known.clear()
        if self._session is not None:
            self._session.close()
            self._session = None

    def _find(self, table: Table, rows: pa.Table) -> pa.Table:
        cleaned = clean(rows.select([table.key, table.time]))
        keys, keyless = cleaned[table.key].drop_null(), cleaned.filter(pc.is_null(cleaned[table.key]))
        found = [self._select(table, is_among_json(table), [_json(keys)])]
        self._absent_keys[table.name] = not_among(keys, found[0][table.key].combine_chunks())
        if keyless.num_rows:
            condition = f'"{table.key}" IS NULL AND "{table.time}" IN (SELECT json_array_elements_text(?)::timestamptz)'
            found.append(self._select(table, condition, [_json(keyless[table.time])]))
        return as_read(table, pa.concat_tables(found), rows)

    def _erase_removed(self, table: Table) -> None:
        with self._translating_errors():
            if self._exists(table):
                self._execute(f"VACUUM {self._qualified(table.name)}")

    @contextmanager
    def _only_reading(self) -> Iterator[None]:
        try:
            self._session = ServerSession.only_reading(self._server)
            with self.connection.allowing():
                yield
        finally:
            self.close()

    def _survey_of(self, table: Table) -> TableSurvey | None:
        with self._translating_errors():
            self._check_row_security(table, "tell of")
        return super()._survey_of(table)

    def _size(self) -> int:
        return sum(map(self._size_of_relation, (*(table.name for table in TABLES.values()), *LEDGER_TABLES)))

    def _size_of(self, table: Table) -> int:
        with self._translating_errors():
            return self._size_of_relation(table.name)

    def _size_of_relation(self, name: str) -> int:
        """Return the bytes of a table with all that belongs to it; 0 if it is not there."""
        ((size,),) = self._execute(
            "SELECT coalesce(pg_total_relation_size(to_regclass(?)), 0)", [self._qualified(name)]
        )
        return int(size)

    def _is_in_use(self) -> bool | None:
        return self._open_session.is_locked()

    def _reconnect_if_closed(self) -> None:
        """Open the connection anew, if it was closed while nothing was asked of it, as servers and lines do.

        Raises:
            SinkError: that cannot be, or others have locked the schema meanwhile and changed the ledger.
        """
        try:
            with self._translating_errors():
                self._open_session.check_backend()
        except LostConnectionError as lost:
            self._reconnect(lost)

    def _reconnect(self, lost: LostConnectionError) -> None:
        schema, known = self._open_session.catalog.schema, dict(self._known)
        self.close()
        try:
            self.open()
            for table in known:
                self.inspect(table)
            if self._open_session.catalog.schema != schema or self._known != known:
                raise SinkError("another run has changed its ledger meanwhile")
        except BusyError:
            raise SinkError(f"{lost}; another run has taken hold of it meanwhile") from None
        except NxcdrError as refused:
            self.close()
            raise type(refused)(f"{lost}; it could not be opened anew: {refused}") from None

    def _check_row_security(self, table: Table, purpose: str = "store in") -> None:
        """Check that all rows are seen that are there, and note whether those of records pass through policies."""
        secured = self._open_session.catalog.row_security([table.name, *LEDGER_TABLES])
        hiding = [security.name for security in secured if security.may_hide]
        if hiding:
            raise ConfigurationError(
                f"cannot {purpose} {self.name}: policies of row security may hide rows of {', '.join(hiding)} from the "
                "user, which would be taken for missing; give the user one FOR ALL … USING (true), and no restrictive "
                "one, or BYPASSRLS, or give another --to"
            )
        self._is_secured = self._qualified(table.name) in {security.name for security in secured}

    def _published_without_identity(self, table: Table) -> list[LackingIdentity]:
        """Return the tables whose rows cannot be changed, as a publication could not tell them apart.

        Raises:
            ConfigurationError: the user may not mend that.
        """
        catalog = self._open_session.catalog
        lacking = catalog.published(catalog.lacking_identity([table.name, *LEDGER_TABLES]))
        others = [lacks.statement for lacks in lacking if not lacks.is_owned]
        if others:
            raise ConfigurationError(
                f"cannot store in {self.name}: a publication tells of changes of rows that have no identity, so that "
                f"the server refuses these: have the owner run {'; '.join(others)}"
            )
        return lacking

    def _identify(self, lacking: Collection[LackingIdentity]) -> None:
        for table in lacking:
            self._run(table.statement)

    def _make_table(self, table: Table) -> None:
        if self._exists(table):
            return
        self._run(f"CREATE TABLE {self._qualified(table.name)} ({definition(table)})")
        self._identify(self._open_session.catalog.lacking_identity([table.name]))
        for column in (table.time,) if table.is_key_unique else (table.time, table.key):
            self._run(f'CREATE INDEX ON {self._qualified(table.name)} ("{column}")')

    def _make_ledger(self, table: Table) -> None:
        additions = self._missing_ledger_columns()
        try:
            with self.connection.allowing():
                super()._make_ledger(table)
        except errors.InsufficientPrivilege as refused:
            raise ConfigurationError(
                f"the ledger in {self.name} was made by an earlier version, and its user may not change it "
                f"({refused.diag.message_primary}): have its owner run {'; '.join(additions)}"
            ) from None
        self._identify(self._published_without_identity(table))

    def _replace_rows(self, table: Table, rows: pa.Table) -> None:
        keys = rows[table.key].drop_null()
        if pc.count_distinct(keys).as_py() < len(keys):
            self._let_keys_repeat(table)
        if self._unique_indexes(table):
            self._upsert(table, rows)
            return
        self._execute(f"DELETE FROM {self._qualified(table.name)} WHERE {is_among_json(table)}", [_json(keys.unique())])
        absent = self._absent_keys.pop(table.name, keys.slice(0, 0).combine_chunks())
        if left := self._count_among(table, not_among(keys, absent)):
            raise self._trigger_error(table, left, "from being replaced")
        self._insert(table, rows)

    def _upsert(self, table: Table, rows: pa.Table) -> None:
        """Store rows: new ones straight away, which is quickest, others by way of a temporary table.

        That takes no row away that others may refer to by its key.
        """
        key = table.key
        absent = self._absent_keys.pop(table.name, rows[key].slice(0, 0).combine_chunks())
        is_new = pc.or_(pc.is_null(rows[key]), pc.is_in(rows[key], value_set=absent))
        self._insert(table, rows.filter(is_new))
        changes = ", ".join(f'"{name}" = excluded."{name}"' for name in table.columns if name != key)
        self._insert(table, rows.filter(pc.invert(is_new)), f' ON CONFLICT ("{key}") DO UPDATE SET {changes}')

    def _insert(self, table: Table, rows: pa.Table, on_conflict: str = "") -> None:
        """Add rows: straight away, which is quickest; by way of a temporary table, where only that can be."""
        target, columns = self._qualified(table.name), quoted(table.columns)
        if not rows.num_rows:
            return
        if not on_conflict and not self._is_secured:
            added = self._copy_in(target, rows)
        else:
            temporary = f"pg_temp.nxcdr_{table.name}"
            self._run(f"CREATE TEMPORARY TABLE {temporary} (LIKE {target})")
            self._copy_in(temporary, rows)
            inserting = f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {temporary}{on_conflict}"
            added = self.connection.execute(inserting.encode()).rowcount
            self._run(f"DROP TABLE {temporary}")
        keys = rows[table.key].drop_null()
        # Fewer are no fault where a trigger puts them into tables that inherit from this one.
        if added < rows.num_rows and (lacking := len(keys) - self._count_among(table, keys)) > 0:
            raise self._trigger_error(table, lacking, "from being stored")

    def _count_among(self, table: Table, keys: pa.ChunkedArray | pa.Array) -> int:
        """Count the rows with some keys."""
        if not len(keys):
            return 0
        counting = f"SELECT count(*) FROM {self._qualified(table.name)} WHERE {is_among_json(table)}"
        ((rows,),) = self._execute(counting, [_json(keys.unique())])
        return int(rows)

    def _unique_indexes(self, table: Table) -> list[tuple[str, str | None]]:
        return self._open_session.catalog.unique_indexes(table.name, table.key)

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
            with self.connection.allowing():
                for statement in statements:
                    self._run(statement)
        except (errors.InsufficientPrivilege, errors.DependentObjectsStillExist) as refused:
            raise ConfigurationError(
                f"several calls share an id, and {table.name} in {self.name} was made for one of each only: have its "
                f"owner run {'; '.join(statements)} ({refused.diag.message_primary})"
            ) from None

    def _copy_in(self, target: str, rows: pa.Table) -> int:
        """Copy rows into a table; return how many went in there itself."""
        query = f"COPY {target} ({quoted(rows.column_names)}) FROM STDIN (FORMAT csv, ENCODING 'UTF8')"
        with self.connection.cursor() as cursor, cursor.copy(query) as copy:
            copy.write(to_csv(rows))
        return cursor.rowcount

    def _qualified(self, name: str) -> str:
        return self._open_session.catalog.qualified(name)

    def _translating_errors(self) -> AbstractContextManager[None]:
        return self._open_session.translating_errors()

    @contextmanager
    def _transaction(self, table: Table) -> Iterator[None]:
        with self._open_session.transaction():
            self._check_row_security(table)
            yield

    def _run(self, statement: str) -> None:
        self.connection.execute(statement)

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        cursor = self.connection.execute(with_psycopg_placeholders(statement), values)
        return [] if cursor.description is None else cursor.fetchall()

    def _columns_of(self, name: str) -> dict[str, str]:
        return self._open_session.catalog.columns_of(name)

    def _found_columns(self, table: Table) -> dict[str, str]:
        found = self._open_session.catalog.columns_of(table.name, table.key)
        if found and not table.is_key_unique:
            found[table.key] = str(found.get(table.key)).removesuffix(UNIQUE)  # as an earlier version made it
        return found

    def _expected_columns(self, table: Table) -> dict[str, str]:
        return columns_with_key(table)

    def _count_rows(self, table: Table, windows: Sequence[Window]) -> dict[Window, int]:
        found = self._execute(
            f"SELECT (SELECT count(*) FROM {self._qualified(table.name)} "
            f'WHERE "{table.time}" >= to_timestamp(start_second) AND "{table.time}" < to_timestamp(end_second)) '
            "FROM unnest(?::bigint[], ?::bigint[]) WITH ORDINALITY AS windows (start_second, end_second, number) "
            "ORDER BY number",
            [[window.start for window in windows], [window.end for window in windows]],
        )
        return {window: count for window, (count,) in zip(windows, found, strict=True)}

    def _time_value(self, second: int) -> datetime:
        return moment_at(second)

    def _select(self, table: Table, condition: str, values: Sequence[Any]) -> pa.Table:
        query = f"SELECT {quoted(table.columns)} FROM {self._qualified(table.name)} WHERE {condition}"
        copying = with_psycopg_placeholders(f"COPY ({query}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')")
        with (
            self._translating_errors(),
            self.connection.cursor() as cursor,
            cursor.copy(copying, values) as copy,
        ):
            text = b"".join(copy)
        try:
            return from_csv(table, text)
        except pa.ArrowInvalid as error:
            raise SinkError(f"the table {table.name} in {self.name} holds what no backfill stored: {error}") from None


def _json(column: pa.ChunkedArray | pa.Array) -> str:
    return msgspec.json.encode(column.to_pylist()).decode()

"""Hold of a schema of a PostgreSQL database: a connection whose session has the lock that keeps other runs out."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self

from attrs import define
from psycopg import errors

from nxcdr_async.errors import BusyError, ConfigurationError
from nxcdr_async.sinks.postgresql.bounded import BoundedConnection
from nxcdr_async.sinks.postgresql.connection import Server, backend_of
from nxcdr_async.sinks.postgresql.tables import (
    COLUMNS,
    LACKING_IDENTITY,
    PUBLISHED,
    ROW_SECURITY,
    LackingIdentity,
    RowSecurity,
)

SECONDS_TO_WAIT = 3
"""How long to wait for another run to let go: a server takes a moment to notice that a client was killed."""

_STATE = """
SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean,
    has_schema_privilege(current_schema(), 'CREATE')
"""


@define(eq=False)
class Hold:
    """A connection that has hold of the current schema of its user, for as long as its session lasts.

    Attributes:
        server: where it leads to.
        connection: the connection.
        schema: the schema.
        backend: the number of the server's process that has the lock.
    """

    server: Server
    connection: BoundedConnection
    schema: str = ""
    backend: int = 0

    @classmethod
    def taken(cls, server: Server, tables: Collection[str]) -> Self:
        """Connect, and take hold of the schema.

        Args:
            server: where to.
            tables: those that have to be there, where the user may make none.

        Raises:
            BusyError: another run has hold of it.
            ConfigurationError: rows cannot be stored there.
            SinkError: it cannot be reached.
        """
        hold = cls(server, server.connect())
        try:
            with hold.telling():
                hold.schema = hold._current_schema()
                hold._check_rights(tables)
                hold._take_lock()
                hold.check_backend()
        except BaseException:
            hold.close()
            raise
        return hold

    def close(self) -> None:
        """Disconnect; the server lets go of the lock."""
        self.connection.close()

    def telling(self) -> AbstractContextManager[None]:
        """Tell the errors of a block in our words, see `Server.telling`."""
        return self.server.telling(self.connection)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of a block, or nothing of it, with the lock in our hands."""
        with self.telling(), self.connection.transaction():
            self.check_backend()
            yield

    def check_backend(self) -> None:
        """Check that the session that has the lock answers still; within `telling`.

        Raises:
            ConfigurationError: another one does.
        """
        if backend_of(self.connection) != self.backend:
            raise self.server.pooler_error()

    def rows(self, query: str, values: Any = None) -> list[Any]:
        """Run a statement and return what it gives."""
        cursor = self.connection.execute(query, values)
        return [] if cursor.description is None else cursor.fetchall()

    def qualified(self, name: str) -> str:
        """Return the name of a table of the schema as statements have it."""
        schema = self.schema.replace('"', '""')
        return f'"{schema}"."{name}"'

    def columns_of(self, name: str, key: str = "") -> dict[str, str]:
        """Return the columns of a table with their types; of its key also whether it is unique."""
        return dict(self.rows(COLUMNS, {"table": self.qualified(name), "key": key}))

    def lacking_identity(self, names: Sequence[str]) -> list[LackingIdentity]:
        """Return those of some tables, or parts of them, whose rows a publication could not tell apart."""
        found = self.rows(LACKING_IDENTITY, [[self.qualified(name) for name in names]])
        return [LackingIdentity(*row) for row in found]

    def published(self, tables: Sequence[LackingIdentity]) -> list[LackingIdentity]:
        """Return those of some tables of which a publication tells what changes or goes."""
        if not tables:
            return []
        found = self.rows(PUBLISHED, [[number for table in tables for number in (table.root, table.leaf)]])
        numbers = {number for (number,) in found}
        return [table for table in tables if numbers & {table.root, table.leaf}]

    def row_security(self, names: Sequence[str]) -> list[RowSecurity]:
        """Return those of some tables that show the user rows through policies only."""
        return [RowSecurity(*row) for row in self.rows(ROW_SECURITY, [[self.qualified(name) for name in names]])]

    def _current_schema(self) -> str:
        ((schema,),) = self.rows("SELECT current_schema()")
        if schema is None:
            raise ConfigurationError(
                f"no schema that is there is in the search path of the user of {self.server.name}: create one, or "
                "name one by …?options=-csearch_path%3DSCHEMA"
            )
        return str(schema)

    def _check_rights(self, tables: Collection[str]) -> None:
        """Check, before anything is asked for, that rows can be stored: who may make no tables can have had them made.

        Raises:
            ConfigurationError: they cannot.
        """
        name = self.server.name
        ((is_standby, is_read_only, may_make),) = self.rows(_STATE)
        if is_standby:
            raise ConfigurationError(
                f"cannot store in {name}: it is a standby, which only follows its primary server; give the address of "
                "that, or those of all with ?target_session_attrs=read-write, or another --to"
            )
        if is_read_only:
            raise ConfigurationError(
                f"cannot store in {name}: its transactions are read-only, as default_transaction_read_only is on for "
                "the user, the database or the server; turn it off for the user, or connect as one who may write, or "
                "give another --to"
            )
        if not may_make and not all(self.columns_of(table) for table in tables):
            raise ConfigurationError(
                f"cannot store in {name}: permission denied for schema {self.schema}; grant the user CREATE on the "
                "schema and TEMPORARY on the database, or give another --to"
            )

    def _take_lock(self) -> None:
        """Take the lock of the schema, which goes with the session, however that ends."""
        number = int.from_bytes(hashlib.sha256(f"nxcdr_async\0{self.schema}".encode()).digest()[:8], signed=True)
        try:
            with self.connection.transaction():
                self.connection.execute(f"SET LOCAL lock_timeout = '{SECONDS_TO_WAIT}s'")
                ((self.backend, _),) = self.rows("SELECT pg_backend_pid(), pg_advisory_lock(%s::bigint)", [number])
        except errors.LockNotAvailable:
            raise BusyError(
                f"{self.server.name} is being written by another run: wait for its end, or give another --to"
            ) from None

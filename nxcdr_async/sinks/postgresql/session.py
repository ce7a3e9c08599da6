"""A session of a PostgreSQL server: with the advisory lock of a schema, which keeps other runs out, or to read only."""

import hashlib
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self

from attrs import define
from psycopg import errors

from nxcdr_async.errors import BusyError, ConfigurationError
from nxcdr_async.sinks.postgresql.catalog import SchemaCatalog
from nxcdr_async.sinks.postgresql.connection import BoundedConnection, Server, backend_of

SECONDS_TO_WAIT = 3
"""How long to wait for another run to let go: a server takes a moment to notice that a client was killed."""

_STATE = """
SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean,
    has_schema_privilege(current_schema(), 'CREATE')
"""

# The server keeps the number of such a lock in two halves.
_IS_LOCKED = """
SELECT pg_is_in_recovery(), EXISTS (
    SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND locktype = 'advisory' AND objsubid = 1 AND granted
    AND classid::bigint = (%s::bigint >> 32) & 4294967295 AND objid::bigint = %s::bigint & 4294967295
)
"""


@define(eq=False)
class ServerSession:
    """A connection that works with the current schema of its user, and has its advisory lock for as long as it lasts.

    One that only reads has no lock, and all that it asks is of one moment.

    Attributes:
        server: where it leads to.
        connection: the connection.
        catalog: what the server says of tables of the schema.
        backend: the number of the server's process that answers, and has the lock.
    """

    server: Server
    connection: BoundedConnection
    catalog: SchemaCatalog
    backend: int

    @classmethod
    def begin(cls, server: Server, tables: Collection[str]) -> Self:
        """Connect, and take the lock.

        Args:
            server: where to.
            tables: those that have to be there, where the user may make none.

        Raises:
            BusyError: another run has the lock.
            ConfigurationError: rows cannot be stored there.
            SinkError: it cannot be reached.
        """
        connection = server.connect()
        try:
            with server.translating_errors(connection):
                catalog = SchemaCatalog(connection, _current_schema(server, connection))
                _check_rights(server, catalog, tables)
                session = cls(server, connection, catalog, _lock_schema(server, connection, catalog.schema))
                session.check_backend()
        except BaseException:
            connection.close()
            raise
        return session

    @classmethod
    def only_reading(cls, server: Server) -> Self:
        """Connect, and change nothing; a standby will do.

        Raises:
            ConfigurationError: there is no such schema.
            SinkError: it cannot be reached.
        """
        connection = server.connect()
        try:
            with server.translating_errors(connection):
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                catalog = SchemaCatalog(connection, _current_schema(server, connection))
                return cls(server, connection, catalog, backend_of(connection))
        except BaseException:
            connection.close()
            raise

    def is_locked(self) -> bool | None:
        """Return whether any session has the lock; None of a standby, which does not know."""
        ((is_standby, is_locked),) = self.rows(_IS_LOCKED, [lock_number(self.catalog.schema)] * 2)
        return None if is_standby else bool(is_locked)

    def close(self) -> None:
        """Disconnect; the server lets go of the lock."""
        self.connection.close()

    def translating_errors(self) -> AbstractContextManager[None]:
        """Raise errors of a block as ours, see `Server.translating_errors`."""
        return self.server.translating_errors(self.connection)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of a block, or nothing of it, with the lock in our hands."""
        with self.translating_errors(), self.connection.transaction():
            self.check_backend()
            yield

    def check_backend(self) -> None:
        """Check that the session that has the lock answers still; within `translating_errors`.

        Raises:
            ConfigurationError: another one does.
        """
        if backend_of(self.connection) != self.backend:
            raise self.server.pooler_error()

    def rows(self, query: str, values: Any = None) -> list[Any]:
        """Run a statement and return what it gives."""
        cursor = self.connection.execute(query, values)
        return [] if cursor.description is None else cursor.fetchall()


def lock_number(schema: str) -> int:
    """Return the number of the advisory lock of a schema."""
    return int.from_bytes(hashlib.sha256(f"nxcdr_async\0{schema}".encode()).digest()[:8], signed=True)


def _current_schema(server: Server, connection: BoundedConnection) -> str:
    ((schema,),) = connection.execute("SELECT current_schema()")
    if schema is None:
        raise ConfigurationError(
            f"no schema that is there is in the search path of the user of {server.name}: create one, or "
            "name one by …?options=-csearch_path%3DSCHEMA"
        )
    return str(schema)


def _check_rights(server: Server, catalog: SchemaCatalog, tables: Collection[str]) -> None:
    """Check, before anything is asked for, that rows can be stored: who may make no tables can have had them made."""
    ((is_standby, is_read_only, may_make),) = catalog.connection.execute(_STATE)
    if is_standby:
        raise ConfigurationError(
            f"cannot store in {server.name}: it is a standby, which only follows its primary server; give the address "
            "of that, or those of all with ?target_session_attrs=read-write, or another --to"
        )
    if is_read_only:
        raise ConfigurationError(
            f"cannot store in {server.name}: its transactions are read-only, as default_transaction_read_only is on "
            "for the user, the database or the server; turn it off for the user, or connect as one who may write, or "
            "give another --to"
        )
    if not may_make and not all(catalog.columns_of(table) for table in tables):
        raise ConfigurationError(
            f"cannot store in {server.name}: permission denied for schema {catalog.schema}; grant the user CREATE on "
            "the schema and TEMPORARY on the database, or give another --to"
        )


def _lock_schema(server: Server, connection: BoundedConnection, schema: str) -> int:
    """Take the lock of a schema, which goes with the session, however that ends; return the process that has it."""
    number = lock_number(schema)
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{SECONDS_TO_WAIT}s'")
            ((backend, _),) = connection.execute("SELECT pg_backend_pid(), pg_advisory_lock(%s::bigint)", [number])
    except errors.LockNotAvailable:
        raise BusyError(
            f"{server.name} is being written by another run: wait for its end, or give another --to"
        ) from None
    return int(backend)

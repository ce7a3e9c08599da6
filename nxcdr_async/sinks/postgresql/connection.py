"""A connection to a PostgreSQL server: where to, how long to wait for an answer, and errors that show no password."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self
from urllib.parse import quote

import psycopg
from attrs import define, field
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from nxcdr_async._util.clocks import steady
from nxcdr_async._util.redaction import Redactor
from nxcdr_async.errors import ConfigurationError, NxcdrError, SinkError
from nxcdr_async.sinks.protocol import UnfitError

OLDEST = 13
"""The first major version that can all that is asked of it."""

SECONDS_TO_ANSWER = 120.0
"""How long a server may be silent over what a window takes."""

SECONDS_FOR_A_TABLE = 86_400.0
"""How long it may be silent over what a whole table takes, such as removing its old rows."""

_CHECKS_A_BOUND = 10
_LONGEST_BETWEEN_CHECKS = 1.0

# A server that is gone is given up after a minute or two; the address may say otherwise.
_KEEPALIVES = {
    "application_name": "nxcdr",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}

# What values and names are read and written by, whatever the user, the database or the server has for others.
# Whoever sees rows through policies is shown what these let through; they are looked at before.
_SETTINGS = """
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET standard_conforming_strings = on;
SET quote_all_identifiers = off;
SET row_security = on;
SET default_transaction_isolation = 'read committed';
SET default_transaction_deferrable = off;
SELECT pg_catalog.set_config('synchronous_commit', 'on', false)
WHERE pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off';
"""

# The same schemas, but those of the system before all others, so that nobody's functions and types stand for theirs.
_SEARCH_PATH = """
SELECT pg_catalog.set_config('search_path', pg_catalog.array_to_string(ARRAY(
    SELECT pg_catalog.quote_ident(name) FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) AS schemas (name)
    WHERE NOT pg_catalog.starts_with(name::pg_catalog.text, 'pg_')
), ', '), false);
"""

# How long to wait, unless the address says otherwise; servers know some of these from a later version on only.
# A run waits for the gateway between windows, and a server whose client is gone lets go of its lock within a minute.
_TIMEOUTS = """
SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES
    ('lock_timeout', '30s'),
    ('statement_timeout', '0'),
    ('transaction_timeout', '0'),
    ('idle_session_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'),
    ('tcp_keepalives_idle', '30'),
    ('tcp_keepalives_interval', '10'),
    ('tcp_keepalives_count', '3'),
    ('tcp_user_timeout', '60000')
) AS wanted (name, value) USING (name) WHERE source <> 'client';
"""

_OWN_TIMEOUT = """
SELECT coalesce(max(setting::bigint), 0) FROM pg_settings
WHERE name IN ('lock_timeout', 'statement_timeout') AND source = 'client'
"""
_OPENING = _SETTINGS + _SEARCH_PATH + _TIMEOUTS + _OWN_TIMEOUT

_SECONDS_TO_CANCEL = 10.0
"""How long a server may take to end a statement once a timeout that the address gives is over."""

_SECONDS_FOR_ANOTHER = 3
"""How long to wait for a second connection, by which a pooler is recognized."""

_ROUNDS = 3
"""How often to ask by turns, as others may ask in between."""

_GOES_ON = "what was stored is whole, and the same run started again goes on from there"

_MISSPELT = (
    "the address of the database cannot be read: write postgresql://user@host:port/database, and its password into "
    "PGPASSWORD or ~/.pgpass, or into the address with each special character as %XX"
)


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is cut when its server says nothing for too long, although it lives as far as TCP can tell.

    A statement that is late and a server that hangs look alike, so what bounds the one bounds the other.

    Attributes:
        seconds_to_answer: how long it may say nothing.
        was_cut: whether it said nothing for longer.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seconds_to_answer = SECONDS_TO_ANSWER
        self.was_cut = False
        self._waiting_since: float | None = None
        self._is_over = threading.Event()
        # A handle of its own for the same socket, as the number of the other may be another's once that is closed.
        self._socket = socket.fromfd(self.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        self._watchdog = threading.Thread(target=self._cut_if_silent, name="nxcdr-postgresql", daemon=True)
        self._watchdog.start()

    def wait(self, *args: Any, **options: Any) -> Any:
        """Wait for the server, as psycopg does for each statement and each row of a copy."""
        self._waiting_since = steady()
        try:
            return super().wait(*args, **options)
        finally:
            self._waiting_since = None

    @contextmanager
    def allowing(self, seconds: float = SECONDS_FOR_A_TABLE) -> Iterator[None]:
        """Give it longer to answer within a block."""
        before = self.seconds_to_answer
        self.seconds_to_answer = max(before, seconds)
        try:
            yield
        finally:
            self.seconds_to_answer = before

    def close(self) -> None:
        """Close it, and end the watchdog."""
        super().close()
        self._is_over.set()
        self._watchdog.join()
        self._socket.close()

    def _cut_if_silent(self) -> None:
        while not self._is_over.wait(min(_LONGEST_BETWEEN_CHECKS, self.seconds_to_answer / _CHECKS_A_BOUND)):
            since = self._waiting_since
            if since is not None and steady() - since > self.seconds_to_answer:
                self.was_cut = True
                with suppress(OSError):  # it is down already
                    self._socket.shutdown(socket.SHUT_RDWR)
                return


class LostConnectionError(SinkError):
    """The connection to a server is gone."""


@define(frozen=True)
class Server:
    """A database on a server.

    Attributes:
        name: its address without a password and options.
    """

    name: str
    _parameters: dict[str, Any] = field(repr=False)
    _redactor: Redactor = field(repr=False)

    @classmethod
    def at(cls, address: str) -> Self:
        """Return the database at an address.

        Raises:
            ConfigurationError: it is none. It is not repeated, as any part of it may be one of a password.
        """
        try:
            parameters = conninfo_to_dict(address)
        except psycopg.Error:
            raise ConfigurationError(_MISSPELT) from None
        if not _is_plausible(parameters):
            raise ConfigurationError(_MISSPELT)
        secrets = [str(parameters[key]) for key in ("password", "sslpassword") if parameters.get(key)]
        return cls(_name(parameters), parameters, Redactor(tuple(secrets)))

    def connect(self) -> BoundedConnection:
        """Connect, with settings that values are written and read by.

        Raises:
            SinkError: it cannot be reached, or lets us not in.
            ConfigurationError: it is too old, keeps text in another encoding, or is behind a pooler that gives each
                transaction another connection.
        """
        connection = self._open()
        try:
            self._check(connection.info)
            with self.translating_errors(connection):
                if self._is_pooled(connection):
                    raise self.pooler_error()
                _set_up(connection)
        except NxcdrError:
            connection.close()
            raise
        return connection

    def pooler_error(self) -> ConfigurationError:
        """Return the error of a session that is found not to stay on one connection."""
        return ConfigurationError(
            f"{self.name} is a pooler that may give each transaction another connection, as PgBouncer does with "
            "pool_mode = transaction, and the lock that keeps other runs out belongs to one: give the address of the "
            "database itself, or of a pool with pool_mode = session"
        )

    @contextmanager
    def translating_errors(self, connection: BoundedConnection | None = None) -> Iterator[None]:
        """Raise errors of psycopg in a block as ours.

        Raises:
            ConfigurationError: the user lacks a right, or the database is read-only.
            UnfitError: it cannot hold a value.
            LostConnectionError: the connection is gone.
            SinkError: any other error.
        """
        try:
            yield
        except psycopg.Error as error:
            raise self._translated(error, connection) from None

    def _translated(self, error: psycopg.Error, connection: BoundedConnection | None) -> NxcdrError:
        text = self._text(error)
        if connection is not None and connection.was_cut:
            text = f"it gave no answer for {connection.seconds_to_answer:.0f} seconds"
            return LostConnectionError(f"lost the connection to {self.name}: {text}; {_GOES_ON}")
        if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
            return ConfigurationError(
                f"cannot store in {self.name}: {text}; grant the user CREATE on the schema and TEMPORARY on the "
                "database, or, if the tables are there, SELECT, INSERT, UPDATE, DELETE on them, with a policy "
                "USING (true) where they have row security; or give another --to"
            )
        if _is_lost(error):
            return LostConnectionError(f"lost the connection to {self.name}: {text}; {_GOES_ON}")
        if _is_unfit(error):
            return UnfitError(f"cannot store in {self.name}: {text}")
        # 53: the disk is full, or memory.
        advice = f"; {_GOES_ON} once there is room" if (error.sqlstate or "").startswith("53") else ""
        return SinkError(f"cannot store in {self.name}: {text}{advice}")

    def _open(self, **parameters: str) -> BoundedConnection:
        known = {**_KEEPALIVES, **self._parameters, **parameters, "client_encoding": "UTF8"}
        try:
            # Nothing is prepared, as poolers forget that.
            return BoundedConnection.connect(**known, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise SinkError(f"cannot connect to {self.name}: {self._text(error)}") from None

    def _is_pooled(self, connection: BoundedConnection) -> bool:
        """Return whether a pooler lets several clients have one connection, or one have several.

        Most number their clients by themselves, not as the server does. The next client gets what the one before has
        just used, or else each gets another in turn; but where each has its own for as long as it likes.
        """
        numbers = {backend_of(connection) for _ in range(2)}
        if numbers == {connection.info.backend_pid}:
            return False
        if len(numbers) > 1:
            return True
        try:
            other = self._open(connect_timeout=f"{_SECONDS_FOR_ANOTHER}")
        except SinkError:
            return False  # a pool that has no further connection for it, so each client has its own
        try:
            other.seconds_to_answer = _SECONDS_FOR_ANOTHER
            return any(
                backend_of(other) in numbers or {backend_of(connection) for _ in range(2)} != numbers
                for _ in range(_ROUNDS)
            )
        except psycopg.OperationalError:
            return False  # likewise
        finally:
            other.close()

    def _check(self, info: psycopg.ConnectionInfo) -> None:
        if info.server_version < OLDEST * 10_000:
            raise ConfigurationError(
                f"{self.name} is PostgreSQL {info.server_version // 10_000}: it takes {OLDEST} or later"
            )
        encoding = info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise ConfigurationError(f"{self.name} keeps text as {encoding}: give a database whose encoding is UTF8")

    def _text(self, error: psycopg.Error) -> str:
        # The details of an error may tell of calls.
        return self._redactor.line(error.diag.message_primary or str(error))


def backend_of(connection: "psycopg.Connection[Any]") -> int:
    """Return the number of the server's process that answers."""
    ((number,),) = connection.execute("SELECT pg_catalog.pg_backend_pid()")
    return int(number)


def _set_up(connection: BoundedConnection) -> None:
    cursor = connection.execute(_OPENING)
    while cursor.nextset():
        pass
    ((milliseconds,),) = cursor.fetchall()
    if milliseconds:
        bound = milliseconds / 1_000 + _SECONDS_TO_CANCEL
        connection.seconds_to_answer = max(connection.seconds_to_answer, bound)


def _is_plausible(parameters: dict[str, Any]) -> bool:
    """Return whether a password that should have been quoted is taken for no other part of an address."""
    host, port = str(parameters.get("host", "")), str(parameters.get("port", ""))
    # An abstract socket begins with @.
    parts = [part.removeprefix("@") for part in host.split(",")]
    is_number = all(part.isdecimal() for part in port.split(",") if part)
    return is_number and not any("@" in part for part in (*parts, str(parameters.get("dbname", ""))))


def _name(parameters: dict[str, Any]) -> str:
    user, host, port = (str(parameters.get(key, "")) for key in ("user", "host", "port"))
    ports = port.split(",")
    hosts = host.split(",")
    places = [
        f"{quote(each, safe='@') if '/' in each else each}{f':{number}' if number else ''}"
        for each, number in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False)
    ]
    who = f"{quote(user, safe='')}@" if user else ""
    return f"postgresql://{who}{','.join(places)}/{quote(str(parameters.get('dbname', '')), safe='')}"


def _is_unfit(error: psycopg.Error) -> bool:
    # 22: a value out of its range. 54: one that is too long, as for an index, or nested too deeply.
    return error.sqlstate is not None and error.sqlstate.startswith(("22", "54"))


def _is_lost(error: psycopg.Error) -> bool:
    # 57P01 to 57P03: it is stopped, or was. 08: no connection, or one that speaks otherwise. Without: it just went.
    state = error.sqlstate
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and (
        state is None or state.startswith(("08", "57P"))
    )

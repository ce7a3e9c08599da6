"""A connection to a PostgreSQL server: where to, how long to wait, and errors that tell no password."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import quote

import psycopg
from attrs import define, field
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from nxcdr_async.backfill.sinks.protocol import UnfitError
from nxcdr_async.errors import ConfigurationError, NxcdrError, SinkError
from nxcdr_async.redaction import Redactor

OLDEST = 13
"""The first major version that can all that is asked of it."""

# A server that is gone, or hangs, is given up after a minute or two; the address may say otherwise.
_PATIENCE = {
    "application_name": "nxcdr",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_SETTINGS = """
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET lock_timeout = '30s';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""

_MISSPELT = (
    "the address of the database cannot be read: write postgresql://user@host:port/database, and its password into "
    "PGPASSWORD or ~/.pgpass, or into the address with each special character as %XX"
)


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

    def connect(self) -> "psycopg.Connection[Any]":
        """Connect, with settings that values are written and read by.

        Raises:
            SinkError: it cannot be reached, or lets us not in.
            ConfigurationError: it is too old, or keeps text in another encoding.
        """
        try:
            # Nothing is prepared, as poolers forget that.
            connection = psycopg.connect(**{**_PATIENCE, **self._parameters}, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise SinkError(f"cannot connect to {self.name}: {self._text(error)}") from None
        try:
            self._check(connection.info)
            with self.telling():
                connection.execute(_SETTINGS)
        except NxcdrError:
            connection.close()
            raise
        return connection

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell the errors of a block in our words.

        Raises:
            ConfigurationError: the user lacks a right, or the database is read-only.
            UnfitError: it cannot hold a value.
            SinkError: any other error.
        """
        try:
            yield
        except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction) as error:
            raise ConfigurationError(
                f"cannot store in {self.name}: {self._text(error)}; grant the user CREATE on the schema and TEMPORARY "
                "on the database, or give another --to"
            ) from None
        except psycopg.Error as error:
            if _is_lost(error):
                raise SinkError(
                    f"lost the connection to {self.name}: {self._text(error)}; what was stored is whole, and the same "
                    "run started again goes on from there"
                ) from None
            kind = UnfitError if _is_unfit(error) else SinkError
            raise kind(f"cannot store in {self.name}: {self._text(error)}") from None

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


def _is_plausible(parameters: dict[str, Any]) -> bool:
    """Tell whether a password that should have been quoted is taken for no other part of an address."""
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

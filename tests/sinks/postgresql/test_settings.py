from collections.abc import Callable

import pytest
from shared.postgresql_server import PostgresqlServer

from nxcdr_async import ConfigurationError
from nxcdr_async.records.arrow import CALLS, DID_CALLS
from nxcdr_async.sinks.postgresql.connection import Server
from nxcdr_async.sinks.postgresql.sink import PostgresqlSink
from tests.sinks.postgresql.calls import TABLES, execute, go_round, opened
from tests.sinks.postgresql.fixtures import Loader

ODD_SETTINGS = [
    ("client_encoding", "LATIN1"),
    ("client_encoding", "SQL_ASCII"),
    ("client_encoding", "GBK"),
    ("quote_all_identifiers", "on"),
    ("standard_conforming_strings", "off"),
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "Asia/Shanghai"),
    ("bytea_output", "escape"),
    ("extra_float_digits", "-15"),
    ("array_nulls", "off"),
    ("transform_null_equals", "on"),
    ("check_function_bodies", "off"),
    ("row_security", "off"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_isolation", "repeatable read"),
    ("default_transaction_deferrable", "on"),
    ("default_tablespace", "pg_default"),
    ("default_toast_compression", "pglz"),
    ("session_replication_role", "replica"),
    ("enable_seqscan", "off"),
    ("search_path", "nowhere, public, pg_catalog"),
    ("search_path", "pg_catalog, public"),
]
TIMEOUTS = {
    "statement_timeout": "0",
    "lock_timeout": "30s",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
LONGEST = 'q"?%é' + "x" * 57
"""As many bytes as a name may have."""


def setting(address: str, name: str) -> str:
    connection = Server.at(address).connect()
    try:
        ((value,),) = connection.execute(f"SHOW {name}".encode())
        return str(value)
    finally:
        connection.close()


@pytest.mark.first_of
@pytest.mark.parametrize(("name", "value"), ODD_SETTINGS)
def test_settings_of_a_user_change_nothing(postgresql_loader: Loader, name: str, value: str) -> None:
    shown = value if name == "search_path" else f"'{value}'"
    postgresql_loader.keep(f"ALTER ROLE {postgresql_loader.name} SET {name} = {shown}")
    for table in TABLES:
        go_round(postgresql_loader.address, table)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "GBK"])
def test_the_encoding_of_the_environment_changes_nothing(
    postgresql_database: str, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", encoding)
    go_round(postgresql_database, CALLS)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_the_encoding_of_a_database_or_an_address_changes_nothing(postgresql_database: str, encoding: str) -> None:
    name = postgresql_database.rpartition("/")[2]
    execute(postgresql_database, f"ALTER DATABASE {name} SET client_encoding = '{encoding}'")
    go_round(f"{postgresql_database}?client_encoding={encoding}", DID_CALLS)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_CN"])
def test_a_database_that_keeps_text_otherwise_is_refused(
    postgresql: PostgresqlServer, fresh_postgresql: Callable[[], str], encoding: str
) -> None:
    name = f"{fresh_postgresql().rpartition('/')[2]}_{encoding.lower()}"
    execute(postgresql.address(), f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(ConfigurationError, match=f"keeps text as {encoding}: give a database whose encoding is"):
            PostgresqlSink(postgresql.address(name)).open()
    finally:
        execute(postgresql.address(), f"DROP DATABASE {name}")


def test_types_and_functions_of_others_are_not_taken_for_those_of_the_server(postgresql_loader: Loader) -> None:
    postgresql_loader.keep(
        "CREATE DOMAIN public.text AS pg_catalog.text CHECK (value <> value)",
        "CREATE FUNCTION public.count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 7::pg_catalog.int8'",
        "CREATE FUNCTION public.to_timestamp(bigint) RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'",
        "CREATE FUNCTION public.pg_backend_pid() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        f"ALTER ROLE {postgresql_loader.name} SET search_path = public, pg_catalog",
    )
    with opened(postgresql_loader.address) as sink:
        assert sink.connection.execute("SHOW search_path").fetchone() == ("public",)
    for table in TABLES:
        go_round(postgresql_loader.address, table)


def test_a_schema_may_have_the_longest_and_oddest_of_names(postgresql_loader: Loader) -> None:
    quoted = LONGEST.replace('"', '""')
    postgresql_loader.keep(
        f'CREATE SCHEMA "{quoted}" AUTHORIZATION {postgresql_loader.name}',
        f'ALTER ROLE {postgresql_loader.name} SET search_path = "{quoted}"',
    )
    for table in TABLES:
        go_round(postgresql_loader.address, table)


@pytest.mark.parametrize("name", TIMEOUTS)
def test_timeouts_of_a_user_do_not_end_a_run(postgresql_loader: Loader, name: str) -> None:
    postgresql_loader.keep(f"ALTER ROLE {postgresql_loader.name} SET {name} = '25s'")
    assert setting(postgresql_loader.address, name) == TIMEOUTS[name]


@pytest.mark.parametrize("name", TIMEOUTS)
def test_timeouts_that_the_address_gives_hold(postgresql_database: str, name: str) -> None:
    assert setting(f"{postgresql_database}?options=-c{name}%3D25s", name) == "25s"


@pytest.mark.parametrize("name", ["statement_timeout", "lock_timeout"])
def test_a_longer_timeout_that_the_address_gives_is_waited_for(postgresql_database: str, name: str) -> None:
    connection = Server.at(f"{postgresql_database}?options=-c{name}%3D10min").connect()
    assert connection.seconds_to_answer == 610
    connection.close()


def test_a_user_whose_transactions_are_read_only_is_told(postgresql_loader: Loader) -> None:
    postgresql_loader.keep(f"ALTER ROLE {postgresql_loader.name} SET default_transaction_read_only = on")
    with pytest.raises(ConfigurationError, match="read-only, as default_transaction_read_only is on"):
        PostgresqlSink(postgresql_loader.address).open()


def test_a_standby_is_told(postgresql_standby: PostgresqlServer) -> None:
    with pytest.raises(ConfigurationError, match="is a standby, which only follows its primary server"):
        PostgresqlSink(postgresql_standby.address()).open()

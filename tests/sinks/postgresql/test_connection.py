import socket

import pytest
from shared.postgresql_server import PASSWORD, QUOTED_PASSWORD, USER, PostgresqlServer

from nxcdr_async import ConfigurationError, SinkError
from nxcdr_async.sinks.postgresql.connection import Server


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("postgresql://ann:secret@db.example:5433/cdr", "postgresql://ann@db.example:5433/cdr"),
        ("postgres://db.example/cdr", "postgresql://db.example/cdr"),
        ("postgresql://ann@one,two:5433/cdr?password=secret", "postgresql://ann@one,two:5433/cdr"),
        ("postgresql://ann@one:1,two:2/cdr", "postgresql://ann@one:1,two:2/cdr"),
        ("postgresql:///cdr?host=/run/postgresql&sslpassword=secret", "postgresql://%2Frun%2Fpostgresql/cdr"),
        ("postgresql://", "postgresql:///"),
    ],
)
def test_a_name_tells_the_place_and_no_password(address: str, name: str) -> None:
    server = Server.at(address)
    assert server.name == name
    assert "secret" not in repr(server)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://zoe:sec@ret@db.example/cdr",
        "postgresql://zoe:sec/ret@db.example/cdr",
        "postgresql://zoe:secret%zz@db.example/cdr",
        "postgresql://zoe:sec:ret/x@db.example:5432/cdr",
        "postgresql://db.example/cdr?passwort=secret",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_repeating_any_of_it(address: str) -> None:
    with pytest.raises(ConfigurationError, match="PGPASSWORD") as refused:
        Server.at(address)
    assert not any(part in str(refused.value) for part in ("sec", "ret", "zoe", "example"))
    assert refused.value.__cause__ is None


def test_a_wrong_password_is_in_no_error(postgresql: PostgresqlServer) -> None:
    server = Server.at(f"postgresql://{USER}:not-{QUOTED_PASSWORD}@127.0.0.1:{postgresql.port}/postgres")
    with pytest.raises(SinkError, match=r"cannot connect to .* password authentication failed") as refused:
        server.connect()
    assert PASSWORD not in str(refused.value)
    assert QUOTED_PASSWORD not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_password_of_the_environment_is_used(postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    Server.at(f"postgresql://{USER}@127.0.0.1:{postgresql.port}/postgres").connect().close()


def test_a_socket_and_a_second_host_work(postgresql: PostgresqlServer) -> None:
    port, folder = postgresql.port, postgresql.socket_folder
    Server.at(f"postgresql://{USER}:{QUOTED_PASSWORD}@/postgres?host={folder}&port={port}").connect().close()
    hosts = f"127.0.0.1:{_closed_port()},127.0.0.1:{port}"
    Server.at(f"postgresql://{USER}:{QUOTED_PASSWORD}@{hosts}/postgres").connect().close()


def test_a_server_that_is_not_there_is_told() -> None:
    server = Server.at(f"postgresql://ann:hush@127.0.0.1:{_closed_port()}/cdr")
    with pytest.raises(SinkError, match=r"cannot connect to postgresql://ann@127\.0\.0\.1:\d+/cdr") as refused:
        server.connect()
    assert "hush" not in str(refused.value)


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        server = Server.at(f"postgresql://ann@127.0.0.1:{port}/cdr?connect_timeout=2")
        with pytest.raises(SinkError, match="timeout"):
            server.connect()


def test_settings_are_what_values_are_written_by(postgresql_database: str) -> None:
    connection = Server.at(f"{postgresql_database}?options=-csynchronous_commit%3Doff").connect()
    names = ("TimeZone", "DateStyle", "synchronous_commit", "application_name", "lock_timeout")
    assert [connection.execute(f"SHOW {name}").fetchone()[0] for name in names] == [
        "UTC",
        "ISO, MDY",
        "on",
        "nxcdr",
        "30s",
    ]
    connection.close()


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port: int = closed.getsockname()[1]
        return port

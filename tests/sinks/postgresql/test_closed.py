"""Connections that are closed while a run waits for the gateway, as servers, proxies and firewalls do."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg
import pytest
from attrs import evolve
from shared.postgresql_server import PostgresqlServer

from nxcdr_async import BackfillProgress, BusyError, CdrSession, SinkError, backfill
from nxcdr_async.ingest import pipeline as engine
from nxcdr_async.records.arrow import CALLS, DID_CALLS, Table
from nxcdr_async.sinks.ledger import LedgerChange
from nxcdr_async.sinks.postgresql.sink import PostgresqlSink
from nxcdr_async.testing import Gateway
from tests.sinks.postgresql.calls import ORIGIN, SECOND, TABLES, WHOLE, answer, change, execute, keyed_rows, opened, put

SECONDS_TO_CLOSE = 30.0
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nxcdr' AND datname = current_database()"


def cut_off(sink: PostgresqlSink, address: str) -> None:
    """Close the connection of a sink, as a server does that finds it idle, and wait until it is closed."""
    execute(address, f"SELECT pg_terminate_backend({sink.connection.info.backend_pid})")
    wait_until_closed(address)


def wait_until_closed(address: str) -> None:
    deadline = time.monotonic() + SECONDS_TO_CLOSE
    while answer(address, OTHERS) != (0,):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def sink(postgresql_database: str) -> Iterator[PostgresqlSink]:
    """Give a sink that holds a call, whose connection is closed."""
    with opened(postgresql_database) as opened_sink:
        opened_sink.inspect(CALLS)
        opened_sink.create(CALLS, ORIGIN)
        put(opened_sink, CALLS, keyed_rows(CALLS, 1))
        cut_off(opened_sink, postgresql_database)
        yield opened_sink


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_run_goes_on_over_a_connection_closed_before_each_window(postgresql_database: str, table: Table) -> None:
    with opened(postgresql_database) as sink:
        assert sink.inspect(table) is None
        for number in range(3):
            cut_off(sink, postgresql_database)
            if not number:
                sink.create(table, ORIGIN)
                cut_off(sink, postgresql_database)
            assert put(sink, table, keyed_rows(table, 1, number + 2), SECOND + 10 * number)[0] == (1 if number else 2)
        cut_off(sink, postgresql_database)
        assert sink.scan(table, WHOLE).num_rows == 4
        cut_off(sink, postgresql_database)
        assert sink.prune(table, SECOND + 1, is_trial=False) == 4
        cut_off(sink, postgresql_database)
        sink.create(table, ORIGIN)


def test_a_timeout_for_idle_sessions_that_the_address_gives_is_come_back_from(postgresql_database: str) -> None:
    if answer(postgresql_database, "SELECT current_setting('server_version_num')::integer < 140000")[0]:
        pytest.skip("this server ends no idle session")
    with opened(f"{postgresql_database}?options=-cidle_session_timeout%3D500ms") as sink:
        sink.inspect(CALLS)
        wait_until_closed(postgresql_database)
        sink.create(CALLS, ORIGIN)
        wait_until_closed(postgresql_database)
        assert put(sink, CALLS, keyed_rows(CALLS, 1)) == (1, 0, 0)


def test_the_lock_is_taken_again(sink: PostgresqlSink, postgresql_database: str) -> None:
    sink.find(CALLS, keyed_rows(CALLS, 1))
    with pytest.raises(BusyError, match="is being written by another run"):
        PostgresqlSink(postgresql_database).open()


def test_what_is_written_at_the_moment_of_the_loss_is_not_tried_again(
    sink: PostgresqlSink, postgresql_database: str
) -> None:
    with pytest.raises(SinkError, match=r"lost the connection to .* goes on from there"):
        sink.write(CALLS, keyed_rows(CALLS, 2), change(SECOND + 10))
    assert answer(postgresql_database, "SELECT count(*) FROM calls") == (1,)


def test_another_run_that_has_taken_hold_meanwhile_is_told(sink: PostgresqlSink, postgresql_database: str) -> None:
    with opened(postgresql_database):
        with pytest.raises(SinkError, match=r"lost the connection .* another run has taken hold of it") as refused:
            sink.find(CALLS, keyed_rows(CALLS, 2))
        assert type(refused.value) is SinkError


def by_a_window(other: PostgresqlSink) -> None:
    other.write(CALLS, keyed_rows(CALLS, 2), change(SECOND + 10))


def by_a_later_reading(other: PostgresqlSink) -> None:
    again = change(read_at=SECOND + 99)
    other.write(CALLS, CALLS.empty(), LedgerChange(again.entry, (change().entry,), None))


def by_another_origin(other: PostgresqlSink) -> None:
    other.create(CALLS, evolve(ORIGIN, account="another"))


def by_a_removal(other: PostgresqlSink) -> None:
    other.prune(CALLS, SECOND, is_trial=False)


def by_hand(other: PostgresqlSink) -> None:
    other.connection.execute("DELETE FROM nxcdr_windows")


@pytest.mark.parametrize("changed", [by_a_window, by_a_later_reading, by_another_origin, by_a_removal, by_hand])
def test_a_ledger_that_was_changed_meanwhile_is_told(
    sink: PostgresqlSink, postgresql_database: str, changed: Callable[[PostgresqlSink], None]
) -> None:
    with opened(postgresql_database) as other:
        changed(other)
    before = answer(postgresql_database, "SELECT count(*), sum(row_count) FROM calls, nxcdr_windows")
    with pytest.raises(SinkError, match=r"lost the connection .* another run has changed its ledger meanwhile"):
        sink.find(CALLS, keyed_rows(CALLS, 2))
    with pytest.raises(SinkError, match="is not open"):
        sink.find(CALLS, keyed_rows(CALLS, 2))
    assert answer(postgresql_database, "SELECT count(*), sum(row_count) FROM calls, nxcdr_windows") == before


def test_another_source_that_was_filled_meanwhile_does_no_harm(sink: PostgresqlSink, postgresql_database: str) -> None:
    with opened(postgresql_database) as other:
        other.create(DID_CALLS, ORIGIN)
        put(other, DID_CALLS, keyed_rows(DID_CALLS, 1))
    assert put(sink, CALLS, keyed_rows(CALLS, 2), SECOND + 10) == (1, 0, 0)


def test_a_server_that_is_gone_is_told_and_stays_so(
    sink: PostgresqlSink, postgresql: PostgresqlServer, postgresql_database: str
) -> None:
    postgresql.stop()
    try:
        with pytest.raises(SinkError, match=r"lost the connection .* could not be opened anew: cannot connect to"):
            sink.find(CALLS, keyed_rows(CALLS, 2))
        with pytest.raises(SinkError, match="is not open"):
            sink.find(CALLS, keyed_rows(CALLS, 2))
    finally:
        postgresql.start()
    assert answer(postgresql_database, "SELECT count(*) FROM calls") == (1,)


async def test_calls_that_are_pushed_while_a_run_is_away_are_kept(
    postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ROWS_A_WINDOW", 200)
    told: list[BackfillProgress] = []
    with Gateway(calls=1_000, days=2) as gateway:
        start, end = gateway.first_call, gateway.last_call + timedelta(days=3)

        def cut_off_once(progress: BackfillProgress) -> None:
            if not progress.windows or told:
                return
            told.append(progress)
            with psycopg.connect(postgresql_database, autocommit=True) as keeper:
                keeper.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'nxcdr' AND datname = current_database()"
                )
            wait_until_closed(postgresql_database)
            with opened(postgresql_database) as other:
                other.inspect(CALLS)
                rows = keyed_rows(CALLS, 1, 2)
                other.find(CALLS, rows)
                other.add(CALLS, rows)

        async with CdrSession(
            gateway=gateway.url, credentials=gateway.credentials, flash_app=gateway.flash_app
        ) as session:
            report = await backfill(session, "calls", start, end, postgresql_database, cut_off_once)
            assert (len(told), report.rows_new, report.gaps) == (1, 1_000, ())
            again = await backfill(session, "calls", start, end, postgresql_database)
    assert (again.rows_new, again.windows_lost) == (0, 0)
    assert answer(postgresql_database, "SELECT count(*), count(DISTINCT call_id) FROM calls") == (1_002, 1_002)

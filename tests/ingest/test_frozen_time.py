"""Stores while a test freezes time: filled, compared, pruned and waited for as ever."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from freezegun import freeze_time
from psycopg import OperationalError

from nxcdr_async import BusyError, CallRecord, PushedCalls, backfill, prune, sync, verify
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.sinks.postgresql.connection import Server
from nxcdr_async.testing import Gateway
from tests.sessions import session_on
from tests.sinks.all_sinks import FOR_PUSHES, KINDS, Places, opened

START = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = timedelta(hours=12)


@pytest.fixture
def frozen() -> Iterator[Any]:
    """Freeze time for a test."""
    with freeze_time("2026-01-05") as time:
        yield time


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("frozen")
async def test_a_store_is_filled_compared_and_pruned(kind: str, places: Places) -> None:
    to = places.fresh(kind)
    with Gateway(calls=60) as gateway:
        async with session_on(gateway) as cdr:
            report = await backfill(cdr, "calls", START, START + HOURS, to)
            synced = await sync(cdr, "calls", to)
            verified = await verify(cdr, to)
    assert report.rows_new == len(gateway.call_ids(START, START + HOURS))
    assert report.rows_new + synced.rows_new == 60
    assert synced.complete_until == datetime(2026, 1, 4, tzinfo=UTC)  # a day ago, as rows may come late
    assert [(one.missing, one.different, one.extra) for one in verified.sources] == [(0, 0, 0)]
    assert (await prune(to, START + HOURS)).rows == report.rows_new


async def test_what_there_is_to_read_ends_where_time_stands(frozen: Any, places: Places) -> None:
    to = places.fresh("sqlite")
    with Gateway(calls=60) as gateway:
        async with session_on(gateway) as cdr:
            frozen.move_to("2026-01-01 06:00:00")
            early = await backfill(cdr, "calls", START, START + timedelta(days=1), to, settle=timedelta())
            frozen.move_to("2026-01-05")
            whole = await sync(cdr, "calls", to)
    assert early.complete_until is not None
    assert early.complete_until <= START + timedelta(hours=6)
    assert early.rows_new + whole.rows_new == 60


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("frozen")
def test_a_store_in_use_is_told(kind: str, places: Places) -> None:
    to = places.fresh(kind)
    with opened(to), pytest.raises(BusyError):
        sink_for(to).open()


@pytest.mark.parametrize("kind", FOR_PUSHES)
@pytest.mark.usefixtures("frozen")
async def test_a_push_waits_no_longer_than_it_may(kind: str, places: Places) -> None:
    to = places.fresh(kind)
    with Gateway(calls=10) as gateway:
        async with session_on(gateway) as cdr:
            await backfill(cdr, "calls", START, START + HOURS, to)
            pushed = PushedCalls(cdr, to, lock_timeout=0.05)
            call = CallRecord(call_id="pushed", start_time=datetime.now(UTC))
            with opened(to), pytest.raises(BusyError):
                await pushed.store(call)
            await pushed.store(call)


@pytest.mark.usefixtures("frozen")
def test_a_silent_server_is_given_up(postgresql_database: str) -> None:
    connection = Server.at(postgresql_database).connect()
    connection.seconds_to_answer = 1
    with closing(connection), pytest.raises(OperationalError):
        connection.execute("SELECT pg_sleep(30)")
    assert connection.was_cut

"""cdr/page on the real emulator: no row lost or doubled, however the gateway behaves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nxcdr_async import CallRecord, CdrSession, Direction, IncompleteError, SaturatedSecondError
from nxcdr_async.testing import Gateway
from tests.sessions import OpenSession

SECOND = timedelta(seconds=1)
ENDS = [(True, True), (True, False), (False, True), (False, False)]


async def read_all(session: CdrSession, gateway: Gateway, **filters: Any) -> list[CallRecord]:
    return await session.calls(gateway.first_call, gateway.last_call + SECOND, **filters).collect()


def ids(calls: list[CallRecord]) -> list[str]:
    return sorted(call.call_id for call in calls)


@pytest.mark.parametrize("whole_seconds", [False, True])
@pytest.mark.parametrize(("start_inclusive", "end_inclusive"), ENDS)
@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
async def test_every_call_comes_once_and_sorted_for_each_order_and_kind_of_range_ends(
    order: Any,
    start_inclusive: bool,
    end_inclusive: bool,
    whole_seconds: bool,
    gateway: Gateway,
    open_session: OpenSession,
) -> None:
    gateway.switches.order = order
    gateway.switches.start_inclusive, gateway.switches.end_inclusive = start_inclusive, end_inclusive
    gateway.switches.compare_whole_seconds = whole_seconds
    calls = await read_all(open_session(), gateway)
    assert ids(calls) == sorted(gateway.call_ids())
    assert calls == sorted(calls, key=lambda call: (call.start_time, call.call_id))


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
async def test_calls_that_arrive_meanwhile_cost_none_that_were_there(
    order: Any, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.order = order
    gateway.switches.arrivals_per_page = 7
    there = set(gateway.call_ids())
    calls = await read_all(open_session(), gateway)
    assert there <= {call.call_id for call in calls}
    assert len(ids(calls)) == len(set(ids(calls)))


async def test_a_gateway_that_filters_by_the_end_of_calls_loses_none(
    gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.filter_by = "end"
    calls = await open_session().calls(gateway.first_call, gateway.last_call + timedelta(hours=24)).collect()
    assert ids(calls) == sorted(gateway.call_ids())
    assert calls == sorted(calls, key=lambda call: (call.start_time, call.call_id))


async def test_a_last_page_repeated_for_ever_ends(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.switches.repeat_last_page = True
    assert ids(await read_all(open_session(), gateway)) == sorted(gateway.call_ids())


async def test_exactly_full_pages_with_a_repeated_last_page_end_too(open_session: OpenSession) -> None:
    with Gateway(calls=100, days=1) as gateway:
        gateway.switches.repeat_last_page = True
        session = open_session(gateway=gateway.url, credentials=gateway.credentials)
        assert ids(await read_all(session, gateway)) == sorted(gateway.call_ids())


async def test_an_ignored_page_number_is_read_around_by_narrower_windows(open_session: OpenSession) -> None:
    with Gateway(calls=1_000, days=1) as gateway:
        gateway.switches.ignore_page = True
        session = open_session(gateway=gateway.url, credentials=gateway.credentials)
        assert ids(await read_all(session, gateway)) == sorted(gateway.call_ids())


async def test_an_ignored_page_number_in_one_full_second_is_told(open_session: OpenSession) -> None:
    with Gateway(calls=10, days=1) as gateway:
        gateway.switches.ignore_page = True
        moment = int(gateway.first_call.timestamp()) * 1000
        for number in range(150):
            gateway.add_call(startTime=moment + number)
        session = open_session(gateway=gateway.url, credentials=gateway.credentials)
        with pytest.raises(SaturatedSecondError, match="100 calls or more") as caught:
            await read_all(session, gateway)
        assert caught.value.second == gateway.first_call.replace(microsecond=0)


async def test_one_second_with_many_pages_is_read_whole(open_session: OpenSession) -> None:
    with Gateway(calls=10, days=1) as gateway:
        moment = int(gateway.first_call.timestamp()) * 1000
        for number in range(950):
            gateway.add_call(startTime=moment + number)
        session = open_session(gateway=gateway.url, credentials=gateway.credentials)
        assert ids(await read_all(session, gateway)) == sorted(gateway.call_ids())


@pytest.mark.parametrize("more", [0, 1])
async def test_an_end_that_an_ignored_range_keeps_from_being_proven_is_an_error(
    more: int, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.ignore_range = True
    for _ in range(more):
        gateway.add_call()
    with pytest.raises(IncompleteError, match="ignores the time range"):
        await read_all(open_session(), gateway)


async def test_an_ignored_range_is_an_error_where_it_covers_some_calls(
    gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.ignore_range = True
    with pytest.raises(IncompleteError, match="ignores the time range"):
        await open_session().calls(gateway.last_call - 2 * SECOND, gateway.last_call).collect()


async def test_an_ignored_range_is_an_error_once_there_are_several_windows(open_session: OpenSession) -> None:
    with Gateway(calls=20_000, days=2) as gateway:
        gateway.switches.ignore_range = True
        session = open_session(gateway=gateway.url, credentials=gateway.credentials)
        with pytest.raises(IncompleteError, match="ignores the time range"):
            await read_all(session, gateway)


async def test_overlapping_pages_double_nothing(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.switches.page_overlap = 9
    assert ids(await read_all(open_session(), gateway)) == sorted(gateway.call_ids())


@pytest.mark.parametrize("empty_as", ["list", "null", "object"])
async def test_no_calls_are_no_calls_however_they_are_written(
    empty_as: Any, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.empty_as = empty_as
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    assert await open_session().calls(long_ago, long_ago + timedelta(days=300)).collect() == []


async def test_a_quiet_range_takes_one_request_once_the_gateway_is_known(
    gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session()
    await read_all(session, gateway)
    before = session.stats.requests
    assert await session.calls(gateway.first_call, gateway.first_call + timedelta(seconds=30)).collect()
    assert session.stats.requests == before + 1


async def test_requests_stay_few(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session(concurrency=4)
    calls = await read_all(session, gateway)
    assert session.stats.requests < 1.5 * len(calls) / 100


async def test_filters_reach_the_gateway(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    calls = await read_all(session, gateway)
    one = next(call for call in calls if call.agent_name)
    assert one in await read_all(session, gateway, agent=one.agent_name)
    assert await read_all(session, gateway, call_id=one.call_id) == [one]
    assert one in await read_all(session, gateway, caller=one.caller, callee=one.callee)
    assert {call.answered for call in await read_all(session, gateway, answered=True)} == {True}
    assert {call.answered for call in await read_all(session, gateway, answered=False)} == {False}


async def test_a_range_from_the_beginning_of_time_is_asked_for_as_the_gateway_can_read_it(
    gateway: Gateway, open_session: OpenSession
) -> None:
    calls = await open_session().calls(datetime(1970, 1, 1, tzinfo=UTC), gateway.last_call + SECOND).collect()
    assert ids(calls) == sorted(gateway.call_ids())


async def test_a_cap_is_found_though_an_earlier_range_had_just_so_many_calls(open_session: OpenSession) -> None:
    with Gateway(calls=0, days=1) as gateway:
        gateway.switches.page_cap = 50
        hour, day = timedelta(hours=1), gateway.first_call
        first = int(day.timestamp()) * 1000
        for number in range(500):
            gateway.add_call(callId=f"{number}", startTime=first + number * 60_000)
        session = open_session(gateway=gateway.url, credentials=gateway.credentials)
        assert len(await session.calls(day, day + 50 * hour / 60 - SECOND).collect()) == 50
        assert len(await session.calls(day, day + 9 * hour).collect()) == 500


async def test_a_length_below_one_that_was_seen_costs_no_second_request(open_session: OpenSession) -> None:
    with Gateway(calls=0, days=1) as gateway:
        for number in range(20):
            gateway.add_call(startTime=int(gateway.first_call.timestamp()) * 1000 + number * 60_000)
        session = open_session(gateway=gateway.url, credentials=gateway.credentials)
        first = gateway.first_call
        assert len(await session.calls(first, first + timedelta(minutes=20)).collect()) == 20
        before = session.stats.requests
        assert len(await session.calls(first, first + timedelta(minutes=9)).collect()) == 10
        assert session.stats.requests == before + 1


async def test_an_ignored_range_is_noticed_on_a_short_page(open_session: OpenSession) -> None:
    with Gateway(calls=80, days=2) as gateway:
        gateway.switches.ignore_range = True
        session = open_session(gateway=gateway.url, credentials=gateway.credentials)
        with pytest.raises(IncompleteError, match="ignores the time range"):
            await session.calls(gateway.last_call, gateway.last_call + SECOND).collect()


FILTERS = [
    {"direction": Direction.INBOUND},
    {"answered": False},
    {"agent": "NX094450006938"},
    {"caller": "85238531117"},
    {"callee": "999"},
    {"call_id": "nobody"},
    {"order_id": "nothing"},
]


@pytest.mark.parametrize("given", FILTERS, ids=lambda given: next(iter(given)))
async def test_a_filter_that_is_ignored_is_an_error(given: Any, gateway: Gateway, open_session: OpenSession) -> None:
    gateway.switches.ignore_filters = True
    with pytest.raises(IncompleteError, match=f"do not answer {next(iter(given))}="):
        await read_all(open_session(), gateway, **given)


async def test_an_error_about_an_answer_says_what_was_asked_for_and_of_no_attempts(
    gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.ignore_filters = True
    with pytest.raises(IncompleteError) as caught:
        await read_all(open_session(), gateway, call_id="nobody")
    start = gateway.first_call.replace(microsecond=0)
    assert str(caught.value.asked_for).startswith(f"page 1 of calls {start.isoformat()} to ")
    assert caught.value.attempts == 0


async def test_a_filter_that_is_ignored_is_noticed_by_rows_that_are_converted_at_once(
    gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.ignore_filters = True
    session = open_session()
    session.converter.register_structure_hook(bool, lambda value, _: not value)
    with pytest.raises(IncompleteError, match="do not answer answered=True"):
        await read_all(session, gateway, answered=True)
    assert await read_all(session, gateway)

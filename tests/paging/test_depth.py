"""Answers that show only so many rows, however many pages are asked for: none is lost, and what is, is told."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, strategies as st

from nxcdr_async import (
    CallRecord,
    CdrSession,
    DidCallRecord,
    Direction,
    GatewayError,
    InvalidRequestError,
    SaturatedDayError,
    SaturatedSecondError,
    ServerError,
)
from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.testing import Gateway
from tests.paging.model import BEGIN, PAGE, ModelGateway, drain, evenly, prefetcher_of
from tests.sessions import OpenSession

ORDERS = ["ascending", "descending", "shuffled"]
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
NOON = NEW_YEAR + DAY / 2

in_any_order = pytest.mark.parametrize("order", ORDERS)


@given(
    offsets=st.lists(st.integers(0, 3_599_999) | st.integers(0, 4_000), max_size=150),
    depth=st.integers(2 * PAGE, 60),
    order=st.sampled_from(ORDERS),
    refused=st.sampled_from([None, InvalidRequestError("deep", code=1002), GatewayError("deep", code=77)]),
    repeats=st.booleans(),
    arrivals=st.one_of(st.none(), st.integers(0, 1000)),
    width=st.integers(1, 6),
    windows=st.sampled_from([4, 20, 1000]),
)
def test_no_call_is_lost_but_those_of_seconds_that_are_told(
    offsets: list[int],
    depth: int,
    order: str,
    refused: Exception | None,
    repeats: bool,
    arrivals: int | None,
    width: int,
    windows: int,
) -> None:
    # A cap within the second page of an answer in no order needs two rows of one time to be seen.
    assume(order != "shuffled" or depth % PAGE == 0)
    there = [{"callId": f"{number}", "startTime": BEGIN * 1000 + offset} for number, offset in enumerate(offsets)]
    gateway = ModelGateway(list(there), order, depth=depth, repeats_last_page=repeats)
    gateway.depth_error = None if repeats else refused
    gateway.arrivals = None if arrivals is None else random.Random(arrivals)
    told: list[SaturatedSecondError] = []
    prefetcher = prefetcher_of(
        gateway.ask, 3_600, width, PaginatorStats(), most_rows=windows * PAGE, on_saturated_second=told.append
    )
    calls = asyncio.run(asyncio.wait_for(drain(prefetcher), 60))
    assert prefetcher.error is None
    # A cap within a page of an answer about a single second, which may hold its neighbours, cannot be seen.
    in_second = Counter(row["startTime"] // 1000 for row in gateway.rows)
    fullest = max((sum(in_second[second + near] for near in (-1, 0, 1)) for second in list(in_second)), default=0)
    assume(depth % PAGE == 0 or fullest <= depth)
    found = [call.call_id for call in calls]
    assert len(found) == len(set(found))
    seconds = {int(error.second.timestamp()) for error in told}
    assert {row["callId"] for row in there if row["startTime"] // 1000 not in seconds} <= set(found)
    assert calls == sorted(calls, key=lambda call: (call.start_time, call.call_id))


@in_any_order
@pytest.mark.parametrize("rows", [1_000, 1_234])
def test_an_end_costs_few_requests_to_prove(rows: int, order: str) -> None:
    gateway = ModelGateway(evenly(rows, 72_000), order, page_size=100)
    limits = AnswerLimits()
    prefetcher = prefetcher_of(gateway.ask, 72_000, 1, PaginatorStats(), page_size=100, most_rows=4_000, limits=limits)
    assert len(asyncio.run(drain(prefetcher))) == rows
    assert limits.depth_cap is None
    # Each page, the empty one behind them twice, and two to prove it where they come in no order, twice where empty.
    assert gateway.asked <= -(-rows // 100) + 6


def test_a_cap_is_not_asked_beyond_again() -> None:
    limits = AnswerLimits()
    gateway = ModelGateway(evenly(6_000), page_size=100, depth=2_000)
    pages: list[int] = []

    async def ask(parameters: Any) -> Any:
        pages.append(parameters["page"])
        return await gateway.ask(parameters)

    def asking() -> Any:
        return prefetcher_of(
            ask, 3_600, 4, PaginatorStats(), page_size=100, most_rows=4_000, most_at_once=10_000, limits=limits
        )

    assert len(asyncio.run(drain(asking()))) == 6_000
    assert (limits.depth_cap, max(pages) > 20) == (2_000, True)
    pages.clear()
    assert len(asyncio.run(drain(asking()))) == 6_000
    assert max(pages) <= 20


def test_a_page_that_fails_while_the_first_is_answered_is_not_shown() -> None:
    gateway = ModelGateway(evenly(600), page_size=100, depth=300, depth_error=ServerError("down", code=99))
    limits = AnswerLimits()
    prefetcher = prefetcher_of(
        gateway.ask, 3_600, 1, PaginatorStats(), page_size=100, most_rows=4_000, most_at_once=600, limits=limits
    )
    assert len(asyncio.run(drain(prefetcher))) == 600
    assert (prefetcher.error, limits.depth_cap) == (None, 300)


def test_a_gateway_that_fails_at_all_pages_is_down() -> None:
    gateway = ModelGateway(evenly(600), page_size=100)

    async def ask(parameters: Any) -> Any:
        if gateway.asked >= 2:
            raise ServerError("down", code=99)
        return await gateway.ask(parameters)

    prefetcher = prefetcher_of(ask, 3_600, 1, PaginatorStats(), page_size=100, most_rows=4_000, most_at_once=600)
    asyncio.run(drain(prefetcher))
    assert isinstance(prefetcher.error, ServerError)


def test_a_cap_that_moves_down_is_noticed() -> None:
    gateway = ModelGateway(evenly(6_000), page_size=100, depth=2_000)
    limits = AnswerLimits()
    for depth in (2_000, 1_000):
        gateway.depth = depth
        prefetcher = prefetcher_of(
            gateway.ask, 3_600, 4, PaginatorStats(), page_size=100, most_rows=4_000, most_at_once=10_000, limits=limits
        )
        assert len(asyncio.run(drain(prefetcher))) == 6_000
        assert limits.depth_cap == depth


async def read(session: CdrSession, days: int = 1, **options: Any) -> list[CallRecord]:
    return await session.calls(NEW_YEAR, NEW_YEAR + days * DAY, **options).collect()


def capped(rows: int, depth: int, order: Any, **more: Any) -> Gateway:
    gateway = Gateway(calls=rows, days=1, did_calls=0, flash_calls=0)
    gateway.switches.depth_cap, gateway.switches.order = depth, order
    for name, value in more.items():
        setattr(gateway.switches, name, value)
    return gateway


def on(gateway: Gateway) -> dict[str, Any]:
    return {"gateway": gateway.url, "credentials": gateway.credentials}


@in_any_order
@pytest.mark.parametrize("more", [{}, {"depth_cap_code": 1002}, {"depth_cap_code": 77_777}, {"repeat_last_page": True}])
async def test_a_day_deeper_than_the_cap_comes_whole(order: str, more: Any, open_session: OpenSession) -> None:
    with capped(6_000, 2_000, order, **more) as gateway:
        session = open_session(**on(gateway))
        assert sorted(call.call_id for call in await read(session)) == sorted(gateway.call_ids())
        assert session.stats.requests < 400


@in_any_order
@pytest.mark.parametrize("depth", [250, 2_050])
async def test_a_cap_within_a_page_is_found(order: str, depth: int, open_session: OpenSession) -> None:
    with capped(6_000, depth, order) as gateway:
        calls = await read(open_session(**on(gateway)))
        assert sorted(call.call_id for call in calls) == sorted(gateway.call_ids())


@in_any_order
@pytest.mark.parametrize("page_cap", [33, 50])
async def test_a_cap_on_rows_and_on_pages_at_once(order: str, page_cap: int, open_session: OpenSession) -> None:
    with capped(3_000, 1_000, order, page_cap=page_cap) as gateway:
        calls = await read(open_session(**on(gateway)))
        assert sorted(call.call_id for call in calls) == sorted(gateway.call_ids())


@in_any_order
async def test_calls_that_arrive_meanwhile_cost_none_that_were_there(order: str, open_session: OpenSession) -> None:
    with capped(3_000, 500, order, arrivals_per_page=1) as gateway:
        there = set(gateway.call_ids())
        assert there <= {call.call_id for call in await read(open_session(**on(gateway)))}


async def test_a_campaign_of_some_minutes_comes_whole(open_session: OpenSession) -> None:
    with capped(500, 10_000, "descending") as gateway:
        gateway.add_calls(15_000, apart=timedelta(milliseconds=100), startTime=NOON)
        calls = await read(open_session(**on(gateway)))
        assert sorted(call.call_id for call in calls) == sorted(gateway.call_ids())


def crowd(gateway: Gateway, calls: int) -> None:
    for number in range(calls):
        gateway.add_call(startTime=int(NOON.timestamp()) * 1000 + 1 + number % 999)


@in_any_order
async def test_a_second_fuller_than_the_cap_is_named_after_the_calls_before_it(
    order: str, open_session: OpenSession
) -> None:
    with capped(500, 300, order) as gateway:
        crowd(gateway, 400)
        calls = open_session(**on(gateway)).calls(NEW_YEAR, NEW_YEAR + DAY)
        came: list[str] = []
        with pytest.raises(SaturatedSecondError, match="holds 300 calls or more") as caught:
            async for call in calls:
                came.append(call.call_id)  # noqa: PERF401 - those before the error are wanted
        assert caught.value.second == NOON
        assert caught.value.complete_until == NOON
        assert set(gateway.call_ids(NEW_YEAR, NOON)) <= set(came)


@in_any_order
async def test_a_callback_gets_the_second_and_the_reading_goes_on(order: str, open_session: OpenSession) -> None:
    with capped(500, 300, order) as gateway:
        crowd(gateway, 400)
        told: list[SaturatedSecondError] = []
        calls = await read(open_session(**on(gateway)), on_saturated_second=told.append)
        assert [error.second for error in told] == [NOON]
        lost = set(gateway.call_ids()) - {call.call_id for call in calls}
        assert lost < set(gateway.call_ids(NOON, NOON + SECOND))
        assert sum(call.start_time.replace(microsecond=0) == NOON for call in calls) >= 300


async def test_a_crowded_second_under_the_cap_beside_others_is_read_whole(open_session: OpenSession) -> None:
    with capped(500, 300, "ascending") as gateway:
        crowd(gateway, 290)
        for before in range(40):
            gateway.add_call(startTime=int(NOON.timestamp()) * 1000 - 1 - before)
        calls = await read(open_session(**on(gateway)))
        assert sorted(call.call_id for call in calls) == sorted(gateway.call_ids())


async def test_filters_are_kept_where_a_day_is_cut(open_session: OpenSession) -> None:
    with capped(6_000, 500, "ascending") as gateway:
        calls = await read(open_session(**on(gateway)), direction=Direction.INBOUND)
        wanted = {row["callId"] for row in gateway.history.calls() if row["direction"] == 0}
        assert {call.call_id for call in calls} == wanted


async def test_an_ignored_page_number_does_not_pass_for_a_deeper_answer(open_session: OpenSession) -> None:
    with Gateway(calls=500, days=1) as gateway:
        gateway.switches.ignore_page, gateway.switches.order = True, "descending"
        crowd(gateway, 150)
        with pytest.raises(SaturatedSecondError) as caught:
            await read(open_session(**on(gateway)))
        assert caught.value.second == NOON


@in_any_order
async def test_a_last_page_that_is_repeated_does_not_pass_for_a_deeper_answer(
    order: str, open_session: OpenSession
) -> None:
    with capped(0, 200, order, repeat_last_page=True) as gateway:
        crowd(gateway, 300)
        for minute in range(1, 180):
            gateway.add_call(startTime=int((NOON - timedelta(minutes=minute)).timestamp()) * 1000)
        calls = open_session(**on(gateway)).calls(NOON, NOON + SECOND)
        with pytest.raises(SaturatedSecondError):
            await calls.collect()


async def test_a_page_that_fails_for_good_is_read_around(open_session: OpenSession) -> None:
    with Gateway(calls=300, days=1) as gateway:
        gateway.fail_next("88", times=1_000, endpoint="calls", page=2)
        session = open_session(**on(gateway))
        session._transport.sleep = no_sleep
        assert sorted(call.call_id for call in await read(session)) == sorted(gateway.call_ids())


async def no_sleep(_: float) -> None:
    """Spare the waiting between attempts."""


@pytest.mark.parametrize("code", [None, 1002])
async def test_a_day_of_did_calls_that_is_not_shown_whole_is_told(code: int | None, open_session: OpenSession) -> None:
    with Gateway(calls=0, days=2, did_calls=600) as gateway:
        gateway.switches.depth_cap, gateway.switches.depth_cap_code = 200, code
        day, told = NEW_YEAR.date(), list[SaturatedDayError]()
        session, seen = open_session(**on(gateway)), list[DidCallRecord]()
        with pytest.raises(SaturatedDayError, match="shows 200 of the") as caught:
            async for call in session.did_calls(day, day + DAY):
                seen.append(call)
        assert (caught.value.day, len(seen)) == (day, 200)
        shown = await session.did_calls(day, day + DAY, on_saturated_day=told.append).collect()
        assert [(error.day, len(shown)) for error in told] == [(day, 400), (day + DAY, 400)]


async def test_without_a_cap_all_did_calls_of_a_day_come(open_session: OpenSession) -> None:
    with Gateway(calls=0, days=2, did_calls=600) as gateway:
        calls = open_session(**on(gateway)).did_calls(NEW_YEAR.date(), NEW_YEAR.date() + 2 * DAY)
        assert {call.id for call in await calls.collect()} == set(gateway.did_ids())


@pytest.mark.parametrize("depth", [250, 401, 777])
@pytest.mark.parametrize("strange", [{"arrivals_per_page": 1}, {"page_overlap": 1}], ids=str)
async def test_rows_that_stand_on_two_pages_hide_no_cap(
    strange: dict[str, int], depth: int, open_session: OpenSession
) -> None:
    with capped(1_000, depth, "ascending", **strange) as gateway:
        there = set(gateway.call_ids())
        gateway.clock.move_to(NEW_YEAR + 5 * DAY)
        assert there <= {call.call_id for call in await read(open_session(**on(gateway)))}


@in_any_order
@pytest.mark.parametrize(
    ("crowded", "behind", "more"),
    [
        (350, 333, {}),
        (250, 249, {}),
        (60, 45, {"page_cap": 25}),
        (30, 25, {"page_cap": 10}),
        # A code that asks for less makes a session slow for minutes.
        pytest.param(350, 333, {"depth_cap_code": 99}, marks=pytest.mark.slow),
    ],
)
async def test_a_cap_within_a_crowded_second_hides_nothing_behind_it(
    crowded: int, behind: int, more: dict[str, int], order: str, open_session: OpenSession
) -> None:
    with capped(300, 1, order, **more) as gateway:
        before = len(gateway.call_ids(None, NOON))
        crowd(gateway, crowded)
        gateway.switches.depth_cap = before + behind
        told: list[SaturatedSecondError] = []
        found = {call.call_id for call in await read(open_session(**on(gateway)), on_saturated_second=told.append)}
        lost = set(gateway.call_ids()) - found
        assert not lost or [error.second for error in told] == [NOON]
        assert lost <= set(gateway.call_ids(NOON, NOON + SECOND))

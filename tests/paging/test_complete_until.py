"""How far what was handed out is complete, told while it is read."""

import asyncio
import random
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import CallRecord, Paginator, ServerError
from nxcdr_async.protocol.responses import Page
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.testing import Gateway
from tests.examples import examples
from tests.paging.model import BEGIN, ModelGateway, evenly, prefetcher_of
from tests.sessions import OpenSession

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
HOURS = 4
SECONDS = HOURS * 3600


class ByEnd(ModelGateway):
    """Filters by the end of calls, as gateways may."""

    def answer(self, parameters: Mapping[str, Any]) -> Page:
        shown = [{**row, "order": row["startTime"], "startTime": row["endTime"]} for row in self.rows]
        by_end = ModelGateway(shown, self.order, self.start_inclusive, self.end_inclusive, page_size=self.page_size)
        page = by_end.answer(parameters)
        return Page(
            [{"callId": row["callId"], "startTime": row["order"], "endTime": row["endTime"]} for row in page.rows]
        )


async def progress_of(gateway: ModelGateway, width: int) -> list[tuple[set[str], int | None]]:
    """Read all, and return what was handed out at each moment with how far it was told to be complete."""
    prefetcher = prefetcher_of(gateway.ask, SECONDS, width, PaginatorStats())
    paginator = Paginator(prefetcher, lambda _: None, record_class=CallRecord, asked_for="calls")
    told: list[tuple[set[str], int | None]] = []
    read: set[str] = set()
    async with paginator:
        told.append((set(), seconds(paginator.complete_until)))
        async for page in paginator.pages():
            read |= {call.call_id for call in page}
            told.append((set(read), seconds(paginator.complete_until)))
    return [*told, (read, seconds(paginator.complete_until))]


def seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def assert_never_ahead(told: list[tuple[set[str], int | None]], rows: list[dict[str, Any]]) -> None:
    for read, until in told:
        assert until is None or {row["callId"] for row in rows if row["startTime"] < until * 1000} <= read


starts = st.lists(st.integers(0, SECONDS * 1000 - 1), max_size=100) | st.lists(st.integers(0, 9_000), max_size=60).map(
    lambda offsets: [7_200_000 + offset for offset in offsets]
)


@examples(60)
@given(
    offsets=starts,
    order=st.sampled_from(["ascending", "descending", "shuffled"]),
    ends=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    arrivals=st.none() | st.integers(0, 1000),
    width=st.integers(1, 6),
    lasting=st.integers(0, 10_000),
)
def test_all_calls_before_the_moment_told_were_handed_out(
    offsets: list[int], order: str, ends: tuple[bool, bool, bool], arrivals: int | None, width: int, lasting: int
) -> None:
    rows = [
        {"callId": f"{number}", "startTime": start, "endTime": start + lasting * 1000}
        for number, start in enumerate(BEGIN * 1000 + offset for offset in offsets)
    ]
    chance = None if arrivals is None else random.Random(arrivals)
    told = asyncio.run(progress_of(ModelGateway(list(rows), order, *ends, arrivals=chance), width))
    assert_never_ahead(told, rows)


@examples(60)
@given(
    calls=st.lists(st.tuples(st.integers(1, SECONDS * 1000 - 1), st.integers(0, 3_600_000)), max_size=100),
    ends=st.tuples(st.booleans(), st.booleans()),
    width=st.integers(1, 6),
)
def test_that_holds_for_a_gateway_that_filters_by_the_end_of_calls(
    calls: list[tuple[int, int]], ends: tuple[bool, bool], width: int
) -> None:
    rows = [
        {"callId": f"{number}", "startTime": BEGIN * 1000 + end - lasting, "endTime": BEGIN * 1000 + end}
        for number, (end, lasting) in enumerate(calls)
    ]
    told = asyncio.run(progress_of(ByEnd(list(rows), "ascending", *ends), width))
    assert_never_ahead(told, rows)


@pytest.mark.parametrize("gateway_class", [ModelGateway, ByEnd])
@pytest.mark.parametrize("width", [1, 4])
def test_it_is_told_long_before_the_end_and_never_goes_back(gateway_class: Any, width: int) -> None:
    gateway = gateway_class([{**row, "endTime": row["startTime"]} for row in evenly(1_000, SECONDS)])
    told = [until for _, until in asyncio.run(progress_of(gateway, width)) if until is not None]
    assert told == sorted(told)
    assert len(set(told)) > 10
    assert told[0] < BEGIN + 3600 < BEGIN + SECONDS // 2 < told[-2]


@pytest.mark.parametrize("rows", [0, 3, 1_000])
def test_at_its_end_a_paginator_is_complete_up_to_the_end_of_the_range(rows: int) -> None:
    told = asyncio.run(progress_of(ModelGateway(evenly(rows, SECONDS)), 4))
    assert told[0][1] is None
    assert told[-1][1] == BEGIN + SECONDS
    assert all(until is None or until < BEGIN + SECONDS for _, until in told[:-1])


async def test_it_holds_after_each_single_record_on_the_emulator(open_session: OpenSession) -> None:
    with Gateway(calls=10_000, days=10) as gateway:
        gateway.switches.order = "ascending"  # newest first, it is told less often
        session = open_session(gateway=gateway.url, credentials=gateway.credentials)
        read: set[str] = set()
        told: list[datetime] = []
        async with session.calls(gateway.first_call, gateway.last_call + SECOND) as paginator:
            async for call in paginator:
                until = paginator.complete_until
                if until is not None and until not in told:
                    # The very first record after which it is told: what it says of the others follows.
                    assert set(gateway.call_ids(end=until)) <= read | {call.call_id}
                    told.append(until)
                read.add(call.call_id)
        assert len(read) == len(gateway.call_ids())
        assert len(told) > 3
        assert told == sorted(told)


async def test_days_are_complete_at_the_end_of_the_last(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    first = gateway.first_call.date()
    async with session.did_calls(first, first + DAY) as paginator:
        assert await anext(paginator)
        assert paginator.complete_until is None
        async for _ in paginator.pages():
            pass
    assert paginator.complete_until == datetime.combine(first + 2 * DAY, time(), session.naive_zone)


async def test_what_a_failed_paginator_told_still_holds(open_session: OpenSession) -> None:
    with Gateway(calls=40_000, days=2) as busy:
        session = open_session(concurrency=2, gateway=busy.url, credentials=busy.credentials)
        session._transport.sleep = no_sleep
        read: set[str] = set()
        with pytest.raises(ServerError) as caught:
            async with session.calls(busy.first_call, busy.last_call + SECOND) as paginator:
                async for call in paginator:
                    read.add(call.call_id)
                    if paginator.complete_until is not None:
                        busy.fail_next("88", times=1000)
        assert paginator.complete_until is not None
        assert caught.value.complete_until is not None
        assert paginator.complete_until <= caught.value.complete_until
        assert set(busy.call_ids(end=paginator.complete_until)) <= read


async def no_sleep(_: float) -> None:
    await asyncio.sleep(0)

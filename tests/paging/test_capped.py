"""The flash-call list on the real emulator."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import (
    CdrSession,
    ConfigurationError,
    FlashApp,
    FlashCallRecord,
    IncompleteError,
    RecordError,
    SaturatedSecondError,
)
from nxcdr_async.paging.capped import CappedPager
from nxcdr_async.paging.page_reader import PageReader, PageSize, RowStructurer
from nxcdr_async.paging.planner import WindowPlanner
from nxcdr_async.paging.prefetch import Prefetcher
from nxcdr_async.paging.sequencer import Sequencer
from nxcdr_async.protocol.endpoints import FLASH
from nxcdr_async.protocol.responses import Page
from nxcdr_async.records.converter import make_converter
from nxcdr_async.sources.flash import flash_parameters
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.testing import Gateway
from nxcdr_async.testing.emulator.switches import Order
from nxcdr_async.windows import window_of
from tests.sessions import OpenSession

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
ENDS = [(True, True), (True, False), (False, True), (False, False)]
NOON = datetime(2026, 1, 1, 4, tzinfo=UTC)
NOON_LOCAL = "2026-01-01 12:00:00"


async def read_all(session: CdrSession, gateway: Gateway) -> list[FlashCallRecord]:
    return await session.flash_calls(gateway.first_call - DAY, gateway.last_call + DAY).collect()


def on(gateway: Gateway) -> dict[str, Any]:
    return {"gateway": gateway.url, "flash_app": gateway.flash_app}


@pytest.mark.parametrize(("start_inclusive", "end_inclusive"), ENDS)
async def test_every_flash_call_comes_once_and_sorted_for_each_kind_of_range_ends(
    start_inclusive: bool, end_inclusive: bool, open_session: OpenSession
) -> None:
    with Gateway(calls=100, flash_calls=3_000, days=2) as gateway:
        gateway.switches.start_inclusive, gateway.switches.end_inclusive = start_inclusive, end_inclusive
        calls = await read_all(open_session(**on(gateway)), gateway)
        assert sorted(call.id for call in calls) == sorted(gateway.flash_ids())
        assert calls == sorted(calls, key=lambda call: (call.gmt_create, call.id))


@pytest.mark.parametrize(("start_inclusive", "end_inclusive"), [ends for ends in ENDS if any(ends)])
async def test_a_crowded_second_just_under_the_cap_is_read_whole(
    start_inclusive: bool, end_inclusive: bool, open_session: OpenSession
) -> None:
    with Gateway(calls=10, flash_calls=10, days=1) as gateway:
        gateway.switches.start_inclusive, gateway.switches.end_inclusive = start_inclusive, end_inclusive
        for second in (0, 1, 2):
            for _ in range(99):
                gateway.add_flash_call(gmtCreate=f"2026-01-01 12:00:0{second}")
        calls = await read_all(open_session(**on(gateway)), gateway)
        assert sorted(call.id for call in calls) == sorted(gateway.flash_ids())


@pytest.mark.parametrize(("start_inclusive", "end_inclusive"), ENDS)
async def test_a_full_second_is_named_after_the_calls_before_it(
    start_inclusive: bool, end_inclusive: bool, open_session: OpenSession
) -> None:
    with Gateway(calls=10, flash_calls=50, days=1) as gateway:
        gateway.switches.start_inclusive, gateway.switches.end_inclusive = start_inclusive, end_inclusive
        for _ in range(100):
            gateway.add_flash_call(gmtCreate=NOON_LOCAL)
        session = open_session(**on(gateway))
        read: list[int] = []
        with pytest.raises(SaturatedSecondError) as caught:
            async for call in session.flash_calls(gateway.first_call - DAY, gateway.last_call + DAY):
                read.append(call.id)  # noqa: PERF401 - what came before the error is the point
        assert caught.value.second == NOON
        assert set(gateway.flash_ids(end=NOON)) <= set(read)


async def test_money_and_odd_numbers_survive(gateway: Gateway, open_session: OpenSession) -> None:
    calls = await read_all(open_session(), gateway)
    assert any(call.msisdn and call.msisdn.startswith(" ") for call in calls)
    assert all(call.gmt_create.tzinfo is UTC for call in calls)


def in_order(seconds: Sequence[int], order: Order) -> list[int]:
    if order == "shuffled":
        return Random(7).sample(seconds, len(seconds))
    return sorted(seconds, reverse=order == "descending")


class ModelList:
    """The flash-call list in memory, with a cap, and answers that are empty now and then.

    Args:
        seconds: after noon at which there is a call, in the order in which the list gives them.
        cap: rows an answer holds at most.
        empty_every: each such answer has no rows; 0 for none.
        ends: whether the start and the end of a range belong to it.
    """

    def __init__(
        self, seconds: Iterable[int], *, cap: int = 100, empty_every: int = 0, ends: tuple[bool, bool] = (True, True)
    ) -> None:
        self.cap, self.empty_every, self.asked = cap, empty_every, 0
        self.start_inclusive, self.end_inclusive = ends
        self.rows = [
            {"id": second, "gmtCreate": (NOON + second * SECOND).strftime("%Y-%m-%d %H:%M:%S")} for second in seconds
        ]

    async def ask(self, parameters: Any) -> Page:
        self.asked += 1
        if self.empty_every and self.asked % self.empty_every == 0:
            return Page([])
        inside = [row for row in self.rows if self.belongs(str(row["gmtCreate"]), parameters)]
        return Page(inside[: self.cap])

    def belongs(self, moment: str, parameters: Any) -> bool:
        start, end = parameters["start"], parameters["end"]
        return (
            start < moment < end or (self.start_inclusive and start == moment) or (self.end_inclusive and end == moment)
        )

    async def read(self) -> set[int]:
        stats = PaginatorStats()
        source = CappedPager(
            planner=WindowPlanner(window_of(NOON, NOON + DAY), most_rows=60, most_at_once=60),
            reader=PageReader(self.ask, stats, "flash calls"),
            parameters=partial(flash_parameters, zone=UTC),
            structurer=RowStructurer(FLASH, make_converter(UTC), None, stats),
            row_key=FLASH.row_key,
            page_size=PageSize(100),
            stats=stats,
        )
        prefetcher = Prefetcher(source, Sequencer(FLASH.end_ms), concurrency=lambda: 4, stats=stats)
        task = asyncio.create_task(prefetcher.run())
        found: set[int] = set()
        while (batch := await prefetcher.queue.get()) is not None:
            found |= {call.id for call in batch.records}
        await task
        assert prefetcher.error is None
        return found


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
@pytest.mark.parametrize("cap", [10, 50, 99])
async def test_a_list_cut_off_earlier_than_documented_loses_nothing(cap: int, order: Order) -> None:
    seconds = in_order(range(0, 7_000, 7), order)
    assert await ModelList(seconds, cap=cap).read() == set(seconds)


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
@pytest.mark.parametrize("first", [0, 40_000, 86_000])
async def test_where_in_a_range_the_calls_crowd_hides_none(first: int, order: Order) -> None:
    seconds = in_order(range(first, first + 60), order)
    assert await ModelList(seconds, cap=50).read() == set(seconds)


@given(
    seconds=st.sets(st.one_of(st.integers(1, 86_398), st.integers(1, 12), st.integers(40_000, 40_030)), max_size=60),
    chance=st.randoms(use_true_random=False),
    order=st.sampled_from(["ascending", "descending", "shuffled"]),
    cap=st.integers(2, 60),
    ends=st.sampled_from(ENDS),
)
def test_no_cap_hides_a_call_whichever_calls_it_leaves(
    seconds: set[int], chance: Random, order: Order, cap: int, ends: tuple[bool, bool]
) -> None:
    listed = sorted(seconds, reverse=order == "descending")
    if order == "shuffled":
        chance.shuffle(listed)
    assert asyncio.run(ModelList(listed, cap=cap, ends=ends).read()) == seconds


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
async def test_a_cap_is_looked_for_with_two_questions(order: Order) -> None:
    calls = ModelList(in_order(range(0, 70_000, 1_000), order))
    await calls.read()
    assert calls.asked == 3


async def test_no_cap_is_looked_for_once_a_longer_answer_came(open_session: OpenSession) -> None:
    with Gateway(calls=10, flash_calls=0, days=1) as gateway:
        for number in range(50):
            gateway.add_flash_call(gmtCreate=f"2026-01-01 12:{number:02}:00")
        session = open_session(**on(gateway))
        whole = session.flash_calls(NOON, NOON + timedelta(hours=1))
        part = session.flash_calls(NOON, NOON + timedelta(minutes=29, seconds=30))
        assert (len(await whole.collect()), len(await part.collect())) == (50, 30)
        assert (whole.stats.pages, part.stats.pages) == (3, 1)


@pytest.mark.parametrize("rows", [0, 7])
async def test_an_answer_that_comes_shorter_when_a_cap_is_looked_for_loses_none(rows: int) -> None:
    class Wavering(ModelList):
        async def ask(self, parameters: Any) -> Page:
            page = await super().ask(parameters)
            return Page(page.rows[:rows]) if self.asked == 3 else page

    assert await Wavering(range(40), cap=20).read() == set(range(40))


async def test_an_empty_list_where_calls_are_due_is_doubted() -> None:
    assert await ModelList(range(3_000), empty_every=7).read() == set(range(3_000))


async def test_a_first_answer_without_calls_is_doubted_too() -> None:
    class Throttled(ModelList):
        async def ask(self, parameters: Any) -> Page:
            page = await super().ask(parameters)
            return Page([]) if self.asked == 1 else page

    assert await Throttled(range(500)).read() == set(range(500))


def test_a_zone_whose_offset_changes_in_the_range_is_refused() -> None:
    session = CdrSession(flash_app=FlashApp("app", "secret"), naive_zone=ZoneInfo("America/New_York"))
    with pytest.raises(ConfigurationError, match="fixed offset"):
        session.flash_calls(datetime(2025, 11, 2, 5, tzinfo=UTC), datetime(2025, 11, 2, 7, tzinfo=UTC))
    session.flash_calls(datetime(2025, 12, 1, tzinfo=UTC), datetime(2025, 12, 2, tzinfo=UTC))


async def test_an_ignored_range_is_noticed(open_session: OpenSession) -> None:
    with Gateway(calls=10, flash_calls=60, days=3) as gateway:
        gateway.switches.ignore_range = True
        session = open_session(**on(gateway))
        with pytest.raises(IncompleteError, match="ignores the time range"):
            await session.flash_calls(gateway.last_call - SECOND, gateway.last_call).collect()
        assert len(await read_all(session, gateway)) == 60


@pytest.mark.parametrize("order", ["descending", "shuffled"])
async def test_a_list_in_any_order_that_is_capped_lower_than_documented_is_whole(
    order: Order, open_session: OpenSession
) -> None:
    with Gateway(calls=10, flash_calls=250, days=1) as gateway:
        gateway.switches.flash_order, gateway.switches.page_cap = order, 50
        calls = await read_all(open_session(**on(gateway)), gateway)
        assert sorted(call.id for call in calls) == sorted(gateway.flash_ids())


async def test_a_cap_is_found_though_an_earlier_range_had_just_so_many_calls(open_session: OpenSession) -> None:
    with Gateway(calls=10, flash_calls=0, days=1) as gateway:
        gateway.switches.page_cap = 30
        for number in range(50):
            gateway.add_flash_call(gmtCreate=f"2026-01-01 12:{number:02}:00")
        session = open_session(**on(gateway))
        assert len(await session.flash_calls(NOON, NOON + timedelta(minutes=29, seconds=30)).collect()) == 30
        assert len(await session.flash_calls(NOON, NOON + timedelta(hours=1)).collect()) == 50


async def test_a_row_that_cannot_be_a_record_is_an_error_that_names_its_range(open_session: OpenSession) -> None:
    with Gateway(calls=10, flash_calls=0, days=1) as gateway:
        gateway.add_flash_call(gmtCreate=NOON_LOCAL, price="much")
        with pytest.raises(RecordError) as caught:
            await open_session(**on(gateway)).flash_calls(NOON, NOON + SECOND).collect()
        assert caught.value.asked_for == f"flash calls {NOON.isoformat()} to {(NOON + SECOND).isoformat()}"

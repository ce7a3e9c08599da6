"""Whatever calls there are and however a gateway sorts, cuts and bounds them: each comes once, in order."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given, strategies as st

from nxcdr_async import IncompleteError, ServerError
from nxcdr_async.paging.base import Ask
from nxcdr_async.paging.places import FEWEST_WINDOWS
from nxcdr_async.paging.planner import TOO_FULL
from nxcdr_async.paging.window_pages import MOST_PAGES_IN_VAIN
from nxcdr_async.protocol.responses import Page
from nxcdr_async.stats import PaginatorStats
from tests.examples import examples
from tests.paging.model import BEGIN, PAGE, ModelGateway, drain, evenly, prefetcher_of, read

moments = st.one_of(
    st.lists(st.integers(0, 3_599_999), max_size=120),
    st.lists(st.integers(0, 20), max_size=60).map(lambda offsets: [1_800_000 + offset for offset in offsets]),
    st.lists(st.sampled_from([0, 999, 1000, 1001, 59_000, 60_000, 3_599_999]), max_size=60),
)


@examples(300)
@given(
    offsets=moments,
    order=st.sampled_from(["ascending", "descending", "shuffled"]),
    ends=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    repeats=st.booleans(),
    arrivals=st.one_of(st.none(), st.integers(0, 1000)),
    width=st.integers(1, 6),
)
def test_every_call_that_was_there_comes_once_and_in_order(
    offsets: list[int],
    order: str,
    ends: tuple[bool, bool, bool],
    repeats: bool,
    arrivals: int | None,
    width: int,
) -> None:
    there = [{"callId": f"{number}", "startTime": BEGIN * 1000 + offset} for number, offset in enumerate(offsets)]
    # Rows that arrive and a last page repeated for ever in one second cannot be told from a page number ignored.
    # Pages of one second and nothing else anywhere cannot be told from an answer that is cut off at a depth, unless
    # narrower bounds show that second whole, which those do whose start counts, and the last page is not full.
    is_shown_whole = bool(ends[0] and len(offsets) % PAGE)
    assume(len({offset // 1000 for offset in offsets}) > 1 or len(offsets) <= PAGE or is_shown_whole)
    # Nor can a second that just fills pages, where the start of a question does not count: it is refused, not lost.
    assume(ends[0] or all(count % PAGE for count in Counter(offset // 1000 for offset in offsets).values()))
    crowded = len({offset // 1000 for offset in offsets}) < len(offsets)
    gateway = ModelGateway(
        list(there),
        order,
        *ends,
        repeats_last_page=repeats and not crowded,
        arrivals=random.Random(arrivals) if arrivals is not None else None,
    )
    calls, stats = asyncio.run(read(gateway, 3600, width))
    found = [call.call_id for call in calls]
    assert len(found) == len(set(found))
    assert {row["callId"] for row in there} <= set(found)
    assert calls == sorted(calls, key=lambda call: (call.start_time, call.call_id))
    assert stats.records == len(calls)
    assert stats.out_of_order == 0
    assert all(call.start_time >= datetime.fromtimestamp(BEGIN - 1, UTC) for call in calls)


@pytest.mark.parametrize("cap", [10, 33, 50, 64, 99])
@pytest.mark.parametrize("rows", [50, 150, 1_000])
def test_a_gateway_that_caps_pages_lower_than_documented_loses_nothing(cap: int, rows: int) -> None:
    gateway = ModelGateway(evenly(rows))
    gateway.page_size = cap
    calls, _ = asyncio.run(read(gateway, 3600, 4, page_size=100))
    assert {call.call_id for call in calls} == {row["callId"] for row in evenly(rows)}


def test_an_answer_without_rows_where_many_were_due_is_doubted() -> None:
    class Throttled(ModelGateway):
        async def ask(self, parameters: Mapping[str, Any]) -> Page:
            page = await super().ask(parameters)
            return Page([]) if self.asked % 4 == 0 else page

    gateway = Throttled(evenly(1_000))
    calls, _ = asyncio.run(read(gateway, 3600, 1))
    assert {call.call_id for call in calls} == {row["callId"] for row in evenly(1_000)}


def test_a_lower_cap_is_found_though_a_call_arrives_meanwhile() -> None:
    class Arriving(ModelGateway):
        async def ask(self, parameters: Mapping[str, Any]) -> Page:
            page = await super().ask(parameters)
            if self.asked == 1:
                self.rows.append({"callId": "new", "startTime": BEGIN * 1000})
            return page

    gateway = Arriving(evenly(1_000))
    gateway.page_size = 50
    calls, _ = asyncio.run(read(gateway, 3600, 4, page_size=100))
    assert {call.call_id for call in calls} >= {row["callId"] for row in evenly(1_000)}


def test_a_first_answer_without_rows_is_doubted() -> None:
    class Throttled(ModelGateway):
        async def ask(self, parameters: Mapping[str, Any]) -> Page:
            page = await super().ask(parameters)
            return Page([]) if self.asked == 1 else page

    gateway = Throttled(evenly(500))
    calls, _ = asyncio.run(read(gateway, 3600, 1, page_size=100))
    assert len(calls) == 500


def test_long_calls_of_a_gateway_that_filters_by_their_end_are_no_ignored_range() -> None:
    class ByEnd(ModelGateway):
        def _is_inside(self, moment: int, start: int, end: int) -> bool:
            return super()._is_inside(moment + 7_200_000, start, end)

    rows = [{**row, "startTime": row["startTime"] - 7_200_000, "endTime": row["startTime"]} for row in evenly(400)]
    gateway = ByEnd(rows)
    calls, _ = asyncio.run(read(gateway, 3600, 2))
    assert len(calls) == 400


class Pressed(ModelGateway):
    """A gateway that answers in its own time, while calls arrive, and fails or comes empty every so often."""

    def __init__(self, rows: list[dict[str, Any]], chance: random.Random, **ways: Any) -> None:
        super().__init__(rows, **ways)
        self.chance = chance
        self.empty_every = self.fail_every = 0
        self._came_empty: set[tuple[int, int, int]] = set()

    async def ask(self, parameters: Mapping[str, Any]) -> Page:
        await self._wait_out_latency()
        page = self.answer(parameters)
        question = parameters["startTime"], parameters["endTime"], parameters["page"]
        is_due = question[2] > 1 or question[1] - question[0] >= 3600
        if self.fail_every and self.asked % self.fail_every == 0:
            raise ServerError("down", code=99)
        if self.empty_every and self.asked % self.empty_every == 0 and is_due and question not in self._came_empty:
            # Twice would be more than any client can know.
            self._came_empty.add(question)
            page = Page([])
        self.arrive(parameters)
        await self._wait_out_latency()
        return page

    async def _wait_out_latency(self) -> None:
        for _ in range(self.chance.choice([0, 0, 1, 2, 3, 10, 30])):
            await asyncio.sleep(0)


def uneven(rows: int, seconds: int, chance: random.Random) -> list[dict[str, Any]]:
    """Return calls in quiet and busy times, so that forecasts are wrong both ways."""
    edges = sorted(chance.randrange(seconds * 1000) for _ in range(6))
    spans = list(itertools.pairwise([0, *edges, seconds * 1000]))
    moments: list[int] = []
    while len(moments) < rows:
        low, high = chance.choice(spans)
        moments += [low + chance.randrange(max(1, high - low)) for _ in range(min(rows - len(moments), 40))]
    return [{"callId": f"{number}", "startTime": BEGIN * 1000 + moment} for number, moment in enumerate(moments)]


@examples(200)
@given(
    rows=st.integers(0, 500),
    order=st.sampled_from(["ascending", "descending", "shuffled"]),
    arrivals=st.sampled_from([0, 3, 40]),
    empty_every=st.sampled_from([0, 0, 3, 10]),
    width=st.integers(1, 16),
    windows=st.sampled_from([4, 20, 1000]),
    seed=st.integers(0, 2**32),
)
def test_pages_read_ahead_while_calls_arrive_and_answers_come_in_any_order_lose_nothing(
    rows: int, order: str, arrivals: int, empty_every: int, width: int, windows: int, seed: int
) -> None:
    chance = random.Random(seed)
    seconds = 3600
    there = uneven(rows, seconds, chance)
    gateway = Pressed(list(there), chance, order=order, arrivals=chance, most_arrivals=arrivals)
    gateway.empty_every = empty_every
    stats = PaginatorStats()
    prefetcher = prefetcher_of(gateway.ask, seconds, width, stats, most_rows=windows * PAGE)
    calls = asyncio.run(asyncio.wait_for(drain(prefetcher), 60))
    assert prefetcher.error is None
    assert prefetcher.is_finished
    found = [call.call_id for call in calls]
    assert len(found) == len(set(found)) == stats.records
    assert {row["callId"] for row in there} <= set(found)
    assert calls == sorted(calls, key=lambda call: (call.start_time, call.call_id))


@examples(100)
@given(
    rows=st.integers(0, 500),
    order=st.sampled_from(["ascending", "descending", "shuffled"]),
    arrivals=st.sampled_from([0, 40]),
    width=st.integers(1, 16),
    windows=st.sampled_from([4, 20, 1000]),
    seed=st.integers(0, 2**32),
)
def test_what_came_before_a_failure_is_complete_up_to_where_it_says(
    rows: int, order: str, arrivals: int, width: int, windows: int, seed: int
) -> None:
    chance = random.Random(seed)
    seconds = 3600
    there = uneven(rows, seconds, chance)
    gateway = Pressed(list(there), chance, order=order, arrivals=chance, most_arrivals=arrivals)
    gateway.fail_every = chance.choice([2, 10, 30])
    prefetcher = prefetcher_of(gateway.ask, seconds, width, PaginatorStats(), most_rows=windows * PAGE)
    calls = asyncio.run(asyncio.wait_for(drain(prefetcher), 60))
    found = [call.call_id for call in calls]
    assert len(found) == len(set(found))
    assert calls == sorted(calls, key=lambda call: (call.start_time, call.call_id))
    until = BEGIN + seconds
    if prefetcher.error is not None:
        assert isinstance(prefetcher.error, ServerError)
        assert prefetcher.error.complete_until is not None
        until = int(prefetcher.error.complete_until.timestamp())
    assert {row["callId"] for row in there if row["startTime"] < until * 1000} <= set(found)


def sparse_then_busy(busy: int) -> list[dict[str, Any]]:
    sparse = [{"callId": f"s{number}", "startTime": (BEGIN + number * 180_000) * 1000} for number in range(40)]
    return sparse + [
        {"callId": f"b{number}", "startTime": (BEGIN + 7_200_000) * 1000 + number} for number in range(busy)
    ]


def test_a_jump_in_density_does_not_fill_the_memory() -> None:
    gateway = ModelGateway(sparse_then_busy(8_000), page_size=20)
    most_rows, width = 80, 4

    async def read_slowly() -> int:
        stats = PaginatorStats()
        prefetcher = prefetcher_of(gateway.ask, 7_200_000 + 20_000, width, stats, page_size=20, most_rows=most_rows)
        task = asyncio.create_task(prefetcher.run())
        await prefetcher.queue.get()
        before = -1
        while before != gateway.asked:
            before = gateway.asked
            for _ in range(200):
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return stats.pages

    # As many windows as are open at once, each as full as it may get before it is split.
    assert asyncio.run(read_slowly()) * 20 < max(width, FEWEST_WINDOWS) * TOO_FULL * most_rows


@pytest.mark.slow
def test_a_jump_in_density_to_more_pages_than_one_window_may_have_is_no_error() -> None:
    gateway = ModelGateway(sparse_then_busy(5_000), page_size=2)
    stats = PaginatorStats()
    prefetcher = prefetcher_of(gateway.ask, 7_200_000 + 20_000, 4, stats, page_size=2, most_rows=80)
    calls = asyncio.run(drain(prefetcher))
    assert prefetcher.error is None
    assert len(calls) == 5_040


def test_one_second_with_more_calls_than_are_read_at_once_is_read_to_its_end() -> None:
    rows = [{"callId": f"{number:05}", "startTime": BEGIN * 1000 + number % 1000} for number in range(13_050)]
    prefetcher = prefetcher_of(
        ModelGateway(rows, page_size=100).ask, 1, 4, PaginatorStats(), page_size=100, most_rows=4_000
    )
    assert len(asyncio.run(asyncio.wait_for(drain(prefetcher), 60))) == 13_050


def test_an_answer_without_rows_while_a_lower_cap_is_looked_for_loses_none() -> None:
    gateway = ModelGateway(evenly(1_000), page_size=50)
    prefetcher = prefetcher_of(empty_at(gateway, {3}), 3_600, 4, PaginatorStats(), page_size=100, most_rows=400)
    assert len(asyncio.run(drain(prefetcher))) == 1_000


@pytest.mark.parametrize("number", range(2, 8))
def test_an_answer_without_rows_for_half_of_a_range_that_repeats_its_last_page_is_doubted(number: int) -> None:
    gateway = ModelGateway(evenly(400), repeats_last_page=True, page_size=100)
    prefetcher = prefetcher_of(empty_at(gateway, {number}), 3_600, 2, PaginatorStats(), page_size=100, most_rows=400)
    assert len(asyncio.run(drain(prefetcher))) == 400


def empty_at(gateway: ModelGateway, numbers: set[int]) -> Ask:
    """Ask a gateway that answers some of the questions with nothing."""

    async def ask(parameters: Mapping[str, Any]) -> Page:
        page = await gateway.ask(parameters)
        return Page([]) if gateway.asked in numbers else page

    return ask


def test_calls_that_arrive_all_the_time_cost_no_long_chain_of_questions() -> None:
    gateway = ModelGateway(evenly(20_000), order="descending", arrivals=random.Random(1), page_size=100)
    stats = PaginatorStats()
    calls = asyncio.run(drain(prefetcher_of(gateway.ask, 3_600, 16, stats, page_size=100, most_rows=4_000)))
    assert {row["callId"] for row in evenly(20_000)} <= {call.call_id for call in calls}
    assert stats.pages < 400


@pytest.mark.parametrize("seconds", [1, 60, 30 * 86_400])
def test_rows_that_are_made_up_for_ever_end(seconds: int) -> None:
    numbers = itertools.count()
    asked = 0

    async def ask(parameters: Mapping[str, Any]) -> Page:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        moment = parameters["startTime"] * 1000
        return Page([{"callId": f"{number}", "startTime": moment} for number in itertools.islice(numbers, 100)])

    prefetcher = prefetcher_of(
        ask, seconds, 8, PaginatorStats(), page_size=100, most_rows=4_000, most_at_once=16_000, end_ms=None
    )
    asyncio.run(drain(prefetcher))
    assert isinstance(prefetcher.error, IncompleteError)
    assert asked <= MOST_PAGES_IN_VAIN + 100


@pytest.mark.parametrize("cap", [33, 50])
def test_a_cap_is_found_though_the_first_look_behind_it_comes_empty(cap: int) -> None:
    class Throttled(ModelGateway):
        async def ask(self, parameters: Mapping[str, Any]) -> Page:
            page = await super().ask(parameters)
            return Page([]) if self.asked == 2 else page

    gateway = Throttled(evenly(1_000), page_size=cap)
    calls, _ = asyncio.run(read(gateway, 3600, 4, page_size=100))
    assert len(calls) == 1_000


@pytest.mark.parametrize("rows", [0, 7])
def test_a_first_page_that_comes_shorter_when_a_cap_is_looked_for_loses_none(rows: int) -> None:
    gateway = ModelGateway(evenly(40), page_size=20)

    async def ask(parameters: Mapping[str, Any]) -> Page:
        page = await gateway.ask(parameters)
        return Page(page.rows[:rows]) if gateway.asked in (3, 4) and parameters["page"] == 1 else page

    prefetcher = prefetcher_of(ask, 3_600, 1, PaginatorStats(), page_size=100, most_rows=400)
    assert len(asyncio.run(drain(prefetcher))) == 40
    assert prefetcher.error is None


def test_a_first_page_that_has_grown_when_a_cap_is_looked_for_is_the_one_that_counts() -> None:
    gateway = ModelGateway(evenly(99), page_size=100)

    async def ask(parameters: Mapping[str, Any]) -> Page:
        page = await gateway.ask(parameters)
        if gateway.asked == 1:
            gateway.rows += [{"callId": f"new{number}", "startTime": BEGIN * 1000 + number} for number in range(21)]
        return page

    prefetcher = prefetcher_of(ask, 3_600, 1, PaginatorStats(), page_size=100, most_rows=400)
    assert len(asyncio.run(drain(prefetcher))) == 120

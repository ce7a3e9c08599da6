"""Whatever calls there are and however a gateway sorts, cuts and bounds them: each comes once, in order."""

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given, settings, strategies as st

from nxcdr_async import CallRecord
from nxcdr_async.convert import make_converter, structure_row
from nxcdr_async.pages import PageReader, PageSize, Pump, RowStructurer, Sequencer, WindowedPages
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window, WindowPlan
from nxcdr_async.wire import CALLS, CallQuery, Page

PAGE = 5
BEGIN = 1_767_225_600
CONVERTER = make_converter()


@define
class ModelGateway:
    """cdr/page as a list in memory."""

    rows: list[dict[str, Any]]
    order: str
    start_inclusive: bool
    end_inclusive: bool
    whole_seconds: bool
    repeats_last_page: bool
    arrivals: random.Random | None
    page_size: int = PAGE
    asked: int = 0
    added: int = 0
    _shuffle: dict[str, float] = field(factory=dict)

    async def ask(self, parameters: Mapping[str, Any]) -> Page:
        self.asked += 1
        start, end, number = parameters["startTime"], parameters["endTime"], parameters["page"]
        rows = self._sorted([row for row in self.rows if self._is_inside(row["startTime"], start, end)])
        last = max(1, -(-len(rows) // self.page_size))
        page = min(number, last) if self.repeats_last_page else number
        answer = Page(rows[(page - 1) * self.page_size : page * self.page_size])
        await asyncio.sleep(0)
        if self.arrivals and self.added < 40:
            self.added += 1
            moment = self.arrivals.randrange(start * 1000, end * 1000)
            self.rows.append({"callId": f"new{self.added}", "startTime": moment})
        return answer

    def _is_inside(self, moment: int, start: int, end: int) -> bool:
        if self.whole_seconds:
            moment = moment // 1000 * 1000
        after = moment >= start * 1000 if self.start_inclusive else moment > start * 1000
        return after and (moment <= end * 1000 if self.end_inclusive else moment < end * 1000)

    def _sorted(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.order == "shuffled":
            return sorted(rows, key=lambda row: random.Random(row["callId"]).random())
        return sorted(rows, key=lambda row: row["startTime"], reverse=self.order == "descending")


def pump_of(gateway: ModelGateway, seconds: int, width: int, page_size: int, stats: PaginatorStats) -> Pump[CallRecord]:
    query = CallQuery()

    def structure(row: Any) -> CallRecord:
        return structure_row(CONVERTER, row, CallRecord)

    source = WindowedPages(
        plan=WindowPlan(Window(BEGIN, BEGIN + seconds), most_rows=4 * page_size, fewest_rows=2 * page_size),
        reader=PageReader(gateway.ask, stats),
        parameters=lambda window, number: query.page(window, number, page_size),
        structurer=RowStructurer(structure, None, stats),
        moment=CALLS.moment,
        end_time=CALLS.end_time,
        row_key=CALLS.row_key,
        page_size=PageSize(page_size),
        stats=stats,
    )
    sequencer = Sequencer(CALLS.moment, CALLS.identity, CALLS.end_time)
    return Pump(source, sequencer, readers=lambda: width, stats=stats)


async def read(
    gateway: ModelGateway, seconds: int, width: int, page_size: int = PAGE
) -> tuple[list[CallRecord], PaginatorStats]:
    stats = PaginatorStats()
    pump = pump_of(gateway, seconds, width, page_size, stats)
    task = asyncio.create_task(pump.run())
    calls: list[CallRecord] = []
    while (batch := await pump.mailbox.take()) is not None:
        calls += batch
    await task
    if pump.error is not None:
        raise pump.error
    return calls, stats


moments = st.one_of(
    st.lists(st.integers(0, 3_599_999), max_size=120),
    st.lists(st.integers(0, 20), max_size=60).map(lambda offsets: [1_800_000 + offset for offset in offsets]),
    st.lists(st.sampled_from([0, 999, 1000, 1001, 59_000, 60_000, 3_599_999]), max_size=60),
)


@settings(max_examples=300, deadline=None)
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


def evenly(rows: int) -> list[dict[str, Any]]:
    return [{"callId": f"{number}", "startTime": BEGIN * 1000 + number * 3_600_000 // rows} for number in range(rows)]


@pytest.mark.parametrize("cap", [10, 33, 50, 64, 99])
@pytest.mark.parametrize("rows", [50, 150, 1_000])
def test_a_gateway_that_caps_pages_lower_than_documented_loses_nothing(cap: int, rows: int) -> None:
    gateway = ModelGateway(evenly(rows), "ascending", *(True, True, False), repeats_last_page=False, arrivals=None)
    gateway.page_size = cap
    calls, _ = asyncio.run(read(gateway, 3600, 4, page_size=100))
    assert {call.call_id for call in calls} == {row["callId"] for row in evenly(rows)}


def test_an_answer_without_rows_where_many_were_due_is_doubted() -> None:
    class Throttled(ModelGateway):
        async def ask(self, parameters: Mapping[str, Any]) -> Page:
            page = await super().ask(parameters)
            return Page([]) if self.asked % 4 == 0 else page

    gateway = Throttled(evenly(1_000), "ascending", *(True, True, False), repeats_last_page=False, arrivals=None)
    calls, _ = asyncio.run(read(gateway, 3600, 1))
    assert {call.call_id for call in calls} == {row["callId"] for row in evenly(1_000)}


def test_a_lower_cap_is_found_though_a_call_arrives_meanwhile() -> None:
    class Arriving(ModelGateway):
        async def ask(self, parameters: Mapping[str, Any]) -> Page:
            page = await super().ask(parameters)
            if self.asked == 1:
                self.rows.append({"callId": "new", "startTime": BEGIN * 1000})
            return page

    gateway = Arriving(evenly(1_000), "ascending", *(True, True, False), repeats_last_page=False, arrivals=None)
    gateway.page_size = 50
    calls, _ = asyncio.run(read(gateway, 3600, 4, page_size=100))
    assert {call.call_id for call in calls} >= {row["callId"] for row in evenly(1_000)}


def test_a_first_answer_without_rows_is_doubted() -> None:
    class Throttled(ModelGateway):
        async def ask(self, parameters: Mapping[str, Any]) -> Page:
            page = await super().ask(parameters)
            return Page([]) if self.asked == 1 else page

    gateway = Throttled(evenly(500), "ascending", *(True, True, False), repeats_last_page=False, arrivals=None)
    calls, _ = asyncio.run(read(gateway, 3600, 1, page_size=100))
    assert len(calls) == 500


def test_long_calls_of_a_gateway_that_filters_by_their_end_are_no_ignored_range() -> None:
    class ByEnd(ModelGateway):
        def _is_inside(self, moment: int, start: int, end: int) -> bool:
            return super()._is_inside(moment + 7_200_000, start, end)

    rows = [{**row, "startTime": row["startTime"] - 7_200_000, "endTime": row["startTime"]} for row in evenly(400)]
    gateway = ByEnd(rows, "ascending", *(True, True, False), repeats_last_page=False, arrivals=None)
    calls, _ = asyncio.run(read(gateway, 3600, 2))
    assert len(calls) == 400


def test_a_jump_in_density_does_not_fill_the_memory() -> None:
    sparse = [{"callId": f"s{number}", "startTime": (BEGIN + number * 36_000) * 1000} for number in range(200)]
    busy = [{"callId": f"b{number}", "startTime": (BEGIN + 7_200_000 + number) * 1000} for number in range(20_000)]
    gateway = ModelGateway(sparse + busy, "ascending", *(True, True, False), repeats_last_page=False, arrivals=None)
    gateway.page_size = 100

    async def read_slowly() -> int:
        stats = PaginatorStats()
        pump = pump_of(gateway, 7_200_000 + 20_000, 4, 100, stats)
        task = asyncio.create_task(pump.run())
        await pump.mailbox.take()
        before = -1
        while before != gateway.asked:
            before = gateway.asked
            for _ in range(200):
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return stats.pages

    assert asyncio.run(read_slowly()) < 150

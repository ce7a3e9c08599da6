"""cdr/page as a list in memory, and what reads it: all of the stream but its line and its clock."""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any

import anyio
from attrs import define, field

from nxcdr_async import CallRecord, SaturatedSecondError
from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.base import Ask, ReadResult
from nxcdr_async.paging.page_reader import PageReader, PageSize, RowStructurer
from nxcdr_async.paging.places import Pager, Places
from nxcdr_async.paging.planner import WindowPlanner
from nxcdr_async.paging.prefetch import Prefetcher
from nxcdr_async.paging.sequencer import Sequencer
from nxcdr_async.paging.uncounted import UncountedPager
from nxcdr_async.paging.window_pages import WindowPageReader
from nxcdr_async.protocol.endpoints import CALLS
from nxcdr_async.protocol.responses import Page
from nxcdr_async.records.converter import make_converter
from nxcdr_async.sources.calls import CallQuery
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window

PAGE = 5
BEGIN = 1_767_225_600
CONVERTER = make_converter()


@define
class ModelGateway:
    """cdr/page as a list in memory."""

    rows: list[dict[str, Any]]
    order: str = "ascending"
    start_inclusive: bool = True
    end_inclusive: bool = True
    whole_seconds: bool = False
    repeats_last_page: bool = False
    arrivals: random.Random | None = None
    most_arrivals: int = 40
    page_size: int = PAGE
    depth: int | None = None
    depth_error: Exception | None = None
    asked: int = field(default=0, init=False)
    added: int = field(default=0, init=False)

    async def ask(self, parameters: Mapping[str, Any]) -> Page:
        answer = self.answer(parameters)
        await asyncio.sleep(0)
        self.arrive(parameters)
        return answer

    def answer(self, parameters: Mapping[str, Any]) -> Page:
        self.asked += 1
        start, end, number = parameters["startTime"], parameters["endTime"], parameters["page"]
        rows = self._sorted([row for row in self.rows if self._is_inside(row["startTime"], start, end)])
        shown = rows if self.depth is None else rows[: self.depth]
        last = max(1, -(-len(shown) // self.page_size))
        page = min(number, last) if self.repeats_last_page else number
        if self.depth_error is not None and (page - 1) * self.page_size >= len(shown) < len(rows):
            raise self.depth_error
        return Page(shown[(page - 1) * self.page_size : page * self.page_size])

    def arrive(self, parameters: Mapping[str, Any]) -> None:
        """Have one more call turn up in the range that was asked for."""
        is_wide = parameters["startTime"] < parameters["endTime"]
        if self.arrivals and is_wide and self.added < self.most_arrivals:
            self.added += 1
            moment = self.arrivals.randrange(parameters["startTime"] * 1000, parameters["endTime"] * 1000)
            self.rows.append({"callId": f"new{self.added}", "startTime": moment})

    def _is_inside(self, moment: int, start: int, end: int) -> bool:
        if self.whole_seconds:
            moment = moment // 1000 * 1000
        after = moment >= start * 1000 if self.start_inclusive else moment > start * 1000
        return after and (moment <= end * 1000 if self.end_inclusive else moment < end * 1000)

    def _sorted(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.order == "shuffled":
            return sorted(rows, key=lambda row: random.Random(row["callId"]).random())
        return sorted(rows, key=lambda row: row["startTime"], reverse=self.order == "descending")


def evenly(rows: int, seconds: int = 3600) -> list[dict[str, Any]]:
    return [
        {"callId": f"{number}", "startTime": BEGIN * 1000 + number * seconds * 1000 // rows} for number in range(rows)
    ]


def prefetcher_of(
    ask: Ask,
    seconds: int,
    width: int,
    stats: PaginatorStats,
    *,
    page_size: int = PAGE,
    known_size: PageSize | None = None,
    most_rows: int | None = None,
    most_at_once: int | None = None,
    end_ms: Callable[[Any], float | None] | None = CALLS.end_ms,
    on_saturated_second: Callable[[SaturatedSecondError], object] | None = None,
    limits: AnswerLimits | None = None,
) -> Prefetcher[CallRecord]:
    """Return what reads so many seconds, by default with windows of four pages."""
    query = CallQuery()
    most_rows = most_rows or 4 * page_size
    source = UncountedPager(
        planner=WindowPlanner(
            Window(BEGIN, BEGIN + seconds),
            most_rows=most_rows,
            most_at_once=most_at_once or most_rows,
            limits=limits or AnswerLimits(),
        ),
        pages=WindowPageReader(
            reader=PageReader(ask, stats, "calls"),
            parameters=lambda window, number: query.page(window, number, page_size),
            row_key=CALLS.row_key,
            page_size=known_size or PageSize(page_size),
        ),
        structurer=RowStructurer(CALLS, CONVERTER, None, stats),
        end_ms=end_ms,
        stats=stats,
        on_saturated_second=on_saturated_second,
    )
    return Prefetcher(source, Sequencer(end_ms), concurrency=lambda: width, stats=stats)


async def results_of(pager: Pager, width: int = 4) -> list[tuple[Window, ReadResult]]:
    """Read the windows of a pager, and return what came of each."""
    found = []
    async with anyio.create_task_group() as group:
        places = Places(pager, lambda: width, group)
        group.start_soon(places.hand_out)
        while (read := await places.next_result()) is not None:
            found.append(read)
        group.cancel_scope.cancel()
    return found


async def drain(prefetcher: Prefetcher[CallRecord]) -> list[CallRecord]:
    """Run a prefetcher to its end and return what it gave; its error, if any, is left in it."""
    task = asyncio.create_task(prefetcher.run())
    # Even a prefetcher that fails in a way it should not ends the wait.
    task.add_done_callback(lambda _: prefetcher.queue.close())
    calls: list[CallRecord] = []
    try:
        while (batch := await prefetcher.queue.get()) is not None:
            calls += batch.records
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return calls


async def read(
    gateway: ModelGateway, seconds: int, width: int, page_size: int = PAGE
) -> tuple[list[CallRecord], PaginatorStats]:
    stats = PaginatorStats()
    prefetcher = prefetcher_of(gateway.ask, seconds, width, stats, page_size=page_size)
    calls = await drain(prefetcher)
    if prefetcher.error is not None:
        raise prefetcher.error
    return calls, stats

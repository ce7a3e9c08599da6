"""Reading an API that tells with each page how many rows a day has: did/cdr."""

from collections.abc import Callable, Hashable, Mapping
from datetime import date, datetime, timedelta, tzinfo
from functools import partial
from typing import Any

import anyio
from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import IncompleteError, SaturatedDayError
from nxcdr_async.paging.base import OneStep, Outcome, ReadResult, check_inside
from nxcdr_async.paging.bounded import Questions
from nxcdr_async.paging.page_reader import MOST_PAGES, PageReader, RowStructurer
from nxcdr_async.protocol.codes import is_final
from nxcdr_async.protocol.responses import Dated, Page
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import HOUR, Window

MOST_REREADINGS = 3
"""How often a day is read again, its pages in order, before its contradictions are an error."""

FARTHEST_FROM_DAY = 24 * HOUR
"""Seconds a call may start before or after the day that gives it, as nobody documents whose midnight counts."""


@define(eq=False)
class CountedPages:
    """Reads an API that tells after its first page how many rows a day has: days and their pages side by side.

    A day is proven when every page tells the same total, that many rows came, and no id came twice. If rows arrived
    meanwhile, the day is read again with its pages in ascending order.

    Attributes:
        first_day: the first day, in the vendor's zone.
        last_day: the last day, inclusive.
        zone: the vendor's zone.
        reader: asks for pages.
        parameters: of the request for a page of a day.
        structurer: turns rows into records.
        row_key: the id of a raw row, None without one.
        page_size: the rows asked for at once.
        stats: where days are counted, as windows.
        on_saturated_day: gets the error of a day that is told in part only; None to raise it.
    """

    first_day: date
    last_day: date
    zone: tzinfo
    reader: PageReader
    parameters: Callable[[date, int], Mapping[str, Any]]
    structurer: RowStructurer[Any]
    row_key: Callable[[Any], Hashable]
    page_size: int
    stats: PaginatorStats
    on_saturated_day: Callable[[SaturatedDayError], object] | None = None
    _days: int = field(default=0, init=False)

    def next(self) -> Window | None:
        """Take the next day."""
        day = self.first_day + timedelta(days=self._days)
        if day > self.last_day:
            return None
        self._days += 1
        return self.window_of(day)

    def window_of(self, day: date) -> Window:
        """Return the seconds of a day."""
        start, end = (datetime(*each.timetuple()[:3], tzinfo=self.zone) for each in (day, day + timedelta(days=1)))
        return Window(int(start.timestamp()), int(end.timestamp()))

    def questions(self, now: Callable[[], int], may_refuse_range: Callable[[Exception], bool]) -> Questions:
        """Return the questions about single days.

        Args:
            now: tells the time by the clock of the gateway, epoch seconds.
            may_refuse_range: tells whether a refusal may be about the day of a question.
        """
        first, last = self.window_of(self.first_day), self.window_of(self.last_day)
        return Questions(
            whole=Window(first.start, last.end),
            count=(self.last_day - self.first_day).days + 1,
            window=lambda number: self.window_of(self.first_day + timedelta(days=number)),
            present=lambda: self.window_of(self.day_at(now())),
            ask=lambda window: self._ask(self.day_at(window.start), 1),
            may_refuse_range=may_refuse_range,
        )

    def day_at(self, moment: int) -> date:
        """Return the day that holds a moment (epoch seconds)."""
        return moment_at(moment).astimezone(self.zone).date()

    def open(self, window: Window) -> OneStep:
        """Begin to read a day."""
        return OneStep(partial(self._read, window))

    async def _read(self, window: Window) -> Outcome:
        """Read the pages of a day."""
        day = self.day_at(window.start)
        pages: dict[int, Page] = {}
        try:
            await self._fan_out(day, pages)
            await self._look_behind(day, pages)
            is_proven = self._agrees(pages)
            for _ in range(MOST_REREADINGS):
                if is_proven:
                    break
                self.stats.rereads += 1
                pages.clear()
                await self._read_in_order(day, pages)
                await self._look_behind(day, pages)
                is_proven = self._covers(pages)
        except Exception as error:  # noqa: BLE001 - handed on with the records before it, and raised by the paginator
            is_cut = bool(pages) and is_final(error)
            return self._result(day, window, pages, self._cut_off(day, pages, error) if is_cut else error)
        if is_proven:
            self.stats.windows += 1
            return self._result(day, window, pages)
        return self._result(day, window, pages, self._contradiction(day, pages))

    async def _fan_out(self, day: date, pages: dict[int, Page]) -> None:
        """Ask for the first page and then for all others at once; the error of the lowest failing page is raised."""
        pages[1] = await self._ask(day, 1)
        failures: dict[int, Exception] = {}

        async def fetch(number: int) -> None:
            try:
                pages[number] = await self._ask(day, number)
            except Exception as error:  # noqa: BLE001 - raised below, bare
                failures[number] = error

        async with anyio.create_task_group() as fetchers:
            for number in range(2, self._page_count(pages[1]) + 1):
                fetchers.start_soon(fetch, number)
        if failures:
            first = min(failures)
            for number in [number for number in pages if number > first]:
                del pages[number]
            raise failures[first]

    async def _read_in_order(self, day: date, pages: dict[int, Page]) -> None:
        for number in range(1, MOST_PAGES + 1):
            page = await self._ask(day, number)
            if number > 1 and page.rows and page.rows == pages[number - 1].rows:
                return
            pages[number] = page
            # Short of the total, what lies behind tells whether the gateway shows no more.
            if self._is_last(page, number) and (not page.rows or self._count(pages)[1] >= (page.total_rows or 0)):
                return

    async def _look_behind(self, day: date, pages: dict[int, Page]) -> None:
        """Add the page behind a last one that is full, if it has other rows: the total may be too low."""
        last = max(pages)
        if len(pages[last].rows) < (self.page_size if last == 1 else len(pages[1].rows)):
            return
        behind = await self._ask(day, last + 1)
        known = {self.row_key(row) for page in pages.values() for row in page.rows} - {None}
        if behind.rows != pages[last].rows and not known.issuperset(map(self.row_key, behind.rows)):
            pages[last + 1] = behind

    async def _ask(self, day: date, number: int) -> Page:
        """Ask for a page; one without rows is asked for twice, as an empty page ends a day."""
        return await self.reader.page_with_rows(self.parameters(day, number), day, number)

    def _page_count(self, page: Page) -> int:
        """Return how many pages a day has; a gateway may make its pages smaller than asked for."""
        told = max(page.total_pages or 1, -(-(page.total_rows or 0) // self.page_size))
        return min(MOST_PAGES, told)

    def _is_last(self, page: Page, number: int) -> bool:
        """Tell whether no page follows; without a total only an empty one shows it, as pages may be capped lower."""
        return not page.rows or (page.total_rows is not None and number >= self._page_count(page))

    def _agrees(self, pages: dict[int, Page]) -> bool:
        """Tell whether all pages tell of the same number of rows, and just so many came, all different."""
        totals = {page.total_rows for page in pages.values()}
        distinct, came = self._count(pages)
        if totals == {None}:
            return distinct == came and self._is_last(pages[max(pages)], max(pages))
        return len(totals) == 1 and distinct == came == next(iter(totals))

    def _covers(self, pages: dict[int, Page]) -> bool:
        """Tell whether pages read in ascending order hold the rows there were at their start, and no untold ones.

        Rows that arrived meanwhile repeat others, which the sequencer leaves out by id; rows without an id cannot be
        told apart, so they need a day that stands still.
        """
        totals = [page.total_rows for page in pages.values() if page.total_rows is not None]
        has_ids = all(self.row_key(row) is not None for page in pages.values() for row in page.rows)
        if len(totals) < len(pages) or not has_ids:
            return self._agrees(pages)
        distinct, _ = self._count(pages)
        return self._is_last(pages[max(pages)], max(pages)) and totals[0] <= distinct <= max(totals)

    def _count(self, pages: dict[int, Page]) -> tuple[int, int]:
        """Count the different rows, and all rows; rows without an id all count as different."""
        keys = [self.row_key(row) for page in pages.values() for row in page.rows]
        known = [key for key in keys if key is not None]
        return len(set(known)) + len(keys) - len(known), len(keys)

    def _cut_off(self, day: date, pages: dict[int, Page], cause: Exception | None = None) -> SaturatedDayError:
        """Return the error of a day of which the gateway shows fewer rows than it tells of."""
        distinct, _ = self._count(pages)
        error = SaturatedDayError(
            f"{day}: the gateway shows {distinct} of the {pages[1].total_rows} rows it tells of, and no page behind "
            "them: ask for the day by did_number or direction, which each hold fewer",
            day=day,
        )
        error.__cause__ = cause
        return error

    def _contradiction(self, day: date, pages: dict[int, Page]) -> IncompleteError:
        distinct, came = self._count(pages)
        totals = dict.fromkeys(page.total_rows for page in pages.values())
        is_behind_rows = max(pages) > 1 and not pages[max(pages)].rows
        if is_behind_rows and distinct == came and len(totals) == 1:
            return self._cut_off(day, pages)
        told = " and of ".join("no total" if total is None else f"{total} rows" for total in totals)
        return IncompleteError(
            f"{day}: {came} rows came, {distinct} of them different, and the gateway tells of {told}: "
            "ask for the day again later",
        )

    def _result(self, day: date, window: Window, pages: dict[int, Page], error: Exception | None = None) -> ReadResult:
        records: list[Dated] = []
        try:
            for number in sorted(pages):
                self.structurer.add(pages[number], records, self.reader.in_words(day, number))
            check_inside(window, records, None, margin=FARTHEST_FROM_DAY)
            if isinstance(error, SaturatedDayError) and self.on_saturated_day is not None:
                self.on_saturated_day(error)
                error = None
        except Exception as fault:  # noqa: BLE001 - a bad row, an error of the user's callback, an ignored date: likewise
            return ReadResult.each_once(records, error or fault)
        return ReadResult.each_once(records, error)

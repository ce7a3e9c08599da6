"""Reading an API that says with each page how many rows a day has: did/cdr."""

from collections.abc import Callable, Hashable, Mapping
from datetime import date, timedelta, tzinfo
from functools import partial
from typing import Any

from attrs import define, field

from nxcdr_async._util.counts import counted
from nxcdr_async.errors import IncompleteError, SaturatedDayError
from nxcdr_async.paging.base import Outcome, ReadResult, check_inside
from nxcdr_async.paging.bounded import RangeProbes
from nxcdr_async.paging.page_reader import MOST_PAGES, ROWS_DUE, PageReader, RowStructurer
from nxcdr_async.paging.places import WindowPlaces
from nxcdr_async.protocol.codes import is_final
from nxcdr_async.protocol.responses import Page, Row
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import HOUR, Window, day_at, midnight, window_of_day

MOST_REREADINGS = 3
"""How often a day is read again, page by page, before its contradictions are an error."""

FARTHEST_FROM_DAY = 24 * HOUR
"""Seconds a call may start outside the day it came for, as it is not documented whose midnight counts."""


@define(eq=False)
class CountedPager:
    """Reads an API that says with each page how many rows a day has: days concurrently, and the pages of a day.

    A day is complete when every page gives the same total, that many rows came, and no id came twice. If rows arrived
    meanwhile, the day is read again page by page.

    Attributes:
        first_day: in the vendor's zone.
        last_day: inclusive.
        zone: the vendor's zone.
        parameters: returns those of the request for a page of a day.
        row_key: returns the id of a raw row, None without one.
        page_size: rows requested at once.
        on_saturated_day: gets the error of a day that is shown in part only; None to raise it.
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
        """Return the next day as a window."""
        day = self.first_day + timedelta(days=self._days)
        if day > self.last_day:
            return None
        self._days += 1
        return window_of_day(day, self.zone)

    def range_probes(self, now: Callable[[], int], may_refuse_range: Callable[[Exception], bool]) -> RangeProbes:
        """Return the queries for single days that find out which days are refused.

        Args:
            now: returns the time by the gateway's clock, epoch seconds.
            may_refuse_range: returns whether a refusal may be about the day of a query.
        """
        zone = self.zone
        return RangeProbes(
            whole=Window(midnight(self.first_day, zone), window_of_day(self.last_day, zone).end),
            count=(self.last_day - self.first_day).days + 1,
            window=lambda number: window_of_day(self.first_day + timedelta(days=number), zone),
            present=lambda: window_of_day(day_at(now(), zone), zone),
            ask=lambda window: self._ask(day_at(window.start, zone), 1),
            may_refuse_range=may_refuse_range,
        )

    async def read(self, window: Window, places: WindowPlaces) -> Outcome:
        """Read the pages of a day."""
        day = day_at(window.start, self.zone)
        pages: dict[int, Page] = {}
        try:
            await self._read_concurrently(day, pages, places)
            await self._add_page_after_last(day, pages, places)
            is_proven = self._agrees(pages)
            for _ in range(MOST_REREADINGS):
                if is_proven:
                    break
                self.stats.rereads += 1
                pages.clear()
                await self._read_in_order(day, pages, places)
                await self._add_page_after_last(day, pages, places)
                is_proven = self._covers(pages)
        except Exception as error:  # noqa: BLE001 - handed on with the records before it, and raised by the paginator
            is_cut = bool(pages) and is_final(error)
            return self._result(day, window, pages, self._saturated(day, pages, error) if is_cut else error)
        if is_proven:
            self.stats.windows += 1
            return self._result(day, window, pages)
        return self._result(day, window, pages, self._contradiction(day, pages))

    async def _read_concurrently(self, day: date, pages: dict[int, Page], places: WindowPlaces) -> None:
        """Request the first page and then all others at once; the error of the lowest failing page is raised."""
        async with places.one():
            pages[1] = await self._ask(day, 1)
        failures: dict[int, Exception] = {}

        async def fetch(number: int) -> None:
            try:
                pages[number] = await self._ask(day, number)
            except Exception as error:  # noqa: BLE001 - raised below, without the pages behind it
                failures[number] = error

        await places.at_once([partial(fetch, number) for number in range(2, self._page_count(pages[1]) + 1)])
        if failures:
            first = min(failures)
            for number in [number for number in pages if number > first]:
                del pages[number]
            raise failures[first]

    async def _read_in_order(self, day: date, pages: dict[int, Page], places: WindowPlaces) -> None:
        async with places.one():
            for number in range(1, MOST_PAGES + 1):
                page = await self._ask(day, number)
                if number > 1 and page.rows and page.rows == pages[number - 1].rows:
                    return
                pages[number] = page
                # Short of the total, the next page decides whether the gateway shows no more.
                if self._is_last(page, number) and (not page.rows or self._count(pages)[1] >= (page.total_rows or 0)):
                    return

    async def _add_page_after_last(self, day: date, pages: dict[int, Page], places: WindowPlaces) -> None:
        """Add the page after a last one that is full, if it has other rows: the total may be too low."""
        last = max(pages)
        if len(pages[last].rows) < (self.page_size if last == 1 else len(pages[1].rows)):
            return
        async with places.one():
            behind = await self._ask(day, last + 1)
        known = {self.row_key(row) for page in pages.values() for row in page.rows} - {None}
        if behind.rows != pages[last].rows and not known.issuperset(map(self.row_key, behind.rows)):
            pages[last + 1] = behind

    async def _ask(self, day: date, number: int) -> Page:
        """Request a page; twice if it has no rows, as an empty page ends a day."""
        return await self.reader.page(self.parameters(day, number), day, number, expected=ROWS_DUE)

    def _page_count(self, page: Page) -> int:
        """Return how many pages a day has; a gateway may make its pages smaller than asked for."""
        pages = max(page.total_pages or 1, -(-(page.total_rows or 0) // self.page_size))
        return min(MOST_PAGES, pages)

    def _is_last(self, page: Page, number: int) -> bool:
        """Return whether no page follows; without a total only an empty page proves it: pages may be capped lower."""
        return not page.rows or (page.total_rows is not None and number >= self._page_count(page))

    def _agrees(self, pages: dict[int, Page]) -> bool:
        """Return whether all pages give the same total, and that many rows came, all different."""
        totals = {page.total_rows for page in pages.values()}
        distinct, came = self._count(pages)
        if totals == {None}:
            return distinct == came and self._is_last(pages[max(pages)], max(pages))
        return len(totals) == 1 and distinct == came == next(iter(totals))

    def _covers(self, pages: dict[int, Page]) -> bool:
        """Return whether pages read in order have the rows that were there at the start, and no more than the totals.

        Rows that arrived meanwhile push others to two pages, which the sequencer leaves out by id. Rows without an id
        cannot be told apart, so their day must not change while it is read.
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

    def _saturated(self, day: date, pages: dict[int, Page], cause: Exception | None = None) -> SaturatedDayError:
        """Return the error of a day of which the gateway shows fewer rows than its total."""
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
        ends_empty = max(pages) > 1 and not pages[max(pages)].rows
        if ends_empty and distinct == came and len(totals) == 1:
            return self._saturated(day, pages)
        given = " and of ".join("no total" if total is None else counted(total, "row") for total in totals)
        return IncompleteError(
            f"{day}: {counted(came, 'row')} came, {distinct} of them different, and the gateway tells of {given}: "
            "ask for the day again later",
        )

    def _result(self, day: date, window: Window, pages: dict[int, Page], error: Exception | None = None) -> ReadResult:
        records: list[Row] = []
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

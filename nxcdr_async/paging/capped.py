"""Reading an API that answers with some rows of a range, without pages or a total: the flash-call list."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from attrs import define, field

from nxcdr_async.errors import SaturatedSecondError
from nxcdr_async.paging.base import Outcome, ReadResult, Split, check_inside
from nxcdr_async.paging.page_reader import ROWS_DUE, PageReader, PageSize, RowStructurer
from nxcdr_async.paging.places import WindowPlaces
from nxcdr_async.paging.planner import SeenCalls, WindowPlanner
from nxcdr_async.paging.saturated_second import RangeEnds, read_second, saturated, without
from nxcdr_async.protocol.responses import Page, Row
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window


@define(eq=False)
class CappedPager:
    """Reads an API that shows a limited number of rows of a range, and has neither pages nor a total.

    A range is split until its answer is not full. Where even one second is full, narrower bounds are tried, and then
    `SaturatedSecondError` says so.

    Attributes:
        parameters: returns those of the request for the range between two seconds.
        row_key: returns the id of a raw row, None without one.
        on_saturated_second: gets the error of each second that is full, which is then read as far as it goes; None to
            raise it.
    """

    planner: WindowPlanner
    reader: PageReader
    parameters: Callable[[int, int], Mapping[str, str]]
    structurer: RowStructurer[Any]
    row_key: Callable[[Any], Hashable]
    page_size: PageSize
    stats: PaginatorStats
    on_saturated_second: Callable[[SaturatedSecondError], object] | None = None
    _range_ends: RangeEnds = field(factory=lambda: RangeEnds(in_seconds=True), init=False)

    def next(self) -> Window | None:
        """Cut the next window."""
        return self.planner.next()

    async def read(self, window: Window, places: WindowPlaces) -> Outcome:
        """Read a window with one query, or find that it must be split."""
        async with places.one():
            return await self._read(window)

    async def first_page(self, window: Window) -> Page:
        """Query a window, once."""
        return await self.reader.page(self.parameters(*window.bounds), window)

    async def _read(self, window: Window) -> Outcome:
        records: list[Row] = []
        try:
            is_full = await self._ask(window, window.bounds, records)
            starts = [row.start_ms / 1000 for row in records]
            if not is_full:
                self.stats.windows += 1
                self.planner.learn(window, starts)
                return ReadResult.each_once(records)
            if window.seconds > 1:
                self.stats.splits += 1
                if not starts:  # all of them bad rows
                    return Split(window.parts(2))
                seen = SeenCalls(len(starts), min(starts), max(starts))
                rows = max(self.planner.estimate(window, seen), 2.0 * self.page_size.rows)
                return Split(self.planner.split(window, starts, rows))
            return ReadResult.each_once(await self._read_second(window, records))
        except Exception as error:  # noqa: BLE001 - handed on with the records before it, and raised by the paginator
            return ReadResult.each_once(records, error)

    async def _read_second(self, window: Window, seen: list[Row]) -> list[Row]:
        """Read one second by narrower bounds.

        Raises:
            SaturatedSecondError: it has more rows than the API shows, and there is no `on_saturated_second`.
        """

        async def ask(bounds: tuple[int, int]) -> tuple[list[Row], bool]:
            found: list[Row] = []
            is_full = await self._ask(window, bounds, found)
            return found, is_full

        known, whole = await read_second(window.start, seen, ask, self._range_ends)
        if whole is not None:
            self.stats.windows += 1
            return whole
        error = saturated(window.start, self.page_size.rows, self.reader.records)
        if self.on_saturated_second is None:
            raise error
        self.on_saturated_second(error)
        return [*without(seen, known), *known]

    async def _ask(self, window: Window, bounds: tuple[int, int], records: list[Row]) -> bool:
        """Append the records of the range between two seconds to `records`; return whether the answer was full."""
        page = await self.reader.page(self.parameters(*bounds), window, expected=ROWS_DUE)
        self.structurer.add(page, records, self.reader.in_words(window))
        check_inside(window, records, None)
        self._range_ends.learn(bounds, records)
        return await self._is_cut_off(window, page, records, bounds)

    async def _is_cut_off(self, window: Window, page: Page, records: list[Row], bounds: tuple[int, int]) -> bool:
        """Return whether an answer is full; the two parts of a short one are queried again.

        A row that was not in the answer means that the gateway caps its answers lower than documented, unless the same
        query has a longer answer now: then it just arrived.
        """
        count = len(page.rows)
        if self.page_size.is_full(count):
            return True
        if not self.page_size.may_be_capped(count) or not records:
            return False
        if not await self._hides_rows(window, page, records, bounds):
            return False
        again = await self.reader.page(self.parameters(*bounds), window)
        self.structurer.add(again, records, self.reader.in_words(window))
        if len(again.rows) > count:
            return await self._is_cut_off(window, again, records, bounds)
        self.page_size.note_cap(count)
        return True

    async def _hides_rows(self, window: Window, page: Page, records: list[Row], bounds: tuple[int, int]) -> bool:
        """Return whether the two parts of a range, cut amid the rows of its answer, hold rows that are not in it.

        No document says which rows a cap leaves: the first, the last, or any.
        """
        start, end = bounds
        seconds = [min(end, max(start, int(row.start_ms // 1000))) for row in records]
        earliest, latest = min(seconds), max(seconds)
        middle = (earliest + latest) // 2
        # The parts share a second where they can, or neither would hold it where the ends of a range are exclusive.
        border = min(middle + 1, latest)
        later, earlier = [(middle, end), (middle + 1, end)], [(start, border), (start, border - 1)]
        known = {self.row_key(row) for row in page.rows}
        for ranges in (later, earlier):
            other = [(first, last) for first, last in ranges if first <= last and (first, last) != bounds]
            if await self._has_others(window, other, known, len(page.rows)):
                return True
        return False

    async def _has_others(self, window: Window, ranges: list[tuple[int, int]], known: set[Hashable], rows: int) -> bool:
        """Return whether a part of a range, queried by ever narrower bounds, has rows that are not known.

        An answer of known rows is whole if it is shorter than that of the range, as no cap is lower than that. One that
        is as long includes the second the range was cut at, so the part without that second is queried.
        """
        for start, end in ranges:
            page = await self.reader.page(self.parameters(start, end), window, expected=ROWS_DUE)
            if any(self.row_key(row) not in known for row in page.rows):
                return True
            if len(page.rows) < rows:
                return False
        return False

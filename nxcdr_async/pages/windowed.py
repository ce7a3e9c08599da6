"""Reading an API that has pages but tells no total: cdr/page."""

from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from attrs import Factory, define

from nxcdr_async.errors import IncompleteError
from nxcdr_async.pages.source import (
    MOST_PAGES,
    PageReader,
    PageSize,
    ReadResult,
    RowStructurer,
    Split,
    in_words,
)
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import FARTHEST_OUTSIDE, Window, WindowPlan, in_time_order
from nxcdr_async.wire import Page

RecordT = TypeVar("RecordT")


@define
class _Reading(Generic[RecordT]):
    """What was seen so far of one window."""

    records: list[RecordT] = Factory(list)
    starts: list[float] = Factory(list)
    row_count: int = 0
    _keys: set[Hashable] = Factory(set)
    _last_page: list[Any] = Factory(list)

    def take_page(self, rows: list[Any], keys: list[Hashable]) -> bool:
        """Take in a page; tell whether it holds anything that no page of the window held before."""
        is_known = rows == self._last_page or (None not in keys and self._keys.issuperset(keys))
        self._last_page = rows
        self._keys.update(key for key in keys if key is not None)
        self.row_count += len(rows)
        return not is_known


@define
class WindowedPages(Generic[RecordT]):
    """Reads an API that has pages but tells no total: windows side by side, the pages of each in ascending order.

    Pages in ascending order cannot lose a row that was there at the start: rows that arrive meanwhile only move others
    to later pages. So each window is read until a page is short. No window trusts the order of rows.

    Attributes:
        plan: cuts the range into windows.
        reader: asks for pages.
        parameters: of the request for a page of a window.
        structurer: turns rows into records.
        moment: the time of a record.
        end_time: the other time of a record that a gateway may filter by, if there is one.
        row_key: the id of a raw row, None without one.
        page_size: how many rows fill a page.
        stats: where windows and splits are counted.
    """

    plan: WindowPlan
    reader: PageReader
    parameters: Callable[[Window, int], Mapping[str, Any]]
    structurer: RowStructurer[RecordT]
    moment: Callable[[RecordT], datetime]
    end_time: Callable[[RecordT], datetime | None] | None
    row_key: Callable[[Any], Hashable]
    page_size: PageSize
    stats: PaginatorStats

    def next(self, *, readers: int) -> Window | None:
        """Cut the next window."""
        return self.plan.next(readers=readers)

    async def read(self, window: Window) -> ReadResult[RecordT] | Split:
        """Read the pages of a window until one is short."""
        reading: _Reading[RecordT] = _Reading()
        try:
            for number in range(1, MOST_PAGES + 1):
                page = await self._page(window, number)
                is_news = reading.take_page(page.rows, [self.row_key(row) for row in page.rows])
                before = len(reading.records)
                for record in self.structurer.records(page.rows):
                    reading.records.append(record)
                    reading.starts.append(self.moment(record).timestamp())
                if not self.page_size.is_full(len(page.rows)):
                    self.stats.windows += 1
                    self.plan.density.learn(window, reading.starts)
                    return ReadResult(reading.records)
                self._check_inside(window, reading.records[before:])
                if not is_news:
                    return self._split_repeating(window, reading, number)
                if self.plan.is_too_full(window, reading.starts):
                    return await self._split(window, reading)
        except Exception as error:  # noqa: BLE001 - handed on with the records before it, and raised by the paginator
            return ReadResult(reading.records, error)
        return ReadResult(reading.records, IncompleteError(f"more than {MOST_PAGES} pages for {in_words(window)}"))

    async def _page(self, window: Window, number: int) -> Page:
        """Ask for a page of a window, doubting answers that cannot be right."""
        if number > 1:
            return await self._rows_due(window, number)
        if self.plan.expects_calls(window):
            return await self._complete(window, await self._rows_due(window, 1))
        return await self._complete(window, await self._ask(window, 1))

    async def _complete(self, window: Window, page: Page) -> Page:
        """Look behind a short first page, in case the gateway caps its pages lower than it should.

        More rows mean that it does, unless its first page is longer by now: then they just arrived.
        """
        came = len(page.rows)
        if self.page_size.is_full(came) or not self.page_size.is_doubtful(came):
            return page
        known = {self.row_key(row) for row in page.rows}
        if all(self.row_key(row) in known for row in (await self._ask(window, 2)).rows):
            self.page_size.learn(came, more_behind=False)
            return page
        again = await self._ask(window, 1)
        self.page_size.learn(came, more_behind=len(again.rows) <= came)
        return again

    async def _ask(self, window: Window, number: int) -> Page:
        return await self.reader.page(self.parameters(window, number), f"page {number} of {in_words(window)}")

    async def _rows_due(self, window: Window, number: int) -> Page:
        return await self.reader.page_with_rows(self.parameters(window, number), f"page {number} of {in_words(window)}")

    async def _split(self, window: Window, reading: _Reading[RecordT]) -> Split:
        self.stats.splits += 1
        rows = self.plan.estimate(window, reading.starts)
        if window == self.plan.whole and not in_time_order(reading.starts):
            rows = await self._measure(window)
        return Split(self.plan.split(window, reading.starts, rows))

    async def _measure(self, window: Window) -> float:
        """Find about how many rows a window holds, whatever their order, by asking for pages ever further out."""
        number = 4
        while number < MOST_PAGES and self.page_size.is_full(len((await self._ask(window, number)).rows)):
            number *= 2
        return float(number * self.page_size.rows) * 0.75

    def _split_repeating(self, window: Window, reading: _Reading[RecordT], number: int) -> ReadResult[RecordT] | Split:
        """Handle a full page without news: the end, for a gateway that repeats its last page, or one it made up.

        Narrower windows tell the two apart, as their last pages are short.
        """
        if window.seconds == 1:
            return ReadResult(
                reading.records,
                IncompleteError(
                    f"page {number} of {in_words(window)} repeats rows of earlier pages, so what follows cannot be "
                    "read: the gateway, or something in front of it, ignores the page number",
                ),
            )
        self.stats.splits += 1
        if window == self.plan.whole:
            return Split(window.parts(2))
        return Split(self.plan.split(window, reading.starts, float(reading.row_count)))

    def _check_inside(self, window: Window, records: list[RecordT]) -> None:
        """Notice a gateway that ignores the range: it answers each narrow window with calls of any time.

        Raises:
            IncompleteError: most calls of a page both start and end far outside.
        """
        outside = sum(1 for record in records if self._is_far_outside(window, record))
        if outside * 2 > len(records):
            raise IncompleteError(
                f"{outside} of {len(records)} calls given for {in_words(window)} lie over an hour outside of it: "
                "the gateway, or something in front of it, ignores the time range",
            )

    def _is_far_outside(self, window: Window, record: RecordT) -> bool:
        first, last = window.start - FARTHEST_OUTSIDE, window.end + FARTHEST_OUTSIDE
        times = (self.moment(record), self.end_time(record) if self.end_time else None)
        return not any(first <= time.timestamp() <= last for time in times if time is not None)

"""Reading an API that has pages but tells no total: cdr/page."""

from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from attrs import Factory, define, field

from nxcdr_async.errors import IncompleteError, NxcdrError
from nxcdr_async.pages.source import MOST_PAGES, Ask, Piece, Rows, RowStructurer, Split, piece_of, span_of
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window, WindowPlan, in_time_order
from nxcdr_async.wire import Page

RecordT = TypeVar("RecordT")

SURELY_SOME = 3.0
"""Calls to be expected in a window beyond which an answer without any is doubted."""

ROUND = 5
"""A gateway that caps its pages lower than documented would choose a multiple of this."""

FARTHEST_OUTSIDE = 3600.0
"""Seconds a call may start outside the window that gave it, as gateways may filter by another time than the start."""


@define
class _Reading(Generic[RecordT]):
    """What was seen so far of one piece."""

    records: list[RecordT] = Factory(list)
    starts: list[float] = Factory(list)
    rows: int = 0
    keys: set[Hashable] = Factory(set)
    _last: list[Any] = Factory(list)

    def is_news(self, rows: list[Any], keys: list[Hashable]) -> bool:
        """Tell whether a page holds anything that no page of the piece held before."""
        known = rows == self._last or (None not in keys and self.keys.issuperset(keys))
        self._last = rows
        self.keys.update(key for key in keys if key is not None)
        self.rows += len(rows)
        return not known


@define
class WindowedPages(Generic[RecordT]):
    """Reads an API that has pages but tells no total: windows side by side, the pages of each in ascending order.

    Pages in ascending order cannot lose a row that was there at the start: rows that arrive meanwhile only move others
    to later pages. So each window is read until a page is short. No window trusts the order of rows.

    Attributes:
        plan: cuts the range into windows.
        ask: asks for one page.
        parameters: of the request for a page of a window.
        rows: turns rows into records.
        moment: the time of a record.
        row_key: the id of a raw row, None without one.
        page_size: the rows of a full page.
    """

    plan: WindowPlan
    ask: Ask
    parameters: Callable[[Window, int], Mapping[str, Any]]
    rows: RowStructurer[RecordT]
    moment: Callable[[RecordT], datetime]
    row_key: Callable[[Any], Hashable]
    page_size: int
    stats: PaginatorStats
    _cleared: set[int] = field(factory=set, init=False)

    def next(self, *, readers: int) -> Piece | None:
        """Cut the next window."""
        window = self.plan.next(readers=readers)
        return None if window is None else piece_of(window)

    async def read(self, piece: Piece) -> Rows[RecordT] | Split:
        """Read the pages of a window until one is short."""
        window = piece.window
        reading: _Reading[RecordT] = _Reading()
        try:
            for number in range(1, MOST_PAGES + 1):
                page = await self._page(window, number)
                news = reading.is_news(page.rows, [self.row_key(row) for row in page.rows])
                for record in self.rows.records(page.rows):
                    reading.records.append(record)
                    reading.starts.append(self.moment(record).timestamp())
                if await self._is_last(window, number, page):
                    self.stats.windows += 1
                    self.plan.density.learn(window, reading.starts)
                    return Rows(reading.records)
                self._check_inside(window, reading.starts[-len(page.rows) :])
                if not news:
                    return self._split_repeating(window, reading, number)
                if self.plan.is_too_full(window, reading.starts):
                    return await self._split(window, reading)
        except Exception as error:  # noqa: BLE001 - handed on with the records before it, and raised by the paginator
            return Rows(reading.records, error)
        return Rows(reading.records, IncompleteError(f"more than {MOST_PAGES} pages for {span_of(window)}"))

    async def _page(self, window: Window, number: int) -> Page:
        """Ask for a page; an empty one where rows were to be expected is asked for once more.

        A throttled gateway may answer with nothing instead of a refusal.
        """
        page = await self._ask(window, number)
        if page.rows or (number == 1 and not page.is_vague and self.plan.density.expected(window) < SURELY_SOME):
            return page
        return await self._ask(window, number)

    async def _is_last(self, window: Window, number: int, page: Page) -> bool:
        """Tell whether a page is the last: it is short, unless the gateway makes its pages shorter than asked for.

        A lower cap would be a round number; then a page beyond it is looked at, once for each such number.
        """
        came = len(page.rows)
        if came >= self.page_size:
            return False
        if number > 1 or came == 0 or came % ROUND or came in self._cleared:
            return True
        beyond = await self._ask(window, 2)
        if beyond.rows and not set(map(self.row_key, beyond.rows)) & set(map(self.row_key, page.rows)):
            self.page_size = came
            return False
        self._cleared.add(came)
        return True

    async def _ask(self, window: Window, number: int) -> Page:
        self.stats.pages += 1
        try:
            return await self.ask(self.parameters(window, number))
        except NxcdrError as error:
            error.add_note(f"while reading page {number} of {span_of(window)}")
            raise

    async def _split(self, window: Window, reading: _Reading[RecordT]) -> Split:
        self.stats.splits += 1
        rows = self.plan.estimate(window, reading.starts)
        if window == self.plan.whole and not in_time_order(reading.starts):
            rows = await self._measure(window)
        return Split([piece_of(part) for part in self.plan.split(window, reading.starts, rows)])

    async def _measure(self, window: Window) -> float:
        """Find about how many rows a window holds, whatever their order, by asking for pages ever further out."""
        number = 4
        while number < MOST_PAGES and len((await self._ask(window, number)).rows) >= self.page_size:
            number *= 2
        return float(number * self.page_size) * 0.75

    def _split_repeating(self, window: Window, reading: _Reading[RecordT], number: int) -> Rows[RecordT] | Split:
        """Handle a full page without news: the end, for a gateway that repeats its last page, or one it made up.

        Narrower windows tell the two apart, as their last pages are short.
        """
        if window.seconds == 1:
            return Rows(
                reading.records,
                IncompleteError(
                    f"page {number} of {span_of(window)} repeats rows of earlier pages, so what follows cannot be "
                    "read: the gateway, or something in front of it, ignores the page number",
                ),
            )
        self.stats.splits += 1
        parts = window.parts(2) if window == self.plan.whole else None
        if parts is not None:
            return Split([piece_of(part) for part in parts])
        return Split([piece_of(part) for part in self.plan.split(window, reading.starts, float(reading.rows))])

    def _check_inside(self, window: Window, starts: list[float]) -> None:
        """Notice a gateway that ignores the range: it answers each narrow window with calls of any time.

        Raises:
            IncompleteError: most calls of a page are far outside.
        """
        outside = sum(
            1 for start in starts if not window.start - FARTHEST_OUTSIDE <= start <= window.end + FARTHEST_OUTSIDE
        )
        if outside * 2 > len(starts):
            raise IncompleteError(
                f"{outside} of {len(starts)} calls given for {span_of(window)} started over an hour outside of it: "
                "the gateway, or something in front of it, ignores the time range",
            )

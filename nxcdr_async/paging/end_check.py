"""Whether the end of an answer is the end of the data: what has to be asked to prove it, and asking it."""

import math
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Sequence
from enum import Enum, auto

from attrs import define, field

from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.completeness import CompletenessCheck
from nxcdr_async.paging.page_reader import ROWS_DUE
from nxcdr_async.paging.window_pages import WindowPageReader
from nxcdr_async.protocol.responses import Page
from nxcdr_async.windows import DAY, HOUR, OVERLAP, Window

WIDER = (HOUR, 30 * DAY)
"""Seconds of the ranges around a crowded second that are queried to see how deep answers go."""

WindowPage = tuple[Window, int]
"""A window and the number of a page of it."""


class EndState(Enum):
    """What is known of the end of an answer."""

    PROVEN = auto()
    """There are no more rows."""
    CAPPED = auto()
    """There are more rows, which no page shows."""
    CROWDED = auto()
    """Unknown, as too many rows start where it ends, or in one second: narrower windows have to be read."""


@define(frozen=True)
class WindowPart:
    """A part of a window, and how many rows it has if the answer for the whole window shows all.

    `fewest` and `most` may differ, as no document says whether the ends of a range are inclusive.
    """

    window: Window
    fewest: int
    most: int

    def page_number(self, rows_a_page: int) -> int:
        """Return the number of the page on which it has to end."""
        return self.fewest // rows_a_page + 1

    def ends_with(self, rows: int, rows_a_page: int) -> bool:
        """Return whether so many rows on that page agree with the rows it has to have."""
        count = (self.page_number(rows_a_page) - 1) * rows_a_page + rows
        return rows < rows_a_page and self.fewest <= count <= self.most


def rest_of(window: Window, starts: Sequence[float]) -> Window | None:
    """Return the part of a window that an answer in order of time may have left out, and the last second it showed.

    Args:
        window: the window that was queried.
        starts: when its calls start (epoch seconds), in the order they came.

    Returns:
        None if they came in no order, or the part would be the whole window.
    """
    known = list(starts)
    if known == sorted(known):
        rest = Window(min(max(window.start, math.floor(starts[-1])), window.end - 1), window.end)
    elif known == sorted(known, reverse=True):
        rest = Window(window.start, max(min(window.end, math.floor(starts[-1]) + 1), window.start + 1))
    else:
        return None
    return None if rest == window else rest


def halves_of(window: Window, starts: Sequence[float]) -> list[WindowPart]:
    """Return two parts of a window, cut where few calls start, whose rows can be counted one by one.

    Args:
        window: the window that was queried, wider than a second.
        starts: when its calls start (epoch seconds), in any order.
    """
    known = sorted(starts)
    middle = known[len(known) // 4 : 3 * len(known) // 4 + 1]

    def before(moment: int) -> int:
        return bisect_left(known, moment)

    cuts = {min(max(window.start + 1, math.floor(start) + 2), window.end - 1) for start in middle}
    cut = min(cuts, key=lambda cut: (before(cut + 1) - before(cut - 1), abs(before(cut) - len(known) // 2)))
    return [
        WindowPart(Window(window.start, cut), before(cut), before(cut + 1)),
        WindowPart(Window(cut, window.end), len(known) - before(cut), len(known) - before(cut - 1)),
    ]


@define(eq=False)
class EndCheck:
    """Finds out whether the end of the answer for a window is the end of its calls.

    Where answers come in order of time, the range from the last second shown on is queried: all its calls must be known
    already. Otherwise the rows of two parts of the window are counted.

    Attributes:
        early: pages of `pages_to_request` that were requested before it is run, which saves a round trip.
    """

    window: Window
    pages: WindowPageReader
    limits: AnswerLimits
    completeness: CompletenessCheck
    early: dict[WindowPage, Page] = field(factory=dict, init=False)
    _has_grown: bool = field(default=False, init=False)

    @property
    def is_needed(self) -> bool:
        """Whether it has to be proven that the end of the answer, as it is now, is no cap."""
        rows = self.completeness.depth
        return (
            not self._has_grown
            and self.limits.depth_cap != rows
            and self.limits.needs_end_check(
                self.window, rows, is_full=self.has_full_end, page_size=self.pages.page_size.asked
            )
        )

    @property
    def has_full_end(self) -> bool:
        """Whether the last page with rows is full."""
        return self.pages.page_size.is_full(self.completeness.rows_on(self.completeness.end))

    def parts(self, starts: Sequence[float]) -> list[WindowPart]:
        """Return what has to be looked at: the rest of an answer in order of time, else the two halves of the window.

        There is nothing to look at where no calls came, or all in one second.

        Args:
            starts: when the calls that came start (epoch seconds), in the order they came.
        """
        if self.window.seconds == 1 or not starts:
            return []
        rest = rest_of(self.window, starts)
        return halves_of(self.window, starts) if rest is None else [WindowPart(rest, 0, 0)]

    def pages_to_request(self, starts: Sequence[float]) -> list[WindowPage]:
        """Return the pages that prove or disprove the end; the argument is that of `parts`."""
        return [self._last_page_of(part) for part in self.parts(starts)]

    async def run(self, starts: Sequence[float]) -> EndState | Page:
        """Return what is proven of the end; or the last page as it is now, if the answer has grown.

        Args:
            starts: as for `parts`.
        """
        match self.parts(starts):
            case []:
                return EndState.CROWDED
            case [rest]:
                return await self._look_at_rest(rest)
            case halves:
                return await self._compare_counts(halves)

    async def is_second_whole(self) -> bool:
        """Return whether all of a window of one second is shown: it is, if the answer for another window goes deeper.

        A cap of a single page would show in every other window. An answer that ends in a page which came before proves
        nothing: page numbers may be ignored now and then.
        """
        if self.limits.depth_cap is not None or self.completeness.last is None:
            return False
        rows = self.completeness.depth
        is_shallow = rows <= self.pages.page_size.asked or rows < self.limits.deepest
        return is_shallow or await self._goes_deeper(rows)

    async def _goes_deeper(self, rows: int) -> bool:
        """Return whether the answer for any wider range has more than so many rows."""
        rows_a_page = self.pages.page_size.rows
        number = rows // rows_a_page + 1
        for seconds in WIDER:
            around = (min(seconds, self.limits.max_span or seconds) - self.window.seconds) // 2
            start = max(self.window.start - around, (self.limits.retained_since or 0) + OVERLAP)
            wider = Window(start, self.window.end + around - OVERLAP)
            page = await self.pages.page(wider, number)
            if (number - 1) * rows_a_page + len(page.rows) <= rows:
                continue
            # A gateway that repeats its last page, or ignores page numbers, gives the page before once more.
            before = await self.pages.page(wider, max(1, number - 1))
            if not set(self.pages.keys(page)) <= set(self.pages.keys(before)):
                return True
        return False

    async def _look_at_rest(self, rest: WindowPart) -> EndState | Page:
        page = await self._page_at_end(rest)
        keys = set(self.pages.keys(page))
        if self._has_others(keys):
            return await self._recheck()
        is_whole = not self.pages.is_full(page) and not keys.isdisjoint(self.completeness.keys_on_end)
        return EndState.PROVEN if is_whole else EndState.CROWDED

    async def _compare_counts(self, parts: list[WindowPart]) -> EndState | Page:
        rows_a_page = self.pages.page_size.rows
        is_exact = True
        for part in parts:
            if part.most >= self.completeness.depth:
                break  # it would end at the same cap
            page = await self._page_at_end(part)
            if self._has_others(self.pages.keys(page)):
                return await self._recheck()
            if not part.ends_with(len(page.rows), rows_a_page):
                break
            is_exact = is_exact and part.fewest == part.most
        else:
            return EndState.PROVEN if is_exact or not self.has_full_end else EndState.CROWDED
        return EndState.CROWDED

    async def _recheck(self) -> EndState | Page:
        """Request the end of the answer again, as there are calls that it does not show: they may have just arrived."""
        last = self.completeness.last
        page = await self.pages.page(self.window, last or self.completeness.asked, expected=ROWS_DUE)
        if last is not None and len(page.rows) > self.completeness.rows_on(last):
            self._has_grown = True  # so where it ended was no cap
            return page
        # Rows that stand on two pages were pushed by others, which may stand on earlier pages by now.
        were_pushed = len(self.completeness.known) < self.completeness.depth
        if were_pushed or self._has_others(self.pages.keys(page)) or (last is None and await self._has_moved()):
            return EndState.CROWDED
        self.limits.note_cap(self.completeness.depth)
        return EndState.CAPPED

    async def _has_moved(self) -> bool:
        """Return whether the last page with new rows changed: then rows that came again were pushed, not repeated."""
        page = await self.pages.page(self.window, self.completeness.end, expected=ROWS_DUE)
        return self.pages.keys(page) != self.completeness.keys_on_end

    def _last_page_of(self, part: WindowPart) -> WindowPage:
        return part.window, part.page_number(self.pages.page_size.rows)

    async def _page_at_end(self, part: WindowPart) -> Page:
        page = self._last_page_of(part)
        return self.early.pop(page, None) or await self.pages.page(*page, expected=ROWS_DUE)

    def _has_others(self, keys: Iterable[Hashable]) -> bool:
        return not self.completeness.known.union((None,)).issuperset(keys)

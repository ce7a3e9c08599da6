"""Asking whether the end of the answer for a window is the end of its calls."""

from collections.abc import Hashable, Iterable, Sequence

from attrs import define, field

from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.completeness import PageProof
from nxcdr_async.paging.ending import End, Part, halves_of, rest_of
from nxcdr_async.paging.window_pages import WindowPageReader
from nxcdr_async.protocol.responses import Page
from nxcdr_async.windows import DAY, HOUR, OVERLAP, Window

WIDER = (HOUR, 30 * DAY)
"""Seconds of the ranges around a second that are to show how deep answers go."""

Place = tuple[Window, int]
"""A page of a window."""


@define(eq=False)
class EndCheck:
    """Finds out whether the end of the answer for a window is the end of its calls.

    An answer in order of time is asked for what lies from the last second it showed on, whose calls must all be known;
    one in no order for the numbers of rows of two parts of the window.

    Attributes:
        window: the window.
        pages: asks for pages.
        limits: how far answers reach.
        proof: the pages that came.
    """

    window: Window
    pages: WindowPageReader
    limits: AnswerLimits
    proof: PageProof
    _asked_early: dict[Place, Page] = field(factory=dict, init=False)

    @property
    def is_needed(self) -> bool:
        """Whether the end of the answer, as it is by now, has to be proven."""
        rows = self.proof.depth
        return self.limits.depth != rows and self.limits.is_doubtful(
            self.window, rows, is_full=self.has_full_end, page_size=self.pages.page_size.asked
        )

    @property
    def has_full_end(self) -> bool:
        """Whether the last page with rows is full."""
        return self.pages.page_size.is_full(self.proof.rows_on(self.proof.end))

    def places(self, starts: Sequence[float]) -> list[Place]:
        """Return the pages that tell of the end.

        Args:
            starts: when the calls that came start (epoch seconds), in the order they came.
        """
        if self.window.seconds == 1 or not starts:
            return []
        rest = rest_of(self.window, starts)
        if rest is not None:
            return [(rest, 1)]
        return [self._place(part) for part in halves_of(self.window, starts)]

    async def ask_early(self, place: Place) -> None:
        """Ask for one of these pages while the last page is asked for again, which spares a round trip."""
        self._asked_early[place] = await self.pages.page_with_rows(*place)

    async def tell(self, starts: Sequence[float]) -> End | Page:
        """Tell what is known of the end; or return the last page as it is by now, if the answer goes on.

        Args:
            starts: see `places`.
        """
        if self.window.seconds == 1 or not starts:
            return End.CROWDED
        rest = rest_of(self.window, starts)
        if rest is None:
            return await self._tell_by_numbers(halves_of(self.window, starts))
        page = await self._page((rest, 1))
        keys = set(self.pages.keys(page))
        if self._has_others(keys):
            return await self._look_again()
        is_whole = not self.pages.is_full(page) and not keys.isdisjoint(self.proof.keys_on_end)
        return End.PROVEN if is_whole else End.CROWDED

    async def is_second_whole(self) -> bool:
        """Tell whether a window of one second is shown whole, as another answer goes deeper, so that this is no cap.

        A cap of a single page would show in every other window. One that ends in a page which came before is never
        believed: page numbers may be ignored now and then.
        """
        if self.limits.depth is not None or self.proof.last is None:
            return False
        rows = self.proof.depth
        is_shallow = rows <= self.pages.page_size.asked or rows < self.limits.deepest
        return is_shallow or await self._goes_deeper(rows)

    async def _goes_deeper(self, rows: int) -> bool:
        """Tell whether any range around the window is shown deeper than a full answer of so many rows."""
        rows_a_page = self.pages.page_size.rows
        number = rows // rows_a_page + 1
        for seconds in WIDER:
            around = (min(seconds, self.limits.seconds or seconds) - self.window.seconds) // 2
            start = max(self.window.start - around, (self.limits.oldest or 0) + OVERLAP)
            wider = Window(start, self.window.end + around - OVERLAP)
            page = await self.pages.page(wider, number)
            if (number - 1) * rows_a_page + len(page.rows) <= rows:
                continue
            # A gateway that repeats its last page, or ignores page numbers, gives the page before once more.
            before = await self.pages.page(wider, max(1, number - 1))
            if not set(self.pages.keys(page)) <= set(self.pages.keys(before)):
                return True
        return False

    async def _tell_by_numbers(self, parts: list[Part]) -> End | Page:
        rows_a_page = self.pages.page_size.rows
        is_exact = True
        for part in parts:
            if part.most >= self.proof.depth:
                break  # it would end at the same cap
            page = await self._page(self._place(part))
            if self._has_others(self.pages.keys(page)):
                return await self._look_again()
            if not part.ends_with(len(page.rows), rows_a_page):
                break
            is_exact = is_exact and part.fewest == part.most
        else:
            return End.PROVEN if is_exact or not self.has_full_end else End.CROWDED
        return End.CROWDED

    async def _look_again(self) -> End | Page:
        """Ask for the end of the answer again, as there are calls that it does not show: they may have just arrived."""
        last = self.proof.last
        page = await self.pages.page_with_rows(self.window, last or self.proof.asked)
        if last is not None and len(page.rows) > self.proof.rows_on(last):
            return page
        # Rows that stand on two pages were pushed by others, which may stand on earlier pages by now.
        were_pushed = len(self.proof.known) < self.proof.depth
        if were_pushed or self._has_others(self.pages.keys(page)) or (last is None and await self._has_moved()):
            return End.CROWDED
        self.limits.cap(self.proof.depth)
        return End.CAPPED

    async def _has_moved(self) -> bool:
        """Tell whether the last page that tells of rows changed: those that came again were pushed, not repeated."""
        page = await self.pages.page_with_rows(self.window, self.proof.end)
        return self.pages.keys(page) != self.proof.keys_on_end

    def _place(self, part: Part) -> Place:
        return part.window, part.page_number(self.pages.page_size.rows)

    async def _page(self, place: Place) -> Page:
        early = self._asked_early.pop(place, None)
        return await self.pages.page_with_rows(*place) if early is None else early

    def _has_others(self, keys: Iterable[Hashable]) -> bool:
        return not self.proof.known.union((None,)).issuperset(keys)

"""Reading one second of an API that has pages, of which these do not show all calls."""

from collections.abc import Callable, Hashable
from itertools import count

from attrs import define

from nxcdr_async.errors import SaturatedSecondError
from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.base import ReadResult
from nxcdr_async.paging.growth import Progress
from nxcdr_async.paging.page_reader import RowStructurer
from nxcdr_async.paging.page_rows import distinct_rows
from nxcdr_async.paging.seconds import RangeEnds, read_second, saturated, without
from nxcdr_async.paging.window_pages import WindowPageReader
from nxcdr_async.protocol.responses import Dated
from nxcdr_async.windows import OVERLAP, Window


@define(eq=False)
class FullSecond:
    """A second that holds more calls than its pages show, read by bounds that leave its neighbours out.

    Attributes:
        second: the second, epoch seconds.
        pages: asks for pages.
        limits: how far answers reach.
        structurer: turns rows into records.
        range_ends: which ends of a range count.
        progress: notices a range of which ever more rows come.
        on_saturated: gets the error of a second that is told in part only; None to raise it.
    """

    second: int
    pages: WindowPageReader
    limits: AnswerLimits
    structurer: RowStructurer[Dated]
    range_ends: RangeEnds
    progress: Progress
    on_saturated: Callable[[SaturatedSecondError], object] | None

    async def read(self, seen: list[Dated], rows: int) -> ReadResult:
        """Read the second as far as the gateway shows it.

        Args:
            seen: what came for it with its neighbours.
            rows: how many rows these were.
        """
        self.range_ends.learn((self.second - OVERLAP, self.second + 1), seen)
        known, whole = await read_second(self.second, seen, self._ask_between, self.range_ends)
        if whole is not None:
            return ReadResult(whole)
        error = saturated(self.second, rows, self.pages.reader.records)
        if self.on_saturated is None:
            return ReadResult(seen, error)
        self.on_saturated(error)
        return ReadResult([*without(seen, known), *known])

    async def _ask_between(self, bounds: tuple[int, int]) -> tuple[list[Dated], bool]:
        """Read what lies between two seconds, its pages in turn, as far as it is shown."""
        start, end = bounds
        window = Window(start + OVERLAP, end)  # asked for a second early, as each window is
        found: list[list[Dated]] = []
        known: set[Hashable] = set()
        rows = 0
        for number in count(1):
            self.progress.check(window)
            page = await self.pages.page_with_rows(window, number)
            keys = set(self.pages.keys(page)) - {None}
            if not page.rows or keys <= known:
                return self._each_once(found), rows >= self.pages.page_size.asked
            records: list[Dated] = []
            self.structurer.add(page, records, self.pages.reader.in_words(window, number))
            self.range_ends.learn(bounds, records)
            found.append(records)
            known |= keys
            rows += len(page.rows)
            if self.limits.is_cut_at(rows):
                return self._each_once(found), True
            if not self.pages.is_full(page):
                break
        return self._each_once(found), False

    def _each_once(self, found: list[list[Dated]]) -> list[Dated]:
        return distinct_rows(found, {}).sure

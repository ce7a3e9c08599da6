"""Reading one second that an answer cannot show whole, by bounds that leave its neighbours out."""

from collections.abc import Awaitable, Callable, Hashable
from itertools import count

from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import SaturatedSecondError
from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.base import ReadResult
from nxcdr_async.paging.page_reader import ROWS_DUE, RowStructurer
from nxcdr_async.paging.page_rows import distinct_rows
from nxcdr_async.paging.window_pages import GrowthGuard, WindowPageReader
from nxcdr_async.protocol.responses import Row
from nxcdr_async.windows import OVERLAP, Window

AskBetween = Callable[[tuple[int, int]], Awaitable[tuple[list[Row], bool]]]
"""Queries the range between two seconds; returns its records, and whether there may be more than the answer shows."""


@define(eq=False)
class RangeEnds:
    """Whether the ends of a range are inclusive, as learned from rows, as the vendor does not document it.

    Attributes:
        in_seconds: whether the times of rows are whole seconds, so that a row at an end stands for all of that second.
    """

    in_seconds: bool
    start_is_inclusive: bool = field(default=False, init=False)
    end_is_inclusive: bool = field(default=False, init=False)

    def learn(self, bounds: tuple[int, int], records: list[Row]) -> None:
        """Learn from the records that came for a range."""
        start, end = bounds
        at_end = of_second(records, end)
        self.start_is_inclusive = self.start_is_inclusive or bool(of_second(records, start))
        has_end = any(self.in_seconds or row.start_ms % 1000 for row in at_end)
        self.end_is_inclusive = self.end_is_inclusive or has_end


async def read_second(
    second: int, seen: list[Row], ask: AskBetween, ends: RangeEnds
) -> tuple[list[Row], list[Row] | None]:
    """Read one second by narrower bounds, as its neighbours may have filled the answer.

    Which bounds hold the whole second depends on whether the ends of a range are inclusive. That is known once a call
    at an end came; until then only an answer with calls is believed. Each has to hold every call seen of that second.

    Args:
        second: the second, epoch seconds.
        seen: the records that came for it with its neighbours.
        ask: queries the range between two seconds.
        ends: whether the ends of a range are inclusive.

    Returns:
        all records found of it, and those that are certainly all of it, None without such.
    """
    known = of_second(seen, second)
    for start, end in ((second, second + 1), (second - 1, second), (second, second)):
        found, may_be_more = await ask((start, end))
        inside = of_second(found, second)
        holds_second = (start < second or ends.start_is_inclusive) and (end > second or ends.end_is_inclusive)
        # Of finer times, a range that ends with the second may hold its first moment only.
        is_likely = bool(inside) and (ends.in_seconds or end > second)
        if not may_be_more and not without(known, inside) and (holds_second or is_likely):
            return known, found
        known += without(inside, known)
    return known, None


def of_second(records: list[Row], second: int) -> list[Row]:
    """Return the records that start in a second."""
    return [row for row in records if row.start_ms // 1000 == second]


def without(records: list[Row], others: list[Row]) -> list[Row]:
    """Return the records that are not among others, compared by id and time, those without an id as a whole."""
    keys = {(row.identity, row.start_ms) for row in others}
    nameless = [row for row in others if row.identity is None]
    return [
        row
        for row in records
        if (row.identity, row.start_ms) not in keys or (row.identity is None and row not in nameless)
    ]


def saturated(second: int, rows: int, noun: str) -> SaturatedSecondError:
    """Return the error of a second that has more records than the gateway shows."""
    moment = moment_at(second)
    return SaturatedSecondError(
        f"the second {moment.isoformat()} holds {rows} {noun} or more, as many as the gateway shows of one question: "
        "ask the vendor for the rest of that second, and read on from the next one",
        second=moment,
    )


@define(eq=False)
class SaturatedSecondReader:
    """Reads a second that has more calls than the pages of its window show.

    Attributes:
        second: epoch seconds.
        on_saturated: gets the error of a second that is shown in part only; None to raise it.
    """

    second: int
    pages: WindowPageReader
    limits: AnswerLimits
    structurer: RowStructurer[Row]
    range_ends: RangeEnds
    growth_guard: GrowthGuard
    on_saturated: Callable[[SaturatedSecondError], object] | None

    async def read(self, seen: list[Row], rows: int) -> ReadResult:
        """Read the second as far as the gateway shows it.

        Args:
            seen: the records that came for it with its neighbours.
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

    async def _ask_between(self, bounds: tuple[int, int]) -> tuple[list[Row], bool]:
        """Read the range between two seconds page by page, as far as it is shown."""
        start, end = bounds
        # The query of a window begins `OVERLAP` before it. So this one, of no width where the bounds are one second,
        # only serves to ask by these very bounds.
        window = Window(start + OVERLAP, end)
        found: list[list[Row]] = []
        known: set[Hashable] = set()
        rows = 0
        for number in count(1):
            self.growth_guard.check(window)
            page = await self.pages.page(window, number, expected=ROWS_DUE)
            keys = set(self.pages.keys(page)) - {None}
            if not page.rows or keys <= known:
                return self._each_once(found), rows >= self.pages.page_size.asked
            records: list[Row] = []
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

    def _each_once(self, found: list[list[Row]]) -> list[Row]:
        return distinct_rows(found, {}).certain

"""Reading an API that answers with some rows of a range, without pages or a total: the flash-call list."""

from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from attrs import define, field

from nxcdr_async.errors import SaturatedSecondError
from nxcdr_async.pages.source import (
    OneStep,
    Outcome,
    PageReader,
    PageSize,
    ReadResult,
    RowStructurer,
    Split,
    check_inside,
)
from nxcdr_async.plan import Seen, WindowPlan
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window
from nxcdr_async.wire import Dated, Page


@define(eq=False)
class CappedList:
    """Reads an API that answers with so many rows of a range at most, and has neither pages nor a total.

    A range is split until its answer is not full. Where even one second is full, narrower bounds are tried, and then
    `SaturatedSecondError` says so.

    Attributes:
        plan: cuts the range into windows.
        reader: asks for answers.
        parameters: of the request for what lies between two seconds.
        structurer: turns rows into records.
        row_key: the id of a raw row, None without one.
        page_size: how many rows fill an answer.
        stats: where windows and splits are counted.
        on_saturated_second: gets the error of each second that is full, which is then read as far as it goes; None to
            raise it.
    """

    plan: WindowPlan
    reader: PageReader
    parameters: Callable[[int, int], Mapping[str, str]]
    structurer: RowStructurer[Any]
    row_key: Callable[[Any], Hashable]
    page_size: PageSize
    stats: PaginatorStats
    on_saturated_second: Callable[[SaturatedSecondError], object] | None = None
    _start_is_inclusive: bool = field(default=False, init=False)
    _end_is_inclusive: bool = field(default=False, init=False)

    def next(self) -> Window | None:
        """Cut the next window."""
        return self.plan.next()

    def open(self, window: Window) -> OneStep:
        """Begin to read a window."""
        return OneStep(partial(self._read, window))

    async def _read(self, window: Window) -> Outcome:
        """Read a window with one question, or find that it must be split."""
        records: list[Dated] = []
        try:
            is_full = await self._ask(window, window.bounds, records)
            starts = [dated.start_ms / 1000 for dated in records]
            if not is_full:
                self.stats.windows += 1
                self.plan.learn(window, starts)
                return ReadResult.each_once(records)
            if window.seconds > 1:
                self.stats.splits += 1
                seen = Seen(len(starts), min(starts), max(starts))
                rows = max(self.plan.estimate(window, seen), 2.0 * self.page_size.rows)
                return Split(self.plan.split(window, starts, rows))
            return ReadResult.each_once(await self._read_second(window, records))
        except Exception as error:  # noqa: BLE001 - handed on with the records before it, and raised by the paginator
            return ReadResult.each_once(records, error)

    async def _read_second(self, window: Window, seen: list[Dated]) -> list[Dated]:
        """Read one second by narrower bounds, as its neighbours may have filled the answer.

        Which bounds hold the whole second depends on whether the ends of a range count, which no document says. It is
        known once a call at an end was given; else an answer must at least hold every call seen of that second.
        """
        second = window.start
        known = self._of_second(seen, second)
        for start, end in ((second, second + 1), (second - 1, second), (second, second)):
            found: list[Dated] = []
            is_full = await self._ask(window, (start, end), found)
            held = self._of_second(found, second)
            holds_second = (start < second or self._start_is_inclusive) and (end > second or self._end_is_inclusive)
            is_likely = bool(held) and all(record in held for record in known)
            if not is_full and (holds_second or is_likely):
                self.stats.windows += 1
                return found
            known += [record for record in held if record not in known]
        saturated = self._saturated(second)
        if self.on_saturated_second is None:
            raise saturated
        self.on_saturated_second(saturated)
        return [*(record for record in seen if record not in known), *known]

    def _saturated(self, second: int) -> SaturatedSecondError:
        moment = datetime.fromtimestamp(second, UTC)
        return SaturatedSecondError(
            f"the second {moment.isoformat()} holds {self.page_size.rows} flash calls or more, as many as the list can "
            "answer with: ask the vendor for the rest of that second, and read on from the next one",
            second=moment,
        )

    async def _ask(self, window: Window, bounds: tuple[int, int], records: list[Dated]) -> bool:
        """Add what the list has between two seconds to `records`; tell whether the answer was full."""
        start, end = bounds
        page = await self.reader.page_with_rows(self.parameters(start, end), window)
        self.structurer.add(page, records, self.reader.in_words(window))
        check_inside(window, records, None)
        self._start_is_inclusive = self._start_is_inclusive or bool(self._of_second(records, start))
        self._end_is_inclusive = self._end_is_inclusive or bool(self._of_second(records, end))
        return await self._is_cut_off(window, page, records, bounds)

    async def _is_cut_off(self, window: Window, page: Page, records: list[Dated], bounds: tuple[int, int]) -> bool:
        """Tell whether an answer is full; look again at both parts of a short one.

        A row that was not in the answer means that the gateway caps its answers lower than documented, unless the same
        question now has a longer answer: then it just arrived.
        """
        came = len(page.rows)
        if self.page_size.is_full(came):
            return True
        if not self.page_size.is_doubtful(came) or not records:
            return False
        if not await self._hides_rows(window, page, records, bounds):
            return False
        again = await self.reader.page(self.parameters(*bounds), window)
        self.structurer.add(again, records, self.reader.in_words(window))
        if len(again.rows) > came:
            return await self._is_cut_off(window, again, records, bounds)
        self.page_size.cap(came)
        return True

    async def _hides_rows(self, window: Window, page: Page, records: list[Dated], bounds: tuple[int, int]) -> bool:
        """Tell whether the two parts of a range, cut amid the rows of its answer, hold rows that are not in it.

        No document says which rows a cap leaves: the first, the last, or any.
        """
        start, end = bounds
        seconds = [min(end, max(start, int(dated.start_ms // 1000))) for dated in records]
        earliest, latest = min(seconds), max(seconds)
        middle = (earliest + latest) // 2
        # The parts share a second where they can, or none would hold it where the ends of a range do not count.
        border = min(middle + 1, latest)
        later, earlier = [(middle, end), (middle + 1, end)], [(start, border), (start, border - 1)]
        known = {self.row_key(row) for row in page.rows}
        for questions in (later, earlier):
            other = [(first, last) for first, last in questions if first <= last and (first, last) != bounds]
            if await self._has_others(window, other, known, len(page.rows)):
                return True
        return False

    async def _has_others(
        self, window: Window, questions: list[tuple[int, int]], known: set[Hashable], rows: int
    ) -> bool:
        """Tell whether a part of a range holds rows that are not known; of its bounds, the narrower come later.

        An answer of known rows is whole if it is shorter than that of the range, as no cap is lower than that. One that
        is as long holds the second the range was cut at, so that the part without that second is to be asked for.
        """
        for start, end in questions:
            page = await self.reader.page_with_rows(self.parameters(start, end), window)
            if any(self.row_key(row) not in known for row in page.rows):
                return True
            if len(page.rows) < rows:
                return False
        return False

    def _of_second(self, records: list[Dated], second: int) -> list[Dated]:
        return [dated for dated in records if dated.start_ms // 1000 == second]

"""Reading an API that answers with the first rows of a range, without pages or a total: the flash-call list."""

from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Generic, TypeVar

from attrs import define, field

from nxcdr_async.convert import to_local
from nxcdr_async.errors import NxcdrError, SaturatedSecondError
from nxcdr_async.pages.source import Ask, PageSize, Piece, Rows, RowStructurer, Split, piece_of, span_of
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window, WindowPlan
from nxcdr_async.wire import Page

RecordT = TypeVar("RecordT")


@define
class CappedList(Generic[RecordT]):
    """Reads an API that answers with the first rows of a range, and has neither pages nor a total.

    A range is split until its answer is not full. Where even one second is full, narrower bounds are tried, and then
    `SaturatedSecondError` says so.

    Attributes:
        plan: cuts the range into windows.
        ask: asks for the rows between two times.
        zone: the vendor's zone, for the times of a request.
        rows: turns rows into records.
        moment: the time of a record.
        row_key: the id of a raw row, None without one.
        page_size: how many rows fill an answer.
    """

    plan: WindowPlan
    ask: Ask
    zone: tzinfo
    rows: RowStructurer[RecordT]
    moment: Callable[[RecordT], datetime]
    row_key: Callable[[Any], Hashable]
    page_size: PageSize
    stats: PaginatorStats
    _start_counts: bool = field(default=False, init=False)
    _end_counts: bool = field(default=False, init=False)

    def next(self, *, readers: int) -> Piece | None:
        """Cut the next window."""
        window = self.plan.next(readers=readers)
        return None if window is None else piece_of(window)

    async def read(self, piece: Piece) -> Rows[RecordT] | Split:
        """Read a window with one question, or find that it must be split."""
        window = piece.window
        records: list[RecordT] = []
        try:
            is_full = await self._ask(window, window.bounds, records)
            starts = [self.moment(record).timestamp() for record in records]
            if not is_full:
                self.stats.windows += 1
                self.plan.density.learn(window, starts)
                return Rows(records)
            if window.seconds > 1:
                self.stats.splits += 1
                rows = max(self.plan.estimate(window, starts), 2.0 * self.page_size.rows)
                return Split([piece_of(part) for part in self.plan.split(window, starts, rows)])
            return Rows(await self._read_second(window, records))
        except Exception as error:  # noqa: BLE001 - handed on with the records before it, and raised by the paginator
            return Rows(records, error)

    async def _read_second(self, window: Window, seen: list[RecordT]) -> list[RecordT]:
        """Read one second by narrower bounds, as its neighbours may have filled the answer.

        Which bounds hold the whole second depends on whether the ends of a range count, which no document says. It is
        known once a call at an end was given; else an answer must at least hold every call seen of that second.
        """
        second = window.start
        known = self._of_second(seen, second)
        for start, end in ((second, second + 1), (second - 1, second), (second, second)):
            found: list[RecordT] = []
            is_full = await self._ask(window, (start, end), found)
            held = self._of_second(found, second)
            holds_second = (start < second or self._start_counts) and (end > second or self._end_counts)
            is_likely = bool(held) and all(record in held for record in known)
            if not is_full and (holds_second or is_likely):
                self.stats.windows += 1
                return found
            known += [record for record in held if record not in known]
        moment = datetime.fromtimestamp(second, UTC)
        raise SaturatedSecondError(
            f"the second {moment.isoformat()} holds {self.page_size.rows} flash calls or more, as many as the list can "
            "answer with: ask the vendor for the rest of that second, and read on from the next one",
            second=moment,
        )

    def _of_second(self, records: list[RecordT], second: int) -> list[RecordT]:
        return [record for record in records if int(self.moment(record).timestamp()) == second]

    async def _ask(self, window: Window, bounds: tuple[int, int], records: list[RecordT]) -> bool:
        """Add what the list has between two seconds to `records`; tell whether the answer was full."""
        self.stats.pages += 1
        start, end = bounds
        parameters = {
            "start": to_local(datetime.fromtimestamp(start, UTC), self.zone),
            "end": to_local(datetime.fromtimestamp(end, UTC), self.zone),
        }
        try:
            page = await self.ask(parameters)
            if not page.rows and (page.is_vague or self.plan.expects_calls(Window(start, end + 1))):
                # A throttled gateway may answer with nothing instead of a refusal.
                page = await self.ask(parameters)
            page = await self._complete(page, parameters)
        except NxcdrError as error:
            error.add_note(f"while reading {span_of(window)}")
            raise
        records.extend(self.rows.records(page.rows))
        self._start_counts = self._start_counts or bool(self._of_second(records, start))
        self._end_counts = self._end_counts or bool(self._of_second(records, end))
        return self.page_size.is_full(len(page.rows))

    async def _complete(self, page: Page, parameters: Mapping[str, str]) -> Page:
        """Look behind a short answer, as the vendor tells to: from the time of its last row on.

        More rows mean that the gateway caps its answers lower than documented, unless the same question now has a
        longer answer: then they just arrived.
        """
        came = len(page.rows)
        if self.page_size.is_full(came) or not self.page_size.is_doubtful(came):
            return page
        last = max((str(row.get("gmtCreate")) for row in page.rows if isinstance(row, dict)), default="")
        beyond = await self.ask({**parameters, "start": max(last, parameters["start"])})
        known = {self.row_key(row) for row in page.rows}
        if all(self.row_key(row) in known for row in beyond.rows):
            self.page_size.learn(came, more_behind=False)
            return page
        again = await self.ask(parameters)
        self.page_size.learn(came, more_behind=len(again.rows) <= came)
        return again

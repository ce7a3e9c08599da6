"""Reading an API that has pages but does not say how many rows there are: cdr/page."""

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

from attrs import define, field

from nxcdr_async.errors import IncompleteError, SaturatedSecondError
from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.base import Outcome, ReadResult, Split, Step, check_inside, in_words
from nxcdr_async.paging.completeness import CompletenessCheck, Verdict
from nxcdr_async.paging.end_check import EndCheck, EndState
from nxcdr_async.paging.page_reader import MOST_PAGES, PageSize, RowStructurer
from nxcdr_async.paging.page_rows import AmbiguousRows, distinct_rows
from nxcdr_async.paging.planner import WindowForecast, WindowPlanner
from nxcdr_async.paging.saturated_second import RangeEnds, SaturatedSecondReader
from nxcdr_async.paging.window_pages import GrowthGuard, WindowPageReader
from nxcdr_async.protocol.codes import is_final
from nxcdr_async.protocol.responses import Page, Row
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window

ROWS_SEQUENTIAL = 1_000
"""Calls a window should have once its pages are read one after the other."""

MOST_AMBIGUITIES = 8
"""Requests to settle ambiguous rows of a window; a gateway that doubles all its rows would take one for each."""

_start_ms = attrgetter("start_ms")


@define(eq=False)
class UncountedPager:
    """Reads a range of an API that has pages but does not say how many rows there are.

    Attributes:
        end_ms: returns when a call ends, epoch milliseconds, as a gateway may filter by that; None where it cannot.
        on_saturated_second: gets the error of each second that has more calls than the gateway shows, which is then
            read as far as it goes; None to raise it.
        has_arrivals: whether rows moved while they were read, so that from then on pages are read in order.
    """

    planner: WindowPlanner
    pages: WindowPageReader
    structurer: RowStructurer[Any]
    end_ms: Callable[[Any], float | None] | None
    stats: PaginatorStats
    on_saturated_second: Callable[[SaturatedSecondError], object] | None = None
    has_arrivals: bool = field(default=False, init=False)
    range_ends: RangeEnds = field(factory=lambda: RangeEnds(in_seconds=False), init=False)
    growth_guard: GrowthGuard = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.growth_guard = GrowthGuard(self.stats)

    @property
    def limits(self) -> AnswerLimits:
        """How far answers reach."""
        return self.planner.limits

    def next(self) -> Window | None:
        """Cut the next window."""
        return self.planner.next()

    def open(self, window: Window) -> "UncountedReading":
        """Begin reading a window."""
        return UncountedReading(window, self)

    async def first_page(self, window: Window) -> Page:
        """Request the first page of a window, once."""
        return await self.pages.page(window, 1)

    def expect_arrivals(self) -> None:
        """Read the pages of windows in order from now on, and smaller windows to make up for it."""
        self.has_arrivals = True
        self.planner.most_rows = min(self.planner.most_rows, ROWS_SEQUENTIAL)


@define(eq=False)
class UncountedReading:
    """One window while it is read: page 1, then pages as far ahead as they surely exist, then one by one to the end.

    It does not rely on the order of rows; `CompletenessCheck` says when it is complete. Where it is read anew, pages
    that are still under way belong to an older generation, and are dropped when they come.
    """

    window: Window
    pager: UncountedPager
    outcome: Outcome | None = field(default=None, init=False)
    _completeness: CompletenessCheck = field(init=False)
    _records: dict[int, list[Row]] = field(factory=dict, init=False)
    _window_forecast: WindowForecast = field(init=False)
    _under_way: int = field(default=0, init=False)
    _closing_steps: list[Step] = field(factory=list, init=False)
    _closing_steps_due: int = field(default=0, init=False)
    _confirmations: list[Page] = field(factory=list, init=False)
    _confirmations_due: int = field(default=0, init=False)
    _failure: tuple[int, Exception] | None = field(default=None, init=False)
    _settled: dict[AmbiguousRows, list[Row]] = field(factory=dict, init=False)
    _generation: int = field(default=0, init=False)
    _end_check: EndCheck = field(init=False)
    _end_state: EndState | None = field(default=None, init=False)
    _second_result: ReadResult | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._begin_check(CompletenessCheck(is_sequential=self.pager.has_arrivals))
        self._window_forecast = WindowForecast(self.pager.planner, self.window, self._page_size.rows)
        self._records = {}
        self._settled = {}

    def _begin_check(self, completeness: CompletenessCheck) -> None:
        self._completeness = completeness
        self._end_check = EndCheck(self.window, self.pager.pages, self.pager.limits, completeness)
        self._end_state = None

    @property
    def _page_size(self) -> PageSize:
        return self.pager.pages.page_size

    @property
    def forecast(self) -> float:
        """Calls it is expected to have in the end."""
        return self.calls_read if isinstance(self.outcome, ReadResult) else self._window_forecast.forecast

    @property
    def calls_read(self) -> int:
        """Calls in memory; while it is read, short pages count as full ones."""
        if isinstance(self.outcome, ReadResult):
            return len(self.outcome.records)
        return len(self._records) * self._page_size.rows

    def next_step(self) -> Step | None:
        """Return the request of the next page that surely exists, if it can be sent by now."""
        if self._closing_steps:
            self._under_way += 1
            return self._closing_steps.pop()
        return self._next_page(self._window_forecast.sure_pages)

    def next_speculative_step(self) -> Step | None:
        """Return the request of the next page that is likely to exist."""
        return self._next_page(self._window_forecast.likely_pages)

    def _next_page(self, ahead: int) -> Step | None:
        if (
            self.outcome is not None
            or self._closing_steps_due
            or self._failure is not None
            or self._window_forecast.is_too_full
        ):
            return None
        number = self._completeness.next_page(ahead=ahead)
        if number is None or self.pager.limits.is_cut_at((number - 1) * self._page_size.rows):
            return None
        self._completeness.note_asked(number)
        self._under_way += 1
        return partial(self._read_page, number, self._generation)

    async def _read_page(self, number: int, generation: int) -> None:
        try:
            page = await self._ask(number)
            if generation == self._generation:
                self._add_page(number, page)
        except Exception as error:  # noqa: BLE001 - handed on with the records before it, and raised by the paginator
            if generation == self._generation and (self._failure is None or number < self._failure[0]):
                self._failure = number, error
        self._under_way -= 1
        self._decide_if_due()

    async def _ask(self, number: int) -> Page:
        pages = self.pager.pages
        self.pager.growth_guard.check(self.window)
        if number == 1:
            return await pages.first(self.window)
        if number > MOST_PAGES:
            raise IncompleteError(f"more than {MOST_PAGES} pages for {in_words(self.window)}")
        ask = pages.page_with_rows if self._completeness.was_asked_in_order(number) else pages.page
        return await ask(self.window, number)

    def _add_page(self, number: int, page: Page) -> None:
        is_full = self.pager.pages.is_full(page)
        self._completeness.add_page(number, page.rows, self.pager.pages.keys(page), is_full=is_full)
        self._structure(number, page)
        if calls := self._records[number]:
            starts = list(map(_start_ms, calls))
            earliest, latest = min(starts) / 1000, max(starts) / 1000
            if not self.window.is_near(earliest, latest):
                check_inside(self.window, calls, self.pager.end_ms)
            if is_full:
                self._window_forecast.add_page(len(calls), earliest, latest)

    def _structure(self, number: int, page: Page) -> None:
        records = self._records[number] = []
        self.pager.structurer.add(page, records, self.pager.pages.reader.in_words(self.window, number))

    def _decide_if_due(self) -> None:
        """Decide once all pages are there; those requested after the last one prove nothing and are not waited for."""
        is_due = not self._under_way or self._completeness.is_gathered
        if self.outcome is None and not self._closing_steps_due and is_due:
            self._decide()

    def _decide(self) -> None:
        """Go on, or end, by what the pages that came prove."""
        last = self._completeness.last
        if self._failure is not None and (last is None or self._failure[0] <= last):
            number, error = self._failure
            # Of a window that is refused by now nothing is kept, so that what is left of it can be read anew.
            self._end(ReadResult([] if is_final(error) else self._records_up_to(number), error))
            return
        if self._second_result is not None:
            if self._second_result.error is None:
                self.pager.growth_guard.note_window()
            self._end(self._second_result)
            return
        match self._completeness.verdict():
            case Verdict.UNCONFIRMED:
                # A throttled gateway may answer with no rows, so an empty page is believed only if it comes twice.
                self._confirmations_due = 1 if self._completeness.has_rows_on_last else 2
                self._do_after_pages(*self._early_end_requests, *[self._confirm] * self._confirmations_due)
            case Verdict.COMPLETE | Verdict.REPEATING as verdict:
                self._decide_on_end(verdict)
            case Verdict.OPEN | Verdict.MOVED if self._window_forecast.is_too_full:
                self._split(self._window_forecast.forecast)
            case Verdict.MOVED:
                self._reread_sequentially()
            case Verdict.OPEN if self.pager.limits.is_cut_at(self._completeness.depth):
                self._go_narrower()
            case Verdict.OPEN if self._window_forecast.needs_measuring:
                self._do_after_pages(self._measure)

    def _decide_on_end(self, verdict: Verdict) -> None:
        """End, or read narrower windows, by what is known of the end of the answer."""
        limits, rows = self.pager.limits, self._completeness.depth
        if self._end_state is None and (verdict is Verdict.REPEATING or self._end_check.is_needed):
            self._do_after_pages(self._prove_end)
            return
        if self._end_state is None:
            self._end_state = EndState.CAPPED if limits.depth_cap == rows else EndState.PROVEN
        if self._end_state is EndState.PROVEN:
            limits.note_end(self.window, rows)
            self._complete()
        else:
            self._go_narrower()

    @property
    def _early_end_requests(self) -> list[Step]:
        """What can be requested about the end while the last page is requested again."""
        check = self._end_check
        if not check.is_needed:
            return []
        return [partial(check.request_early, page) for page in check.pages_to_request(self._starts())]

    async def _prove_end(self) -> None:
        """Find out whether the end of the answer is the end of the calls."""
        state = await self._end_check.run(self._starts())
        if isinstance(state, EndState):
            self._end_state = state
            return
        self._apply_confirmation(state)
        if self._completeness.last is not None:
            self._end_state = EndState.PROVEN  # no cap, as it goes on

    def _go_narrower(self) -> None:
        """Read narrower windows, as the gateway does not show all of this one; a single second by narrower bounds."""
        if self.window.seconds == 1:
            self._do_after_pages(self._read_second)
        else:
            self._split(max(self._window_forecast.forecast, 2.0 * self._completeness.depth))

    def _end(self, outcome: Outcome) -> None:
        """End, and drop the pages: requests still under way must not keep them in memory."""
        self.outcome = outcome
        self._begin_generation()
        self._records = {}
        self._begin_check(CompletenessCheck())

    def _complete(self) -> None:
        distinct = distinct_rows(self._pages_up_to(self._completeness.end), self._settled)
        if distinct.ambiguous and not self._settled:
            self._do_after_pages(*(partial(self._settle, rows) for rows in distinct.ambiguous[:MOST_AMBIGUITIES]))
            return
        self.pager.limits.note_complete(self._completeness.depth)
        self.pager.growth_guard.note_window()
        self._window_forecast.learn([row.start_ms / 1000 for row in distinct.rows])
        self._end(ReadResult(distinct.rows, duplicates=distinct.duplicates))

    async def _settle(self, ambiguous: AmbiguousRows) -> None:
        """Request rows of one id that may be one or several again: those that come on one page are different rows."""
        found: list[Row] = []
        pages = self.pager.pages
        page = await pages.page_with_ambiguous(self.window, ambiguous)
        self.pager.structurer.add(page, found, pages.reader.in_words(self.window, ambiguous.page))
        self._settled[ambiguous] = [row for row in found if ambiguous.has(row)]

    async def _read_second(self) -> None:
        """Read the only second of the window whole, or as far as the gateway shows it."""
        source, rows = self.pager, self._completeness.depth
        if await self._end_check.is_second_whole():
            self._end_state = EndState.PROVEN
            return
        self._second_result = await SaturatedSecondReader(
            self.window.start,
            source.pages,
            source.limits,
            source.structurer,
            source.range_ends,
            source.growth_guard,
            source.on_saturated_second,
        ).read(self._records_up_to(self._completeness.end), rows)

    async def _confirm(self) -> None:
        """Request the last page again, now that all others are there."""
        pages = self.pager.pages
        ask = pages.page_with_rows if self._completeness.has_rows_on_last else pages.page
        self._confirmations.append(await ask(self.window, self._completeness.last or self._completeness.asked))
        if len(self._confirmations) == self._confirmations_due:
            self._apply_confirmation(max(self._confirmations, key=lambda page: len(page.rows)))

    def _apply_confirmation(self, page: Page) -> None:
        number = self._completeness.last or self._completeness.asked
        self._confirmations.clear()
        is_full = self.pager.pages.is_full(page)
        self._completeness.confirm(page.rows, self.pager.pages.keys(page), is_full=is_full)
        self._structure(number, page)
        if is_full:
            self._begin_check(self._completeness)
            self._begin_generation()

    def _do_after_pages(self, *steps: Step) -> None:
        """Do steps after all pages, and decide after them."""
        self._closing_steps = [partial(self._close, step) for step in steps]
        self._closing_steps_due = len(steps)

    async def _close(self, step: Step) -> None:
        number = max(1, self._completeness.end)
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - handed on with the records before it, and raised by the paginator
            self._failure = number, error
        self._under_way -= 1
        self._closing_steps_due -= 1
        self._decide_if_due()

    def _reread_sequentially(self) -> None:
        """Read all pages again in order, as rows moved while they were read out of order; a large window in parts."""
        self.pager.stats.rereads += 1
        self.pager.expect_arrivals()
        if self._window_forecast.forecast > 2 * ROWS_SEQUENTIAL and self.window.seconds > 1:
            self._split(self._window_forecast.forecast)
            return
        self._begin()
        self._begin_generation()

    def _begin_generation(self) -> None:
        """Have the pages that were requested until now dropped: they are older than those that follow, or of no use."""
        self._generation += 1
        self._failure = None

    async def _measure(self) -> None:
        """Find about how many rows the window has, whatever their order, by requesting pages ever further out."""
        number, pages = 2 * max(1, self._completeness.asked), self.pager.pages
        while number < MOST_PAGES and pages.is_full(await pages.page(self.window, number)):
            number *= 2
        self._window_forecast.set_measured(number * 3 // 4)

    def _split(self, rows: float) -> None:
        self.pager.stats.splits += 1
        starts = self._starts(self._completeness.asked)
        self._end(Split(self.pager.planner.split(self.window, starts, rows)))

    def _starts(self, number: int | None = None) -> list[float]:
        """Return when the calls of the pages up to one, or of all, start (epoch seconds), in the order they came."""
        return [row.start_ms / 1000 for row in self._records_up_to(number or self._completeness.end)]

    def _pages_up_to(self, number: int) -> list[list[Row]]:
        return [self._records[page] for page in sorted(self._records) if page <= number]

    def _records_up_to(self, number: int) -> list[Row]:
        return distinct_rows(self._pages_up_to(number), {}).certain

"""Reading an API that has pages but does not say how many rows there are: cdr/page."""

from collections.abc import Callable
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

from attrs import define, field

from nxcdr_async.errors import IncompleteError, SaturatedSecondError
from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.base import Outcome, ReadResult, Split, check_inside, in_words
from nxcdr_async.paging.completeness import CompletenessCheck, Verdict
from nxcdr_async.paging.end_check import EndCheck, EndState
from nxcdr_async.paging.page_reader import MOST_PAGES, ROWS_DUE, PageSize, RowStructurer
from nxcdr_async.paging.page_rows import AmbiguousRows, distinct_rows
from nxcdr_async.paging.places import Answers, WindowPlaces
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

    async def read(self, window: Window, places: WindowPlaces) -> Outcome:
        """Read a window."""
        return await UncountedReading(window, self, places).read()

    async def first_page(self, window: Window) -> Page:
        """Request the first page of a window, once."""
        return await self.pages.page(window, 1)

    async def page(self, window: Window, number: int, *, expected: float | None) -> Page:
        """Request a page of a window, with so many rows to expect on any but the first, as for `PageReader.page`."""
        self.growth_guard.check(window)
        if number > MOST_PAGES:
            raise IncompleteError(f"more than {MOST_PAGES} pages for {in_words(window)}")
        if number == 1:
            return await self.pages.first(window)
        return await self.pages.page(window, number, expected=expected)

    def expect_arrivals(self) -> None:
        """Read the pages of windows in order from now on, and smaller windows to make up for it."""
        self.has_arrivals = True
        self.planner.most_rows = min(self.planner.most_rows, ROWS_SEQUENTIAL)


@define(eq=False)
class UncountedReading:
    """One window while it is read: page 1, then pages as far ahead as they surely exist, then one by one to the end.

    It does not rely on the order of rows; `CompletenessCheck` says when it is complete. One coroutine holds all state,
    sends requests and takes their answers. Where it goes on from a new state, answers to older requests reach nobody.
    """

    window: Window
    pager: UncountedPager
    places: WindowPlaces
    _check: CompletenessCheck = field(init=False)
    _end_check: EndCheck = field(init=False)
    _forecast: WindowForecast = field(init=False)
    _records: dict[int, list[Row]] = field(init=False)
    _answers: Answers[Page] = field(init=False)

    async def read(self) -> Outcome:
        """Read on until the pages prove that they are all there is, or that the window has to be read in parts."""
        self._begin()
        while True:
            failed = await self._gather()
            if failed is not None:
                return self._failed(*failed)
            end = max(1, self._check.end)
            try:
                outcome = await self._decide()
            except Exception as error:  # noqa: BLE001 - handed on with the records before it, raised by the paginator
                return self._failed(end, error)
            if outcome is not None:
                return outcome

    def _begin(self) -> None:
        self._records = {}
        self._forecast = WindowForecast(self.pager.planner, self.window, self.pager.pages.page_size.rows)
        self._go_by(CompletenessCheck(is_sequential=self.pager.has_arrivals))

    def _go_by(self, check: CompletenessCheck) -> None:
        """Go by this check from now on; whatever is under way was requested too early for it."""
        self._check = check
        self._end_check = EndCheck(self.window, self.pager.pages, self.pager.limits, check)
        self._answers = self.places.answers()

    async def _gather(self) -> tuple[int, Exception] | None:
        """Request pages until all up to the last are there; those requested after it are not waited for.

        Returns:
            The number of the first page that could not be read, and why; None if all are there.
        """
        check, answers, places, forecast = self._check, self._answers, self.places, self._forecast
        failed: tuple[int, Exception] | None = None
        while True:
            while answers.came:
                number, came = answers.came.popleft()
                try:
                    self._add_page(number, came)
                except Exception as error:  # noqa: BLE001 - that of a page after the last one counts for nothing
                    failed = min(failed or (number, error), (number, error), key=itemgetter(0))
            places.forecast, places.calls_read = forecast.forecast, len(self._records) * self._page_size.rows
            sure, likely = (0, 0) if failed is not None else self._pages_to_ask()
            may_end = check.is_gathered or not answers.under_way
            if may_end and (not likely or forecast.needs_measuring):
                break
            taken = places.take(sure, likely - sure)
            numbers = range(check.asked + 1, check.asked + taken + 1)
            for number in numbers:
                check.note_asked(number)
            # The furthest page first: it tells most about how many there are.
            for number in reversed(numbers):
                # In order, the page before it was full. Out of order, nobody knows whether there is such a page.
                expected = ROWS_DUE if check.was_asked_in_order(number) else None
                places.send(partial(self.pager.page, self.window, number, expected=expected), number, answers)
            await places.wait()
        return failed if failed is not None and failed[0] <= (check.last or failed[0]) else None

    def _pages_to_ask(self) -> tuple[int, int]:
        """Return how many pages may be requested now because they surely exist, and because they are likely to."""
        if self._forecast.is_too_full:
            return 0, 0
        shown = self._pages_shown - self._check.asked
        ahead = self._forecast.sure_pages, self._forecast.likely_pages
        sure, likely = (max(0, min(shown, self._check.pages_to_ask(ahead=pages))) for pages in ahead)
        return sure, likely

    @property
    def _pages_shown(self) -> int:
        """How many pages of the answer the gateway shows at most."""
        cap = self.pager.limits.depth_cap
        return MOST_PAGES + 1 if cap is None else -(-cap // self._page_size.rows)

    @property
    def _page_size(self) -> PageSize:
        return self.pager.pages.page_size

    def _add_page(self, number: int, came: Page | Exception) -> None:
        if isinstance(came, Exception):
            raise came
        is_full = self.pager.pages.is_full(came)
        self._check.add_page(number, came.rows, self.pager.pages.keys(came), is_full=is_full)
        self._structure(number, came)
        if calls := self._records[number]:
            starts = list(map(_start_ms, calls))
            earliest, latest = min(starts) / 1000, max(starts) / 1000
            if not self.window.is_near(earliest, latest):
                check_inside(self.window, calls, self.pager.end_ms)
            if is_full:
                self._forecast.add_page(len(calls), earliest, latest)

    def _structure(self, number: int, page: Page) -> None:
        records = self._records[number] = []
        self.pager.structurer.add(page, records, self.pager.pages.reader.in_words(self.window, number))

    async def _decide(self) -> Outcome | None:
        """Go on by what the pages that came prove; None to request further ones."""
        match self._check.verdict():
            case Verdict.UNCONFIRMED:
                await self._confirm()
            case Verdict.COMPLETE | Verdict.REPEATING as verdict:
                return await self._prove_end(verdict)
            case Verdict.OPEN | Verdict.MOVED if self._forecast.is_too_full:
                return self._split(self._forecast.forecast)
            case Verdict.MOVED:
                return self._reread_in_order()
            case Verdict.OPEN if self._check.asked >= self._pages_shown:
                return await self._read_narrower()
            case Verdict.OPEN:
                await self._measure()
        return None

    async def _confirm(self) -> None:
        """Request the last page again, now that all others are there, and what may have to prove the end with it."""
        check, pages = self._check, self.pager.pages
        last = check.last or check.asked
        # A throttled gateway may answer with no rows, so an empty page is believed only if it comes twice.
        asks = [partial(pages.page, self.window, last, expected=ROWS_DUE)]
        if not check.rows_on(last):
            asks = [partial(pages.page, self.window, last)] * 2
        early = self._end_check.pages_to_request(self._starts()) if self._end_check.is_needed else []
        asks_early = [partial(pages.page, *page, expected=ROWS_DUE) for page in early]
        came = await self.places.at_once([*asks, *asks_early])
        self._end_check.early = dict(zip(early, came[len(asks) :], strict=True))
        self._replace_last(max(came[: len(asks)], key=lambda page: len(page.rows)))

    def _replace_last(self, page: Page) -> None:
        """Take what came for the last page once all others were there; if that is full by now, go on from there."""
        is_full = self.pager.pages.is_full(page)
        number = self._check.last or self._check.asked
        self._check.confirm(page.rows, self.pager.pages.keys(page), is_full=is_full)
        self._structure(number, page)
        if is_full:
            self._go_by(self._check)

    async def _prove_end(self, verdict: Verdict) -> Outcome | None:
        """End with the records, or read narrower windows, by whether the end of the answer is the end of the calls."""
        limits, rows = self.pager.limits, self._check.depth
        state: EndState | Page = EndState.CAPPED if limits.depth_cap == rows else EndState.PROVEN
        if verdict is Verdict.REPEATING or self._end_check.is_needed:
            async with self.places.one():
                state = await self._end_check.run(self._starts())
        if isinstance(state, Page):
            self._replace_last(state)
            return None
        if state is not EndState.PROVEN:
            return await self._read_narrower()
        return await self._complete()

    async def _complete(self) -> ReadResult:
        limits, depth, pages = self.pager.limits, self._check.depth, self._pages_up_to(self._check.end)
        distinct = distinct_rows(pages, {})
        if distinct.ambiguous:
            ambiguous = distinct.ambiguous[:MOST_AMBIGUITIES]
            rows = await self.places.at_once([partial(self._settle, each) for each in ambiguous])
            distinct = distinct_rows(pages, dict(zip(ambiguous, rows, strict=True)))
        limits.note_end(self.window, depth)
        limits.note_complete(depth)
        self.pager.growth_guard.note_window()
        self._forecast.learn([row.start_ms / 1000 for row in distinct.rows])
        return ReadResult(distinct.rows, duplicates=distinct.duplicates)

    async def _settle(self, ambiguous: AmbiguousRows) -> list[Row]:
        """Request rows of one id that may be one or several again: those that come on one page are different rows."""
        found: list[Row] = []
        pages = self.pager.pages
        page = await pages.page_with_ambiguous(self.window, ambiguous)
        self.pager.structurer.add(page, found, pages.reader.in_words(self.window, ambiguous.page))
        return [row for row in found if ambiguous.has(row)]

    async def _read_narrower(self) -> Outcome:
        """Read narrower windows, as the gateway may not show all of this one; a single second by narrower bounds."""
        depth, pager = self._check.depth, self.pager
        if self.window.seconds > 1:
            return self._split(max(self._forecast.forecast, 2.0 * depth))
        async with self.places.one():
            if not await self._end_check.is_second_whole():
                second = SaturatedSecondReader(
                    self.window.start,
                    pager.pages,
                    pager.limits,
                    pager.structurer,
                    pager.range_ends,
                    pager.growth_guard,
                    pager.on_saturated_second,
                )
                result = await second.read(self._records_up_to(self._check.end), depth)
                if result.error is None:
                    pager.growth_guard.note_window()
                return result
        return await self._complete()

    def _reread_in_order(self) -> Split | None:
        """Read all pages again in order, as rows moved while they were read out of order; a large window in parts."""
        self.pager.stats.rereads += 1
        self.pager.expect_arrivals()
        if self._forecast.forecast > 2 * ROWS_SEQUENTIAL and self.window.seconds > 1:
            return self._split(self._forecast.forecast)
        self._begin()
        return None

    async def _measure(self) -> None:
        """Find about how many rows the window has, whatever their order, by requesting pages ever further out."""
        number, pages = 2 * max(1, self._check.asked), self.pager.pages
        async with self.places.one():
            while number < MOST_PAGES and pages.is_full(await pages.page(self.window, number)):
                number *= 2
        self._forecast.set_measured(number * 3 // 4)

    def _split(self, rows: float) -> Split:
        self.pager.stats.splits += 1
        return Split(self.pager.planner.split(self.window, self._starts(self._check.asked), rows))

    def _failed(self, number: int, error: Exception) -> ReadResult:
        """Return the records up to a page, and an error.

        Of a window that is refused by now nothing is kept, so that what is left of it can be read anew.
        """
        return ReadResult([] if is_final(error) else self._records_up_to(number), error)

    def _starts(self, number: int | None = None) -> list[float]:
        """Return when the calls of the pages up to one, or of all, start (epoch seconds), in the order they came."""
        return [row.start_ms / 1000 for row in self._records_up_to(number or self._check.end)]

    def _pages_up_to(self, number: int) -> list[list[Row]]:
        return [self._records[page] for page in sorted(self._records) if page <= number]

    def _records_up_to(self, number: int) -> list[Row]:
        return distinct_rows(self._pages_up_to(number), {}).certain

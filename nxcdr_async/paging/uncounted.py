"""Reading an API that has pages but tells no total: cdr/page."""

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

from attrs import define, field

from nxcdr_async.errors import IncompleteError, SaturatedSecondError
from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.base import Outcome, ReadResult, Split, Step, check_inside, in_words
from nxcdr_async.paging.completeness import PageProof, Verdict
from nxcdr_async.paging.end_check import EndCheck
from nxcdr_async.paging.ending import End
from nxcdr_async.paging.full_second import FullSecond
from nxcdr_async.paging.growth import Progress
from nxcdr_async.paging.page_reader import MOST_PAGES, PageSize, RowStructurer
from nxcdr_async.paging.page_rows import Company, distinct_rows
from nxcdr_async.paging.planner import Outlook, WindowPlan
from nxcdr_async.paging.seconds import RangeEnds
from nxcdr_async.paging.window_pages import WindowPageReader
from nxcdr_async.protocol.codes import is_final
from nxcdr_async.protocol.responses import Dated, Page
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window

ROWS_IN_TURN = 1_000
"""Calls a window should hold once its pages are read one after the other."""

MOST_DOUBTS = 8
"""Questions a window is worth to tell rows with one id apart; one that doubles all its rows would take one for each."""

_start_ms = attrgetter("start_ms")


@define(eq=False)
class WindowedPages:
    """A range of an API that has pages but tells no total.

    Attributes:
        plan: cuts the range into windows.
        pages: asks for their pages.
        structurer: turns rows into records.
        end_ms: the other time of a call that a gateway may filter by, epoch milliseconds, if there is one.
        stats: where windows and splits are counted.
        on_saturated_second: gets the error of each second that holds more than the gateway shows, which is then read as
            far as it goes; None to raise it.
        has_arrivals: whether rows moved while they were read, so that from then on pages are read in turn.
        range_ends: which ends of a range count.
        progress: notices a range of which ever more rows come.
    """

    plan: WindowPlan
    pages: WindowPageReader
    structurer: RowStructurer[Any]
    end_ms: Callable[[Any], float | None] | None
    stats: PaginatorStats
    on_saturated_second: Callable[[SaturatedSecondError], object] | None = None
    has_arrivals: bool = field(default=False, init=False)
    range_ends: RangeEnds = field(factory=lambda: RangeEnds(in_seconds=False), init=False)
    progress: Progress = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.progress = Progress(self.stats)

    @property
    def limits(self) -> AnswerLimits:
        """How far answers reach."""
        return self.plan.limits

    def next(self) -> Window | None:
        """Cut the next window."""
        return self.plan.next()

    def open(self, window: Window) -> "WindowReading":
        """Begin to read a window."""
        return WindowReading(window, self)

    async def first_page(self, window: Window) -> Page:
        """Ask for the first page of a window, once."""
        return await self.pages.page(window, 1)

    def expect_arrivals(self) -> None:
        """Read the pages of windows in turn from now on, and for that, smaller windows side by side."""
        self.has_arrivals = True
        self.plan.most_rows = min(self.plan.most_rows, ROWS_IN_TURN)


@define(eq=False)
class WindowReading:
    """One window while it is read: page 1, then pages as far ahead as they surely exist, then one by one to the end.

    No window trusts the order of rows; see `PageProof` for what makes it complete.

    Attributes:
        window: the window.
        source: asks for its pages.
        outcome: how the reading ended; None while it is not over.
    """

    window: Window
    source: WindowedPages
    outcome: Outcome | None = field(default=None, init=False)
    _proof: PageProof = field(init=False)
    _records: dict[int, list[Dated]] = field(factory=dict, init=False)
    _outlook: Outlook = field(init=False)
    _under_way: int = field(default=0, init=False)
    _closing_steps: list[Step] = field(factory=list, init=False)
    _closing_steps_due: int = field(default=0, init=False)
    _confirmations: list[Page] = field(factory=list, init=False)
    _confirmations_due: int = field(default=0, init=False)
    _failure: tuple[int, Exception] | None = field(default=None, init=False)
    _settled: dict[Company, list[Dated]] = field(factory=dict, init=False)
    _era: int = field(default=0, init=False)
    _end_check: EndCheck = field(init=False)
    _end_told: End | None = field(default=None, init=False)
    _second: ReadResult | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._begin_proof(PageProof(is_careful=self.source.has_arrivals))
        self._outlook = Outlook(self.source.plan, self.window, self._page_size.rows)
        self._records = {}
        self._settled = {}

    def _begin_proof(self, proof: PageProof) -> None:
        self._proof = proof
        self._end_check = EndCheck(self.window, self.source.pages, self.source.limits, proof)
        self._end_told = None

    @property
    def _page_size(self) -> PageSize:
        return self.source.pages.page_size

    @property
    def forecast(self) -> float:
        """Calls it is going to hold."""
        return self.held if isinstance(self.outcome, ReadResult) else self._outlook.forecast

    @property
    def held(self) -> int:
        """Calls it holds; while it is read, short pages count as full ones."""
        if isinstance(self.outcome, ReadResult):
            return len(self.outcome.records)
        return len(self._records) * self._page_size.rows

    def next_step(self) -> Step | None:
        """Give the next page that surely has to be asked for, if it can be by now."""
        if self._closing_steps:
            self._under_way += 1
            return self._closing_steps.pop()
        return self._next_page(self._outlook.sure_pages)

    def next_guess(self) -> Step | None:
        """Give the next page that is likely to be there."""
        return self._next_page(self._outlook.likely_pages)

    def _next_page(self, ahead: int) -> Step | None:
        if (
            self.outcome is not None
            or self._closing_steps_due
            or self._failure is not None
            or self._outlook.is_too_full
        ):
            return None
        number = self._proof.next_page(ahead=ahead)
        if number is None or self.source.limits.is_cut_at((number - 1) * self._page_size.rows):
            return None
        self._proof.ask(number)
        self._under_way += 1
        return partial(self._read_page, number, self._era)

    async def _read_page(self, number: int, era: int) -> None:
        try:
            page = await self._ask(number)
            if era == self._era:
                self._take(number, page)
        except Exception as error:  # noqa: BLE001 - handed on with the records before it, and raised by the paginator
            if era == self._era and (self._failure is None or number < self._failure[0]):
                self._failure = number, error
        self._under_way -= 1
        self._decide_if_due()

    async def _ask(self, number: int) -> Page:
        pages = self.source.pages
        self.source.progress.check(self.window)
        if number == 1:
            return await pages.first(self.window)
        if number > MOST_PAGES:
            raise IncompleteError(f"more than {MOST_PAGES} pages for {in_words(self.window)}")
        ask = pages.page_with_rows if self._proof.was_asked_alone(number) else pages.page
        return await ask(self.window, number)

    def _take(self, number: int, page: Page) -> None:
        is_full = self.source.pages.is_full(page)
        self._proof.take(number, page.rows, self.source.pages.keys(page), is_full=is_full)
        self._structure(number, page)
        if calls := self._records[number]:
            starts = list(map(_start_ms, calls))
            earliest, latest = min(starts) / 1000, max(starts) / 1000
            if not self.window.is_near(earliest, latest):
                check_inside(self.window, calls, self.source.end_ms)
            if is_full:
                self._outlook.see(len(calls), earliest, latest)

    def _structure(self, number: int, page: Page) -> None:
        records = self._records[number] = []
        self.source.structurer.add(page, records, self.source.pages.reader.in_words(self.window, number))

    def _decide_if_due(self) -> None:
        """Decide once all pages are there; those asked for behind the last one tell nothing and are not waited for."""
        is_due = not self._under_way or self._proof.is_gathered
        if self.outcome is None and not self._closing_steps_due and is_due:
            self._decide()

    def _decide(self) -> None:
        """Go on, or end, by what the pages that came prove."""
        if self._failure is not None and (self._proof.last is None or self._failure[0] <= self._proof.last):
            number, error = self._failure
            # Of a window that is refused by now nothing is kept, so that what is left of it can be read anew.
            self._end(ReadResult([] if is_final(error) else self._records_up_to(number), error))
            return
        if self._second is not None:
            if self._second.error is None:
                self.source.progress.note_window()
            self._end(self._second)
            return
        match self._proof.verdict():
            case Verdict.UNCONFIRMED:
                # A throttled gateway may answer with nothing, so nothing is believed only if it comes twice.
                self._confirmations_due = 1 if self._proof.has_rows_on_last else 2
                self._do_after_all(*self._early_looks_at_end, *[self._confirm] * self._confirmations_due)
            case Verdict.COMPLETE | Verdict.REPEATING as verdict:
                self._decide_on_end(verdict)
            case Verdict.OPEN | Verdict.MOVED if self._outlook.is_too_full:
                self._split(self._outlook.forecast)
            case Verdict.MOVED:
                self._read_in_turn()
            case Verdict.OPEN if self.source.limits.is_cut_at(self._proof.depth):
                self._go_narrower()
            case Verdict.OPEN if self._outlook.is_blind:
                self._do_after_all(self._measure)

    def _decide_on_end(self, verdict: Verdict) -> None:
        """End, or go on in narrower windows, by what is known of the end of the answer."""
        limits, rows = self.source.limits, self._proof.depth
        if self._end_told is None and (verdict is Verdict.REPEATING or self._end_check.is_needed):
            self._do_after_all(self._prove_end)
            return
        if self._end_told is None:
            self._end_told = End.CAPPED if limits.depth == rows else End.PROVEN
        if self._end_told is End.PROVEN:
            limits.note_end(self.window, rows)
            self._complete()
        else:
            self._go_narrower()

    @property
    def _early_looks_at_end(self) -> list[Step]:
        """What may be asked about the end while the last page is asked for again."""
        check = self._end_check
        return [partial(check.ask_early, place) for place in check.places(self._starts())] if check.is_needed else []

    async def _prove_end(self) -> None:
        """Find out whether the end of the answer is the end of the calls."""
        told = await self._end_check.tell(self._starts())
        if isinstance(told, End):
            self._end_told = told
            return
        self._take_confirmation(told)
        if self._proof.last is not None:
            self._end_told = End.PROVEN  # no cap, as it goes on

    def _go_narrower(self) -> None:
        """Read narrower windows instead, as the gateway does not show all of this one; a second by its bounds."""
        if self.window.seconds == 1:
            self._do_after_all(self._read_second)
        else:
            self._split(max(self._outlook.forecast, 2.0 * self._proof.depth))

    def _end(self, outcome: Outcome) -> None:
        """End, and let go of the pages: requests still under way must not keep them in memory."""
        self.outcome = outcome
        self._forget_what_is_under_way()
        self._records = {}
        self._begin_proof(PageProof())

    def _complete(self) -> None:
        apart = distinct_rows(self._pages_up_to(self._proof.end), self._settled)
        if apart.doubtful and not self._settled:
            self._do_after_all(*(partial(self._settle, company) for company in apart.doubtful[:MOST_DOUBTS]))
            return
        self.source.limits.note_whole(self._proof.depth)
        self.source.progress.note_window()
        self._outlook.learn([dated.start_ms / 1000 for dated in apart.rows])
        self._end(ReadResult(apart.rows, duplicates=apart.duplicates))

    async def _settle(self, company: Company) -> None:
        """Ask again for rows of one id that may be one or several: what comes on one page together counts."""
        found: list[Dated] = []
        pages = self.source.pages
        page = await pages.page_of_company(self.window, company)
        self.source.structurer.add(page, found, pages.reader.in_words(self.window, company.page))
        self._settled[company] = [row for row in found if company.has(row)]

    async def _read_second(self) -> None:
        """Read the only second of the window: as a whole, or as far as the gateway shows it."""
        source, rows = self.source, self._proof.depth
        if await self._end_check.is_second_whole():
            self._end_told = End.PROVEN
            return
        self._second = await FullSecond(
            self.window.start,
            source.pages,
            source.limits,
            source.structurer,
            source.range_ends,
            source.progress,
            source.on_saturated_second,
        ).read(self._records_up_to(self._proof.end), rows)

    async def _confirm(self) -> None:
        """Ask for the last page again, now that all others are there."""
        pages = self.source.pages
        ask = pages.page_with_rows if self._proof.has_rows_on_last else pages.page
        self._confirmations.append(await ask(self.window, self._proof.last or self._proof.asked))
        if len(self._confirmations) == self._confirmations_due:
            self._take_confirmation(max(self._confirmations, key=lambda page: len(page.rows)))

    def _take_confirmation(self, page: Page) -> None:
        number = self._proof.last or self._proof.asked
        self._confirmations.clear()
        is_full = self.source.pages.is_full(page)
        self._proof.confirm(page.rows, self.source.pages.keys(page), is_full=is_full)
        self._structure(number, page)
        if is_full:
            self._begin_proof(self._proof)
            self._forget_what_is_under_way()

    def _do_after_all(self, *steps: Step) -> None:
        """Have steps done that come after all pages, and decide after them."""
        self._closing_steps = [partial(self._close, step) for step in steps]
        self._closing_steps_due = len(steps)

    async def _close(self, step: Step) -> None:
        number = max(1, self._proof.end)
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - handed on with the records before it, and raised by the paginator
            self._failure = number, error
        self._under_way -= 1
        self._closing_steps_due -= 1
        self._decide_if_due()

    def _read_in_turn(self) -> None:
        """Read all pages once more, in turn, as rows moved while they were not; a large window in parts."""
        self.source.stats.rereads += 1
        self.source.expect_arrivals()
        if self._outlook.forecast > 2 * ROWS_IN_TURN and self.window.seconds > 1:
            self._split(self._outlook.forecast)
            return
        self._begin()
        self._forget_what_is_under_way()

    def _forget_what_is_under_way(self) -> None:
        """Take no more pages that were asked for until now: they are older than those that follow, or no use."""
        self._era += 1
        self._failure = None

    async def _measure(self) -> None:
        """Find about how many rows the window holds, whatever their order, by asking for pages ever further out."""
        number, pages = 2 * max(1, self._proof.asked), self.source.pages
        while number < MOST_PAGES and pages.is_full(await pages.page(self.window, number)):
            number *= 2
        self._outlook.measured(number * 3 // 4)

    def _split(self, rows: float) -> None:
        self.source.stats.splits += 1
        starts = self._starts(self._proof.asked)
        self._end(Split(self.source.plan.split(self.window, starts, rows)))

    def _starts(self, number: int | None = None) -> list[float]:
        """Return when the calls of the pages up to one start, in the order they came; of all that tell of rows."""
        return [dated.start_ms / 1000 for dated in self._records_up_to(number or self._proof.end)]

    def _pages_up_to(self, number: int) -> list[list[Dated]]:
        return [self._records[page] for page in sorted(self._records) if page <= number]

    def _records_up_to(self, number: int) -> list[Dated]:
        return distinct_rows(self._pages_up_to(number), {}).sure

"""Reading an API that has pages but tells no total: cdr/page."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

from attrs import define, field

from nxcdr_async.errors import IncompleteError
from nxcdr_async.pages.outlook import Outlook
from nxcdr_async.pages.page_rows import Company, distinct_rows
from nxcdr_async.pages.proof import PageProof, Verdict
from nxcdr_async.pages.source import (
    MOST_PAGES,
    Outcome,
    PageReader,
    PageSize,
    ReadResult,
    RowStructurer,
    Split,
    Step,
    check_inside,
    in_words,
)
from nxcdr_async.plan import WindowPlan
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window
from nxcdr_async.wire import Dated, Page

ROWS_IN_TURN = 1_000
"""Calls a window should hold once its pages are read one after the other."""

MOST_PAGES_IN_VAIN = 2 * MOST_PAGES
"""Pages asked for since a window was last read whole, beyond which rows are taken to arrive faster than they are read.

Honest windows, read side by side and split on the way, take some hundred.
"""

MOST_DOUBTS = 8
"""Questions a window is worth to tell rows with one id apart; one that doubles all its rows would take one for each."""

_start_ms = attrgetter("start_ms")
_identity_and_start = attrgetter("identity", "start_ms")


@define(eq=False)
class WindowedPages:
    """Asks for the pages of windows, doubting answers that cannot be right.

    Attributes:
        plan: cuts the range into windows.
        reader: asks for pages.
        parameters: of the request for a page of a window.
        structurer: turns rows into records.
        end_ms: the other time of a call that a gateway may filter by, epoch milliseconds, if there is one.
        row_key: the id of a raw row, None without one.
        page_size: how many rows fill a page.
        stats: where windows and splits are counted.
        id_key: the vendor's key of the id, of a raw row and of a request.
        start_key: the vendor's key of the time of a raw row.
        has_arrivals: whether rows moved while they were read, so that from then on pages are read in turn.
    """

    plan: WindowPlan
    reader: PageReader
    parameters: Callable[[Window, int], Mapping[str, Any]]
    structurer: RowStructurer[Any]
    end_ms: Callable[[Any], float | None] | None
    row_key: Callable[[Any], Hashable]
    page_size: PageSize
    stats: PaginatorStats
    id_key: str = "callId"
    start_key: str = "startTime"
    has_arrivals: bool = field(default=False, init=False)
    _pages_at_progress: int = field(default=0, init=False)

    def next(self) -> Window | None:
        """Cut the next window."""
        return self.plan.next()

    def open(self, window: Window) -> "WindowReading":
        """Begin to read a window."""
        return WindowReading(window, self)

    def expect_arrivals(self) -> None:
        """Read the pages of windows in turn from now on, and for that, smaller windows side by side."""
        self.has_arrivals = True
        self.plan.most_rows = min(self.plan.most_rows, ROWS_IN_TURN)

    def note_progress(self) -> None:
        """Note that a window was read whole."""
        self.stats.windows += 1
        self._pages_at_progress = self.stats.pages

    def check_progress(self, window: Window) -> None:
        """Notice a range of which ever more rows come.

        Raises:
            IncompleteError: very many pages were read, and no window whole.
        """
        in_vain = self.stats.pages - self._pages_at_progress
        if in_vain >= MOST_PAGES_IN_VAIN:
            raise IncompleteError(
                f"{in_vain} pages were read and no part of {in_words(window)} whole: rows come faster than they "
                "can be read, or the gateway makes them up; ask again later",
            )

    async def first_page(self, window: Window) -> Page:
        """Ask for the first page of a window; twice if it is empty, as windows are cut to hold calls."""
        return await self._look_behind(window, await self.page_with_rows(window, 1))

    async def page(self, window: Window, number: int) -> Page:
        """Ask for a page of a window."""
        return await self.reader.page(self.parameters(window, number), window, number)

    async def page_with_rows(self, window: Window, number: int) -> Page:
        """Ask for a page of a window that should have rows; twice if it has none."""
        return await self.reader.page_with_rows(self.parameters(window, number), window, number)

    async def page_of_company(self, window: Window, company: Company) -> Page:
        """Ask for the page where a row stood twice; or, where different ones stood on two, for those of their id."""
        if company.page is not None:
            return await self.page_with_rows(window, company.page)
        second = int(company.start_ms // 1000)
        around = Window(second, second + 2)
        parameters = {**self.parameters(around, 1), self.id_key: company.identity}
        return await self.reader.page_with_rows(parameters, around, 1)

    def keys(self, page: Page) -> list[Hashable]:
        """Return what tells the rows of a page apart, None for a row without an id: several may have one id."""
        key = _identity_and_start if page.is_typed else self._key
        keys: list[Hashable] = list(map(key, page.rows))
        return keys if len(set(keys)) == len(keys) else _numbered(keys)

    def _key(self, row: Any) -> Hashable:
        identity = self.row_key(row)
        if identity is None:
            return None
        start = row.get(self.start_key) if isinstance(row, dict) else getattr(row, "start_ms", None)
        return identity, start if isinstance(start, int) else str(start)

    async def _look_behind(self, window: Window, page: Page) -> Page:
        """Look behind a short first page, in case the gateway caps its pages lower than it should.

        More rows mean that it does, unless its first page is longer by now: then they just arrived. So does a first
        page that changed and did not grow. One that is the same, and comes as the second page too, is the last one.

        The page to read on from is the longest that came. Even if rows arrive, it holds those that were there, or the
        next pages do, as they are asked for after it; a later one that is shorter may have been cut off.
        """
        came = len(page.rows)
        if self.page_size.is_full(came) or not self.page_size.is_doubtful(came):
            return page
        behind = await self.page_with_rows(window, 2)
        if not behind.rows:
            return page
        again = await self.page_with_rows(window, 1)
        if len(again.rows) > came:
            return await self._look_behind(window, again)
        known = set(map(self.row_key, page.rows))
        if known == set(map(self.row_key, again.rows)) and known.issuperset(map(self.row_key, behind.rows)):
            return page
        self.page_size.cap(came)
        return page


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
    _failure: tuple[int, Exception] | None = field(default=None, init=False)
    _settled: dict[Company, list[Dated]] = field(factory=dict, init=False)
    _era: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._proof = PageProof(is_careful=self.source.has_arrivals)
        self._outlook = Outlook(self.source.plan, self.window, self.source.page_size.rows)
        self._records = {}
        self._settled = {}

    @property
    def forecast(self) -> float:
        """Calls it is going to hold."""
        return self.held if isinstance(self.outcome, ReadResult) else self._outlook.forecast

    @property
    def held(self) -> int:
        """Calls it holds; while it is read, short pages count as full ones."""
        if isinstance(self.outcome, ReadResult):
            return len(self.outcome.records)
        return len(self._records) * self.source.page_size.rows

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
        if number is None:
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
        self.source.check_progress(self.window)
        if number == 1:
            return await self.source.first_page(self.window)
        if number > MOST_PAGES:
            raise IncompleteError(f"more than {MOST_PAGES} pages for {in_words(self.window)}")
        ask = self.source.page_with_rows if self._proof.was_asked_alone(number) else self.source.page
        return await ask(self.window, number)

    def _take(self, number: int, page: Page) -> None:
        is_full = self.source.page_size.is_full(len(page.rows))
        self._proof.take(number, page.rows, self.source.keys(page), is_full=is_full)
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
        self.source.structurer.add(page, records, self.source.reader.in_words(self.window, number))

    def _decide_if_due(self) -> None:
        """Decide once all pages are there; those asked for behind the last one tell nothing and are not waited for."""
        is_due = not self._under_way or self._proof.is_gathered
        if self.outcome is None and not self._closing_steps_due and is_due:
            self._decide()

    def _decide(self) -> None:
        """Go on, or end, by what the pages that came prove."""
        if self._failure is not None and (self._proof.last is None or self._failure[0] <= self._proof.last):
            number, error = self._failure
            self._end(ReadResult(self._records_up_to(number), error))
            return
        match self._proof.verdict():
            case Verdict.COMPLETE:
                self._complete()
            case Verdict.UNCONFIRMED:
                # A throttled gateway may answer with nothing, so nothing is believed only if it comes twice.
                self._do_after_all(*[self._confirm] * (1 if self._proof.has_rows_on_last else 2))
            case Verdict.REPEATING:
                self._split_repeating()
            case Verdict.OPEN | Verdict.MOVED if self._outlook.is_too_full:
                self._split(self._outlook.forecast)
            case Verdict.MOVED:
                self._read_in_turn()
            case Verdict.OPEN if self._outlook.is_blind:
                self._do_after_all(self._measure)

    def _end(self, outcome: Outcome) -> None:
        """End, and let go of the pages: requests still under way must not keep them in memory."""
        self.outcome = outcome
        self._forget_what_is_under_way()
        self._records = {}
        self._proof = PageProof()

    def _complete(self) -> None:
        apart = distinct_rows(self._pages_up_to(self._proof.last or 0), self._settled)
        if apart.doubtful and not self._settled:
            self._do_after_all(*(partial(self._settle, company) for company in apart.doubtful[:MOST_DOUBTS]))
            return
        self.source.note_progress()
        self._outlook.learn([dated.start_ms / 1000 for dated in apart.rows])
        self._end(ReadResult(apart.rows, duplicates=apart.duplicates))

    async def _settle(self, company: Company) -> None:
        """Ask again for rows of one id that may be one or several: what comes on one page together counts."""
        found: list[Dated] = []
        try:
            page = await self.source.page_of_company(self.window, company)
            self.source.structurer.add(page, found, self.source.reader.in_words(self.window, company.page))
            self._settled[company] = [row for row in found if company.has(row)]
        except Exception as error:  # noqa: BLE001 - as above
            self._failure = 1, error
        self._end_closing_step()

    async def _confirm(self) -> None:
        """Ask for the last page again, now that all others are there."""
        number = self._proof.last or self._proof.asked
        try:
            ask = self.source.page_with_rows if self._proof.has_rows_on_last else self.source.page
            self._confirmations.append(await ask(self.window, number))
            if self._closing_steps_due == 1:
                self._take_confirmation(number, max(self._confirmations, key=lambda page: len(page.rows)))
        except Exception as error:  # noqa: BLE001 - as above
            self._failure = number, error
        self._end_closing_step()

    def _take_confirmation(self, number: int, page: Page) -> None:
        self._confirmations.clear()
        is_full = self.source.page_size.is_full(len(page.rows))
        self._proof.confirm(page.rows, self.source.keys(page), is_full=is_full)
        self._structure(number, page)
        if is_full:
            self._forget_what_is_under_way()

    def _do_after_all(self, *steps: Step) -> None:
        """Have steps done that come after all pages, and decide after them."""
        self._closing_steps = list(steps)
        self._closing_steps_due = len(steps)

    def _end_closing_step(self) -> None:
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
        number = 2 * max(1, self._proof.asked)
        try:
            while number < MOST_PAGES and await self._is_full(number):
                number *= 2
            self._outlook.measured(number * 3 // 4)
        except Exception as error:  # noqa: BLE001 - as above
            self._failure = self._proof.asked, error
        self._end_closing_step()

    async def _is_full(self, number: int) -> bool:
        return self.source.page_size.is_full(len((await self.source.page(self.window, number)).rows))

    def _split(self, rows: float) -> None:
        self.source.stats.splits += 1
        starts = [dated.start_ms / 1000 for dated in self._records_up_to(self._proof.asked)]
        self._end(Split(self.source.plan.split(self.window, starts, rows)))

    def _split_repeating(self) -> None:
        """Handle a full page without news: the end, for a gateway that repeats its last page, or one it made up.

        Narrower windows tell the two apart, as their last pages are short.
        """
        if self.window.seconds == 1:
            error = IncompleteError(
                f"page {self._proof.asked} of {in_words(self.window)} repeats rows of earlier pages, so what follows "
                "cannot be read: the gateway, or something in front of it, ignores the page number",
            )
            self._end(ReadResult(self._records_up_to(self._proof.asked), error))
        elif self.window == self.source.plan.whole:
            self.source.stats.splits += 1
            self._end(Split(self.window.parts(2)))
        else:
            self._split(float(sum(map(len, self._records.values()))))

    def _pages_up_to(self, number: int) -> list[list[Dated]]:
        return [self._records[page] for page in sorted(self._records) if page <= number]

    def _records_up_to(self, number: int) -> list[Dated]:
        return distinct_rows(self._pages_up_to(number), {}).sure


def _numbered(keys: list[Hashable]) -> list[Hashable]:
    """Return keys that stand on one page together as different ones."""
    seen: Counter[Hashable] = Counter()
    numbered: list[Hashable] = []
    for key in keys:
        numbered.append((key, seen[key]) if key is not None and seen[key] else key)
        seen[key] += 1
    return numbered

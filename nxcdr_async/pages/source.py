"""What a paginator reads: a source that cuts its range into windows, in order of time, and reads one at a time."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, Generic, Literal, Protocol, TypeVar

from attrs import define, field

from nxcdr_async.arguments import as_text
from nxcdr_async.errors import ConfigurationError, IncompleteError, NxcdrError, RecordError
from nxcdr_async.pages.page_rows import first_of_each
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.telemetry import SILENCE, PageWatch
from nxcdr_async.telemetry.parts import Part, edges_of
from nxcdr_async.windows import FARTHEST_OUTSIDE, HOUR, Window
from nxcdr_async.wire import Dated, DatedRecord, FilterCheck, Page

RecordT = TypeVar("RecordT")

Ask = Callable[[Mapping[str, Any]], Awaitable[Page]]
"""All a source needs of the world: the parameters of a question to the page that answers it."""

Watch = Callable[[Part, int | None], PageWatch]
"""Watches a page that is asked for, whose part and number it is told."""

Step = Callable[[], Awaitable[None]]
"""Something to do for a window that takes one of the places worth having at once; mostly one question."""

OnBadRow = Literal["raise", "skip"]

MOST_PAGES = 2_000
"""Pages of one window beyond which a gateway is taken to answer without end."""


@define(frozen=True)
class ReadResult:
    """A window that was read.

    Attributes:
        records: each once.
        error: what kept it from its end, if anything did.
        duplicates: rows left out because their record was there already.
    """

    records: list[Dated]
    error: Exception | None = None
    duplicates: int = 0

    @classmethod
    def each_once(cls, rows: list[Dated], error: Exception | None = None) -> "ReadResult":
        """Return what was read of an API whose ids are those of rows: of several with one id the first."""
        records = first_of_each(rows)
        return cls(records, error, len(rows) - len(records))


@define(frozen=True)
class Split:
    """A window that must be read in parts; none if the source will cut them itself when asked for the next window."""

    parts: list[Window]


Outcome = ReadResult | Split
"""How the reading of a window ends."""


class Reading(Protocol):
    """A window while it is read."""

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it is not over."""

    @property
    def forecast(self) -> float:
        """Calls it is going to hold."""

    @property
    def held(self) -> int:
        """About how many calls it holds already."""

    def next_step(self) -> Step | None:
        """Give what is to do next; None if that hangs on steps that were given already."""

    def next_guess(self) -> Step | None:
        """Give what will probably be to do soon; worth a try only while there is nothing else to do."""


@define(eq=False)
class OneStep:
    """The reading of a window that is one step."""

    read: Callable[[], Awaitable[Outcome]]
    outcome: Outcome | None = field(default=None, init=False)
    _was_given: bool = field(default=False, init=False)

    @property
    def forecast(self) -> float:
        """Calls it holds; how many will come is not known before."""
        return self.held

    @property
    def held(self) -> int:
        """Calls it holds."""
        return len(self.outcome.records) if isinstance(self.outcome, ReadResult) else 0

    def next_step(self) -> Step | None:
        """Give the step, once."""
        if self._was_given:
            return None
        self._was_given = True
        return self._run

    def next_guess(self) -> Step | None:
        """Give nothing: there is nothing to guess."""
        return None

    async def _run(self) -> None:
        self.outcome = await self.read()


class Source(Protocol):
    """A range that can be read window by window."""

    def next(self) -> Window | None:
        """Cut the next window, in order of time; None at the end of the range."""

    def open(self, window: Window) -> Reading:
        """Begin to read a window."""


def _unwatched(_part: Part, _number: int | None) -> PageWatch:
    return SILENCE


@define(eq=False)
class PageReader:
    """Asks for pages, counts them, and says in errors what was asked for.

    Attributes:
        ask: asks one question.
        stats: where pages are counted.
        records: what the rows are called in errors, such as "calls".
        filter_check: notices answers to another question.
        watch: is told of each page.
    """

    ask: Ask
    stats: PaginatorStats
    records: str
    filter_check: FilterCheck = field(factory=FilterCheck)
    watch: Watch = _unwatched

    async def page(self, parameters: Mapping[str, Any], part: Part, number: int | None = None) -> Page:
        """Ask for a page; one that may or may not say "no rows" is asked for once more.

        Args:
            parameters: in the vendor's terms.
            part: which part of the records it is of, for errors.
            number: its number, likewise; None where there are no pages.
        """
        page = await self._once(parameters, part, number)
        return await self._once(parameters, part, number) if page.is_vague else page

    async def page_with_rows(self, parameters: Mapping[str, Any], part: Part, number: int | None = None) -> Page:
        """Ask for a page that should have rows; one without any is asked for once more.

        A throttled gateway may answer with nothing instead of a refusal. The arguments are those of `page`.
        """
        page = await self._once(parameters, part, number)
        return page if page.rows else await self._once(parameters, part, number)

    async def _once(self, parameters: Mapping[str, Any], part: Part, number: int | None) -> Page:
        self.stats.pages += 1
        try:
            with self.watch(part, number):
                page = await self.ask(parameters)
                self.filter_check.take(page)
        except NxcdrError as error:
            error.asked_for = self.in_words(part, number)
            raise
        return page

    def in_words(self, part: Part, number: int | None = None) -> str:
        """Return what a page was asked for, for errors. The arguments are those of `page`."""
        numbered = "" if number is None else f"page {number} of "
        return f"{numbered}{self.records} {in_words(part)}"


def bad_row_taker(
    on_bad_row: OnBadRow, callback: Callable[[RecordError], object] | None
) -> Callable[[RecordError], object] | None:
    """Return what takes bad rows, None if they are to be raised.

    Raises:
        ConfigurationError: the two do not go together.
    """
    told = as_text(on_bad_row)
    if told not in {"raise", "skip"}:
        raise ConfigurationError(f"on_bad_row is {on_bad_row!r}: give 'raise' or 'skip'")
    if callback is not None and not callable(callback):
        raise ConfigurationError("bad_row_callback cannot be called: give a function of one argument")
    if told == "skip":
        return callback or _ignore
    if callback is not None:
        raise ConfigurationError("bad_row_callback gets the rows that are skipped: give on_bad_row='skip' with it")
    return None


def _ignore(_bad: RecordError) -> None:
    """Take a bad row, which is counted all the same."""


@define(eq=False)
class RowStructurer(Generic[RecordT]):
    """Turns the rows of a page into records; a row that cannot be one is an error, or is handed to a callback.

    Attributes:
        structure: turns a row into a record or raises RecordError.
        start_ms: the time of a record, epoch milliseconds.
        identity: the id of a record, None without one.
        on_bad_row: gets the error of each bad row, which is then left out; None to raise it.
        stats: where bad rows are counted.
    """

    structure: Callable[[Any], RecordT]
    start_ms: Callable[[RecordT], float]
    identity: Callable[[RecordT], Hashable | None]
    on_bad_row: Callable[[RecordError], object] | None
    stats: PaginatorStats
    _skipped: set[str | bytes] = field(factory=set, init=False)

    def add(self, page: Page, records: list[Dated], asked_for: str) -> None:
        """Add the calls of a page to `records`, which has those before a bad row when that is an error.

        Typed rows pass as they are: nothing can be wrong with them, and they become records when they are handed out.

        Args:
            page: the page.
            records: those before it, and its own.
            asked_for: what it was asked for, for errors.

        Raises:
            RecordError: a row cannot be a record, and no callback takes it.
        """
        if page.is_typed:
            records += page.rows
            return
        for row in page.rows:
            try:
                record = self.structure(row)
            except RecordError as bad:
                bad.asked_for = asked_for
                if self.on_bad_row is None:
                    raise
                self._skip(bad, self.on_bad_row)
            else:
                records.append(DatedRecord(self.start_ms(record), self.identity(record), record))

    def _skip(self, bad: RecordError, on_bad_row: Callable[[RecordError], object]) -> None:
        """Count a bad row and hand it on, once, though it may be read again with a narrower window."""
        known_by = bad.record_id or repr(bad.row).encode()
        if known_by in self._skipped:
            return
        self._skipped.add(known_by)
        self.stats.bad_rows += 1
        on_bad_row(bad)


@define(eq=False)
class PageSize:
    """How many rows a gateway really puts on a page; one for each session and API, as gateways may cap it lower.

    A page that is shorter than asked for is the last one only if the gateway does not cap its pages at just that. It
    does not once a longer page was seen. Until then the page is looked behind, however often: that nothing followed a
    page of fifty rows may mean that there were just fifty.

    A cap may be a mistake, as calls arrive and answers are cut off. A longer page shows that it is at least as long.

    Attributes:
        asked: the rows asked for at once.
        rows: the rows of a full page.
        longest: the most rows that came on a page.
    """

    asked: int
    rows: int = field(init=False)
    longest: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.rows = self.asked

    @property
    def is_capped(self) -> bool:
        """Whether a full page has fewer rows than asked for."""
        return self.rows < self.asked

    def is_full(self, came: int) -> bool:
        """Tell whether so many rows fill a page, and remember that a page can hold them."""
        self.longest = max(self.longest, came)
        self.rows = max(self.rows, min(came, self.asked))
        return came >= self.rows

    def is_doubtful(self, came: int) -> bool:
        """Tell whether so many rows, though fewer than asked for, may fill a page of this gateway."""
        return 0 < came < self.rows and came >= self.longest and not self.is_capped

    def cap(self, rows: int) -> None:
        """Take in that there was more behind a page of so many rows."""
        self.rows = rows


def check_inside(
    window: Window,
    calls: list[Dated],
    end_ms: Callable[[Any], float | None] | None,
    *,
    margin: int = FARTHEST_OUTSIDE,
) -> None:
    """Notice a gateway that ignores the range: it answers each narrow window with calls of any time.

    Args:
        window: the range that was asked for.
        calls: those of a page of the answer.
        end_ms: the other time of a call that a gateway may filter by, epoch milliseconds, if there is one.
        margin: seconds around the range within which a call tells nothing.

    Raises:
        IncompleteError: most calls both start and end far outside.
    """
    first, last = (window.start - margin) * 1000, (window.end + margin) * 1000
    strays = [call for call in calls if not first <= call.start_ms <= last]
    ends = map(end_ms, strays) if end_ms else [None] * len(strays)
    outside = sum(1 for end in ends if end is None or not first <= end <= last)
    if outside * 2 > len(calls):
        raise IncompleteError(
            f"{outside} of {len(calls)} calls given for {in_words(window)} lie over {margin // HOUR} h outside of it: "
            "the gateway, or something in front of it, ignores the time range",
        )


def in_words(part: Part) -> str:
    """Return a part in words, for errors."""
    if isinstance(part, Window):
        return " to ".join(edges_of(part))
    return part if isinstance(part, str) else f"of {part}"

"""What a paginator reads: a source that cuts its range into windows, in order of time, and reads one at a time."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic

from attrs import define, field

from nxcdr_async._util.validation import as_text
from nxcdr_async.errors import ConfigurationError, NxcdrError, RecordError
from nxcdr_async.paging.base import Ask, OnBadRow, RecordT, Watch, _unwatched, in_words
from nxcdr_async.protocol.filter_check import FilterCheck
from nxcdr_async.protocol.responses import Dated, DatedRecord, Page
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.telemetry.watch import Part

MOST_PAGES = 2_000
"""Pages of one window beyond which a gateway is taken to answer without end."""


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

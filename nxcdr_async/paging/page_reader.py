"""Requesting one page, a second time where its answer is vague; the real page size; and rows made into records."""

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Generic

from attrs import define, field
from cattrs import Converter

from nxcdr_async._util.redaction import NO_SECRETS, Redactor
from nxcdr_async._util.validation import as_text
from nxcdr_async.errors import ConfigurationError, NxcdrError, RecordError
from nxcdr_async.paging.base import Ask, OnBadRow, RecordT, Watch, in_words
from nxcdr_async.paging.empty_answers import EmptyAnswers
from nxcdr_async.protocol.endpoints import Endpoint
from nxcdr_async.protocol.filter_check import FilterCheck
from nxcdr_async.protocol.responses import Page, Row, WireRow
from nxcdr_async.protocol.wire_rows import columns_of, extras_of
from nxcdr_async.records.columns import ColumnConverter, are_milliseconds, records_from
from nxcdr_async.records.converter import structure_row
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.telemetry.watch import SILENCE, PageWatch, Part

MOST_PAGES = 2_000
"""Pages of one window beyond which a gateway seems to answer without end."""


ROWS_DUE = math.inf
"""What to expect of a page that should have rows: without any it is requested once more."""


def _unwatched(_part: Part, _number: int | None) -> PageWatch:
    return SILENCE


@define(eq=False)
class PageReader:
    """Requests pages, counts them, and puts into errors what was asked for.

    Attributes:
        records: what the rows are called in errors, such as "calls".
        empty_answers: which empty answers are believed at once.
        has_failed_lately: returns whether the gateway has, so that it may be throttled.
    """

    ask: Ask
    stats: PaginatorStats
    records: str
    filter_check: FilterCheck = field(factory=FilterCheck)
    watch: Watch = _unwatched
    empty_answers: EmptyAnswers = field(factory=EmptyAnswers)
    has_failed_lately: Callable[[], bool] = bool

    async def page(
        self, parameters: Mapping[str, Any], part: Part, number: int | None = None, *, expected: float | None = None
    ) -> Page:
        """Request a page; once more if it has no rows and that is not believed: a throttled gateway may say nothing.

        Args:
            parameters: in the vendor's terms.
            part: which part of the records it is of, for errors.
            number: its number, for errors; None where there are no pages.
            expected: rows to expect, as for `EmptyAnswers.believe`, such as `ROWS_DUE`; None to believe an answer
                without rows, unless it is vague.
        """
        is_second = False
        while True:
            self.stats.pages += 1
            try:
                with self.watch(part, number):
                    page = await self.ask(parameters)
                    self.filter_check.check(page)
            except NxcdrError as error:
                error.asked_for = self.in_words(part, number)
                raise
            if is_second:
                self.empty_answers.note_checked(was_true=not page.rows)
            if is_second or page.rows or self._is_believed(page, expected):
                return page
            is_second = True

    def _is_believed(self, empty: Page, expected: float | None) -> bool:
        """Return whether an answer without rows is believed at once."""
        if empty.is_vague or expected is None:
            return not empty.is_vague
        return not self.has_failed_lately() and self.empty_answers.believe(expected)

    def in_words(self, part: Part, number: int | None = None) -> str:
        """Describe a page for errors; the arguments are those of `page`."""
        numbered = "" if number is None else f"page {number} of "
        return f"{numbered}{self.records} {in_words(part)}"


def bad_row_handler(
    on_bad_row: OnBadRow, callback: Callable[[RecordError], object] | None
) -> Callable[[RecordError], object] | None:
    """Return what gets the error of each bad row, None if it is to be raised.

    Raises:
        ConfigurationError: the two do not go together.
    """
    choice = as_text(on_bad_row)
    if choice not in {"raise", "skip"}:
        raise ConfigurationError(f"on_bad_row is {on_bad_row!r}: give 'raise' or 'skip'")
    if callback is not None and not callable(callback):
        raise ConfigurationError("bad_row_callback cannot be called: give a function of one argument")
    if choice == "skip":
        return callback or _ignore
    if callback is not None:
        raise ConfigurationError("bad_row_callback gets the rows that are skipped: give on_bad_row='skip' with it")
    return None


def _ignore(_bad: RecordError) -> None:
    """Do nothing about a bad row, which is counted all the same."""


@define(eq=False)
class RowStructurer(Generic[RecordT]):
    """Turns rows as they came into rows of records; one that cannot be a record is an error, or goes to `on_bad_row`.

    Attributes:
        endpoint: whose rows.
        converter: makes the records.
        on_bad_row: gets the error of each bad row, which is then left out; None to raise it.
        redactor: keeps secrets out of errors.
    """

    endpoint: Endpoint[RecordT]
    converter: Converter
    on_bad_row: Callable[[RecordError], object] | None
    stats: PaginatorStats
    redactor: Redactor = NO_SECRETS
    _skipped: set[str | bytes] = field(factory=set, init=False)

    def add(self, page: Page, rows: list[Row], asked_for: str) -> None:
        """Append the rows of a page to `rows`; when a bad row is an error, those before it are there.

        Args:
            page: the page, as it came.
            rows: gets them.
            asked_for: what was asked for, for errors.

        Raises:
            RecordError: a row cannot be a record, and there is no `on_bad_row`.
        """
        if not page.rows:
            return
        keys = self._column_converter.keys
        columns = columns_of(page.rows, keys)
        values, to_judge = self._column_converter.values(columns, extras_of(page.rows, keys))
        starts = columns.get(self.endpoint.start_key, ())
        if not to_judge and are_milliseconds(starts):
            rows += map(Row, starts, map(self.endpoint.identity, values), values)
            return
        for place, row in enumerate(page.rows):
            own = self._judge(row, asked_for) if place in to_judge else values[place]
            if own is not None:
                rows.append(Row(self.endpoint.start_ms(own), self.endpoint.identity(own), own))

    @cached_property
    def _column_converter(self) -> ColumnConverter:
        # As late as this, since hooks may be added to the converter until the first page comes.
        return ColumnConverter(self.endpoint.record_class, self.converter)

    def _judge(self, row: Any, asked_for: str) -> Any:
        """Return the values of the record that the converter makes of a row; None if it is a bad row, left out."""
        plain = row.as_dict() if isinstance(row, WireRow) else row
        try:
            record = structure_row(self.converter, plain, self.endpoint.record_class, redactor=self.redactor)
        except RecordError as bad:
            bad.asked_for = asked_for
            if self.on_bad_row is None:
                raise
            self._skip(bad, self.on_bad_row)
            return None
        return self._column_converter.values_of(record)

    def _skip(self, bad: RecordError, on_bad_row: Callable[[RecordError], object]) -> None:
        """Count a bad row and hand it on, once, though it may be read again with a narrower window."""
        identity = bad.record_id or repr(bad.row).encode()
        if identity in self._skipped:
            return
        self._skipped.add(identity)
        self.stats.bad_rows += 1
        on_bad_row(bad)


async def read_at_once(
    reader: PageReader, structurer: RowStructurer[Any], parameters: Mapping[str, Any], part: Part
) -> list[Any]:
    """Return all records of an API that answers with them at once (cdr/queryByOrderId).

    Raises:
        NxcdrError: see `errors`.
    """
    page = await reader.page(parameters, part, expected=0)
    rows: list[Row] = []
    try:
        structurer.add(page, rows, reader.in_words(part))
    except RecordError as bad:
        raise bad.with_traceback(None) from None  # its frames hold the row as it came
    return records_from([row.values for row in rows])


@define(eq=False)
class PageSize:
    """How many rows a gateway really puts on a page, which may be fewer than asked for; one for each session and API.

    A page shorter than asked for is the last one unless the gateway caps its pages at just that length. A longer page
    proves that it does not. Until one came, the next page is requested too, however often: that nothing followed a page
    of fifty rows may mean that there were just fifty.

    A cap may be noted by mistake, as calls arrive and answers are cut off. A longer page corrects it.

    Attributes:
        asked: rows requested at once.
        rows: rows of a full page.
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

    def is_full(self, count: int) -> bool:
        """Return whether so many rows fill a page, and remember that a page can hold them."""
        self.longest = max(self.longest, count)
        self.rows = max(self.rows, min(count, self.asked))
        return count >= self.rows

    def may_be_capped(self, count: int) -> bool:
        """Return whether so many rows, though fewer than asked for, may fill a page of this gateway."""
        return 0 < count < self.rows and count >= self.longest and not self.is_capped

    def note_cap(self, rows: int) -> None:
        """Note that more rows followed a page of so many."""
        self.rows = rows

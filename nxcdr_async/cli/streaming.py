"""Records of a session as JSON lines on stdout."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, time, tzinfo
from functools import partial
from typing import Any

import anyio
from attrs import define, field

from nxcdr_async._util.clocks import steady
from nxcdr_async._util.counts import counted
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.progress import ReadStatus, bar_beside_records, shown_while
from nxcdr_async.cli.report import moment_text
from nxcdr_async.cli.stdout import write_lines
from nxcdr_async.cli.terminal import duration, say
from nxcdr_async.errors import NxcdrError, RecordError
from nxcdr_async.paging.paginator import Paginator
from nxcdr_async.records.converter import UTC_PLUS_8
from nxcdr_async.records.json_lines import json_lines
from nxcdr_async.session import CdrSession

MOST_BAD_ROWS_SHOWN = 5


@define
class BadRows:
    """Rows that cannot be records: a reading stops at the first, or leaves them out, says so and counts them.

    Attributes:
        are_skipped: whether they are left out.
        skipped: how many were.
    """

    are_skipped: bool
    skipped: int = field(default=0, init=False)

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments for whatever reads records."""
        return {"on_bad_row": "skip", "bad_row_callback": self._skip} if self.are_skipped else {}

    def conclude(self) -> ExitCode:
        """Say how many were skipped, and return the exit code that stands for it."""
        if not self.skipped:
            return ExitCode.DONE
        say(
            f"warning: left out {counted(self.skipped, 'row')} that could not be read",
            "warning",
            indent=len("warning: "),
        )
        return ExitCode.KNOWN_GAPS

    def _skip(self, bad: RecordError) -> None:
        self.skipped += 1
        if self.skipped <= MOST_BAD_ROWS_SHOWN:
            say(f"skipped: {bad}", "warning", indent=len("skipped: "))


@define(frozen=True)
class ProgressRange:
    """The range that is read, to see by a record's time how far a reading is.

    Attributes:
        start: where it begins.
        end: where it ends.
        moment: the time of a record.
        zone: of the times that are shown.
    """

    start: datetime
    end: datetime
    moment: Callable[[Any], datetime]
    zone: tzinfo = UTC

    @classmethod
    def of_days(cls, first: date, last: date, moment: Callable[[Any], datetime]) -> "ProgressRange":
        """Return the span of whole days in the vendor's zone, both inclusive."""
        start, end = (datetime.combine(day, edge, UTC_PLUS_8) for day, edge in ((first, time.min), (last, time.max)))
        return cls(start, end, moment, UTC_PLUS_8)

    def share(self, record: Any) -> float:
        """Return how much of the span lies before a record."""
        return (self.moment(record) - self.start) / (self.end - self.start)


@define
class _Written:
    """What a reading has written so far.

    Attributes:
        done: records.
        share: how much of the range that is.
        until: the moment before which no record is missing among them, None until that is known.
        began: when it began, by the clock that nobody stops.
        updated: when the last of them were written, likewise.
    """

    done: int = field(default=0, init=False)
    share: float = field(default=0.0, init=False)
    until: datetime | None = field(default=None, init=False)
    began: float = field(factory=steady, init=False)
    updated: float = field(factory=steady, init=False)

    def add(self, records: int, share: float, until: datetime | None) -> None:
        """Take in records that were written."""
        self.done += records
        self.share = max(self.share, share)
        self.until = until
        self.updated = steady()

    def status(self, session: CdrSession) -> ReadStatus:
        """Return how far the reading is."""
        now = steady()
        return ReadStatus(self.done, self.share, now - self.began, session.stats, now - self.updated)

    def note_how_far(self, ended: BaseException, span: ProgressRange) -> None:
        """Say with what ended the reading up to when it came."""
        if self.until is not None and self.until > span.start:
            ended.add_note(f"what was written is complete before {moment_text(self.until, span.zone)}")


def write_pages(
    arguments: dict[str, Any], read: Callable[[CdrSession], Paginator[Any]], span: ProgressRange, bad_rows: BadRows
) -> ExitCode:
    """Write the records of a paginator to stdout as they come; returns the exit code.

    Raises:
        NxcdrError: the reading ended early; what was written before it is complete up to its `complete_until`.
        ReaderGoneError: nobody reads stdout any more.
        KeyboardInterrupt: it was stopped; likewise, as a note on it says.
    """
    written = _Written()
    try:
        return anyio.run(_write_pages, arguments, read, span, bad_rows, written)
    except KeyboardInterrupt as stop:
        written.note_how_far(stop, span)
        raise


def write_all(arguments: dict[str, Any], read: Callable[[CdrSession], Awaitable[Sequence[Any]]]) -> int:
    """Write records that come all at once to stdout; returns how many."""
    return anyio.run(_write_all, arguments, read)


async def _write_pages(
    arguments: dict[str, Any],
    read: Callable[[CdrSession], Paginator[Any]],
    span: ProgressRange,
    bad_rows: BadRows,
    written: _Written,
) -> ExitCode:
    async with CdrSession.from_env(**arguments) as session, read(session) as paginator:
        with bar_beside_records() as display:
            await shown_while(
                display, partial(written.status, session), partial(_write_each_page, paginator, span, written)
            )
        took = duration(steady() - written.began)
        records, requests = counted(paginator.stats.records, "record"), counted(session.stats.requests, "request")
        say(f"done: {records}, {requests}, {took}")
    return bad_rows.conclude()


async def _write_each_page(paginator: Paginator[Any], span: ProgressRange, written: _Written) -> None:
    try:
        async for page in paginator.pages():
            await write_lines(json_lines(page))
            written.add(len(page), span.share(page[-1]), paginator.complete_until)
    except NxcdrError as error:
        written.until = error.complete_until
        written.note_how_far(error, span)
        raise


async def _write_all(arguments: dict[str, Any], read: Callable[[CdrSession], Awaitable[Sequence[Any]]]) -> int:
    async with CdrSession.from_env(**arguments) as session:
        records = await read(session)
    await write_lines(json_lines(records))
    return len(records)

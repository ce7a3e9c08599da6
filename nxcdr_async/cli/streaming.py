"""Records of a session as JSON lines on stdout."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, time
from typing import Any

import anyio
from attrs import define, field

from nxcdr_async._util.clocks import steady
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.progress import ReadStatus, bar_or_nothing
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
        say(f"warning: {self.skipped} rows could not be read and were left out")
        return ExitCode.KNOWN_GAPS

    def _skip(self, bad: RecordError) -> None:
        self.skipped += 1
        if self.skipped <= MOST_BAD_ROWS_SHOWN:
            say(f"skipped: {bad}")


@define(frozen=True)
class ProgressRange:
    """The range that is read, to see by a record's time how far a reading is.

    Attributes:
        start: where it begins.
        end: where it ends.
        moment: the time of a record.
    """

    start: datetime
    end: datetime
    moment: Callable[[Any], datetime]

    @classmethod
    def of_days(cls, first: date, last: date, moment: Callable[[Any], datetime]) -> "ProgressRange":
        """Return the span of whole days in the vendor's zone, both inclusive."""
        start, end = (datetime.combine(day, edge, UTC_PLUS_8) for day, edge in ((first, time.min), (last, time.max)))
        return cls(start, end, moment)

    def share(self, record: Any) -> float:
        """Return how much of the span lies before a record."""
        return (self.moment(record) - self.start) / (self.end - self.start)


def write_pages(
    arguments: dict[str, Any], read: Callable[[CdrSession], Paginator[Any]], span: ProgressRange, bad_rows: BadRows
) -> ExitCode:
    """Write the records of a paginator to stdout as they come; returns the exit code.

    Raises:
        NxcdrError: the reading ended early; what was written before it is complete up to its `complete_until`.
        ReaderGoneError: nobody reads stdout any more.
    """
    return anyio.run(_write_pages, arguments, read, span, bad_rows)


def write_all(arguments: dict[str, Any], read: Callable[[CdrSession], Awaitable[Sequence[Any]]]) -> int:
    """Write records that come all at once to stdout; returns how many."""
    return anyio.run(_write_all, arguments, read)


async def _write_pages(
    arguments: dict[str, Any], read: Callable[[CdrSession], Paginator[Any]], span: ProgressRange, bad_rows: BadRows
) -> ExitCode:
    began = steady()
    async with CdrSession.from_env(**arguments) as session, read(session) as paginator:
        with bar_or_nothing("records") as display:
            done = 0
            display.show(ReadStatus(done, 0.0, 0.0, session.stats))
            try:
                async for page in paginator.pages():
                    await write_lines(json_lines(page))
                    done += len(page)
                    display.show(ReadStatus(done, span.share(page[-1]), steady() - began, session.stats))
            except NxcdrError as error:
                if error.complete_until is not None and error.complete_until > span.start:
                    error.add_note(f"what was written is complete before {error.complete_until.isoformat()}")
                raise
        took = duration(steady() - began)
        say(f"done: {paginator.stats.records:,} records, {session.stats.requests:,} requests, {took}")
    return bad_rows.conclude()


async def _write_all(arguments: dict[str, Any], read: Callable[[CdrSession], Awaitable[Sequence[Any]]]) -> int:
    async with CdrSession.from_env(**arguments) as session:
        records = await read(session)
    await write_lines(json_lines(records))
    return len(records)

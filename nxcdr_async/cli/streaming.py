"""Records of a session as JSON lines on stdout."""

from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

import anyio
from attrs import define, field

from nxcdr_async._util.clocks import steady
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.progress import ProgressTracker, bar_or_nothing
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
    """What to do with rows that cannot be records: stop at the first, or skip, tell and count them.

    Attributes:
        options: keyword arguments for a paginator of the session.
        skipped: how many were.
    """

    options: dict[str, Any] = field(factory=dict, init=False)
    skipped: int = field(default=0, init=False)

    @classmethod
    def skipping(cls) -> "BadRows":
        """Skip them."""
        made = cls()
        made.options = {"on_bad_row": "skip", "bad_row_callback": made.skip}
        return made

    def skip(self, bad: RecordError) -> None:
        """Take a row that cannot be a record."""
        self.skipped += 1
        if self.skipped <= MOST_BAD_ROWS_SHOWN:
            say(f"skipped: {bad}")

    def conclude(self) -> ExitCode:
        """Say how many were skipped, and return the exit code that stands for it."""
        if not self.skipped:
            return ExitCode.DONE
        say(f"warning: {self.skipped} rows could not be read and were left out")
        return ExitCode.KNOWN_GAPS


def note_how_to_skip(ended: BaseException) -> None:
    """Say with an error of a row that such rows can be left out of a store."""
    if isinstance(ended, RecordError):
        ended.add_note("with --skip-bad-rows such rows are left out, told and counted as gaps")


@define(frozen=True)
class Span:
    """The range that is read, to tell from a record's time how far a reading is.

    Attributes:
        start: where it begins.
        end: where it ends.
        moment: the time of a record.
    """

    start: datetime
    end: datetime
    moment: Callable[[Any], datetime]

    @classmethod
    def of_days(cls, first: date, last: date, moment: Callable[[Any], datetime]) -> "Span":
        """Return the span of whole days in the vendor's zone, both inclusive."""
        start, end = (datetime.combine(day, edge, UTC_PLUS_8) for day, edge in ((first, time.min), (last, time.max)))
        return cls(start, end, moment)

    def share(self, record: Any) -> float:
        """Return how much of the span lies before a record."""
        return (self.moment(record) - self.start) / (self.end - self.start)


def write(
    arguments: dict[str, Any], read: Callable[[CdrSession], Paginator[Any]], span: Span, bad_rows: BadRows
) -> ExitCode:
    """Write the records of a paginator to stdout as they come; returns the exit code.

    Raises:
        NxcdrError: the reading ended early; what was written before it is complete up to its `complete_until`.
        ReaderGoneError: nobody reads stdout any more.
    """
    return anyio.run(_write, arguments, read, span, bad_rows)


def write_order(arguments: dict[str, Any], order_id: str, tenant_id: int, bad_rows: BadRows) -> ExitCode:
    """Write the calls of an order to stdout; returns the exit code."""
    return anyio.run(_write_order, arguments, order_id, tenant_id, bad_rows)


async def _write(
    arguments: dict[str, Any], read: Callable[[CdrSession], Paginator[Any]], span: Span, bad_rows: BadRows
) -> ExitCode:
    began = steady()
    async with CdrSession.from_env(**arguments) as session, read(session) as paginator:
        with bar_or_nothing("records") as display:
            tracker = ProgressTracker(display, lambda: session.stats)
            try:
                async for page in paginator.pages():
                    await write_lines(json_lines(page))
                    tracker.advance(len(page), span.share(page[-1]))
            except NxcdrError as error:
                if error.complete_until is not None and error.complete_until > span.start:
                    error.add_note(f"what was written is complete before {error.complete_until.isoformat()}")
                raise
        took = duration(steady() - began)
        say(f"done: {paginator.stats.records:,} records, {session.stats.requests:,} requests, {took}")
    return bad_rows.conclude()


async def _write_order(arguments: dict[str, Any], order_id: str, tenant_id: int, bad_rows: BadRows) -> ExitCode:
    async with CdrSession.from_env(**arguments) as session:
        calls = await session.calls_by_order(order_id, tenant_id=tenant_id, **bad_rows.options)
    await write_lines(json_lines(calls))
    if not calls and not bad_rows.skipped:
        say(f"order {order_id} of tenant {tenant_id} has no calls")
    return bad_rows.conclude()

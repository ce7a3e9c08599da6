"""Backfills and syncs: the run, what is shown of it, and how it ends."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import anyio
from attrs import asdict, define

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import CommonOptions
from nxcdr_async.cli.progress import Monitor, watched
from nxcdr_async.cli.report import RunReport, show_report
from nxcdr_async.cli.streaming import BadRows, note_how_to_skip
from nxcdr_async.errors import NxcdrError
from nxcdr_async.ingest.api import backfill, sync
from nxcdr_async.ingest.report import BackfillProgress, BackfillReport
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession

Work = Callable[[CdrSession, "Wanted", dict[str, Any]], Awaitable[BackfillReport]]


@define(frozen=True)
class Wanted:
    """What is read, where it goes, and how.

    Attributes:
        source: "calls", "did" or "flash".
        to: the sink.
        settle: how long a window stays open.
        skips_bad_rows: whether rows that cannot be read are left out.
        new_key: whether the account goes by another key now.
        new_gateway: whether the gateway goes by another address now.
        report: a file for the report as JSON, - for stdout, None for neither.
    """

    source: SourceName
    to: str
    settle: timedelta
    skips_bad_rows: bool
    new_key: bool
    new_gateway: bool
    report: str | None


def backfilling(start: date, end: date) -> Work:
    """Return the work of filling a sink with a range."""
    return lambda session, wanted, options: backfill(session, wanted.source, start, end, wanted.to, **options)


def syncing(session: CdrSession, wanted: Wanted, options: dict[str, Any]) -> Awaitable[BackfillReport]:
    """Bring a sink up to the present."""
    return sync(session, wanted.source, wanted.to, **options)


def run(wanted: Wanted, work: Work, options: CommonOptions) -> ExitCode:
    """Do it, show it, and report; returns the exit code.

    Raises:
        NxcdrError: it could not be done to the end; notes on it say what is stored, and how to go on.
        KeyboardInterrupt: it was stopped; likewise.
    """
    told = RunReport.checked(wanted.report, wanted.to, wanted.source)
    arguments = options.arguments_for(wanted.source)
    running = _Running(wanted, work, told)
    try:
        report = anyio.run(running.run, arguments)
    except (NxcdrError, KeyboardInterrupt) as ended:
        _note_how_to_go_on(ended, running.latest)
        told.fail(ended)
        raise
    show_report(report)
    told.end("gaps" if report.gaps else "done", {**asdict(report), "rows": report.rows})
    return ExitCode.KNOWN_GAPS if report.gaps else ExitCode.DONE


@define
class _Running:
    wanted: Wanted
    work: Work
    report: RunReport
    latest: BackfillProgress | None = None

    async def run(self, arguments: dict[str, Any]) -> BackfillReport:
        """Read and show it.

        Raises:
            NxcdrError: it could not be done to the end.
        """
        bad_rows = BadRows.skipping() if self.wanted.skips_bad_rows else BadRows()
        async with CdrSession.from_env(**arguments) as session:
            monitor = Monitor(lambda: session.stats, self.report.take)
            further = {
                "on_progress": monitor.take,
                "settle": self.wanted.settle,
                "new_key": self.wanted.new_key,
                "new_gateway": self.wanted.new_gateway,
                **bad_rows.options,
            }
            try:
                return await watched(monitor, lambda: self.work(session, self.wanted, further))
            finally:
                self.latest = monitor.latest


def _note_how_to_go_on(ended: BaseException, latest: BackfillProgress | None) -> None:
    note_how_to_skip(ended)
    if latest is None or latest.reached is None:
        if isinstance(ended, KeyboardInterrupt):
            ended.add_note("nothing was stored by this run: the same command begins where it did")
        return
    stored = f"{latest.rows:,} rows up to {latest.reached.isoformat()} are stored"
    if latest.complete_until is not None:
        stored += f", and it is complete before {latest.complete_until.isoformat()}"
    ended.add_note(f"{stored}: run the same command to go on")

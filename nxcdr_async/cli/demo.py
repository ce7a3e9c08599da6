"""The demo: an emulator, a backfill of its calls into a DuckDB file, and a summary of it."""

from datetime import timedelta
from pathlib import Path

import anyio
import duckdb
from attrs import define

from nxcdr_async.backfill import BackfillProgress, backfill
from nxcdr_async.backfill.sinks.duckdb import DuckDbSink
from nxcdr_async.cli.child import Announcement, emulator_process
from nxcdr_async.cli.demo_file import mark, written_aside
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.guard import CommandError
from nxcdr_async.cli.output import say
from nxcdr_async.cli.progress import Progress, bar_or_lines
from nxcdr_async.cli.summary import Run, show_summary
from nxcdr_async.credentials import Credentials
from nxcdr_async.machine_clocks import steady
from nxcdr_async.session import CdrSession

_LATENCY = ("0.02", "0.06")
"""Seconds the emulator takes for a reply: as a gateway some way off would."""


@define(frozen=True)
class History:
    """The calls to make up: how many, over how many days, and what tells them from others."""

    calls: int
    days: int
    seed: int

    @property
    def options(self) -> list[str]:
        """Options of `nxcdr emulator`."""
        numbers = ["--calls", str(self.calls), "--days", str(self.days), "--seed", str(self.seed)]
        return [*numbers, "--did-calls", "0", "--flash-calls", "0", "--latency", *_LATENCY]


def run_demo(history: History, target: Path) -> ExitCode:
    """Run the demo; returns the exit code.

    Raises:
        NxcdrError: it could not be read to the end, or not be stored. Nothing is left behind then.
    """
    try:
        run = anyio.run(_fill, history, target)
    except (duckdb.Error, OSError) as error:
        raise CommandError(f"cannot write {target}: {error}") from None
    return ExitCode.DONE if show_summary(run) else ExitCode.FAILED


async def _fill(history: History, target: Path) -> Run:
    say(f"starting an emulator of the vendor's gateway with {history.calls:,} calls of {history.days} days ...")
    with written_aside(target) as part:
        async with emulator_process(history.options) as announced:
            began = steady()
            credentials = Credentials(announced.access_key, announced.access_secret)
            async with CdrSession(gateway=announced.gateway, credentials=credentials) as session:
                await _copy(session, announced, part)
                stats = session.stats
        await anyio.to_thread.run_sync(mark, part, history.calls, history.days, history.seed)
    return Run(target, announced.calls, stats, steady() - began)


async def _copy(session: CdrSession, announced: Announcement, part: Path) -> None:
    total, end = announced.calls, announced.last_call + timedelta(seconds=1)
    with bar_or_lines("calls") as display:

        def show(news: BackfillProgress) -> None:
            display.show(Progress(news.rows_read, news.rows_read / total, news.seconds, session.stats, total))

        await backfill(session, "calls", announced.first_call, end, DuckDbSink(part), show)

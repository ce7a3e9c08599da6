"""`nxcdr demo`: an emulator, a backfill of its calls into a DuckDB file, a summary of it, and a live minute."""

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer
from attrs import define

from nxcdr_async._util.clocks import present, sleep, steady
from nxcdr_async._util.counts import counted
from nxcdr_async.cli.emulator_process import emulator_process
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.progress import ReadStatus, bar_or_lines
from nxcdr_async.cli.terminal import say
from nxcdr_async.config import Credentials
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.ingest.api import backfill, sync
from nxcdr_async.ingest.report import BackfillProgress
from nxcdr_async.session import CdrSession
from nxcdr_async.sinks.paths import as_path
from nxcdr_async.stats import SessionStats

if TYPE_CHECKING:
    from nxcdr_async.sinks.protocol import Sink  # imports pyarrow, which may be missing

DETAILS = """
Starts an emulator of the gateway, reads all its calls into a DuckDB file, and shows what is in it. Then calls go on
arriving for a minute, and a sync follows them.
"""

_LATENCY = ("0.02", "0.06")
"""Seconds the emulator takes for a reply: as a gateway some way off would."""

_CALLS_PER_MINUTE = 30
_SECONDS_BETWEEN_SYNCS = 5.0


def demo(
    *,
    days: Annotated[int, typer.Option(min=1, max=366, help="Days of calls.")] = 30,
    calls: Annotated[int, typer.Option(min=1, help="Calls in all.")] = 50_000,
    to: Annotated[str, typer.Option(metavar="FILE", help="DuckDB file to store them in.")] = "nxcdr-demo.duckdb",
    seed: Annotated[int, typer.Option(help="Tells made-up histories apart.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Replace FILE even if it is not from an earlier demo.")
    ] = False,
    live: Annotated[
        int,
        typer.Option(min=0, metavar="SECONDS", help="Then follow calls that arrive, for so long; 0 for not at all."),
    ] = 60,
) -> ExitCode:
    missing = [package for package in ("duckdb", "pyarrow", "filelock") if find_spec(package) is None]
    if missing:
        raise ConfigurationError(f"the demo needs {' and '.join(missing)}: install the package with its extra duckdb")
    from nxcdr_async.cli import demo_file, summary  # noqa: PLC0415 - need DuckDB, which the help of this does not
    from nxcdr_async.sinks.duckdb import DuckDbSink  # noqa: PLC0415 - likewise

    path = as_path(to)
    target = demo_file.free_target(path) if force else demo_file.checked_target(path)
    held = f"{counted(calls, 'call')} of {counted(days, 'day')}"
    say(f"starting an emulator of the vendor's gateway with {held} ...")
    # The day before yesterday is the last: what is to come live begins a day later than all that may still be late.
    first_day = (present() - timedelta(days=days + 1)).date()
    told = f"--calls {calls} --days {days} --first-day {first_day} --seed {seed} --did-calls 0 --flash-calls 0"
    history = told.split()
    with demo_file.written_aside(target) as part:
        try:
            copied = anyio.run(_copy, history, DuckDbSink(part))
        except KeyboardInterrupt as stop:
            stop.add_note(f"{target} was not written")
            raise
        demo_file.mark(part, calls, days, seed)
    is_complete = summary.show_summary(target, copied.calls, copied.stats, copied.seconds)
    if live:
        anyio.run(_follow, history, target, live)
    return ExitCode.DONE if is_complete else ExitCode.FAILED


@define(frozen=True)
class _Copied:
    """How many calls the emulator holds, the session's counts, and how long it took to read and store them."""

    calls: int
    stats: SessionStats
    seconds: float


async def _copy(history: list[str], sink: "Sink") -> _Copied:
    async with emulator_process([*history, "--latency", *_LATENCY]) as emulator:
        began, end = steady(), emulator.last_call + timedelta(seconds=1)
        credentials = Credentials(emulator.access_key, emulator.access_secret)
        async with CdrSession(gateway=emulator.gateway, credentials=credentials) as session:
            with bar_or_lines() as display:

                def show(progress: BackfillProgress) -> None:
                    share = progress.rows_read / emulator.calls
                    status = ReadStatus(
                        progress.rows_read, share, progress.seconds, session.stats, total=emulator.calls
                    )
                    display.show(status)

                await backfill(session, "calls", emulator.first_call, end, sink, show)
        return _Copied(emulator.calls, session.stats, steady() - began)


async def _follow(history: list[str], target: Path, seconds: int) -> None:
    """Let calls go on arriving at the same tenant, and bring the file up to the present again and again."""
    live = ["--live", "--calls-per-minute", str(_CALLS_PER_MINUTE), "--latency", *_LATENCY]
    async with emulator_process([*history, *live]) as emulator:
        credentials = Credentials(emulator.access_key, emulator.access_secret)
        async with CdrSession(gateway=emulator.gateway, credentials=credentials) as session:

            async def catch_up() -> int:
                report = await sync(session, "calls", target, new_gateway=True)
                say(f"  {present():%H:%M:%S} UTC: {counted(report.rows_new, 'new call')}, {report.seconds:.1f} s")
                return report.rows_new

            say(f"live: calls go on arriving for {seconds} s; first, a sync brings those since the backfill:")
            await catch_up()
            until, arrived = steady() + seconds, 0
            while (left := until - steady()) > 0:
                await sleep(min(_SECONDS_BETWEEN_SYNCS, left))
                arrived += await catch_up()
            say(f"live: {counted(arrived, 'call')} came meanwhile and were stored")

"""`nxcdr demo`: an emulator, a backfill of its calls into a DuckDB file, and a summary of it."""

from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import anyio
import typer
from attrs import define

from nxcdr_async._util.clocks import steady
from nxcdr_async.cli.emulator_process import emulator_process
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.progress import ReadStatus, bar_or_lines
from nxcdr_async.cli.terminal import say
from nxcdr_async.config import Credentials
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.ingest.api import backfill
from nxcdr_async.ingest.report import BackfillProgress
from nxcdr_async.session import CdrSession
from nxcdr_async.sinks.paths import as_path
from nxcdr_async.stats import SessionStats

if TYPE_CHECKING:
    from nxcdr_async.sinks.protocol import Sink  # imports pyarrow, which may be missing

DETAILS = """
Starts an emulator of the gateway, reads all its calls into a DuckDB file, and shows what is in it.
"""

_LATENCY = ("0.02", "0.06")
"""Seconds the emulator takes for a reply: as a gateway some way off would."""


def demo(
    *,
    days: Annotated[int, typer.Option(min=1, max=366, help="Days of calls.")] = 30,
    calls: Annotated[int, typer.Option(min=1, help="Calls in all.")] = 50_000,
    to: Annotated[str, typer.Option(metavar="FILE", help="DuckDB file to store them in.")] = "nxcdr-demo.duckdb",
    seed: Annotated[int, typer.Option(help="Tells made-up histories apart.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Replace FILE even if it is not from an earlier demo.")
    ] = False,
) -> ExitCode:
    missing = [package for package in ("duckdb", "pyarrow", "filelock") if find_spec(package) is None]
    if missing:
        raise ConfigurationError(f"the demo needs {' and '.join(missing)}: install the package with its extra duckdb")
    from nxcdr_async.cli import demo_file, summary  # noqa: PLC0415 - need DuckDB, which the help of this does not
    from nxcdr_async.sinks.duckdb import DuckDbSink  # noqa: PLC0415 - likewise

    path = as_path(to)
    target = demo_file.free_target(path) if force else demo_file.checked_target(path)
    say(f"starting an emulator of the vendor's gateway with {calls:,} calls of {days} days ...")
    history = f"--calls {calls} --days {days} --seed {seed} --did-calls 0 --flash-calls 0"
    with demo_file.written_aside(target) as part:
        copied = anyio.run(_copy, history.split(), DuckDbSink(part))
        demo_file.mark(part, calls, days, seed)
    is_complete = summary.show_summary(target, copied.calls, copied.stats, copied.seconds)
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
            with bar_or_lines("calls") as display:

                def show(progress: BackfillProgress) -> None:
                    share = progress.rows_read / emulator.calls
                    status = ReadStatus(progress.rows_read, share, progress.seconds, session.stats, emulator.calls)
                    display.show(status)

                await backfill(session, "calls", emulator.first_call, end, sink, show)
        return _Copied(emulator.calls, session.stats, steady() - began)

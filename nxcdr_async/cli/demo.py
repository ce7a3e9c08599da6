"""The demo: an emulator, a backfill of its calls into a DuckDB file, and a summary of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import anyio
import duckdb
from attrs import define

from nxcdr_async._util.clocks import steady
from nxcdr_async.cli.child import Announcement, emulator_process
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.progress import Progress, bar_or_lines
from nxcdr_async.cli.run import CommandError
from nxcdr_async.cli.summary import Run, show_summary
from nxcdr_async.cli.terminal import say
from nxcdr_async.config import Credentials
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.ingest.api import backfill
from nxcdr_async.ingest.report import BackfillProgress
from nxcdr_async.session import CdrSession
from nxcdr_async.sinks.duckdb import DuckDbSink
from nxcdr_async.sinks.duckdb_file import log_of
from nxcdr_async.sinks.files import RANDOM_CHARACTERS, check_name, name_beside

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


MARKER = "demo"
"""The table by which a file is known to come from the demo."""

_ASIDE = ".part"


def free_target(path: Path) -> Path:
    """Return a path a database can be put at, whatever stands there now.

    Raises:
        ConfigurationError: its folder is not there or not ours to write to, or it is a folder itself.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(f"there is no folder {path.parent}: make it first, or give another file with --to")
    if path.name:  # "." has none
        check_name(path, log_of(path).suffix)
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder: give a file with --to")
    if not os.access(path.parent, os.W_OK):
        raise ConfigurationError(f"the folder {path.parent} cannot be written to: give another file with --to")
    return path


def checked_target(path: Path) -> Path:
    """Return a path a database can be put at: a free one, or one that holds an earlier demo.

    Raises:
        ConfigurationError: something else stands there, or its folder will not do.
    """
    if free_target(path).exists() and not _is_from_demo(path):
        raise ConfigurationError(
            f"{path} is there already and not from a demo, or in use: give another file with --to, or --force"
        )
    return path


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Give a path in a folder of its own, and put the file that is there at the end in place of the target.

    If the block ends in an error, nothing is left behind and what stood there stays.
    """
    # Nobody else can look into such a folder, nor put a link where files are made.
    prefix = name_beside(target.name, ".", random=RANDOM_CHARACTERS + len(_ASIDE))
    folder = Path(mkdtemp(_ASIDE, prefix, target.parent))
    try:
        part = folder / target.name
        yield part
        # What an interrupted program may have left beside the old file must not be replayed into the new one.
        log_of(target).unlink(missing_ok=True)
        part.replace(target)
    finally:
        rmtree(folder, ignore_errors=True)


def mark(path: Path, calls: int, days: int, seed: int) -> None:
    """Mark a database as the demo's."""
    with duckdb.connect(path) as database:
        database.execute(f"CREATE TABLE {MARKER} (calls BIGINT, days BIGINT, seed BIGINT)")
        database.execute(f"INSERT INTO {MARKER} VALUES (?, ?, ?)", [calls, days, seed])  # noqa: S608 - a constant


def _is_from_demo(path: Path) -> bool:
    try:
        with duckdb.connect(path, read_only=True) as database:
            tables = {name for (name,) in database.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    except duckdb.Error:
        return False
    return {MARKER, "calls"} <= tables

"""The demo: an emulator, a session that reads it, a DuckDB file, and a summary of it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import duckdb
from attrs import define

from nxcdr_async.cli.child import Announcement, emulator_process
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.guard import CommandError
from nxcdr_async.cli.output import say
from nxcdr_async.cli.progress import ProgressTracker, bar_or_lines
from nxcdr_async.cli.store import CallStore
from nxcdr_async.cli.summary import Run, show_summary
from nxcdr_async.credentials import Credentials
from nxcdr_async.records import CallRecord
from nxcdr_async.session import CdrSession

CALLS_A_BATCH = 5_000

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
    async with emulator_process(history.options) as announced, _storing(target) as store:
        began = time.monotonic()
        credentials = Credentials(announced.access_key, announced.access_secret)
        async with CdrSession(gateway=announced.gateway, credentials=credentials) as session:
            await _copy(session, announced, store)
            stats = session.stats
        await anyio.to_thread.run_sync(store.finish, history.calls, history.days, history.seed)
        return Run(target, announced.calls, stats, time.monotonic() - began)


async def _copy(session: CdrSession, announced: Announcement, store: CallStore) -> None:
    end = announced.last_call + timedelta(seconds=1)
    batch: list[CallRecord] = []
    with bar_or_lines("calls") as display:
        tracker = ProgressTracker(display, lambda: session.stats, total=announced.calls)
        async with session.calls(announced.first_call, end) as calls:
            async for page in calls.pages():
                tracker.advance(len(page))
                batch += page
                if len(batch) >= CALLS_A_BATCH:
                    await anyio.to_thread.run_sync(store.add, batch)
                    batch = []
        await anyio.to_thread.run_sync(store.add, batch)


@asynccontextmanager
async def _storing(target: Path) -> AsyncIterator[CallStore]:
    store = await anyio.to_thread.run_sync(CallStore.create, target)
    try:
        yield store
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(store.discard)

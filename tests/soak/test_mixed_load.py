"""Half an hour of everything at once: every row once, and nothing grows.

Readers use sessions, and leave streams, in every way there is, while the gateway makes faults, throttles, restarts,
gets new calls, and has its clock jump. In between all stop, and what this process holds is measured.
"""

import asyncio
import ctypes
import gc
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from shared.leaks import Held
from shared.memory_use import held_kib

from nxcdr_async import CdrSession
from nxcdr_async.testing import Gateway
from tests.soak.far_gateway import FarGateway, far_gateway
from tests.soak.growth import COUNTED, Point, changes
from tests.soak.load import Load, Tally

pytestmark = pytest.mark.filterwarnings("ignore:a Paginator was dropped:ResourceWarning")

ATTEMPT = 1.5
"""Seconds an attempt may take."""

FEWEST_POINTS = 6
SECONDS_TO_SETTLE = 5.0

IDLE = 1.0
"""Seconds an idle connection of the caller's own client session is kept."""

MOST_ERRORS = 0.1
"""Streams that may end in an error: past all retries, or because the gateway restarts just when it is first asked."""

C_LIBRARY = ctypes.CDLL(None) if sys.platform != "win32" else None

Tell = Callable[[str], None]


def keys_of(gateway: FarGateway) -> dict[str, Any]:
    example = Gateway()
    return {
        "gateway": gateway.url,
        "credentials": example.credentials,
        "flash_app": example.flash_app,
        "timeout": ATTEMPT,
    }


async def measured(gateway: FarGateway, started: float, before: Point | None = None) -> Point:
    """Measure once all is quiet: what is still ending has a few seconds to be as it was before."""
    lock_timeout = time.monotonic() + SECONDS_TO_SETTLE
    while True:
        gc.collect()
        hand_back()
        held, seen = Held.now(), await gateway.ask("look")
        point = Point(
            seconds=time.monotonic() - started,
            kib=held_kib(),
            blocks=sys.getallocatedblocks(),
            objects=len(gc.get_objects()),
            tasks=held.tasks,
            files=held.files,
            connections=seen["connections"],
        )
        is_settled = before is None or all(getattr(point, name) <= getattr(before, name) for name in COUNTED)
        if is_settled or time.monotonic() > lock_timeout:
            return point
        await asyncio.sleep(0.05)


def hand_back() -> None:
    """Have the C library give memory back that it only keeps for later, where it can."""
    if hasattr(C_LIBRARY, "malloc_trim"):
        C_LIBRARY.malloc_trim(0)


@asynccontextmanager
async def sessions(keys: dict[str, Any]) -> AsyncIterator[list[CdrSession]]:
    """Give two sessions that last for the whole run, on a client session of their caller's."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        CdrSession(**keys, http=http) as adapting,
        CdrSession(**keys, http=http, concurrency=6) as fixed,
    ):
        yield [adapting, fixed]


async def soak(
    seconds: float, tell: Tell, kept: Callable[[Any], object] = lambda _record: None
) -> tuple[Tally, Point, list[Point]]:
    """Go on for so long, and return what came of it, what was held before, and what at each quiet point."""
    tally, points, chance = Tally(), [], Random(4)
    episode = max(4.0, min(60.0, seconds / 25))
    async with far_gateway(calls=12_000, days=10) as gateway, sessions(keys := keys_of(gateway)) as lasting:
        started = time.monotonic()
        before = await measured(gateway, started)
        while time.monotonic() - started < seconds or len(points) < FEWEST_POINTS:
            async with CdrSession(**keys) as short:
                load = Load(gateway, keys, [*lasting, short], tally, chance, kept)
                await load.go_on(episode)
            points.append(await measured(gateway, started, before))
            tell(f"{points[-1]} {tally.rows:,} rows, {sum(tally.ways.values())} ways gone, errors {dict(tally.errors)}")
            # A new emulator on the same port: the calls that turned up are gone, so each episode is like the first.
            tally.count(await gateway.ask("look"))
            await gateway.ask("renew")
    return tally, before, points


async def test_half_an_hour_of_mixed_load_loses_nothing_and_nothing_grows(minutes: float, tell: Tell) -> None:
    tally, before, points = await soak(minutes * 60, tell)
    found = changes(before, points)
    streams = sum(tally.ways.values())
    tell(
        f"{points[-1].seconds / 60:.0f} minutes, {streams:,} streams ({len(tally.ways)} ways), {tally.rows:,} rows, "
        f"{tally.requests:,} requests, {tally.faults:,} of them met a fault: "
        f"{tally.lost} lost, {tally.doubled} doubled, {tally.stray} stray, {sum(tally.errors.values())} errors; "
        + "; ".join(change.in_words() for change in found)
    )
    assert (tally.lost, tally.doubled, tally.stray) == (0, 0, 0)
    assert not grown(before, points)
    assert tally.rows > 0
    assert sum(tally.errors.values()) <= MOST_ERRORS * streams


async def test_records_that_are_kept_are_noticed(minutes: float, tell: Tell) -> None:
    kept: list[Any] = []
    _, before, points = await soak(min(minutes, 0.6) * 60, tell, kept.append)
    assert grown(before, points) >= {"kib", "blocks", "objects"}


async def test_one_file_that_is_not_closed_is_noticed(minutes: float, tell: Tell) -> None:
    with ExitStack() as opened:
        leave_open = once(lambda: opened.enter_context(Path(__file__).open(encoding="utf-8")))
        _, before, points = await soak(min(minutes, 0.4) * 60, tell, leave_open)
    assert "files" in grown(before, points)


async def test_one_task_that_does_not_end_is_noticed(minutes: float, tell: Tell) -> None:
    tasks: list[asyncio.Task[None]] = []
    leave_running = once(lambda: tasks.append(asyncio.create_task(asyncio.sleep(3600))))
    _, before, points = await soak(min(minutes, 0.4) * 60, tell, leave_running)
    tasks[0].cancel()
    assert "tasks" in grown(before, points)


def grown(before: Point, points: list[Point]) -> set[str]:
    return {change.figure for change in changes(before, points) if change.has_grown}


def once(leak: Callable[[], object]) -> Callable[[Any], object]:
    """Return what leaks with the first record it is shown."""
    leaks = iter([leak])
    return lambda _record: next(leaks, int)()

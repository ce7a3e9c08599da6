"""How well a session finds out what a gateway allows, against the best fixed setting.

    python benchmarks/throttling.py [--svg benchmarks/figures/throttling.svg] [--only PART …] [--scale 1.0]
        [--rounds 3] [--beside COMMIT]

The emulator runs in a process of its own, with 100 ms a reply; a year of calls is streamed for as long as a part lasts,
but for the last one.

- bounds: for each bound on requests at once or a second, which a session does not know, its good replies a second once
  it is steady, as a share of those of the best fixed setting (`concurrency` or `rate` just at the bound), and the share
  of requests the gateway refused meanwhile.
- changes: one session while the bounds change; how soon after each change it comes to 0.9 of what is allowed then, and
  holds that for two seconds. With --svg it is drawn: the limit, requests in flight, and those refused.
- sessions: four sessions at once under one bound; the good replies of the least to those of the most.
- start: what a program pays that reads a range and ends, finding out included: 60,000 and 100,000 calls, 12 requests at
  once allowed, 40 to 100 ms a reply. The wall time of a session that adapts to that of one that is told, both in each
  round, and the share of requests refused; with --beside, that of a session of another commit too.
"""

import asyncio
import math
import sys
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from attrs import evolve
from shared.beside import NOW, Child, add_beside, child, trees
from shared.emulation import Emulator, Told, emulator
from shared.limits import Limit
from shared.report import Rows, finish, parser_of, table
from shared.timeline import Sample, draw

from nxcdr_async import CdrSession, Credentials

LATENCY = 0.1
CALLS, DAYS = 36_500_000, 365
SECONDS_TO_SETTLE = 12.0
SECONDS_MEASURED = 15.0
REPLIES_AT_LEAST = 200
"""Good replies in which a session has to settle, and over which it is measured, where they take longer than that."""

SECONDS_TO_BEGIN = 2.0
SECONDS_OF_FIXED = 8.0
SECONDS_TO_CALM = 1.0
SECONDS_A_STAGE = 20.0
SECONDS_OF_SAMPLE = 0.25
SAMPLES_HELD = 8

LATENCY_OF_START = (0.04, 0.1)
ALLOWED_AT_START = 12
CALLS_TO_START = (60_000, 100_000)
DAYS_TO_START = 30

LEAST_OF_BEST = 0.9
MOST_REFUSED = 0.02
MOST_TO_RECOVER = 12.0
LEAST_FAIR = 0.9
MOST_TO_START = 1.10

FIXED = f"fixed, {ALLOWED_AT_START} at once"

Starts = dict[str, list[dict[str, float]]]
"""What each reading came to, by who read: with the best fixed setting, or adapting, by the name of a tree."""

Bounds = dict[str, Any]
NO_BOUNDS: Bounds = {"max_in_flight": None, "max_per_second": None}
CASES: tuple[tuple[str, Bounds, dict[str, float]], ...] = (
    ("4 at once", {"max_in_flight": 4}, {"concurrency": 4}),
    ("12 at once", {"max_in_flight": 12}, {"concurrency": 12}),
    ("5 a second", {"max_per_second": 5}, {"rate": 5}),
    ("40 a second", {"max_per_second": 40}, {"rate": 40}),
)
STAGES: tuple[tuple[str, Bounds, float], ...] = (
    ("12 at once", {"max_in_flight": 12}, 120),
    ("3 at once", {"max_in_flight": 3}, 30),
    ("40 a second", {"max_per_second": 40}, 40),
    ("16 at once", {"max_in_flight": 16}, 160),
)


@asynccontextmanager
async def streaming(told: Told, **settings: Any) -> AsyncIterator[CdrSession]:
    """Have a session stream calls for as long as the block lasts."""
    async with CdrSession(
        gateway=told.gateway, credentials=Credentials(told.access_key, told.access_secret), **settings
    ) as cdr:
        paginator = cdr.calls(*told.range)

        async def stream() -> None:
            async for _ in paginator.pages():
                pass

        task = asyncio.create_task(stream())
        try:
            yield cdr
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def good(cdr: CdrSession) -> int:
    """Return how many requests were answered as they should be."""
    stats = cdr.stats
    return stats.requests - stats.retries - stats.in_flight


async def rate_of(cdr: CdrSession, seconds: float) -> tuple[float, float]:
    """Return good replies a second and the share of refused requests over the next seconds."""
    before, began = cdr.stats, time.monotonic()
    good_before = good(cdr)
    await asyncio.sleep(seconds)
    after, took = cdr.stats, time.monotonic() - began
    requests = max(1, after.requests - before.requests)
    return (good(cdr) - good_before) / took, (after.throttled - before.throttled) / requests


def share_of(found: float, best: float) -> float:
    """Return one to the other; NaN if there was nothing, as on a machine that is too busy for a short run."""
    return found / best if best else math.nan


async def find_bound(
    gateway: Emulator, name: str, bounds: Bounds, fixed: dict[str, float], scale: float
) -> dict[str, Any]:
    """Compare a session that adapts with one that is told the bound."""
    gateway.switch(**{**NO_BOUNDS, **bounds})
    async with streaming(gateway.told, **fixed) as cdr:
        await asyncio.sleep(SECONDS_TO_BEGIN * scale)
        best, refused_fixed = await rate_of(cdr, SECONDS_OF_FIXED * scale)
    await asyncio.sleep(SECONDS_TO_CALM)
    slow = REPLIES_AT_LEAST / fixed.get("rate", math.inf)
    async with streaming(gateway.told) as cdr:
        await asyncio.sleep(max(SECONDS_TO_SETTLE, slow) * scale)
        found, refused = await rate_of(cdr, max(SECONDS_MEASURED, slow) * scale)
    await asyncio.sleep(SECONDS_TO_CALM)
    return {
        "bound": name,
        "fixed, replies a second": best,
        "refused of those %": refused_fixed * 100,
        "adapting, replies a second": found,
        "of best": share_of(found, best),
        "refused %": refused * 100,
    }


async def follow_changes(gateway: Emulator, scale: float) -> tuple[list[Sample], list[dict[str, Any]]]:
    """Watch one session while the bounds change."""
    samples: list[Sample] = []
    rows = []
    gateway.switch(**NO_BOUNDS)
    async with streaming(gateway.told) as cdr:
        began = time.monotonic()
        for name, bounds, allowed in STAGES:
            gateway.switch(**{**NO_BOUNDS, **bounds})
            stage = await _watch(cdr, began, allowed, SECONDS_A_STAGE * scale)
            samples += stage
            rows.append(
                {
                    "bound": name,
                    "seconds to 0.9 of it": _seconds_to(stage, LEAST_OF_BEST * allowed),
                    "refused": sum(sample.refused for sample in stage),
                    "requests": sum(sample.replies + sample.refused for sample in stage),
                }
            )
    return samples, rows


async def _watch(cdr: CdrSession, began: float, allowed: float, seconds: float) -> list[Sample]:
    samples = []
    end = time.monotonic() + seconds
    last, replies = cdr.stats, good(cdr)
    while time.monotonic() < end:
        await asyncio.sleep(SECONDS_OF_SAMPLE)
        stats = cdr.stats
        samples.append(
            Sample(
                at=time.monotonic() - began,
                limit=stats.concurrency_limit,
                in_flight=stats.in_flight,
                refused=stats.throttled - last.throttled,
                replies=good(cdr) - replies,
                allowed=allowed,
            )
        )
        last, replies = stats, good(cdr)
    return samples


def _seconds_to(stage: list[Sample], enough: float) -> float:
    """Return when two seconds began over which replies came quickly enough; infinite if they never did."""
    for first in range(len(stage) - SAMPLES_HELD):
        held = stage[first : first + SAMPLES_HELD + 1]
        took = held[-1].at - held[0].at
        if sum(sample.replies for sample in held[1:]) / took >= enough:
            return held[0].at - stage[0].at
    return float("inf")


async def share(gateway: Emulator, scale: float) -> list[dict[str, Any]]:
    """Have several sessions stream at once."""
    gateway.switch(**{**NO_BOUNDS, "max_in_flight": 12})
    async with (
        streaming(gateway.told) as one,
        streaming(gateway.told) as two,
        streaming(gateway.told) as three,
        streaming(gateway.told) as four,
    ):
        await asyncio.sleep(SECONDS_TO_SETTLE * scale)
        found = await asyncio.gather(*(rate_of(cdr, SECONDS_MEASURED * scale) for cdr in (one, two, three, four)))
    return [
        {"session": number, "replies a second": rate, "refused %": refused * 100}
        for number, (rate, refused) in enumerate(found, 1)
    ]


async def read_range(told: Told, concurrency: int | None) -> dict[str, float]:
    """Read a range with a new session, which adapts unless it is told how many requests to have at once."""
    keys = Credentials(told.access_key, told.access_secret)
    async with CdrSession(gateway=told.gateway, credentials=keys, concurrency=concurrency) as cdr:
        began, rows = time.perf_counter(), 0
        async for page in cdr.calls(*told.range).pages():
            rows += len(page)
        seconds, stats = time.perf_counter() - began, cdr.stats
    refused = stats.throttled / max(1, stats.requests)
    return {"seconds": seconds, "refused": refused, "amiss": abs(rows - told.calls)}


def read_range_here(told: Told, concurrency: int | None) -> dict[str, float]:
    """Read in this process."""
    return asyncio.run(read_range(told, concurrency))


def starts(calls: int, rounds: int, children: Mapping[str, Child]) -> Starts:
    """Have the same range read with the best fixed setting, and by sessions that adapt, in turn."""
    found: Starts = {reader: [] for reader in (FIXED, *children)}
    with emulator(calls, DAYS_TO_START, latency=LATENCY_OF_START, max_in_flight=ALLOWED_AT_START) as gateway:
        for process in children.values():  # the first session of a process imports what it needs
            process.call(read_range_here, evolve(gateway.told, end=gateway.told.start + 1), None)
        for _ in range(rounds):
            found[FIXED].append(children[NOW].call(read_range_here, gateway.told, ALLOWED_AT_START))
            for tree, process in children.items():
                found[tree].append(process.call(read_range_here, gateway.told, None))
    return found


def row_of_start(calls: int, reader: str, found: Starts) -> dict[str, Any]:
    """Return a line of the table."""
    readings = found[reader]
    ratios = [mine["seconds"] / best["seconds"] for mine, best in zip(readings, found[FIXED], strict=True)]
    return {
        "start": f"{calls} calls",
        "session": reader if reader == FIXED else f"adapting, {reader}",
        "seconds": median(one["seconds"] for one in readings),
        "to fixed": median(ratios),
        "refused %": 100 * median(one["refused"] for one in readings),
        "rows amiss": sum(one["amiss"] for one in readings),
    }


def measure_start(scale: float, rounds: int, beside: str | None) -> tuple[Rows, dict[str, float]]:
    """Run the part about what finding out costs; return its rows and figures."""
    rows: list[dict[str, Any]] = []
    figures = {"rows amiss": 0.0}
    with trees(beside) as both, ExitStack() as running:
        children = {tree.name: running.enter_context(child(tree, __file__)) for tree in both}
        for calls in CALLS_TO_START:
            found = starts(int(calls * scale), rounds, children)
            lines = {reader: row_of_start(calls, reader, found) for reader in found}
            figures[f"start of {calls}: to fixed"] = lines[NOW]["to fixed"]
            figures[f"start of {calls}: refused"] = lines[NOW]["refused %"] / 100
            figures["rows amiss"] += lines[NOW]["rows amiss"] + lines[FIXED]["rows amiss"]
            rows += lines.values()
    print(table(rows), end="\n\n", flush=True)
    return rows, figures


def limits(parts: Collection[str]) -> list[Limit]:
    """Return what the benchmark fails at."""
    used = "a session that adapts should use nearly all a gateway allows"
    gentle = "a gateway should hardly have to refuse anything"
    soon = "a bound that changes should be followed within seconds"
    fair = "no session should have more than its share"
    cheap = "finding out what a gateway allows must cost little more than knowing it"
    changes = STAGES if "changes" in parts else ()
    sizes = CALLS_TO_START if "start" in parts else ()
    return [
        *(Limit(f"{name}: not used", 1 - LEAST_OF_BEST, used) for name, *_ in CASES if name in parts),
        *(Limit(f"{name}: refused", MOST_REFUSED, gentle) for name, *_ in CASES if name in parts),
        *(Limit(f"change to {name}: seconds", MOST_TO_RECOVER, soon) for name, *_ in changes),
        *([Limit("sessions: unfairness", 1 - LEAST_FAIR, fair)] if "sessions" in parts else []),
        *(Limit(f"start of {calls}: to fixed", MOST_TO_START, cheap) for calls in sizes),
        *(Limit(f"start of {calls}: refused", MOST_REFUSED, gentle) for calls in sizes),
        *([Limit("rows amiss", 0, "each call once")] if sizes else []),
    ]


async def measure(parts: Collection[str], scale: float, svg: Path | None) -> tuple[Rows, dict[str, float]]:
    """Run the parts; return their rows and the figures the limits are about."""
    rows: list[dict[str, Any]] = []
    figures: dict[str, float] = {}
    with emulator(CALLS, DAYS, latency=[LATENCY, LATENCY]) as gateway:
        for name, bounds, fixed in CASES:
            if name in parts:
                row = await find_bound(gateway, name, bounds, fixed, scale)
                figures[f"{name}: not used"] = 1 - row["of best"]
                figures[f"{name}: refused"] = row["refused %"] / 100
                rows.append(row)
        if rows:
            print(table(rows), end="\n\n", flush=True)
        if "changes" in parts:
            samples, changes = await follow_changes(gateway, scale)
            print(table(changes), end="\n\n", flush=True)
            figures |= {f"change to {row['bound']}: seconds": row["seconds to 0.9 of it"] for row in changes}
            rows += changes
            if svg is not None:
                draw(samples, [name for name, *_ in STAGES], SECONDS_A_STAGE * scale, svg)
        if "sessions" in parts:
            sessions = await share(gateway, scale)
            print(table(sessions), flush=True)
            rates = [row["replies a second"] for row in sessions]
            figures["sessions: unfairness"] = 1 - share_of(min(rates), max(rates))
            rows += sessions
    return rows, figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code tells whether all limits were met."""
    parts = [*(name for name, *_ in CASES), "changes", "sessions", "start"]
    parser = parser_of(__doc__)
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the changes into this file")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, metavar="PART", help=", ".join(parts))
    parser.add_argument("--scale", type=float, default=1.0, help="make all times longer or shorter")
    parser.add_argument("--rounds", type=int, default=3, help="of the part about the start")
    add_beside(parser)
    options = parser.parse_args(arguments)
    rows, figures = asyncio.run(measure(options.only, options.scale, options.svg))
    if "start" in options.only:
        more, of_start = measure_start(options.scale, options.rounds, options.beside)
        rows, figures = [*rows, *more], figures | of_start
    return finish("throttling", rows, figures, limits(options.only), options.json)


if __name__ == "__main__":
    sys.exit(main())

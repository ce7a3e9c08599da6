"""Whether storing slows the reading, and how much memory a backfill takes.

    python benchmarks/backfill.py [--calls 200000] [--rounds 3] [--only NAME …] [--long 1000000]

The same calls are streamed and dropped, and read into each sink: 50 ms a reply, 16 requests at once, the emulator and
each reader in processes of their own. A round has each once, in turn, so that a slow moment of the machine meets all;
what counts is the median of each sink's time to that of streaming in the same round. What was stored is counted by the
database's own client, or by reading the files.

Memory is the peak of the whole process, at this size and at a longer range.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from attrs import define
from shared.emulation import Told, emulator
from shared.limits import Limit
from shared.memory_use import most_held_kib
from shared.report import finish, parser_of, table

from nxcdr_async import CdrSession, Credentials, backfill

if TYPE_CHECKING:
    from shared.places import Place

CONCURRENCY = 16
LATENCY = (0.05, 0.05)
CALLS_A_DAY = 5_000
STREAMED = "streamed and dropped"

MOST_TO_STREAMING = 1.15
MOST_MEMORY = 250.0


@define(frozen=True)
class Reading:
    """What one process did.

    Attributes:
        seconds: from the opened session to the end of the last write.
        most_mb: the most memory the process had.
        amiss: rows too few, too many, or doubled in what was stored.
    """

    seconds: float
    most_mb: float
    amiss: int


async def stream(told: Told) -> float:
    """Read all calls and keep none; return how long it took."""
    keys = Credentials(told.access_key, told.access_secret)
    async with CdrSession(gateway=told.gateway, credentials=keys, concurrency=CONCURRENCY) as cdr:
        began = time.perf_counter()
        rows = 0
        async for _ in cdr.calls(*told.range):
            rows += 1
        took = time.perf_counter() - began
    if rows != told.calls:
        raise RuntimeError(f"{rows} calls streamed, not {told.calls}")
    return took


async def fill(told: Told, to: str) -> float:
    """Read all calls into a sink; return how long it took."""
    keys = Credentials(told.access_key, told.access_secret)
    async with CdrSession(gateway=told.gateway, credentials=keys, concurrency=CONCURRENCY) as cdr:
        began = time.perf_counter()
        await backfill(cdr, "calls", *told.range, to=to)
        return time.perf_counter() - began


def read(told: Told, *to: str) -> dict[str, float]:
    """Read in a fresh process."""
    command = [sys.executable, __file__, "--read", told.to_json(), *(f"--to={place}" for place in to)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def read_into(told: Told, place: "Place") -> Reading:
    """Read into a fresh sink, and look what is in it."""
    with TemporaryDirectory() as folder, place.fresh(Path(folder)) as to:
        done = read(told, to)
        rows, different = place.count(to)
    return Reading(**done, amiss=abs(rows - told.calls) + rows - different)


def measure(
    calls: int, rounds: int, places: "Sequence[Place]", latency: tuple[float, float]
) -> dict[str, list[Reading]]:
    """Read the calls by streaming and into each sink, in turn."""
    found: dict[str, list[Reading]] = {name: [] for name in (STREAMED, *(place.name for place in places))}
    with emulator(calls, days=-(-calls // CALLS_A_DAY), latency=latency) as running:
        for number in range(rounds):
            found[STREAMED].append(Reading(**read(running.told), amiss=0))
            for place in places:
                found[place.name].append(read_into(running.told, place))
            print(f"{calls} calls: round {number + 1} of {rounds} is done", file=sys.stderr, flush=True)
    return found


def row_of(name: str, readings: Sequence[Reading], streamed: Sequence[Reading], long: Reading) -> dict[str, Any]:
    """Return a line of the table."""
    ratios = [mine.seconds / theirs.seconds for mine, theirs in zip(readings, streamed, strict=True)]
    return {
        "sink": name,
        "seconds": median(reading.seconds for reading in readings),
        "to streaming": median(ratios),
        "MB at most": max(reading.most_mb for reading in readings),
        "MB, long range": long.most_mb,
        "rows amiss": sum(reading.amiss for reading in readings) + long.amiss,
    }


def limits_of(rows: Sequence[dict[str, Any]]) -> list[Limit]:
    """Return what each sink has to keep."""
    speed = "storing must not slow the reading"
    memory = "the range must not show in the memory, nor must the sink"
    sinks = [row["sink"] for row in rows if row["sink"] != STREAMED]
    return [
        *(Limit(f"{sink}: to streaming", MOST_TO_STREAMING, speed) for sink in sinks),
        *(Limit(f"{sink}: MB at most", MOST_MEMORY, memory) for sink in sinks),
        Limit("rows amiss", 0, "each call once"),
    ]


def figures_of(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the figures that have limits."""
    figures = {f"{row['sink']}: to streaming": row["to streaming"] for row in rows}
    figures |= {f"{row['sink']}: MB at most": max(row["MB at most"], row["MB, long range"]) for row in rows}
    return {**figures, "rows amiss": float(sum(row["rows amiss"] for row in rows))}


def main() -> int:
    """Measure, print and check."""
    parser = parser_of(__doc__)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--long", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--read", help=argparse.SUPPRESS)  # what a process of its own is started with
    parser.add_argument("--to", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read is not None:
        told = Told.from_json(options.read)
        seconds = asyncio.run(stream(told) if options.to is None else fill(told, options.to))
        print(json.dumps({"seconds": seconds, "most_mb": most_held_kib() / 1024}))
        return 0
    from shared.places import PLACES  # noqa: PLC0415 - the clients of databases, which are no part of a reader's memory

    with ExitStack() as running:
        places = [running.enter_context(PLACES[name]()) for name in options.only or PLACES]
        found = measure(options.calls, options.rounds, places, LATENCY)
        long = measure(options.long, 1, places, LATENCY)
    rows = [row_of(name, readings, found[STREAMED], long[name][0]) for name, readings in found.items()]
    print(table(rows))
    return finish("backfill", rows, figures_of(rows), limits_of(rows), options.json)


if __name__ == "__main__":
    sys.exit(main())

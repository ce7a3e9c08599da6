"""Whether storing slows the reading, and how much memory a backfill takes.

    python benchmarks/backfill.py [--calls 200000] [--rounds 3] [--only NAME …] [--long 1000000] [--beside COMMIT]

The same calls are streamed and dropped, and read into each sink: 50 ms a reply, 16 requests at once, the emulator and
each reader in processes of their own. A round has each once, in turn, so that a slow moment of the machine meets all;
what counts is the median of each sink's time to that of streaming in the same round. With --beside, a round has the
code of another commit too. What was stored is counted by the
database's own client, or by reading the files.

Memory is the peak of the whole process, at this size and, of our code alone, at a longer range.
"""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from attrs import define
from shared.beside import BEFORE, NOW, Tree, add_beside, call_once, trees
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

MOST_TO_STREAMING = 1.10
MOST_MEMORY = 250.0

Row = dict[str, Any]
Case = tuple[str, str]
"""A sink, or that it is streamed, and the name of a tree."""


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


def read_here(told: Told, to: str | None) -> dict[str, float]:
    """Read in this process, into a sink if one is named."""
    seconds = asyncio.run(stream(told) if to is None else fill(told, to))
    return {"seconds": seconds, "most_mb": most_held_kib() / 1024}


def read_into(tree: Tree, told: Told, place: "Place") -> Reading:
    """Read into a fresh sink, in a fresh process, and look what is in it."""
    with TemporaryDirectory() as folder, place.fresh(Path(folder)) as to:
        done = call_once(tree, __file__, read_here, told, to)
        rows, different = place.count(to)
    return Reading(**done, amiss=abs(rows - told.calls) + rows - different)


def measure(
    calls: int, rounds: int, places: "Sequence[Place]", both: Sequence[Tree], latency: tuple[float, float]
) -> dict[Case, list[Reading]]:
    """Have the calls streamed and read into each sink by the code of each tree, in turn."""
    found: dict[Case, list[Reading]] = defaultdict(list)
    with emulator(calls, days=-(-calls // CALLS_A_DAY), latency=latency) as running:
        for number in range(rounds):
            for tree in both:
                streamed = call_once(tree, __file__, read_here, running.told, None)
                found[STREAMED, tree.name].append(Reading(**streamed, amiss=0))
            for place in places:
                for tree in both:
                    found[place.name, tree.name].append(read_into(tree, running.told, place))
            print(f"{calls} calls: round {number + 1} of {rounds} is done", file=sys.stderr, flush=True)
    return found


def row_of(case: Case, found: Mapping[Case, Sequence[Reading]], long: Mapping[Case, Sequence[Reading]]) -> Row:
    """Return a line of the table."""
    (sink, tree), readings = case, found[case]
    return {
        "sink": sink,
        "code": tree,
        "seconds": median(reading.seconds for reading in readings),
        "to streaming": _ratio(readings, found[STREAMED, tree]),
        "to before": _ratio(readings, found[sink, BEFORE]) if (sink, BEFORE) in found else float("nan"),
        "MB at most": max(reading.most_mb for reading in readings),
        "MB, long range": long[case][0].most_mb if case in long else float("nan"),
        "rows amiss": sum(reading.amiss for reading in (*readings, *long.get(case, ()))),
    }


def _ratio(readings: Sequence[Reading], others: Sequence[Reading]) -> float:
    """Return the median of the ratios of each round."""
    return median(mine.seconds / theirs.seconds for mine, theirs in zip(readings, others, strict=True))


def limits_of(sinks: Iterable[str]) -> list[Limit]:
    """Return what each sink has to keep."""
    speed = "storing must not slow the reading"
    memory = "the range must not show in the memory, nor must the sink"
    limits = [Limit("rows amiss", 0, "each call once")]
    for sink in sinks:
        limits.append(Limit(f"{sink}: to streaming", MOST_TO_STREAMING, speed))
        limits.append(Limit(f"{sink}: MB at most", MOST_MEMORY, memory))
    return limits


def figures_of(rows: Sequence[Row]) -> dict[str, float]:
    """Return the figures that have limits, and the time to that of before."""
    ours = [row for row in rows if row["code"] == NOW]
    figures = {f"{row['sink']}: to streaming": row["to streaming"] for row in ours}
    figures |= {f"{row['sink']}: MB at most": max(row["MB at most"], row["MB, long range"]) for row in ours}
    if len(ours) < len(rows):
        figures |= {f"{row['sink']}: to before": row["to before"] for row in ours}
    return {**figures, "rows amiss": float(sum(row["rows amiss"] for row in ours))}


def main() -> int:
    """Measure, print and check."""
    from shared.places import PLACES  # noqa: PLC0415 - the clients of databases, which are no part of a reader's memory

    parser = parser_of(__doc__)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--long", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(PLACES), default=list(PLACES), metavar="NAME")
    add_beside(parser)
    options = parser.parse_args()
    with trees(options.beside) as both, ExitStack() as running:
        places = [running.enter_context(PLACES[name]()) for name in options.only]
        found = measure(options.calls, options.rounds, places, both, LATENCY)
        long = measure(options.long, 1, places, both[:1], LATENCY)
    rows = [row_of(case, found, long) for case in found]
    print(table(rows))
    return finish("backfill", rows, figures_of(rows), limits_of(options.only), options.json)


if __name__ == "__main__":
    sys.exit(main())

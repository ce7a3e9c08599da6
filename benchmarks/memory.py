"""Whether the most memory a reading takes depends on how much is read.

    python benchmarks/memory.py [--calls 30000 1000000] [--beside COMMIT]

Each size is read by a process of its own, from an emulator in yet another one, a thousand calls a day, so that only the
range differs. The reader drops each record once it has looked at it. What counts is the peak of its resident memory
above what it held right before it read, with everything imported and the session open; with --beside, the code of
another commit reads each size too.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

from shared.beside import BEFORE, NOW, Tree, add_beside, call_once, trees
from shared.emulation import Told, emulator
from shared.limits import Limit
from shared.memory_use import forget_most, held_kib, most_held_kib
from shared.report import finish, parser_of, table

from nxcdr_async import CdrSession, Credentials

CONCURRENCY = 16
CALLS_A_DAY = 1_000
SECONDS_BETWEEN_LINES = 15.0

GROWTH, MORE = "difference in MB", "MB more than before"

LIMITS = (
    Limit(GROWTH, 10, "memory may hold windows under way, but nothing that grows with the range"),
    Limit("rows amiss", 0, "a reading that skips rows has not done the job"),
)
LIMITS_BESIDE = (Limit(MORE, 3, "what is simpler and faster must not be so by holding more"),)


async def read(told: Told) -> dict[str, Any]:
    """Read all calls, keep none, and tell what memory that took."""
    keys = Credentials(told.access_key, told.access_secret)
    rows, next_line = 0, time.monotonic() + SECONDS_BETWEEN_LINES
    async with CdrSession(gateway=told.gateway, credentials=keys, concurrency=CONCURRENCY) as cdr:
        forget_most()
        before = held_kib()
        async for call in cdr.calls(*told.range):
            _ = call.call_id, call.start_time
            rows += 1
            if not rows % 1_000 and time.monotonic() >= next_line:
                next_line += SECONDS_BETWEEN_LINES
                print(f"{rows} of {told.calls} calls read", file=sys.stderr, flush=True)
        return {"rows": rows, "before_kib": before, "most_kib": most_held_kib()}


def read_here(told: Told) -> dict[str, Any]:
    """Read in this process."""
    return asyncio.run(read(told))


def measure(calls: int, both: Sequence[Tree]) -> list[dict[str, Any]]:
    """Have a size read by a fresh process for each tree; return their lines of the table."""
    rows = []
    with emulator(calls, days=-(-calls // CALLS_A_DAY)) as running:
        for tree in both:
            began = time.perf_counter()
            done = call_once(tree, __file__, read_here, running.told)
            rows.append(
                {
                    "code": tree.name,
                    "calls": calls,
                    "MB before": done["before_kib"] / 1024,
                    "MB at most": done["most_kib"] / 1024,
                    "MB for reading": (done["most_kib"] - done["before_kib"]) / 1024,
                    "rows amiss": abs(done["rows"] - calls),
                    "seconds": time.perf_counter() - began,
                }
            )
    return rows


def figures_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the figures that have limits: the largest reading against the smallest, and against that of before."""
    ordered = sorted((row for row in rows if row["code"] == NOW), key=lambda row: row["calls"])
    largest = ordered[-1]
    figures = {
        GROWTH: largest["MB for reading"] - ordered[0]["MB for reading"],
        "rows amiss": float(sum(row["rows amiss"] for row in ordered)),
    }
    for row in rows:
        if row["code"] == BEFORE and row["calls"] == largest["calls"]:
            figures[MORE] = largest["MB for reading"] - row["MB for reading"]
    return figures


def main() -> int:
    """Measure, print and check."""
    parser = parser_of(__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[30_000, 1_000_000])
    add_beside(parser)
    options = parser.parse_args()
    with trees(options.beside) as both:
        rows = [row for calls in options.calls for row in measure(calls, both)]
    print(table(rows))
    limits = (*LIMITS, *(LIMITS_BESIDE if options.beside else ()))
    return finish("memory", rows, figures_of(rows), limits, options.json)


if __name__ == "__main__":
    sys.exit(main())

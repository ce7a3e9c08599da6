"""Whether the most memory a reading takes depends on how much is read.

    python benchmarks/memory.py [--calls 30000 1000000]

Each size is read by a process of its own, from an emulator in yet another one, a thousand calls a day, so that only the
range differs. The reader drops each record once it has looked at it. What counts is the peak of its resident memory
above what it held right before it read, with everything imported and the session open.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from typing import Any

from shared.emulation import Told, emulator
from shared.limits import Limit
from shared.memory_use import forget_most, held_kib, most_held_kib
from shared.report import finish, parser_of, table

from nxcdr_async import CdrSession, Credentials

CONCURRENCY = 16
CALLS_A_DAY = 1_000
SECONDS_BETWEEN_LINES = 15.0

LIMITS = (
    Limit("difference in MB", 10, "memory may hold windows under way, but nothing that grows with the range"),
    Limit("rows amiss", 0, "a reading that skips rows has not done the job"),
)


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


def measure(calls: int) -> dict[str, Any]:
    """Have a size read by a fresh process; return its line of the table."""
    with emulator(calls, days=-(-calls // CALLS_A_DAY)) as running:
        command = [sys.executable, __file__, "--read", running.told.to_json()]
        began = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.perf_counter() - began
    told = json.loads(done.stdout)
    return {
        "calls": calls,
        "MB before": told["before_kib"] / 1024,
        "MB at most": told["most_kib"] / 1024,
        "MB for reading": (told["most_kib"] - told["before_kib"]) / 1024,
        "rows amiss": abs(told["rows"] - calls),
        "seconds": seconds,
    }


def figures_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the figures that have limits: the largest reading against the smallest."""
    ordered = sorted(rows, key=lambda row: row["calls"])
    difference = ordered[-1]["MB for reading"] - ordered[0]["MB for reading"]
    return {"difference in MB": difference, "rows amiss": float(sum(row["rows amiss"] for row in rows))}


def main() -> int:
    """Measure, print and check."""
    parser = parser_of(__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[30_000, 1_000_000])
    parser.add_argument("--read", help=argparse.SUPPRESS)  # what the process of its own is started with
    options = parser.parse_args()
    if options.read is not None:
        print(json.dumps(asyncio.run(read(Told.from_json(options.read)))))
        return 0
    rows = [measure(calls) for calls in options.calls]
    print(table(rows))
    return finish("memory", rows, figures_of(rows), LIMITS, options.json)


if __name__ == "__main__":
    sys.exit(main())

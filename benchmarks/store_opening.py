"""How long it takes to hold what a ledger claims against what is there: a store of 1,000 windows and a million rows.

Run: python benchmarks/store_opening.py [FOLDER]; for PostgreSQL give its address in NXCDR_BENCH_POSTGRESQL.
"""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from nxcdr_async.records.arrow import CALLS
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.protocol import CheckedSink, Origin
from nxcdr_async.windows import Window

WINDOWS, ROWS_A_WINDOW, SECONDS = 1_000, 1_000, 3_000
BEGIN = 1_767_225_600
SUFFIXES = ("sqlite", "duckdb", "parquet", "jsonl", "csv")


def rows_of(number: int) -> pa.Table:
    """Make the rows of a window."""
    start = BEGIN + number * SECONDS
    times = [(start + place * SECONDS // ROWS_A_WINDOW) * 1_000_000 for place in range(ROWS_A_WINDOW)]
    columns = {
        "call_id": pa.array([f"{number}-{place}@203.0.113.7" for place in range(ROWS_A_WINDOW)]),
        "start_time": pa.array(times, pa.timestamp("us", tz="UTC")),
        "agent_name": pa.array(["agent@example.com"] * ROWS_A_WINDOW),
    }
    nothing = [columns.get(name, pa.nulls(ROWS_A_WINDOW, CALLS.kind(name))) for name in CALLS.columns]
    return pa.Table.from_arrays(nothing, schema=CALLS.schema)


def measure(to: str) -> None:
    """Fill a store, open it anew, and tell what that takes."""
    sink = sink_for(to)
    began = time.perf_counter()
    sink.open()
    sink.create(CALLS, Origin("account", "UTC"))
    for number in range(WINDOWS):
        window = Window(BEGIN + number * SECONDS, BEGIN + (number + 1) * SECONDS)
        rows = rows_of(number)
        sink.find(CALLS, rows)
        sink.write(CALLS, rows, LedgerChange(LedgerEntry(window, window.end, ROWS_A_WINDOW), (), None))
    sink.close()
    filled = time.perf_counter() - began
    took = {}
    for _ in range(3):
        moments = [time.perf_counter()]
        sink.open()
        moments.append(time.perf_counter())
        sink.inspect(CALLS)
        moments.append(time.perf_counter())
        assert isinstance(sink, CheckedSink)
        assert sink.lost(CALLS) == []
        moments.append(time.perf_counter())
        sink.close()
        steps = zip(("open", "inspect", "check"), moments, moments[1:], strict=False)
        for name, before, after in steps:
            took[name] = min(took.get(name, 9e9), (after - before) * 1000)
    told = ", ".join(f"{name} {milliseconds:.0f} ms" for name, milliseconds in took.items())
    print(
        f"{to.rpartition('.')[2] if '://' not in to else 'postgresql':<10} filled in {filled:.0f} s; {told}", flush=True
    )


if __name__ == "__main__":
    with TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        for suffix in SUFFIXES:
            measure(str(Path(folder) / f"calls.{suffix}"))
    if address := os.environ.get("NXCDR_BENCH_POSTGRESQL"):
        measure(address)

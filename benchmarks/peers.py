"""The same job by the SDK and by each of its peers, on the same history, in the same run.

    python benchmarks/peers.py [--calls 20000] [--days 30] [--latency 0.05 0.15] [--rounds 3]

The peers stand in `contenders/`, and each says there how it was written: a serial loop with requests, a gather over the
days with httpx, dlt's rest_client with a resource a day, and the SDK with 16 requests at once. The gather puts no bound
on itself and has as many requests at once as there are days; so that like can be seen beside like, it is also shown
with the bound of the others, and the SDK with as many at once as the gather takes. Those two are for information.

Each reading is done in a fresh process, which imports first, then reads and tells wall time, processor time and peak
memory of the reading alone; and on a fresh emulator with the same calls and the same seed, which counts the requests,
and the most at once, itself.

There are two runs:

- quiet: the history stands still.
- arriving: after each reply a call turns up somewhere inside the range just asked for, and the newest calls come first,
  as consoles list them. A gateway that keeps calls of a range coming is one that is asked for the present, or one that
  publishes calls late.

A row is lost if it was there before the reading started and was never handed out, doubled if it was handed out twice.
Peers take turns in each round; only the serial loop, which takes very long, runs in the first alone. Ratios are medians
of the rounds' own ratios, rows lost or doubled the worst of any round.
"""

import argparse
import gc
import importlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from attrs import define
from shared.emulation import Told, emulator
from shared.limits import Limit
from shared.memory_use import forget_most, held_kib, most_held_kib
from shared.report import finish, markdown, parser_of, table

OURS = "nxcdr_async"
SERIAL, GATHER, DLT = "serial loop, requests", "gather of days, httpx", "resource a day, dlt"
PEERS: dict[str, tuple[str, int | None]] = {
    SERIAL: ("serial_requests", 1),
    GATHER: ("gather_httpx", None),
    f"{GATHER}, 16 at once": ("gather_httpx", 16),
    DLT: ("dlt_days", 16),
    OURS: ("sdk", 16),
    f"{OURS}, 30 at once": ("sdk", 30),
}
"""Names of those who compete, the module of each, and how many requests at once it is given."""

COMPARED = (SERIAL, f"{GATHER}, 16 at once", DLT)
"""Whom we must not be behind: those with no more requests at once than we have. The others are for information."""

ONCE = frozenset({SERIAL})
"""Who runs in the first round only."""

RUNS: dict[str, dict[str, Any]] = {"quiet": {}, "arriving": {"arrivals_per_page": 1, "order": "descending"}}
"""The emulator's switches in each run."""

ENVIRONMENT = {"RUNTIME__DLTHUB_TELEMETRY": "false"}
"""What is set for those who read: a benchmark has nothing to tell the makers of dlt."""

Results = dict[str, dict[str, list["Reading"]]]
"""Readings by run and peer, one a round."""


@define(frozen=True)
class Reading:
    """One reading by one peer.

    Attributes:
        round: in which round.
        wall: seconds.
        processor: seconds, of all threads.
        before_kib: resident memory before it, imports included.
        most_kib: the most resident memory during it.
        requests: requests the emulator saw.
        at_once: the most that it answered at once.
        lost: calls that were there and were not handed out.
        doubled: calls handed out more than once.
    """

    round: int
    wall: float
    processor: float
    before_kib: int
    most_kib: int
    requests: int
    at_once: int
    lost: int
    doubled: int


def limits_of(run: str) -> list[Limit]:
    """Return the limits of a run."""
    limits = [Limit(f"{run}: rows {fault}", 0, "every call, each once") for fault in ("lost", "doubled")]
    # Where rows arrive, the others are quick by handing out some twice: only the quiet run compares like with like.
    for peer in COMPARED if run == "quiet" else ():
        limits.append(Limit(f"{run}: wall to {peer}", 1, "nobody is faster"))
        limits.append(Limit(f"{run}: processor to {peer}", 1, "nobody needs less processor time"))
    return limits


def read_here(peer: str, told: Told) -> dict[str, Any]:
    """Read in this process, and tell what that took and which ids came."""
    module, at_once = PEERS[peer]
    read = importlib.import_module(f"contenders.{module}").read
    gc.collect()
    forget_most()
    before_kib = held_kib()
    wall, processor = time.perf_counter(), time.process_time()
    ids = read(told, at_once)
    return {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "before_kib": before_kib,
        "most_kib": most_held_kib(),
        "ids": ids,
    }


def known_ids(calls: int, days: int) -> set[str]:
    """Return the ids of the history that every emulator here starts with."""
    from nxcdr_async.testing import Gateway  # noqa: PLC0415 - not for the processes that read

    return set(Gateway(calls, days=days).call_ids())


def faults_of(ids: Sequence[str], known: set[str]) -> tuple[int, int]:
    """Return how many known rows were lost, and how many rows, new ones included, were handed out more than once."""
    came = Counter(ids)
    return len(known - came.keys()), sum(1 for times in came.values() if times > 1)


def reading(peer: str, number: int, options: argparse.Namespace, switches: dict[str, Any], known: set[str]) -> Reading:
    """Have a peer read in a fresh process, from a fresh emulator."""
    with emulator(options.calls, options.days, latency=tuple(options.latency), **switches) as running:
        command = [sys.executable, __file__, "--read", peer, running.told.to_json()]
        done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE, text=True, check=True)
        seen = running.seen()
    told = json.loads(done.stdout.splitlines()[-1])
    lost, doubled = faults_of(told.pop("ids"), known)
    print(f"{peer}: {told['wall']:.2f} s", file=sys.stderr, flush=True)
    return Reading(
        round=number, requests=seen.requests, at_once=seen.peak_in_flight, lost=lost, doubled=doubled, **told
    )


def measure(options: argparse.Namespace) -> Results:
    """Have all peers read in turn, in each run and round."""
    known = known_ids(options.calls, options.days)
    results: Results = {run: {peer: [] for peer in PEERS} for run in RUNS}
    for run, switches in RUNS.items():
        for number in range(options.rounds):
            print(f"{run}, round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            for peer in PEERS:
                if not number or peer not in ONCE:
                    results[run][peer].append(reading(peer, number, options, switches, known))
    return results


def ratio(readings: dict[str, list[Reading]], peer: str, figure: str) -> float:
    """Return how many times ours a peer's figure is: the median over the rounds in which both ran."""
    ours = {one.round: getattr(one, figure) for one in readings[OURS]}
    return float(median(getattr(one, figure) / ours[one.round] for one in readings[peer]))


def figures_of(results: Results) -> dict[str, float]:
    """Return the figures that have limits, ours to each peer's, and what any reading of ours lost or doubled."""
    figures: dict[str, float] = {}
    for run, readings in results.items():
        ours = [one for peer, of_peer in readings.items() if peer.startswith(OURS) for one in of_peer]
        for fault in ("lost", "doubled"):
            figures[f"{run}: rows {fault}"] = float(max(getattr(one, fault) for one in ours))
        for peer in COMPARED:
            for figure in ("wall", "processor"):
                figures[f"{run}: {figure} to {peer}"] = 1 / ratio(readings, peer, figure)
    return figures


def rows_of(run: str, readings: dict[str, list[Reading]]) -> list[dict[str, Any]]:
    """Return the measured table of a run."""
    return [
        {
            "run": run,
            "peer": peer,
            "wall s": median(one.wall for one in of_peer),
            "processor s": median(one.processor for one in of_peer),
            "requests": int(median(one.requests for one in of_peer)),
            "at once": max(one.at_once for one in of_peer),
            "MB at most": median(one.most_kib for one in of_peer) / 1024,
            "MB for reading": median(one.most_kib - one.before_kib for one in of_peer) / 1024,
            "lost": max(one.lost for one in of_peer),
            "doubled": max(one.doubled for one in of_peer),
        }
        for peer, of_peer in readings.items()
    ]


def ratio_rows_of(run: str, readings: dict[str, list[Reading]]) -> list[dict[str, Any]]:
    """Return the table of a run for the README: what can be promised of another machine is ratios alone."""
    measured = {row["peer"]: row for row in rows_of(run, readings)}
    return [
        {
            run: peer,
            "wall": _times(ratio(readings, peer, "wall")),
            "processor": _times(ratio(readings, peer, "processor")),
            "requests": _times(ratio(readings, peer, "requests")),
            "at once": row["at once"],
            "peak memory": _times(ratio(readings, peer, "most_kib")),
            "of that for reading": _times(row["MB for reading"] / measured[OURS]["MB for reading"]),
            "lost": row["lost"],
            "doubled": row["doubled"],
        }
        for peer, row in measured.items()
    ]


def main() -> int:
    """Measure, print and check."""
    parser = parser_of(__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--latency", type=float, nargs=2, default=(0.05, 0.15), metavar=("LOW", "HIGH"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)  # what a process of its own is started with
    options = parser.parse_args()
    if options.read is not None:
        peer, told = options.read
        print(json.dumps(read_here(peer, Told.from_json(told))))
        return 0
    results = measure(options)
    rows = [row for run, readings in results.items() for row in rows_of(run, readings)]
    print(table(rows))
    for run, readings in results.items():
        print(f"\n{markdown(ratio_rows_of(run, readings))}")
    limits = [limit for run in RUNS for limit in limits_of(run)]
    return finish("peers", rows, figures_of(results), limits, options.json)


def _times(value: float) -> str:
    return f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())

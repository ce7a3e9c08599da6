"""How near the SDK comes to the fastest possible reading, and how many requests it spends on that.

    python benchmarks/wall.py [--rounds 3] [--only NAME …] [--beside COMMIT]

Three kinds of queries, each on an emulator in a process of its own, 16 requests at once:

- month: 20,000 and 100,000 calls in 30 days, 50 to 150 ms a reply. The ideal is that full pages are asked for, 16 at a
  time without a pause, and nothing else: pages * 0.1 s / 16, where pages are rows / 100. Figures: wall time to the
  ideal, and requests to pages.
- quiet: 500 calls a day for a year, quick replies, as only the requests are looked at.
- one day: 300 to 3,000 calls of one day at 100 ms a reply, the query of a dashboard. Figures: round trips, counted as
  the longest chain of requests of which each arrived after the one before was answered, by the emulator's own log; and
  wall time in units of one reply, which also holds what processing costs.

Requests are those the emulator saw. With --beside, each round has the code of another commit too. Figures are medians
of the rounds, but a chain is the longest of any round, and rows lost or doubled are summed over all of them.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any

from attrs import define
from shared.beside import BEFORE, NOW, Child, add_beside, child, trees
from shared.emulation import Emulator, Told, emulator
from shared.limits import Limit
from shared.report import finish, parser_of, table

from nxcdr_async import CdrSession, Credentials

CONCURRENCY = 16
PAGE_SIZE = 100
MONTH_LATENCY = (0.05, 0.15)
QUICK_LATENCY = (0.002, 0.006)
DAY_LATENCY = (0.1, 0.1)

LEAST_OVERHEAD = "an ideal reader would know all windows beforehand; finding them may cost this much"
FEW_REQUESTS = "a gateway counts requests: probes and short last pages may cost this much"
ROUND_TRIPS = "a first look, what it tells, and what that tells: a day must not feel slower than a web page"


@define(frozen=True)
class Case:
    """One query.

    Attributes:
        name: what it is called.
        calls: how many calls there are.
        days: over how many days.
        latency: seconds a reply takes, between the two.
        limits: the most each figure may be: "wall", "requests", "chain", "round trips of wall".
        most_rounds: rounds beyond which a long case is not repeated.
    """

    name: str
    calls: int
    days: int
    latency: tuple[float, float]
    limits: dict[str, tuple[float, str]]
    most_rounds: int = 1_000

    @property
    def ideal(self) -> float:
        """Seconds of full pages alone."""
        return self.calls / PAGE_SIZE * sum(self.latency) / 2 / CONCURRENCY


@define(frozen=True)
class Run:
    """What one reading of a case came to."""

    wall: float
    requests: int
    chain: int
    lost: int
    doubled: int


def _day(calls: int) -> Case:
    """Return the query of one day. Five round trips of wall are four of waiting and less than one of processing."""
    limits = {"chain": (4.0, ROUND_TRIPS), "round trips of wall": (5.0, f"{ROUND_TRIPS}; and less than one of work")}
    return Case(f"one day of {calls}", calls, 1, DAY_LATENCY, limits)


CASES = (
    Case(
        "month of 20000",
        20_000,
        30,
        MONTH_LATENCY,
        {"wall": (1.33, LEAST_OVERHEAD), "requests": (1.20, FEW_REQUESTS)},
    ),
    Case(
        "month of 100000",
        100_000,
        30,
        MONTH_LATENCY,
        {"wall": (1.12, LEAST_OVERHEAD), "requests": (1.08, FEW_REQUESTS)},
        most_rounds=2,
    ),
    Case("quiet year", 182_500, 365, QUICK_LATENCY, {"requests": (1.25, FEW_REQUESTS)}, most_rounds=1),
    *(_day(calls) for calls in (300, 1_000, 2_000, 3_000)),
)


def limits_of(cases: Sequence[Case]) -> list[Limit]:
    """Return the limits of cases; rows lost or doubled are never allowed."""
    limits = [
        Limit(f"{case.name}: {figure}", most, why) for case in cases for figure, (most, why) in case.limits.items()
    ]
    return [*limits, Limit("rows lost", 0, "every call"), Limit("rows doubled", 0, "each once")]


def longest_chain(received: Sequence[float], latency: float) -> int:
    """Return the longest chain of requests of which each arrived after the one before could have been answered.

    Requests of which one needs another's answer are such a chain, so this is never less than the round trips that were
    waited for. It may be more: a request that was sent late for no reason counts, as it was waited for too.
    """
    chain, free_at = 0, float("-inf")
    for moment in sorted(received):
        if moment >= free_at:
            chain += 1
            free_at = moment + latency
    return chain


async def read(told: Told) -> Counter[str]:
    """Read all calls and count each id."""
    keys = Credentials(told.access_key, told.access_secret)
    async with CdrSession(gateway=told.gateway, credentials=keys, concurrency=CONCURRENCY) as cdr:
        return Counter([call.call_id async for call in cdr.calls(*told.range)])


def read_here(told: Told) -> dict[str, Any]:
    """Read in this process."""
    began = time.perf_counter()
    came = asyncio.run(read(told))
    wall = time.perf_counter() - began
    return {"wall": wall, "lost": told.calls - len(came), "doubled": came.total() - len(came)}


def run_once(case: Case, running: Emulator, process: Child) -> Run:
    """Have a case read once."""
    running.seen()
    done = process.call(read_here, running.told)
    seen = running.seen()
    return Run(**done, requests=seen.requests, chain=longest_chain(seen.received, case.latency[0]))


def measure(case: Case, rounds: int, children: Mapping[str, Child]) -> dict[str, list[Run]]:
    """Have a case read some times by the code of each tree in turn, each time with a new session."""
    runs: dict[str, list[Run]] = {tree: [] for tree in children}
    with emulator(case.calls, case.days, latency=case.latency) as running:
        for _ in range(min(rounds, case.most_rounds)):
            for tree, process in children.items():
                runs[tree].append(run_once(case, running, process))
    print(f"{case.name}: read {len(runs[NOW])} times", file=sys.stderr, flush=True)
    return runs


def figures_of(case: Case, runs: Sequence[Run]) -> dict[str, float]:
    """Return every figure of a case, limited or not."""
    wall = median(run.wall for run in runs)
    return {
        "wall": wall / case.ideal,
        "requests": median(run.requests for run in runs) / (case.calls / PAGE_SIZE),
        "chain": float(max(run.chain for run in runs)),
        "round trips of wall": wall / (sum(case.latency) / 2),
    }


def row_of(case: Case, tree: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Return a line of the table; figures that say nothing about a case are left out of it."""
    figures = figures_of(case, runs)
    is_day = case.latency == DAY_LATENCY
    return {
        "case": case.name,
        "code": tree,
        "wall s": median(run.wall for run in runs),
        "ideal s": case.ideal,
        "to ideal": figures["wall"] if case.latency == MONTH_LATENCY else "",
        "requests": int(median(run.requests for run in runs)),
        "a page": figures["requests"],
        "round trips": int(figures["chain"]) if is_day else "",
        "of wall": figures["round trips of wall"] if is_day else "",
        "lost": sum(run.lost for run in runs),
        "doubled": sum(run.doubled for run in runs),
    }


def all_figures(results: Sequence[tuple[Case, Mapping[str, list[Run]]]]) -> dict[str, float]:
    """Return the figures that have limits, and the wall time to that of before."""
    figures: dict[str, float] = {}
    for case, runs in results:
        found = figures_of(case, runs[NOW])
        figures |= {f"{case.name}: {name}": value for name, value in found.items() if name in case.limits}
        if BEFORE in runs:
            pairs = zip(runs[NOW], runs[BEFORE], strict=True)
            figures[f"{case.name}: wall to before"] = median(ours.wall / theirs.wall for ours, theirs in pairs)
    everything = [run for _, runs in results for run in runs[NOW]]
    lost, doubled = sum(run.lost for run in everything), sum(run.doubled for run in everything)
    return {**figures, "rows lost": float(lost), "rows doubled": float(doubled)}


def main() -> int:
    """Measure, print and check."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[case.name for case in CASES], default=[], metavar="NAME")
    add_beside(parser)
    options = parser.parse_args()
    cases = [case for case in CASES if not options.only or case.name in options.only]
    with trees(options.beside) as both, ExitStack() as running:
        children = {tree.name: running.enter_context(child(tree, __file__)) for tree in both}
        # The first session of a process imports aiohttp, which is no part of any query.
        with emulator(10, 1) as small:
            for process in children.values():
                process.call(read_here, small.told)
        results = [(case, measure(case, options.rounds, children)) for case in cases]
    rows = [row_of(case, tree, of_tree) for case, runs in results for tree, of_tree in runs.items()]
    print(table(rows))
    return finish("wall", rows, all_figures(results), limits_of(cases), options.json)


if __name__ == "__main__":
    sys.exit(main())

"""Whether a web service streams large exports in constant memory, and answers look-ups meanwhile.

    python benchmarks/service.py [--calls 50000 100000] [--exports 8] [--seconds 10] [--rounds 3] [--beside COMMIT]

The FastAPI service of the tests under uvicorn, the emulator with 50 ms a reply and 8 at once, and what streams the
same calls without HTTP, each in a process of its own. Look-ups of an order, one each 50 ms, are timed while nothing
else goes on, beside one export and beside several at once; what counts are their ratios in the same service.

The service's memory is its peak above what it held when it had answered its first request, for few and for many calls,
with a client that reads as fast as they come and with one that is slower than the gateway. With --beside, the service
of another commit is measured with its code, each time after ours.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from attrs import define, field
from shared.beside import NOW, Tree, add_beside, call_once, trees
from shared.emulation import Told, emulator
from shared.limits import Limit
from shared.memory_use import forget_most, held_kib_of, most_held_kib_of
from shared.report import finish, parser_of, table
from shared.service import UVICORN, Service, running

from nxcdr_async import CdrSession, Credentials

GATEWAY = {"latency": (0.05, 0.05), "max_in_flight": 8}
"""So few requests at once that it is the gateway's bound that exports and look-ups have to share, not a processor."""

SECONDS_BETWEEN_LOOK_UPS = 0.05
ORDER = "NXO0000000000"
BYTES_AT_ONCE = 65_536
"""What a client reads at once."""

PAUSES = (0.0, 0.02)
"""Seconds after that of a fast client and of a slow one, which reads some 3 MB a second, a third of what could come."""

LIMITS = (
    Limit("fast reader: difference in MB", 10, "an export may hold windows under way, but nothing that grows"),
    Limit("slow reader: difference in MB", 10, "what a client does not read must wait at the gateway, not in memory"),
    Limit("rows amiss", 0, "each call once"),
    Limit("look-ups failed", 0, "an export must turn nobody away"),
    Limit("one export: median", 2, "a look-up waits for a place among 16 requests, not for the export"),
    Limit("one export: 95th", 3, "nor for more than the page that is being written"),
    Limit("several exports: median", 3, "exports take turns with look-ups, however many they are"),
    Limit("several exports: 95th", 5, "what they have to write must not be written at one stretch"),
    Limit("export to streaming", 2, "lines and HTTP may cost as much as reading, not more"),
)


Lines = list[dict[str, Any]]


@define
class LookUps:
    """Times of look-ups in one situation.

    Attributes:
        seconds: of each that was answered.
        failed: how many were not answered with the calls of the order.
    """

    seconds: list[float] = field(factory=list)
    failed: int = 0

    @property
    def median(self) -> float:
        """Of the times, in ms."""
        return 1000 * median(self.seconds)

    @property
    def most_of(self) -> float:
        """The 95th percentile of the times, in ms."""
        return 1000 * quantiles(self.seconds, n=20)[-1]


@define(frozen=True)
class Export:
    """What one export brought.

    Attributes:
        seconds: it took.
        amiss: rows too few, too many, or doubled.
    """

    seconds: float
    amiss: int


Times = dict[str, list[tuple[Export, Export]]]
"""By tree: what exporting and streaming took, in turn."""


class Client:
    """Asks a service for what the benchmark needs."""

    def __init__(self, service: Service, told: Told, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._calls = told.calls
        self._day = f"{service.url}/calls/{datetime.fromtimestamp(told.start, UTC).date()}"
        self._order = f"{service.url}/orders/{ORDER}?tenant={told.tenant_id}"

    async def export(self, pause: float = 0.0) -> Export:
        """Read all calls of the day, as fast as they come or with a pause of so many seconds after each piece."""
        began, rest, ids = time.perf_counter(), b"", []
        async with self._http.get(self._day) as reply:
            reply.raise_for_status()
            async for chunk in reply.content.iter_chunked(BYTES_AT_ONCE):
                *lines, rest = (rest + chunk).split(b"\n")
                ids += [line[:60] for line in lines]  # a line begins with the id of its call
                if pause:
                    await asyncio.sleep(pause)
        return Export(time.perf_counter() - began, abs(len(ids) - self._calls) + len(ids) - len(set(ids)))

    async def look_up(self, found: LookUps) -> None:
        """Look an order up, and note how long that took."""
        began = time.perf_counter()
        async with self._http.get(self._order) as reply:
            body = await reply.read()
        if reply.status != 200 or not body:  # noqa: PLR2004 - HTTP's own
            found.failed += 1
            return
        found.seconds.append(time.perf_counter() - began)

    async def look_up_during(self, what: "asyncio.Future[Any]") -> LookUps:
        """Look orders up until something is over, each when its time has come, whether the one before is answered."""
        found = LookUps()
        async with asyncio.TaskGroup() as group:
            while not what.done():
                group.create_task(self.look_up(found))
                await asyncio.wait([what], timeout=SECONDS_BETWEEN_LOOK_UPS)
        return found


@asynccontextmanager
async def served(told: Told, tree: Tree) -> AsyncIterator[tuple[Client, Service]]:
    """Run the service on an emulator, warmed up, with its memory's peak forgotten."""
    environment = {
        "PYTHONPATH": tree.environment["PYTHONPATH"],
        "NXCDR_GATEWAY": told.gateway,
        "NXCDR_ACCESS_KEY": told.access_key,
        "NXCDR_ACCESS_SECRET": told.access_secret,
        "CALLS_STORE": "calls.sqlite",
        "CALL_PUSH_TOKEN": "none",
    }
    with (
        TemporaryDirectory() as folder,
        running(
            environment, Path(folder), *UVICORN, "--no-access-log", "tests.services.fastapi_service:app"
        ) as service,
    ):
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http:
            client = Client(service, told, http)
            await client.look_up(LookUps())
            forget_most(str(service.pid))
            yield client, service
        service.stop()


async def memory_of_export(told: Told, tree: Tree, pause: float) -> dict[str, Any]:
    """Have a fresh service export all calls, and return what that took."""
    async with served(told, tree) as (client, service):
        before = held_kib_of(service.pid)
        export = await client.export(pause)
        most = most_held_kib_of(service.pid)
    return {
        "code": tree.name,
        "calls": told.calls,
        "reader": "slow" if pause else "fast",
        "MB before": before / 1024,
        "MB at most": most / 1024,
        "MB for it": (most - before) / 1024,
        "seconds": export.seconds,
        "rows amiss": export.amiss,
    }


async def look_ups(told: Told, tree: Tree, exports: int, seconds: float) -> dict[str, LookUps]:
    """Time look-ups beside nothing, beside one export, and beside several that their clients leave in the end."""
    async with served(told, tree) as (client, _), asyncio.TaskGroup() as group:
        idle = await client.look_up_during(group.create_task(asyncio.sleep(seconds)))
        beside_one = await client.look_up_during(group.create_task(client.export()))
        crowd = [group.create_task(client.export()) for _ in range(exports)]
        beside_many = await client.look_up_during(group.create_task(asyncio.sleep(seconds)))
        for task in crowd:
            task.cancel()
    return {"nothing": idle, "one export": beside_one, "several exports": beside_many}


async def stream(told: Told) -> dict[str, float]:
    """Stream the calls in this process, and keep none."""
    keys = Credentials(told.access_key, told.access_secret)
    async with CdrSession(gateway=told.gateway, credentials=keys) as cdr:
        began, rows = time.perf_counter(), 0
        async for page in cdr.calls(*told.range).pages():
            rows += len(page)
        return {"seconds": time.perf_counter() - began, "amiss": abs(rows - told.calls)}


def stream_here(told: Told) -> dict[str, float]:
    """Stream the calls in this process."""
    return asyncio.run(stream(told))


async def export_times(told: Told, both: Sequence[Tree], rounds: int) -> Times:
    """Have all calls exported and streamed in turn, by fresh processes."""
    times: Times = {tree.name: [] for tree in both}
    for _ in range(rounds):
        for tree in both:
            async with served(told, tree) as (client, _):
                export = await client.export()
            times[tree.name].append((export, Export(**call_once(tree, __file__, stream_here, told))))
    return times


def row_of(tree: str, beside: str, found: LookUps, idle: LookUps) -> dict[str, Any]:
    """Return a line of the table of look-ups."""
    return {
        "code": tree,
        "look-ups beside": beside,
        "answered": len(found.seconds),
        "failed": found.failed,
        "median ms": found.median,
        "95th ms": found.most_of,
        "median to idle": found.median / idle.median,
        "95th to idle": found.most_of / idle.most_of,
    }


def figures_of(memory: Lines, waits: Lines, times: list[tuple[Export, Export]]) -> dict[str, float]:
    """Return the figures that have limits, of the lines of one tree."""
    figures = {}
    for few, many in zip(memory[: len(PAUSES)], memory[len(PAUSES) :], strict=True):
        figures[f"{few['reader']} reader: difference in MB"] = many["MB for it"] - few["MB for it"]
    for row in waits[1:]:
        figures |= {f"{row['look-ups beside']}: {name}": row[f"{name} to idle"] for name in ("median", "95th")}
    figures["look-ups failed"] = sum(row["failed"] for row in waits)
    figures["rows amiss"] = sum(row["rows amiss"] for row in memory) + sum(a.amiss + b.amiss for a, b in times)
    figures["export to streaming"] = median(export.seconds / stream.seconds for export, stream in times)
    return {name: float(figure) for name, figure in figures.items()}


async def measure(options: argparse.Namespace, both: Sequence[Tree]) -> tuple[Lines, Lines, Times]:
    """Measure it all."""
    few, many = options.calls
    with emulator(few, days=1, **GATEWAY) as small:
        memory = [await memory_of_export(small.told, tree, pause) for pause in PAUSES for tree in both]
    with emulator(many, days=1, **GATEWAY) as large:
        memory += [await memory_of_export(large.told, tree, pause) for pause in PAUSES for tree in both]
        waits = []
        for tree in both:
            found = await look_ups(large.told, tree, options.exports, options.seconds)
            waits += [row_of(tree.name, name, times, found["nothing"]) for name, times in found.items()]
        times = await export_times(large.told, both, options.rounds)
    return memory, waits, times


def main() -> int:
    """Measure, print and check."""
    parser = parser_of(__doc__)
    parser.add_argument("--calls", type=int, nargs=2, default=[50_000, 100_000])
    parser.add_argument("--exports", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    add_beside(parser)
    options = parser.parse_args()
    with trees(options.beside) as both:
        memory, waits, times = asyncio.run(measure(options, both))
    print(table(memory), table(waits), sep="\n\n")
    for tree, of_tree in times.items():
        for export, stream_ in of_tree:
            print(f"{tree}: exported in {export.seconds:.1f} s, streamed in {stream_.seconds:.1f} s")
    ours = [[line for line in lines if line["code"] == NOW] for lines in (memory, waits)]
    return finish("service", [*memory, *waits], figures_of(*ours, times[NOW]), LIMITS, options.json)


if __name__ == "__main__":
    sys.exit(main())

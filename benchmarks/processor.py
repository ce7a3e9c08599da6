"""What a record costs the client's processor, from the socket to a typed record, beside a loop by hand and a floor.

    python benchmarks/processor.py [--calls 20000] [--rounds 15] [--loop asyncio|uvloop]

All read the same calls of one emulator, which answers at once from a process of its own, and each touches the id and
the start of every record. The contenders:

- nxcdr_async: `async for call in session.calls(…)`, 16 requests at once.
- by hand: aiohttp, page after page of the whole range, `json.loads` into dicts, as the vendor's samples do.
- by hand, 16 at once: the same from 16 tasks; for information.
- floor: aiohttp and msgspec, page after page, straight into Structs with the vendor's keys and no thought about what to
  ask for. Its times stay numbers, so it does less than a typed record needs.
- floor, 16 at once: the same from 16 tasks, which costs more; for information.

Every contender runs once in each round, one after the other, and its fastest round counts: whatever else a shared
machine does can only slow a round down. A first round warms up and is not counted. What it costs to read all attributes
of every record is shown too, for information, as a record may put work off until it is asked.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from decimal import Decimal
from itertools import count
from operator import attrgetter
from typing import Any

import aiohttp
import msgspec
from attrs import fields
from shared.by_hand import PAGE_SIZE, PATH, question, signed_headers
from shared.emulation import Told, emulator
from shared.limits import Limit
from shared.report import finish, parser_of, table

from nxcdr_async import CallRecord, CdrSession, Credentials

CONCURRENCY = 16

OURS, BY_HAND, FLOOR = "nxcdr_async", "by hand", "floor"
BY_HAND_AT_ONCE, FLOOR_AT_ONCE = f"{BY_HAND}, {CONCURRENCY} at once", f"{FLOOR}, {CONCURRENCY} at once"

LIMITS = (
    Limit("to by hand", 0.75, "typed records must cost less than the dicts of a loop anybody can write"),
    Limit("to floor", 1.5, "sorting, completeness and doubles may cost half as much again as the bare decoding"),
    Limit("rows amiss", 0, "a contender that skips rows has not done the job"),
)

Job = Callable[[Told], Awaitable[int]]
Take = Callable[[list[Any]], None]


class Row(msgspec.Struct):
    """A row of cdr/page with every key the vendor sends, and only such checks as decoding needs."""

    callId: str  # noqa: N815 - the vendor's names, here and below
    startTime: int  # noqa: N815
    endTime: int | None = None  # noqa: N815
    answerTime: int | None = None  # noqa: N815
    ringTime: int | None = None  # noqa: N815
    inQueueTime: int | None = None  # noqa: N815
    outQueueTime: int | None = None  # noqa: N815
    direction: int | None = None
    answered: bool | None = None
    caller: str | None = None
    callee: str | None = None
    agentName: str | None = None  # noqa: N815
    agentNickName: str | None = None  # noqa: N815
    callDuration: int | None = None  # noqa: N815
    ringDuration: int | None = None  # noqa: N815
    queueDuration: int | None = None  # noqa: N815
    hangupBy: int | None = None  # noqa: N815
    hangupCode: int | None = None  # noqa: N815
    hangupReason: str | None = None  # noqa: N815
    callStatus: str | None = None  # noqa: N815
    orderId: str | None = None  # noqa: N815
    taskId: str | None = None  # noqa: N815
    dtmfKeys: str | None = None  # noqa: N815
    intent: str | None = None
    other: str | None = None
    recordUrl: str | None = None  # noqa: N815
    leaveMsgUrl: str | None = None  # noqa: N815
    totalCustomerPrice: Decimal | None = None  # noqa: N815
    lineIp: str | None = None  # noqa: N815
    mediaIp: str | None = None  # noqa: N815
    termSipCode: int | None = None  # noqa: N815
    hangupCause: str | None = None  # noqa: N815
    mos: Decimal | None = None


class Response(msgspec.Struct):
    """A reply of cdr/page."""

    data: list[Row]


KEYS = Row.__struct_fields__
every_column: Callable[[Row], Any] = attrgetter(*KEYS)
every_attribute: Callable[[CallRecord], Any] = attrgetter(*(one.name for one in fields(CallRecord)))
decode_structs = msgspec.json.Decoder(Response).decode


def decode_dicts(body: bytes) -> list[Any]:
    """Return the rows of a reply as people do."""
    return list(json.loads(body)["data"])


def touch_dicts(rows: list[Any]) -> None:
    """Look at what each consumer looks at."""
    for row in rows:
        _ = row["callId"], row["startTime"]


def touch_structs(rows: list[Any]) -> None:
    """Look at what each consumer looks at."""
    for row in rows:
        _ = row.callId, row.startTime


def read_whole_dicts(rows: list[Any]) -> None:
    """Look at every value."""
    for row in rows:
        _ = [row.get(key) for key in KEYS]


def read_whole_structs(rows: list[Any]) -> None:
    """Look at every value."""
    for row in rows:
        _ = every_column(row)


def session_for(told: Told) -> CdrSession:
    """Open a session on an emulator."""
    keys = Credentials(told.access_key, told.access_secret)
    return CdrSession(gateway=told.gateway, credentials=keys, concurrency=CONCURRENCY)


async def ours(told: Told) -> int:
    """Read with the SDK."""
    rows = 0
    async with session_for(told) as cdr:
        async for call in cdr.calls(*told.range):
            _ = call.call_id, call.start_time
            rows += 1
    return rows


async def ours_read_whole(told: Told) -> int:
    """Read with the SDK, every attribute."""
    rows = 0
    async with session_for(told) as cdr:
        async for call in cdr.calls(*told.range):
            _ = every_attribute(call)
            rows += 1
    return rows


async def page_of(http: aiohttp.ClientSession, told: Told, page: int) -> bytes:
    """Ask for one page of the whole range."""
    body = question(told.start, told.end, page)
    async with http.post(told.gateway + PATH, data=body, headers=signed_headers(told, body)) as reply:
        return await reply.read()


async def read_pages(
    http: aiohttp.ClientSession, told: Told, pages: Iterable[int], decode: Callable[[bytes], list[Any]], take: Take
) -> int:
    """Read pages until one is short or there are no more; return how many rows came."""
    came = 0
    for page in pages:
        rows = decode(await page_of(http, told, page))
        take(rows)
        came += len(rows)
        if len(rows) < PAGE_SIZE:
            break
    return came


def by_hand(take: Take, tasks: int = 1) -> Job:
    """Make a loop by hand; several tasks draw the next page from one counter."""

    async def read(told: Told) -> int:
        pages = count(1)
        async with aiohttp.ClientSession() as http:
            return sum(await asyncio.gather(*(read_pages(http, told, pages, decode_dicts, take) for _ in range(tasks))))

    return read


def floor(take: Take, tasks: int = 1) -> Job:
    """Make the least that can be done: known pages, decoded straight into Structs."""

    def decode(body: bytes) -> list[Any]:
        return decode_structs(body).data

    async def read(told: Told) -> int:
        pages: Iterator[int] = iter(range(1, -(-told.calls // PAGE_SIZE) + 1))
        async with aiohttp.ClientSession() as http:
            return sum(await asyncio.gather(*(read_pages(http, told, pages, decode, take) for _ in range(tasks))))

    return read


JOBS: dict[str, Job] = {
    OURS: ours,
    BY_HAND: by_hand(touch_dicts),
    BY_HAND_AT_ONCE: by_hand(touch_dicts, CONCURRENCY),
    FLOOR: floor(touch_structs),
    FLOOR_AT_ONCE: floor(touch_structs, CONCURRENCY),
}
WHOLE_JOBS: dict[str, Job] = {
    OURS: ours_read_whole,
    BY_HAND: by_hand(read_whole_dicts),
    BY_HAND_AT_ONCE: by_hand(read_whole_dicts, CONCURRENCY),
    FLOOR: floor(read_whole_structs),
    FLOOR_AT_ONCE: floor(read_whole_structs, CONCURRENCY),
}


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loops; None for asyncio's own."""
    if name == "asyncio":
        return None
    import uvloop  # noqa: PLC0415 - only wanted with --loop uvloop

    return uvloop.new_event_loop


def processor_time(job: Job, told: Told, loop: str) -> tuple[float, int]:
    """Run a job in an event loop of its own; return its processor time in seconds and the rows it read."""
    gc.collect()
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        before = time.process_time()
        rows = runner.run(job(told))
        return time.process_time() - before, rows


def measure(jobs: dict[str, Job], told: Told, *, rounds: int, loop: str) -> tuple[dict[str, list[float]], int]:
    """Run all jobs in turn, a round to warm up and then those that count; return the times and the rows amiss."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    amiss = 0
    for number in range(rounds + 1):
        for name, job in jobs.items():
            seconds, rows = processor_time(job, told, loop)
            amiss += abs(rows - told.calls)
            if number:
                times[name].append(seconds)
    return times, amiss


def ratio(times: dict[str, list[float]], to: str) -> float:
    """Return the ratio of our fastest round to another's."""
    return min(times[OURS]) / min(times[to])


def figures_of(times: dict[str, list[float]], amiss: int) -> dict[str, float]:
    """Return the figures that have limits."""
    return {f"to {name}": ratio(times, name) for name in times if name != OURS} | {"rows amiss": float(amiss)}


def rows_of(times: dict[str, list[float]], whole: dict[str, list[float]], calls: int) -> list[dict[str, Any]]:
    """Return the table."""
    return [
        {
            "contender": name,
            "us a record": 1e6 * min(times[name]) / calls,
            "ours to it": ratio(times, name),
            "us, all read": 1e6 * min(whole[name]) / calls,
            "ours to it, all read": ratio(whole, name),
        }
        for name in times
    ]


def main() -> int:
    """Measure, print and check."""
    parser = parser_of(__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    options = parser.parse_args()
    with emulator(options.calls, days=30) as running:
        times, amiss = measure(JOBS, running.told, rounds=options.rounds, loop=options.loop)
        whole, amiss_too = measure(WHOLE_JOBS, running.told, rounds=max(1, options.rounds // 2), loop=options.loop)
    rows = rows_of(times, whole, options.calls)
    print(f"{options.calls} calls, {CONCURRENCY} requests at once, {options.rounds} rounds, {options.loop}\n")
    print(table(rows))
    return finish("processor", rows, figures_of(times, amiss + amiss_too), LIMITS, options.json)


if __name__ == "__main__":
    sys.exit(main())

"""What a record costs the client's processor, from the socket to a typed record, beside a loop by hand and a floor.

    python benchmarks/processor.py [--calls 20000] [--rounds 15] [--loop asyncio|uvloop] [--beside COMMIT]

All read the same calls of one emulator, which answers at once from a process of its own. The contenders:

- nxcdr_async: `async for call in session.calls(…)`, 16 requests at once.
- before: the same, by the code of another commit, with --beside.
- by hand: aiohttp, page after page of the whole range, `json.loads` into dicts, as the vendor's samples do.
- floor: aiohttp and msgspec, page after page, straight into Structs with the vendor's keys and no thought about what to
  ask for. Its times stay numbers, so it does less than a typed record needs.

Each reads in two ways: it looks at the id and the start of every record, or at every attribute, as a loop by hand looks
at every key. And there are three kinds of rows: plain ones of the emulator; wild ones, as the vendor's newest servers
send them, with two keys that nobody knows; and wild ones of which one in a hundred has a number as text, so that nearly
each page holds one, for information.

Every contender runs once in each round, one after the other, in a process of its own for each tree, and its fastest
round counts: whatever else a shared machine does can only slow a round down. A first round warms up and is not counted.
"""

import asyncio
import gc
import json
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from decimal import Decimal
from itertools import count
from operator import attrgetter
from typing import Any

import aiohttp
import msgspec
from attrs import fields
from shared.beside import BEFORE, NOW, add_beside, child, trees
from shared.by_hand import PAGE_SIZE, PATH, question, signed_headers
from shared.emulation import Told, emulator
from shared.limits import Limit
from shared.report import finish, parser_of, table

from nxcdr_async import CallRecord, CdrSession, Credentials

CONCURRENCY = 16

OURS, BY_HAND, FLOOR = "nxcdr_async", "by hand", "floor"
BRIEFLY, WHOLE = "id and start", "every attribute"

ROWS: dict[str, str | None] = {"plain": None, "wild": "wild", "one in a hundred odd": "odd"}
"""Kinds of rows, and how the emulator calls them."""

LIMITED_ROWS = ("plain", "wild")

NEAR_BY_HAND = "typed, ordered, complete: for little more than the dicts of a loop anybody can write"

LIMITS = (
    *(
        Limit(f"{rows} rows, {looks}: to {BY_HAND}", 1.3, NEAR_BY_HAND)
        for rows in LIMITED_ROWS
        for looks in (BRIEFLY, WHOLE)
    ),
    Limit("rows amiss", 0, "a contender that skips rows has not done the job"),
)

Job = Callable[[Told], Awaitable[int]]
Take = Callable[[list[Any]], None]

Case = tuple[str, str, str]
"""A kind of rows, what is looked at, and who reads."""


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


def by_hand(take: Take) -> Job:
    """Make a loop by hand."""

    async def read(told: Told) -> int:
        async with aiohttp.ClientSession() as http:
            return await read_pages(http, told, count(1), decode_dicts, take)

    return read


def floor(take: Take) -> Job:
    """Make the least that can be done: known pages, decoded straight into Structs."""

    def decode(body: bytes) -> list[Any]:
        return decode_structs(body).data

    async def read(told: Told) -> int:
        async with aiohttp.ClientSession() as http:
            return await read_pages(http, told, range(1, -(-told.calls // PAGE_SIZE) + 1), decode, take)

    return read


JOBS: dict[str, dict[str, Job]] = {
    BRIEFLY: {OURS: ours, BY_HAND: by_hand(touch_dicts), FLOOR: floor(touch_structs)},
    WHOLE: {OURS: ours_read_whole, BY_HAND: by_hand(read_whole_dicts), FLOOR: floor(read_whole_structs)},
}
"""By what is looked at, and by who reads."""


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loops; None for asyncio's own."""
    if name == "asyncio":
        return None
    import uvloop  # noqa: PLC0415 - only wanted with --loop uvloop

    return uvloop.new_event_loop


def processor_time(told: Told, looks: str, reader: str, loop: str) -> tuple[float, int]:
    """Read in an event loop of its own, here; return the processor time in seconds and the rows that came."""
    gc.collect()
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        before = time.process_time()
        rows = runner.run(JOBS[looks][reader](told))
        return time.process_time() - before, rows


def readers_of(rows: str, looks: str, tree: str) -> list[str]:
    """Return who reads some rows with the code of a tree: only we depend on it, and only we are to mind odd ones."""
    if rows in LIMITED_ROWS:
        return [OURS, BY_HAND, FLOOR] if tree == NOW else [OURS]
    return [OURS] if looks == BRIEFLY else []


def measure(calls: int, rounds: int, loop: str, beside: str | None) -> tuple[dict[Case, list[float]], int]:
    """Have all read in turn, a round to warm up and then those that count; return the times and the rows amiss."""
    times: dict[Case, list[float]] = defaultdict(list)
    amiss = 0
    with trees(beside) as both, ExitStack() as running:
        children = {tree.name: running.enter_context(child(tree, __file__)) for tree in both}
        for rows, shape in ROWS.items():
            with emulator(calls, days=30, rows=shape) as gateway:
                for number in range(rounds + 1):
                    for looks in JOBS:
                        for tree, process in children.items():
                            for reader in readers_of(rows, looks, tree):
                                seconds, came = process.call(processor_time, gateway.told, looks, reader, loop)
                                amiss += abs(came - calls)
                                if number:
                                    times[rows, looks, BEFORE if tree == BEFORE else reader].append(seconds)
            print(f"{rows} rows are read", file=sys.stderr, flush=True)
    return times, amiss


def figures_of(times: dict[Case, list[float]], amiss: int) -> dict[str, float]:
    """Return the ratios of our fastest rounds to those of others."""
    figures = {
        f"{rows} rows, {looks}: to {reader}": min(times[rows, looks, OURS]) / min(seconds)
        for (rows, looks, reader), seconds in times.items()
        if reader != OURS
    }
    return figures | {"rows amiss": float(amiss)}


def rows_of(times: dict[Case, list[float]], calls: int) -> list[dict[str, Any]]:
    """Return the table."""
    return [
        {
            "rows": rows,
            "looked at": looks,
            "contender": reader,
            "us a record": 1e6 * min(seconds) / calls,
            "ours to it": min(times[rows, looks, OURS]) / min(seconds),
        }
        for (rows, looks, reader), seconds in times.items()
    ]


def main() -> int:
    """Measure, print and check."""
    parser = parser_of(__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    add_beside(parser)
    options = parser.parse_args()
    times, amiss = measure(options.calls, options.rounds, options.loop, options.beside)
    rows = rows_of(times, options.calls)
    print(f"{options.calls} calls, {CONCURRENCY} requests at once, {options.rounds} rounds, {options.loop}\n")
    print(table(rows))
    return finish("processor", rows, figures_of(times, amiss), LIMITS, options.json)


if __name__ == "__main__":
    sys.exit(main())

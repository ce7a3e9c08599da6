"""How many requests a service spends that reads short ranges again and again.

    python benchmarks/short_ranges.py [--calls 1000 5000 20000] [--minutes 5]

One session on an emulator reads the first hours of a day, until a full page has come, and then what a service reads
that looks every few minutes at what is new: the last five minutes, all through the day. Requests are those the emulator
saw. The least that an answer without a total can cost is one request where it is shorter than a page, so longer ranges,
and those that begin before the full page ended, are read but not counted. Ranges without calls stand apart: an empty
answer may also be that of a gateway under load.

After that the session asks by id for what is not there: a call, an order among the calls of an hour, and an order by
`calls_by_order`.
"""

import asyncio
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta

from attrs import define, field
from shared.emulation import Emulator, emulator
from shared.limits import Limit
from shared.report import Rows, finish, parser_of, table

from nxcdr_async import CdrSession, Credentials
from nxcdr_async.testing import Gateway

PAGE_SIZE = 100
MORE_THAN_A_PAGE = 150
HOUR = timedelta(hours=1)

NO_CALL, NO_ORDER = "a-call-that-is-not-there", "NX-ORDER-THAT-IS-NOT-THERE"
EMPTY, BY_CALL, BY_ORDER, ORDER = "empty", "no such call_id", "no such order_id", "calls_by_order, no such order"

ONE_IS_ENOUGH = "a page that is not full is the last one"
NOTHING_IS_AN_ANSWER = "where nothing is to be expected, an empty answer is believed"


@define
class Ranges:
    """Ranges of one kind.

    Attributes:
        name: what they are called.
        ranges: how many were read.
        requests: the requests the emulator saw meanwhile.
        calls: how many calls came.
        amiss: calls that did not come, came twice, or were not asked for.
    """

    name: str
    ranges: int = 0
    requests: int = 0
    calls: int = 0
    amiss: int = 0

    @property
    def requests_a_range(self) -> float:
        """NaN if none was read."""
        return self.requests / self.ranges if self.ranges else float("nan")

    def note(self, requests: int, ids: list[str], *, due: set[str], allowed: set[str]) -> None:
        """Count one more."""
        self.ranges += 1
        self.requests += requests
        self.calls += len(ids)
        self.amiss += len(due.difference(ids)) + len(set(ids) - allowed) + len(ids) - len(set(ids))


@define
class Day:
    """A day of calls, read by one session.

    Attributes:
        running: the emulator.
        known: the same history, here.
        cdr: the session.
        found: what was counted, by kind.
    """

    running: Emulator
    known: Gateway
    cdr: CdrSession
    found: dict[str, Ranges] = field(factory=dict)

    @property
    def name(self) -> str:
        """As the figures call it."""
        return f"{self.running.told.calls} calls a day"

    async def read(self, start: datetime, end: datetime, **filters: str) -> list[str]:
        """Return the ids of the calls of a range."""
        return [call.call_id async for call in self.cdr.calls(start, end, **filters)]

    def note(self, kind: str, ids: list[str], *, due: set[str], allowed: set[str]) -> None:
        """Count what was read since the last time."""
        ranges = self.found.setdefault(kind, Ranges(kind))
        ranges.note(self.running.seen().requests, ids, due=due, allowed=allowed)

    async def see_a_full_page(self) -> datetime:
        """Read the first hours, as many as hold more than a page; return their end."""
        start, end = self.running.told.range
        until = start + HOUR
        while until < end and len(self.known.call_ids(start, until)) < MORE_THAN_A_PAGE:
            until += HOUR
        await self.read(start, until)
        return until

    async def read_short_ranges(self, step: timedelta) -> None:
        """Read the rest of the day in steps."""
        for start, end in steps(await self.see_a_full_page(), self.running.told.range[1], step):
            self.running.seen()
            ids = await self.read(start, end)
            # No document says whether the ends of a range belong to it, so the calls of those two seconds may come too.
            due = set(self.known.call_ids(start, end))
            allowed = set(self.known.call_ids(start - timedelta(seconds=1), end + timedelta(seconds=1)))
            kind = self.name if 0 < len(allowed) < PAGE_SIZE else f"{self.name}, full pages" if allowed else EMPTY
            self.note(kind, ids, due=due, allowed=allowed)

    async def ask_for_what_is_not_there(self) -> None:
        """Ask by id for calls that do not exist."""
        start, end = self.running.told.range
        self.running.seen()
        nothing: set[str] = set()
        self.note(BY_CALL, await self.read(start, end, call_id=NO_CALL), due=nothing, allowed=nothing)
        self.note(BY_ORDER, await self.read(end - HOUR, end, order_id=NO_ORDER), due=nothing, allowed=nothing)
        calls = await self.cdr.calls_by_order(NO_ORDER, tenant_id=self.running.told.tenant_id)
        self.note(ORDER, [call.call_id for call in calls], due=nothing, allowed=nothing)


def steps(start: datetime, end: datetime, step: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Yield the ranges between two moments, one after the other."""
    while start < end:
        yield start, start + step
        start += step


async def read_day(calls: int, step: timedelta) -> dict[str, Ranges]:
    """Read a day of so many calls; return what was counted, by kind."""
    with emulator(calls, days=1) as running:
        told = running.told
        keys = Credentials(told.access_key, told.access_secret)
        async with CdrSession(gateway=told.gateway, credentials=keys) as cdr:
            day = Day(running, Gateway(calls, days=1), cdr)
            await day.read_short_ranges(step)
            await day.ask_for_what_is_not_there()
    return day.found


def added_up(days: list[dict[str, Ranges]]) -> list[Ranges]:
    """Return the ranges of each kind, those of all days in one."""
    kinds = list(dict.fromkeys(kind for day in days for kind in day))
    return [
        Ranges(
            kind,
            ranges=sum(day[kind].ranges for day in days if kind in day),
            requests=sum(day[kind].requests for day in days if kind in day),
            calls=sum(day[kind].calls for day in days if kind in day),
            amiss=sum(day[kind].amiss for day in days if kind in day),
        )
        for kind in kinds
    ]


def rows_of(found: list[Ranges]) -> Rows:
    """Return the table."""
    return [
        {
            "ranges": one.name,
            "read": one.ranges,
            "calls": one.calls,
            "requests": one.requests,
            "a range": one.requests_a_range,
            "amiss": one.amiss,
        }
        for one in found
    ]


def figures_of(found: list[Ranges]) -> dict[str, float]:
    """Return the figures that have limits."""
    return {f"{one.name}: requests": one.requests_a_range for one in found} | {
        "rows amiss": float(sum(one.amiss for one in found))
    }


def limits_of(calls: list[int]) -> list[Limit]:
    """Return the limits."""
    return [
        *(Limit(f"{number} calls a day: requests", 1, ONE_IS_ENOUGH) for number in calls),
        *(Limit(f"{kind}: requests", 1, NOTHING_IS_AN_ANSWER) for kind in (EMPTY, BY_CALL, BY_ORDER, ORDER)),
        Limit("rows amiss", 0, "every call, each once"),
    ]


async def measure(calls: list[int], step: timedelta) -> list[Ranges]:
    """Read days with so many calls, one after the other."""
    return added_up([await read_day(number, step) for number in calls])


def main() -> int:
    """Measure, print and check."""
    parser = parser_of(__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[1_000, 5_000, 20_000])
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    found = asyncio.run(measure(options.calls, timedelta(minutes=options.minutes)))
    rows = rows_of(found)
    print(table(rows))
    return finish("short_ranges", rows, figures_of(found), limits_of(options.calls), options.json)


if __name__ == "__main__":
    sys.exit(main())

"""Readers that use sessions in every way there is, and trouble at the gateway while they do."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from random import Random
from typing import Any

from attrs import define, evolve, field

from nxcdr_async import CdrSession, NxcdrError, Paginator
from nxcdr_async.testing import FAULT_KINDS
from tests.soak.far_gateway import FarGateway, SourceName

READERS = 6
EDGE = timedelta(seconds=1)
LOCAL = timedelta(hours=8)
DAY = timedelta(days=1)


@define
class Tally:
    """What came of it all.

    Attributes:
        ways: how often each way was gone.
        errors: streams that ended in an error, by its name.
        rows: rows handed out by streams that were read to their end.
        lost: rows that were there when such a stream began and did not come, also those before the time an error names.
        doubled: rows that came more than once.
        stray: rows that were not asked for.
        requests: requests the emulator saw.
        faults: those that met a fault, throttling not counted.
    """

    ways: Counter[str] = field(factory=Counter)
    errors: Counter[str] = field(factory=Counter)
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    stray: int = 0
    requests: int = 0
    faults: int = 0

    def count(self, seen: Mapping[str, Any]) -> None:
        """Add what the emulator saw."""
        self.requests += seen["requests"]
        self.faults += sum(seen["faults"].values())


@define(frozen=True)
class Wanted:
    """A range of one source.

    Attributes:
        source: of what.
        start: the first moment.
        end: the moment it ends before.
    """

    source: SourceName
    start: datetime
    end: datetime

    def of(self, cdr: CdrSession) -> Paginator[Any]:
        """Ask a session for it."""
        if self.source == "did":
            return cdr.did_calls((self.start + LOCAL).date(), (self.end + LOCAL - DAY).date())
        return (cdr.calls if self.source == "calls" else cdr.flash_calls)(self.start, self.end)


@define(eq=False)
class Load:
    """Readers on some sessions.

    Attributes:
        gateway: the emulator.
        keys: what a session needs to read of it.
        shared: sessions that all readers share.
        tally: what came of it.
        chance: what decides.
        kept: what each record is shown to; a test plants a leak here.
    """

    gateway: FarGateway
    keys: dict[str, Any]
    shared: list[CdrSession]
    tally: Tally
    chance: Random
    kept: Callable[[Any], object] = field(default=lambda _record: None)

    async def go_on(self, seconds: float) -> None:
        """Read and make trouble for so long; then in peace for as long again, at most, until all readers are done."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(READERS):
                group.create_task(self._read_on(until))
            group.create_task(self._make_trouble(until))

    async def _read_on(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        ways: list[Callable[[], Awaitable[None]]] = [self._read_whole] * 3 + [
            self._read_together,
            self._look_up_order,
            self._break_in_block,
            self._break_bare,
            self._be_cancelled,
            self._run_out_of_time,
            self._raise_in_block,
            self._close_session_under_reader,
        ]
        try:
            async with asyncio.timeout_at(until + max(10.0, until - loop.time())):
                while loop.time() < until:
                    way = self.chance.choice(ways)
                    self.tally.ways[way.__name__.strip("_").replace("_", " ")] += 1
                    error = await self._ended_in(way())
                    self.tally.errors.update([type(error).__name__] if error else [])
        except TimeoutError:
            self.tally.ways["cut off at the end"] += 1

    async def _make_trouble(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            if self.chance.random() < 0.05:
                await self.gateway.ask("stop", seconds=self.chance.uniform(0.0, 0.5))
            else:
                await self.gateway.ask("switch", **self._some_trouble())
            await asyncio.sleep(self.chance.uniform(0.2, 1.5))
        await self.gateway.ask("switch", clock=0.0)

    def _some_trouble(self) -> dict[str, Any]:
        chance = self.chance
        faulty = {"fault_rate": chance.uniform(0.1, 0.3), "faults": list(FAULT_KINDS)}
        others = [
            {"fault_rate": 0.3, "faults": [chance.choice(FAULT_KINDS)]},
            {"max_in_flight": chance.choice([2, 4, 8, 16])},
            {"max_per_second": chance.choice([10, 50, 200]), "retry_after": chance.choice([None, 1])},
            {"clock": chance.choice([-86_400.0, -90.0, 90.0, 3_600.0, 86_400.0])},
            {"arrivals_per_page": 1, "latency": (0.0, 0.05)},
            {"latency": (0.02, 0.2)},
        ]
        return {"clock": 0.0} | chance.choice([{}, faulty]) | chance.choice([{}, *others])

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[CdrSession]:
        """Give a session: one that all share, or one for this reading alone."""
        if self.chance.random() < 0.7:
            yield self.chance.choice(self.shared)
            return
        async with CdrSession(**self.keys) as own:
            yield own

    def _some_range(self) -> Wanted:
        source: SourceName = self.chance.choice(["calls", "calls", "calls", "did", "flash"])
        first, last = self.gateway.first_call, self.gateway.last_call
        if source == "did":
            day = first.replace(hour=0, minute=0, second=0, microsecond=0) - LOCAL
            day += self.chance.randrange((last - first).days) * DAY
            return Wanted(source, day, day + self.chance.randint(1, 2) * DAY)
        start = first.replace(microsecond=0) + timedelta(
            seconds=self.chance.randrange(int((last - first).total_seconds()))
        )
        return Wanted(source, start, start + timedelta(seconds=self.chance.randrange(1, 60 * 3600)))

    async def _read_whole(self) -> None:
        wanted = self._some_range()
        due = await self.gateway.ids(wanted.source, wanted.start, wanted.end)
        came: list[Any] = []
        async with self._session() as cdr:
            error = await self._ended_in(self._take_all(wanted.of(cdr), came))
        await self._count(wanted, due, came, error)

    async def _read_together(self) -> None:
        """Several tasks take from one stream; each record goes to one of them."""
        wanted = self._some_range()
        due = await self.gateway.ids(wanted.source, wanted.start, wanted.end)
        came: list[Any] = []
        async with self._session() as cdr, wanted.of(cdr) as stream:
            # All of them meet the error, should there be one.
            takers = [self._ended_in(self._take_all(stream, came)) for _ in range(3)]
            errors = await asyncio.gather(*takers)
        await self._count(wanted, due, came, next(filter(None, errors), None))

    async def _take_all(self, stream: Paginator[Any], came: list[Any]) -> None:
        async for record in stream:
            self.kept(record)
            came.append(getattr(record, "call_id", None) or record.id)

    async def _ended_in(self, reading: Awaitable[None]) -> NxcdrError | None:
        try:
            await reading
        except NxcdrError as error:
            return error
        return None

    async def _count(self, wanted: Wanted, due: list[Any], came: list[Any], error: NxcdrError | None) -> None:
        if error is not None:
            self.tally.errors[type(error).__name__] += 1
            until = min(wanted.end, error.complete_until or wanted.start)
            before = set(await self.gateway.ids(wanted.source, wanted.start, until))
            due = [one for one in due if one in before]
        known = await self.gateway.ids(wanted.source, wanted.start - EDGE, wanted.end + EDGE)
        self.tally.rows += len(came)
        self.tally.lost += len(set(due) - set(came))
        self.tally.doubled += len(came) - len(set(came))
        self.tally.stray += len(set(came) - set(known))

    async def _look_up_order(self) -> None:
        async with self._session() as cdr:
            wanted = evolve(self._some_range(), source="calls")
            async with wanted.of(cdr) as stream:
                async for call in stream:
                    if call.order_id is not None:
                        break
                else:
                    return
            found = await cdr.calls_by_order(call.order_id, tenant_id=self.gateway.tenant_id)
        self.tally.lost += call.call_id not in {one.call_id for one in found}
        self.tally.rows += len(found)

    async def _break_in_block(self) -> None:
        most = self.chance.randrange(300)
        async with self._session() as cdr, self._some_range().of(cdr) as stream:
            await self._take_some(stream, most)

    async def _break_bare(self) -> None:
        async with self._session() as cdr:
            await self._take_some(self._some_range().of(cdr), self.chance.randrange(300))

    async def _take_some(self, stream: Paginator[Any], most: int) -> None:
        taken = 0
        async for record in stream:
            self.kept(record)
            taken += 1
            if taken > most:
                break

    async def _be_cancelled(self) -> None:
        async with self._session() as cdr, asyncio.TaskGroup() as group:
            reading = group.create_task(self._ended_in(self._take_all(self._some_range().of(cdr), [])))
            await asyncio.sleep(self.chance.uniform(0, 0.5))
            reading.cancel()

    async def _run_out_of_time(self) -> None:
        with suppress(TimeoutError):
            async with self._session() as cdr, asyncio.timeout(self.chance.uniform(0, 0.5)):
                await self._take_all(self._some_range().of(cdr), [])

    async def _raise_in_block(self) -> None:
        with suppress(_EnoughError):
            async with self._session() as cdr, self._some_range().of(cdr) as stream:
                async for _ in stream:
                    raise _EnoughError

    async def _close_session_under_reader(self) -> None:
        async with CdrSession(**self.keys) as own, asyncio.TaskGroup() as group:
            group.create_task(self._ended_in(self._take_all(self._some_range().of(own), [])))
            await asyncio.sleep(self.chance.uniform(0, 0.5))
            await own.aclose()


class _EnoughError(Exception):
    """What a consumer raises that wants no more."""

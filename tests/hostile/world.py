"""Ways to read everything there is over each API, and time that runs faster than it does outside."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import anyio
from attrs import define, field

from nxcdr_async import CdrSession
from nxcdr_async.limits.limiter import Limiter
from nxcdr_async.testing import EndpointName, Gateway
from tests.timers import after

VENDOR_ZONE = timezone(timedelta(hours=8))
STREAMED: tuple[EndpointName, ...] = ("calls", "did", "flash")

PASSES_OF_A_LOOP = 50
"""Passes of an event loop after which all have gone on that could."""


@define(frozen=True)
class Api:
    """One API with pages: what it is to give, and how it is read."""

    name: EndpointName
    identity: str
    moment: str

    def expected(self, gateway: Gateway) -> list[Any]:
        return {"calls": gateway.call_ids, "did": gateway.did_ids, "flash": gateway.flash_ids}[self.name]()

    def read(self, session: CdrSession, gateway: Gateway, start: datetime | None = None) -> Any:
        """Return a paginator over everything, or over what there is from a moment on."""
        # The days of DID and flash calls are the vendor's, which begin before those of UTC.
        first, last = gateway.first_call - timedelta(days=1), gateway.last_call + timedelta(days=1)
        if self.name == "did":
            days = [moment.astimezone(VENDOR_ZONE).date() for moment in (start or first, last)]
            return session.did_calls(*days)
        return {"calls": session.calls, "flash": session.flash_calls}[self.name](start or first, last)

    def key(self, record: Any) -> Any:
        return getattr(record, self.identity)

    def order(self, record: Any) -> tuple[Any, Any]:
        return getattr(record, self.moment), self.key(record)


APIS = {
    "calls": Api("calls", "call_id", "start_time"),
    "did": Api("did", "id", "start_time"),
    "flash": Api("flash", "id", "gmt_create"),
}


def check_complete(api: Api, records: list[Any], gateway: Gateway) -> None:
    """Check that every row came once, in order."""
    keys = [api.key(record) for record in records]
    assert len(keys) == len(set(keys)), "doubled"
    assert set(keys) == set(api.expected(gateway)), "lost"
    assert records == sorted(records, key=api.order)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - a server in another thread tells nobody
            await asyncio.sleep(0.001)


async def upto_error(records: AsyncIterator[Any], into: list[Any]) -> None:
    """Read into a list, which keeps what came before an error."""
    async for record in records:
        into.append(record)  # noqa: PERF401 - what came before the error is the point


@define(eq=False)
class QuickTime:
    """Time for sessions and their gateways alike, in which nobody waits for a pause.

    Once no request is on its way, all that is left to wait for are those who sleep, so time skips to the end of the
    first sleep. Whatever else takes time takes as long as it does, so that nothing depends on how fast a machine is.
    """

    slept: list[float] = field(factory=list)
    _skipped: float = 0.0
    _sleepers: dict[asyncio.Event, float] = field(factory=dict)
    _ruled: list[CdrSession] = field(factory=list)
    _skipping: asyncio.Task[None] | None = None
    _began: float = field(factory=time.monotonic)
    _epoch: float = field(factory=time.time)

    @property
    def passed(self) -> float:
        return time.monotonic() - self._began + self._skipped

    def epoch(self) -> float:
        return self._epoch + self.passed

    def monotonic(self) -> float:
        return self._began + self.passed

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        is_over = asyncio.Event()
        self._sleepers[is_over] = self.passed + seconds
        if self._skipping is None or self._skipping.done():
            self._skipping = asyncio.create_task(self._skip(), name="clock of the test")
        try:
            await is_over.wait()
        finally:
            del self._sleepers[is_over]

    async def stopped(self) -> None:
        """Wait until time skips no more, as nobody sleeps; else that is a task which is left."""
        if self._skipping is not None:
            await self._skipping

    async def _skip(self) -> None:
        """Let time skip on while anybody sleeps."""
        quiet_passes = 0
        while self._sleepers:
            is_quiet = not any(session.stats.in_flight for session in self._ruled)
            await asyncio.sleep(0 if is_quiet else 0.001)
            # Whoever is able to go on has had its turns by then.
            quiet_passes = quiet_passes + 1 if is_quiet else 0
            if quiet_passes > PASSES_OF_A_LOOP and self._sleepers:
                self._skipped += max(0.0, min(self._sleepers.values()) - self.passed)
                quiet_passes = 0
            for is_over, until_when in list(self._sleepers.items()):
                if until_when <= self.passed:
                    is_over.set()

    def rule_waits(self, session: CdrSession) -> None:
        """Have all that a session waits for pass quickly."""
        self._ruled.append(session)
        session._transport.sleep = self.sleep
        ruled = session._transport.limiter
        rate = ruled._session.rate
        session._transport.limiter = Limiter(
            concurrency=ruled.fixed or None,
            rate=None if math.isinf(rate) else rate,
            now=self.monotonic,
            call_later=after(self.sleep),
        )

    def rule_clocks(self, session: CdrSession, gateway: Gateway) -> None:
        """Have the clocks of a session and its gateway go by it."""
        session._transport.now = session._transport.wall = self.epoch
        gateway.clock.now = lambda: self.epoch() + gateway.clock.offset  # type: ignore[method-assign]


def order_of(gateway: Gateway) -> tuple[str, list[str]]:
    """Return an order and the ids of its calls."""
    rows = list(gateway.history.calls())
    order = next(row["orderId"] for row in rows if row.get("orderId"))
    return order, [row["callId"] for row in rows if row.get("orderId") == order]

"""How much is asked of a gateway at once: slots that adapt (AIMD), a pace, and pauses the gateway asks for."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from attrs import define

from nxcdr_async.errors import ConfigurationError

FIRST_LIMIT = 8
"""Requests in flight an adaptive session starts with."""

HIGHEST_LIMIT = 64
"""Requests in flight an adaptive session never exceeds."""

MOST_CONCURRENCY = 10_000
"""The highest ceiling that can be asked for."""

SHRINK = 0.7
"""What is left of the limit after a congestion event."""

NEWS = 0.2
"""How much the last request counts in how long one usually takes."""


@define(eq=False)
class Slot:
    """The right to have one request in flight.

    Attributes:
        since: when it was taken (monotonic seconds).
    """

    since: float


class _Places:
    """Places for requests, first come, first served. A place is taken in the very step in which it is given."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._taken = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Wait for a place."""
        if self._taken < self._total and not self._queue:
            self._taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._queue:
                self._queue.remove(turn)
            elif not turn.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """Leave a place to the next in line."""
        self._taken -= 1
        self._serve()

    def resize(self, total: int) -> None:
        """Change how many places there are; those taken stay taken."""
        self._total = total
        self._serve()

    def _serve(self) -> None:
        while self._queue and self._taken < self._total:
            turn = self._queue.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


class Limiter:
    """Hands out slots, first come, first served, to all requests of a session.

    With a fixed concurrency the limit starts at its ceiling, else at `FIRST_LIMIT`. Good replies raise it slowly while
    it is in use; a sign of congestion cuts it, once for all the requests that were in flight then.
    """

    def __init__(
        self,
        *,
        concurrency: int | None = None,
        rate: float | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = anyio.sleep,
    ) -> None:
        if concurrency is not None and (
            not isinstance(concurrency, int)
            or isinstance(concurrency, bool)
            or not 1 <= concurrency <= MOST_CONCURRENCY
        ):
            raise ConfigurationError(f"concurrency is {concurrency!r}: give a whole number from 1, or None to adapt")
        if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e6):  # noqa: PLR2004 - no rate beyond it means anything
            raise ConfigurationError(f"rate is {rate!r}: give the requests a second as a number above 0, or None")
        self.ceiling = concurrency or HIGHEST_LIMIT
        self.in_flight = 0
        self.peak_in_flight = 0
        self._limit = float(concurrency or FIRST_LIMIT)
        self._interval = 1 / rate if rate else 0.0
        self._now = now
        self._sleep = sleep
        self._usual_seconds = 0.0
        self._next_start = now()
        self._hold_until = now()
        self._last_cut = float("-inf")
        self._places = _Places(self.limit)

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    @property
    def worthwhile(self) -> int:
        """Requests worth asking for at once: the limit, or as many as the pace lets start while one is answered."""
        if not self._interval:
            return self.limit
        return max(1, min(self.limit, math.ceil(self._usual_seconds / self._interval)))

    def lower_ceiling(self, ceiling: int) -> None:
        """Keep the limit at or under what the connections of the line allow."""
        self.ceiling = min(self.ceiling, ceiling)
        self._set(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a slot, and for the pace and any pause; on leaving, the slot is free again."""
        await self._places.take()
        try:
            await self._wait_for_start()
            self.in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
            slot = Slot(self._now())
            try:
                yield slot
            finally:
                self.in_flight -= 1
                self._usual_seconds += (self._now() - slot.since - self._usual_seconds) * NEWS
        finally:
            self._places.give_back()

    def eased(self) -> None:
        """Count a good reply: grow by one for as many replies as the limit, if half the limit is in use."""
        if self.in_flight * 2 >= self.limit:
            self._set(self._limit + 1 / self._limit)

    def congested(self, slot: Slot) -> None:
        """Count a sign of congestion, unless the request was under way before the last cut."""
        if slot.since <= self._last_cut:
            return
        self._last_cut = self._now()
        self._set(self._limit * SHRINK)

    def hold(self, seconds: float) -> None:
        """Start nothing for so long, as the gateway asked (`Retry-After`)."""
        self._hold_until = max(self._hold_until, self._now() + seconds)

    async def _wait_for_start(self) -> None:
        while True:
            start = max(self._now(), self._hold_until)
            if self._interval:
                start = max(start, self._next_start)
                self._next_start = start + self._interval
            while (wait := start - self._now()) > 0:
                await self._sleep(wait)
            if self._hold_until <= self._now():  # no pause was asked for meanwhile
                return

    def _set(self, limit: float) -> None:
        self._limit = min(float(self.ceiling), max(1.0, limit))
        self._places.resize(self.limit)

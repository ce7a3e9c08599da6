"""Letting requests start: so many in flight, so many a second, and none in a pause."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from attrs import define, field

LATENESS = 0.01
"""Seconds by which a start may be late, as timers are, without delaying those after it."""


class Bounds(Protocol):
    """The bounds that a gate keeps, which may change at any time."""

    @property
    def limit(self) -> float:
        """Requests that may be in flight."""

    @property
    def rate(self) -> float:
        """Requests a second that may start; infinite without a bound."""


@define(eq=False)
class Gate:
    """Lets requests start: no more in flight than a limit, no closer together than a rate, and none in a pause."""

    bounds: Bounds
    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[Any]]
    in_flight: int = field(default=0, init=False)
    _next_start: float = field(default=-math.inf, init=False)
    _paused_until: float = field(default=-math.inf, init=False)
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)

    @property
    def is_open(self) -> bool:
        """Whether a request may start now."""
        return self.in_flight < int(self.bounds.limit) and max(self._next_start, self._paused_until) <= self.now()

    @property
    def is_paused(self) -> bool:
        """Whether nothing may start, as the gateway asked for a pause."""
        return self._paused_until > self.now()

    async def wait_until_open(self) -> bool:
        """Wait until a request may start; return whether it had to wait for the rate."""
        waited_for_rate = False
        while not self.is_open:
            if self.in_flight >= int(self.bounds.limit):
                self._changed.clear()
                await self._changed.wait()
                continue
            waited_for_rate = waited_for_rate or self._next_start > self._paused_until
            await self.sleep(max(0.0, max(self._next_start, self._paused_until) - self.now()))  # time went on meanwhile
        return waited_for_rate

    def start(self) -> None:
        """Count a request that starts."""
        self.in_flight += 1
        now = self.now()
        planned = self._next_start if now - self._next_start <= LATENESS else now
        self._next_start = planned + 1 / self.bounds.rate

    def finish(self) -> None:
        """Count a request that ended."""
        self.in_flight -= 1
        self._changed.set()

    def pause_for(self, seconds: float) -> None:
        """Let nothing start for so long."""
        self._paused_until = max(self._paused_until, self.now() + seconds)

    def bounds_changed(self) -> None:
        """Have those that wait check the bounds again."""
        self._changed.set()


@define(eq=False)
class Reservation:
    """A place within the bounds of a session for a request that waits for its budget; it counts as in flight there."""

    gate: Gate
    is_active: bool = field(default=False, init=False)

    def activate(self) -> None:
        """Let no other request of the session have the place."""
        self.is_active = True
        self.gate.start()

    def claim(self) -> bool:
        """Leave the place to the request that starts now; return whether it was still reserved."""
        was_active, self.is_active = self.is_active, False
        return was_active

    def release(self) -> None:
        """Let any other request have the place."""
        if self.claim():
            self.gate.finish()

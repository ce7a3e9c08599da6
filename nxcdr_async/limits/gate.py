"""What lets requests start: so many in flight, so many a second, and pauses."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from attrs import define, field

LATENESS = 0.01
"""Seconds by which a start may come late without those after it being put off too: timers are never exact."""


class Bounds(Protocol):
    """What a valve goes by; it may change at any time."""

    @property
    def limit(self) -> float:
        """How many requests may be in flight."""

    @property
    def pace(self) -> float:
        """How many requests may start a second; infinite without a bound."""


@define(eq=False)
class Valve:
    """Lets requests start: no more in flight than a limit, no closer together than a pace, and none in a pause."""

    bounds: Bounds
    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[Any]]
    in_flight: int = field(default=0, init=False)
    _next_start: float = field(default=-math.inf, init=False)
    _hold_until: float = field(default=-math.inf, init=False)
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)

    @property
    def is_open(self) -> bool:
        """Whether a request may start now."""
        return self.in_flight < int(self.bounds.limit) and max(self._next_start, self._hold_until) <= self.now()

    @property
    def is_held(self) -> bool:
        """Whether nothing may start as the gateway asked for a pause."""
        return self._hold_until > self.now()

    async def opened(self) -> bool:
        """Wait until a request may start; tell whether it had to wait for the pace."""
        was_paced = False
        while not self.is_open:
            if self.in_flight >= int(self.bounds.limit):
                self._changed.clear()
                await self._changed.wait()
                continue
            was_paced = was_paced or self._next_start > self._hold_until
            await self.sleep(max(0.0, max(self._next_start, self._hold_until) - self.now()))  # time went on meanwhile
        return was_paced

    def start(self) -> None:
        """Count a request that starts."""
        self.in_flight += 1
        now = self.now()
        planned = self._next_start if now - self._next_start <= LATENESS else now
        self._next_start = planned + 1 / self.bounds.pace

    def finish(self) -> None:
        """Count a request that ended."""
        self.in_flight -= 1
        self._changed.set()

    def hold(self, seconds: float) -> None:
        """Let nothing start for so long."""
        self._hold_until = max(self._hold_until, self.now() + seconds)

    def bounds_changed(self) -> None:
        """Have whoever waits look again."""
        self._changed.set()


@define(eq=False)
class Place:
    """A place within the bounds of a session, kept for a request that waits for its lane; it counts as started."""

    valve: Valve
    is_kept: bool = field(default=False, init=False)

    def keep(self) -> None:
        """Let no other request of the session have it."""
        self.is_kept = True
        self.valve.start()

    def take(self) -> bool:
        """Leave it to the request that starts now; tell whether it was still kept."""
        was_kept, self.is_kept = self.is_kept, False
        return was_kept

    def give_back(self) -> None:
        """Let any other request have it."""
        if self.take():
            self.valve.finish()

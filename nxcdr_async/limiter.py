"""How much is asked of a gateway at once: slots, a pace, and pauses the gateway asks for.

Sessions of one account that ask the same gateway from one event loop share what it allows, and take turns.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import anyio
from attrs import define, field

from nxcdr_async.allowance import HIGHEST_LIMIT, Allowance, Start
from nxcdr_async.arguments import is_number, is_whole
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.turns import Turns

MOST_CONCURRENCY = 10_000
"""The highest ceiling that can be asked for."""

MOST_RATE = 1e6
"""The highest rate that can be asked for, in requests a second; none beyond it means anything."""

NEWS = 0.2
"""How much the last request counts in how long one usually takes."""

LATENESS = 0.01
"""Seconds by which a start may come late without those after it being put off too: timers are never exact."""


class _Bounds(Protocol):
    """How many requests may be in flight, and how many may start a second."""

    @property
    def limit(self) -> float: ...

    @property
    def pace(self) -> float: ...


@define(eq=False)
class _Valve:
    """Lets requests start: no more in flight than a limit, no closer together than a pace, and none in a pause."""

    bounds: _Bounds
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
class _Place:
    """A place within the bounds of a session, kept for a request that waits for its lane; it counts as started."""

    valve: _Valve
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


@define(eq=False)
class Lane:
    """The way to one gateway for one account: what the gateway allows, shared by all sessions that go there.

    Attributes:
        allowance: what it seems to allow.
        valve: lets requests start.
        turns: which session starts the next request; each has one request at most in line here.
        usual_seconds: how long a request the gateway takes is usually under way; 0 before the first.
    """

    allowance: Allowance
    valve: _Valve
    turns: Turns = field(factory=Turns, init=False)
    usual_seconds: float = field(default=0.0, init=False)
    _kept: set[_Place] = field(factory=set, init=False)
    _limiters: "WeakSet[Limiter]" = field(factory=WeakSet, init=False)

    def join(self, limiter: "Limiter") -> None:
        """Count a session in that goes here from now on."""
        self._limiters.add(limiter)
        self.allowance.expect(sum(other.fixed for other in self._limiters))
        self.valve.bounds_changed()

    def leave(self, limiter: "Limiter") -> None:
        """Count a session out that was closed."""
        self._limiters.discard(limiter)

    def hold(self, seconds: float) -> None:
        """Let nothing start for so long, nor any session keep a place meanwhile, which its other lanes can use."""
        self.valve.hold(seconds)
        for place in self._kept:
            place.give_back()

    def keep(self, valve: _Valve) -> _Place:
        """Keep a place within the bounds of a session until it is given back, though not in a pause."""
        place = _Place(valve)
        self._kept.add(place)
        if not self.valve.is_held:
            place.keep()
        return place

    def give_back(self, place: _Place) -> None:
        """Let other requests of the session have a place, unless one has started in it."""
        self._kept.discard(place)
        place.give_back()

    @property
    def is_deserted(self) -> bool:
        """Whether no session goes here any more."""
        return not self._limiters

    def learn_seconds(self, seconds: float) -> None:
        """Take in how long a request was under way that the gateway took."""
        self.usual_seconds += (seconds - self.usual_seconds) * NEWS


_LANES: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[tuple[str, Hashable], Lane]] = (
    WeakKeyDictionary()
)
"""The lanes of each event loop, as long as a session that is not closed uses them."""


@define(eq=False)
class Slot:
    """The right to have one request in flight; its holder says how the gateway took it, as far as that tells anything.

    Attributes:
        lane: where the request goes.
        started: how things stood when it started.
    """

    lane: Lane
    started: Start
    _sent_at: float = field(init=False)

    @_sent_at.default
    def _sent_as_it_started(self) -> float:
        return self.started.at

    def sent(self) -> None:
        """Say that the request goes out only now: what it waited for in its slot does not count as under way."""
        self._sent_at = self.lane.valve.now()

    def taken(self) -> None:
        """Say that the gateway answered as it should."""
        valve = self.lane.valve
        self.lane.allowance.taken(self.started, valve.now(), in_flight=valve.in_flight)
        self.lane.learn_seconds(valve.now() - self._sent_at)
        valve.bounds_changed()

    def refused(self, pause: float) -> None:
        """Say that the gateway refused the request as one too many, and the pause it asked for, in seconds."""
        valve = self.lane.valve
        self.lane.allowance.refused(self.started, valve.now(), pause=pause)

    def strained(self) -> None:
        """Say that the gateway did not answer in time."""
        self.lane.allowance.strained(self.started, self.lane.valve.now())


@define(eq=False)
class _Own:
    """The bounds a user set for a session."""

    limit: float
    pace: float


class Limiter:
    """Hands out slots to all requests of a session: its askers take turns, as do its lanes, and sessions at a lane.

    Whoever asks a gateway names the account too, as any hashable that tells accounts apart: each has an allowance of
    its own there, and the sessions of one share it.

    Args:
        concurrency: requests in flight at most, None for as many as the gateway bears up to `HIGHEST_LIMIT`.
        rate: requests a second at most; None for as many as the gateway bears.
        now: the clock, in seconds.
        sleep: how it waits.

    Attributes:
        ceiling: requests in flight at most, whatever the gateway allows.
        fixed: the ceiling a user set, 0 without.
        in_flight: requests in flight now.
        peak_in_flight: the most that ever were.
    """

    def __init__(
        self,
        *,
        concurrency: int | None = None,
        rate: float | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = anyio.sleep,
    ) -> None:
        if concurrency is not None and not (is_whole(concurrency) and 1 <= concurrency <= MOST_CONCURRENCY):
            raise ConfigurationError(
                f"concurrency is {concurrency!r}: give a whole number from 1 to {MOST_CONCURRENCY:,}, or None to adapt"
            )
        if rate is not None and not (is_number(rate) and 0 < rate <= MOST_RATE):
            raise ConfigurationError(
                f"rate is {rate!r}: give the requests a second as a number above 0, up to {MOST_RATE:,.0f}, or None"
            )
        self.fixed = concurrency or 0
        self.peak_in_flight = 0
        self._bounds = _Own(concurrency or HIGHEST_LIMIT, rate or math.inf)
        self._now = now
        self._sleep = sleep
        self._valve = _Valve(self._bounds, now, sleep)
        self._lanes: dict[tuple[str, Hashable], Lane] = {}
        self._turns: dict[Lane, Turns] = {}
        self._turns_of_lanes = Turns()

    @property
    def ceiling(self) -> int:
        """Requests in flight at most, whatever a gateway allows."""
        return int(self._bounds.limit)

    @property
    def in_flight(self) -> int:
        """Requests in flight now."""
        return self._valve.in_flight

    def limit(self, gateway: str, account: Hashable) -> int:
        """Return how many requests to a gateway may be in flight now."""
        return min(self.ceiling, int(self._allowance(gateway, account).limit))

    def pace(self, gateway: str, account: Hashable) -> float:
        """Return how many requests to a gateway may start a second; infinite without a bound."""
        return min(self._bounds.pace, self._allowance(gateway, account).pace)

    def worthwhile(self, gateway: str, account: Hashable) -> int:
        """Return how many requests are worth asking for at once: the limit, or what the pace lets start meanwhile.

        With a pace that is one more, which waits for it: else it would not be used whole, nor be known to bound.
        """
        limit, pace = self.limit(gateway, account), self.pace(gateway, account)
        if math.isinf(pace):
            return limit
        lane = self._lanes.get((gateway, account))
        return min(limit, math.ceil((lane.usual_seconds if lane else 0.0) * pace) + 1)

    def lower_ceiling(self, ceiling: int) -> None:
        """Keep the limit at or under what the connections of the line allow."""
        self._bounds.limit = min(self.ceiling, ceiling)
        self.fixed = min(self.fixed, ceiling)

    def hold(self, gateway: str, account: Hashable, seconds: float) -> None:
        """Let nothing start for so long, as a gateway asked (`Retry-After`)."""
        self._lane(gateway, account).hold(seconds)

    @asynccontextmanager
    async def slot(self, gateway: str, account: Hashable, asker: Hashable | None = None) -> AsyncIterator[Slot]:
        """Wait for a slot at a gateway, and for the pace and any pause; on leaving, the slot is free again.

        Args:
            gateway: its base URL.
            account: what tells accounts apart.
            asker: whose request it is; those of one asker start in the order they came. None for an asker of its own.
        """
        slot = await self._begin(self._lane(gateway, account), object() if asker is None else asker)
        try:
            yield slot
        finally:
            slot.lane.valve.finish()
            self._valve.finish()

    def leave(self) -> None:
        """Leave all lanes, as the session is closed; what was learned goes with the last one that does."""
        # Only those of this loop: other threads may be adding loops of their own just now.
        lanes = _LANES.get(asyncio.get_running_loop())
        for key, lane in self._lanes.items():
            lane.leave(self)
            if lanes is not None and lane.is_deserted and lanes.get(key) is lane:
                del lanes[key]

    async def _begin(self, lane: Lane, asker: Hashable) -> Slot:
        turns = self._turns[lane]
        await turns.take(asker)
        try:
            slot = await self._begin_within_own_bounds(lane) or await self._begin_within_bounds_of(lane)
            while slot is None:
                # Whenever one of the two let it start, the other did not; that may go on for ever where both are busy.
                slot = await self._begin_in_a_place_kept(lane)
            return slot
        finally:
            turns.pass_on()

    async def _begin_within_own_bounds(self, lane: Lane) -> Slot | None:
        """Wait until the session may start one more; nothing starts then if it is the lane that is in the way."""
        await self._turns_of_lanes.take(lane)
        try:
            await self._valve.opened()
            return self._start(lane, was_paced=False) if lane.turns.is_free and lane.valve.is_open else None
        finally:
            self._turns_of_lanes.pass_on()

    async def _begin_in_a_place_kept(self, lane: Lane) -> Slot | None:
        """Wait until the session may start one more, and keep that place while waiting for the lane."""
        await self._turns_of_lanes.take(lane)
        try:
            await self._valve.opened()
            if lane.turns.is_free and lane.valve.is_open:
                return self._start(lane, was_paced=False)
            place = lane.keep(self._valve)
        finally:
            self._turns_of_lanes.pass_on()
        try:
            return await self._begin_within_bounds_of(lane, place)
        finally:
            lane.give_back(place)

    async def _begin_within_bounds_of(self, lane: Lane, place: _Place | None = None) -> Slot | None:
        """Wait until the lane lets one more start; nothing starts then if it is the session that is in the way.

        Other lanes of the session do not wait meanwhile: a gateway that asked for a pause holds nobody else up.
        """
        await lane.turns.take(self)
        try:
            was_paced = await lane.valve.opened()
            if place is not None and place.take():
                return self._start_at(lane, was_paced=was_paced)
            return self._start(lane, was_paced=was_paced) if self._valve.is_open else None
        finally:
            lane.turns.pass_on()

    def _start(self, lane: Lane, *, was_paced: bool) -> Slot:
        self._valve.start()
        return self._start_at(lane, was_paced=was_paced)

    def _start_at(self, lane: Lane, *, was_paced: bool) -> Slot:
        lane.valve.start()
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        return Slot(lane, lane.allowance.start(self._now(), in_flight=lane.valve.in_flight, was_paced=was_paced))

    def _allowance(self, gateway: str, account: Hashable) -> Allowance:
        lane = self._lanes.get((gateway, account))
        if lane is not None:
            return lane.allowance
        unknown = Allowance()
        unknown.expect(self.fixed)
        return unknown

    def _lane(self, gateway: str, account: Hashable) -> Lane:
        lane = self._lanes.get((gateway, account))
        if lane is None:
            lane = self._lanes[gateway, account] = self._shared_lane(gateway, account)
            self._turns[lane] = Turns()
            lane.join(self)
        return lane

    def _shared_lane(self, gateway: str, account: Hashable) -> Lane:
        lanes = _LANES.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
        lane = lanes.get((gateway, account))
        if lane is None:
            allowance = Allowance()
            lane = lanes[gateway, account] = Lane(allowance, _Valve(allowance, self._now, self._sleep))
        return lane

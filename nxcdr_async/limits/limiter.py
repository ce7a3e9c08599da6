"""How much is asked of a gateway at once: slots, a pace, and pauses the gateway asks for.

Sessions of one account that ask the same gateway from one event loop share what it allows, and take turns.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any

from attrs import define

from nxcdr_async._util import clocks as machine_clocks
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async._util.validation import as_number, as_whole
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.limits.concurrency import HIGHEST_LIMIT, Allowance
from nxcdr_async.limits.fair_queue import Turns
from nxcdr_async.limits.gate import Place, Valve
from nxcdr_async.limits.shared import Lane, Slot, forget_lane, shared_lane

MOST_CONCURRENCY = 10_000
"""The highest ceiling that can be asked for."""

MOST_RATE = 1e6
"""The highest rate that can be asked for, in requests a second; none beyond it means anything."""


@define(eq=False)
class _Own:
    """The bounds a user set for a session."""

    limit: float
    pace: float


class Limiter(Uncopied):
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
        now: Callable[[], float] = machine_clocks.steady,
        sleep: Callable[[float], Awaitable[Any]] = machine_clocks.sleep,
    ) -> None:
        ceiling, starts = as_whole(concurrency), as_number(rate)
        if concurrency is not None and (ceiling is None or not 1 <= ceiling <= MOST_CONCURRENCY):
            raise ConfigurationError(
                f"concurrency is {concurrency!r}: give a whole number from 1 to {MOST_CONCURRENCY:,}, or None to adapt"
            )
        if rate is not None and (starts is None or not 0 < starts <= MOST_RATE):
            raise ConfigurationError(
                f"rate is {rate!r}: give the requests a second as a number above 0, up to {MOST_RATE:,.0f}, or None"
            )
        self.fixed = ceiling or 0
        self.peak_in_flight = 0
        self._bounds = _Own(ceiling or HIGHEST_LIMIT, starts or math.inf)
        self._now = now
        self._sleep = sleep
        self._valve = Valve(self._bounds, now, sleep)
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
        for key, lane in self._lanes.items():
            lane.leave(self)
            if lane.is_deserted:
                forget_lane(*key, lane)

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

    async def _begin_within_bounds_of(self, lane: Lane, place: Place | None = None) -> Slot | None:
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
            lane = self._lanes[gateway, account] = shared_lane(gateway, account, self._make_lane)
            self._turns[lane] = Turns()
            lane.join(self)
        return lane

    def _make_lane(self) -> Lane:
        allowance = Allowance()
        return Lane(allowance, Valve(allowance, self._now, self._sleep))

"""The way to one gateway for one account, which the sessions of an event loop share."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Protocol
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from attrs import define, field

from nxcdr_async.limits.concurrency import Allowance, Start
from nxcdr_async.limits.fair_queue import Turns
from nxcdr_async.limits.gate import Place, Valve

NEWS = 0.2
"""How much the last request counts in how long one usually takes."""


class Sharer(Protocol):
    """A session's own limiter, as far as those it shares a lane with have to know of it."""

    @property
    def fixed(self) -> int:
        """The ceiling a user set, 0 without."""


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
    valve: Valve
    turns: Turns = field(factory=Turns, init=False)
    usual_seconds: float = field(default=0.0, init=False)
    _kept: set[Place] = field(factory=set, init=False)
    _sharers: WeakSet[Sharer] = field(factory=WeakSet, init=False)

    def join(self, sharer: Sharer) -> None:
        """Count a session in that goes here from now on."""
        self._sharers.add(sharer)
        self.allowance.expect(sum(other.fixed for other in self._sharers))
        self.valve.bounds_changed()

    def leave(self, sharer: Sharer) -> None:
        """Count a session out that was closed."""
        self._sharers.discard(sharer)

    def hold(self, seconds: float) -> None:
        """Let nothing start for so long, nor any session keep a place meanwhile, which its other lanes can use."""
        self.valve.hold(seconds)
        for place in self._kept:
            place.give_back()

    def keep(self, valve: Valve) -> Place:
        """Keep a place within the bounds of a session until it is given back, though not in a pause."""
        place = Place(valve)
        self._kept.add(place)
        if not self.valve.is_held:
            place.keep()
        return place

    def give_back(self, place: Place) -> None:
        """Let other requests of the session have a place, unless one has started in it."""
        self._kept.discard(place)
        place.give_back()

    @property
    def is_deserted(self) -> bool:
        """Whether no session goes here any more."""
        return not self._sharers

    def learn_seconds(self, seconds: float) -> None:
        """Take in how long a request was under way that the gateway took."""
        self.usual_seconds += (seconds - self.usual_seconds) * NEWS


_LANES: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[tuple[str, Hashable], Lane]] = (
    WeakKeyDictionary()
)
"""The lanes of each event loop, as long as a session that is not closed uses them."""


def shared_lane(gateway: str, account: Hashable, make: Callable[[], Lane]) -> Lane:
    """Return the lane of this event loop to a gateway for an account, made if there is none."""
    lanes = _LANES.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    lane = lanes.get((gateway, account))
    if lane is None:
        lane = lanes[gateway, account] = make()
    return lane


def forget_lane(gateway: str, account: Hashable, lane: Lane) -> None:
    """Forget a lane of this event loop that no session uses any more, and what was learned there."""
    # Only of this loop: other threads may be adding loops of their own just now.
    lanes = _LANES.get(asyncio.get_running_loop())
    if lanes is not None and lanes.get((gateway, account)) is lane:
        del lanes[gateway, account]


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

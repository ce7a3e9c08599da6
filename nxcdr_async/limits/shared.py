"""What one gateway allows one account, shared by the sessions of an event loop."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Protocol
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from attrs import define, field

from nxcdr_async.limits.concurrency import AdaptiveConcurrency, RequestStart
from nxcdr_async.limits.fair_queue import FairQueue
from nxcdr_async.limits.gate import Gate, Reservation

WEIGHT_OF_LATEST_DURATION = 0.2
"""The weight of the latest request in how long one typically takes."""


class Sharer(Protocol):
    """A session's limiter, as far as the shared budget has to know it."""

    @property
    def fixed(self) -> int:
        """The ceiling a user set, 0 without."""


@define(eq=False)
class SharedBudget:
    """What one gateway allows one account, shared by all sessions of an event loop that ask it.

    Attributes:
        queue: of sessions; each waits with one request at most.
        typical_seconds: how long an accepted request typically takes; 0 before the first.
    """

    concurrency: AdaptiveConcurrency
    gate: Gate
    queue: FairQueue = field(factory=FairQueue, init=False)
    typical_seconds: float = field(default=0.0, init=False)
    _reservations: set[Reservation] = field(factory=set, init=False)
    _sharers: WeakSet[Sharer] = field(factory=WeakSet, init=False)

    def join(self, sharer: Sharer) -> None:
        """Add a session."""
        self._sharers.add(sharer)
        self.concurrency.allow_at_least(sum(other.fixed for other in self._sharers))
        self.gate.bounds_changed()

    def leave(self, sharer: Sharer) -> None:
        """Remove a session that was closed."""
        self._sharers.discard(sharer)

    def pause_for(self, seconds: float) -> None:
        """Let nothing start for so long, and leave reserved places to the sessions' other budgets."""
        self.gate.pause_for(seconds)
        for reservation in self._reservations:
            reservation.release()

    def reserve(self, gate: Gate) -> Reservation:
        """Reserve a place within the bounds of a session, which is kept until it is released, except in a pause."""
        reservation = Reservation(gate)
        self._reservations.add(reservation)
        if not self.gate.is_paused:
            reservation.activate()
        return reservation

    def release(self, reservation: Reservation) -> None:
        """Release a reserved place, unless a request has started in it."""
        self._reservations.discard(reservation)
        reservation.release()

    @property
    def is_unused(self) -> bool:
        """Whether no session uses it any more."""
        return not self._sharers

    def learn_duration(self, seconds: float) -> None:
        """Learn how long an accepted request took."""
        self.typical_seconds += (seconds - self.typical_seconds) * WEIGHT_OF_LATEST_DURATION


_BUDGETS: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[tuple[str, Hashable], SharedBudget]] = (
    WeakKeyDictionary()
)
"""The budgets of each event loop, as long as a session that is not closed uses them."""


def shared_budget(gateway: str, account: Hashable, make: Callable[[], SharedBudget]) -> SharedBudget:
    """Return this event loop's budget of a gateway and account, made if there is none."""
    budgets = _BUDGETS.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    budget = budgets.get((gateway, account))
    if budget is None:
        budget = budgets[gateway, account] = make()
    return budget


def forget_budget(gateway: str, account: Hashable, budget: SharedBudget) -> None:
    """Forget a budget of this event loop that no session uses any more, and what it has learned."""
    # Only of this loop: other threads may be adding loops of their own just now.
    budgets = _BUDGETS.get(asyncio.get_running_loop())
    if budgets is not None and budgets.get((gateway, account)) is budget:
        del budgets[gateway, account]


@define(eq=False)
class Slot:
    """The right to have one request in flight; its holder reports the outcome, if there is one to learn from."""

    budget: SharedBudget
    started: RequestStart
    _sent_at: float = field(init=False)

    @_sent_at.default
    def _sent_as_it_started(self) -> float:
        return self.started.at

    def sent(self) -> None:
        """Report that the request is sent only now: what it waited for in its slot is not its duration."""
        self._sent_at = self.budget.gate.now()

    def on_success(self) -> None:
        """Report that the gateway answered as it should."""
        gate = self.budget.gate
        self.budget.concurrency.on_success(self.started, gate.now(), in_flight=gate.in_flight)
        self.budget.learn_duration(gate.now() - self._sent_at)
        gate.bounds_changed()

    def on_throttled(self, pause: float) -> None:
        """Report that the gateway throttled the request, and the pause it asked for, in seconds."""
        gate = self.budget.gate
        self.budget.concurrency.on_throttled(self.started, gate.now(), pause=pause)

    def on_timeout(self) -> None:
        """Report that the gateway did not answer in time."""
        self.budget.concurrency.on_timeout(self.started, self.budget.gate.now())

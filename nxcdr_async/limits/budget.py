"""What one gateway allows one account: the dispatcher that starts requests, shared by the sessions of an event loop.

A request starts once both allow it, the budget and its session, and counts in both in one step. All this is
synchronous; a request only awaits the future that tells of its start.
"""

import asyncio
import math
from collections.abc import Callable, Hashable
from itertools import takewhile
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from attrs import define, field

from nxcdr_async.limits.concurrency import AdaptiveConcurrency, RequestStart
from nxcdr_async.limits.fair_queue import FairQueue

LATENESS = 0.01
"""Seconds by which a start may be late, as timers are, without delaying those after it."""

WEIGHT_OF_LATEST_DURATION = 0.2
"""The weight of the latest request in how long one typically takes."""

CallLater = Callable[[float, Callable[[], None]], Callable[[], None]]
"""Calls something after so many seconds; returns what cancels that."""


@define(eq=False)
class Starts:
    """How many requests are in flight, and when the next may start at a rate."""

    in_flight: int = 0
    _latest: float = -math.inf

    def next_at(self, rate: float) -> float:
        """Return from when on another may start."""
        return self._latest + 1 / rate

    def add(self, now: float, rate: float) -> None:
        """Count a request that starts."""
        planned = self.next_at(rate)
        self._latest = planned if now - planned <= LATENESS else now
        self.in_flight += 1


@define(eq=False)
class SessionBounds:
    """What a session allows itself over all its budgets.

    Attributes:
        limit: requests in flight at most.
        rate: requests that may start a second; infinite without a bound.
        fixed: the limit a user set, 0 without.
        peak_in_flight: the most that ever were.
        claims: the budgets that could have started a request of this session, had it allowed that. What frees up next
            is theirs, in this order, though a budget may be full again by then: else, where others keep both busy, each
            might allow a start just when the other does not, for ever. True where another was started before it.
    """

    limit: int
    rate: float
    fixed: int
    peak_in_flight: int = 0
    starts: Starts = field(factory=Starts, init=False)
    claims: "dict[SharedBudget, bool]" = field(factory=dict, init=False)

    def opens_at(self, budget: "SharedBudget") -> float:
        """Return from when on a budget may start a request of this session; infinite until another one ends."""
        kept = sum(not other.is_paused for other in self._claims_before(budget))
        if self.starts.in_flight + kept >= self.limit:
            return math.inf
        # No start is kept by the rate, which might take long, but who was overtaken may make up for that.
        early = 1 / self.rate if self.claims.get(budget) else 0.0
        return self.starts.next_at(self.rate) - early

    def start(self, budget: "SharedBudget", now: float) -> None:
        """Count a request that a budget starts."""
        for overtaken in self._claims_before(budget):
            self.claims[overtaken] = True
        self.claims.pop(budget, None)
        self.starts.add(now, self.rate)
        self.peak_in_flight = max(self.peak_in_flight, self.starts.in_flight)

    def dispatch(self) -> None:
        """Let the budgets with a claim use what this session allows by now."""
        for budget in list(self.claims):
            budget.dispatch()

    def _claims_before(self, budget: "SharedBudget") -> "list[SharedBudget]":
        return list(takewhile(lambda other: other is not budget, self.claims))


@define(eq=False)
class Slot:
    """The right to have one request in flight; its holder reports the outcome, if there is one to learn from."""

    budget: "SharedBudget"
    session: SessionBounds
    started: RequestStart
    _sent_at: float

    def sent(self) -> None:
        """Report that the request is sent only now: what it waited for in its slot is not its duration."""
        self._sent_at = self.budget.now()

    def on_success(self) -> None:
        """Report that the gateway answered as it should."""
        budget, now = self.budget, self.budget.now()
        budget.concurrency.on_success(self.started, now, in_flight=budget.starts.in_flight)
        budget.typical_seconds += (now - self._sent_at - budget.typical_seconds) * WEIGHT_OF_LATEST_DURATION
        budget.dispatch()

    def on_throttled(self, pause: float) -> None:
        """Report that the gateway throttled the request, and the pause it asked for, in seconds."""
        self.budget.concurrency.on_throttled(self.started, self.budget.now(), pause=pause)

    def on_timeout(self) -> None:
        """Report that the gateway did not answer in time."""
        self.budget.concurrency.on_timeout(self.started, self.budget.now())

    def release(self) -> None:
        """Let others start, as this request has ended."""
        self.budget.starts.in_flight -= 1
        self.session.starts.in_flight -= 1
        self.session.dispatch()
        self.budget.dispatch()


@define(eq=False)
class SharedBudget:
    """What one gateway allows one account, and the requests that wait for it.

    Attributes:
        now: the clock, in seconds.
        call_later: sets a timer.
        typical_seconds: how long an accepted request typically takes; 0 before the first.
        _is_held_by_rate: whether the rate made the next one wait, so that its start tells what that rate is worth.
    """

    now: Callable[[], float]
    call_later: CallLater
    concurrency: AdaptiveConcurrency = field(factory=AdaptiveConcurrency, init=False)
    starts: Starts = field(factory=Starts, init=False)
    typical_seconds: float = field(default=0.0, init=False)
    _waiting: FairQueue[SessionBounds, asyncio.Future[Slot]] = field(factory=FairQueue, init=False)
    _sessions: WeakSet[SessionBounds] = field(factory=WeakSet, init=False)
    _paused_until: float = field(default=-math.inf, init=False)
    _is_held_by_rate: bool = field(default=False, init=False)
    _wakes_at: float = field(default=math.inf, init=False)
    _cancel_timer: Callable[[], None] | None = field(default=None, init=False)

    @property
    def is_unused(self) -> bool:
        """Whether no session uses it any more."""
        return not self._sessions

    @property
    def is_paused(self) -> bool:
        """Whether nothing may start, as the gateway asked for a pause."""
        return self._paused_until > self.now()

    def join(self, session: SessionBounds) -> None:
        """Add a session."""
        self._sessions.add(session)
        self.concurrency.allow_at_least(sum(each.fixed for each in self._sessions))
        self.dispatch()

    def leave(self, session: SessionBounds) -> None:
        """Remove a session that was closed."""
        self._sessions.discard(session)

    def pause_for(self, seconds: float) -> None:
        """Let nothing start for so long, and leave what sessions allow to their other budgets meanwhile."""
        self._paused_until = max(self._paused_until, self.now() + seconds)
        for session in list(self._waiting):
            session.dispatch()

    async def acquire(self, session: SessionBounds, client: Hashable) -> Slot:
        """Wait until a request may start; one that is cancelled meanwhile does not."""
        waiter: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._waiting.add(session, client, waiter)
        self.dispatch()
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():  # cancelled in the very step in which it started
                waiter.result().release()
            else:
                self._forget(session, client, waiter)
            raise

    def dispatch(self) -> None:
        """Start those whose turn it is, as long as both bounds allow it; be called again if only time is in the way."""
        now, opens_at = self.now(), math.inf
        while self._waiting:
            opens_at = self._opens_at()
            if opens_at > now:
                self._is_held_by_rate |= self._paused_until < opens_at < math.inf
                break
            opens_at, session = self._next_session(now)
            if session is None:
                break
            self._start(session, now)
            opens_at = math.inf
        self._wake_at(opens_at, now)

    def _opens_at(self) -> float:
        """Return from when on the gateway allows another start; infinite until one in flight ends."""
        if self.starts.in_flight >= int(self.concurrency.limit):
            return math.inf
        return max(self.starts.next_at(self.concurrency.rate), self._paused_until)

    def _next_session(self, now: float) -> tuple[float, SessionBounds | None]:
        """Return the first session that allows a start, or from when on one does; those passed over claim the next."""
        earliest = math.inf
        for session in self._waiting:
            opens_at = session.opens_at(self)
            if opens_at <= now:
                return now, session
            session.claims.setdefault(self, False)
            earliest = min(earliest, opens_at)
        return earliest, None

    def _start(self, session: SessionBounds, now: float) -> None:
        waiter = self._waiting.pop(session)
        if waiter.cancelled():  # its task has not yet had the chance to take it out
            return
        session.start(self, now)
        self.starts.add(now, self.concurrency.rate)
        waited_for_rate, self._is_held_by_rate = self._is_held_by_rate, False
        started = self.concurrency.start(now, in_flight=self.starts.in_flight, waited_for_rate=waited_for_rate)
        waiter.set_result(Slot(self, session, started, now))

    def _forget(self, session: SessionBounds, client: Hashable, waiter: asyncio.Future[Slot]) -> None:
        self._waiting.remove(session, client, waiter)
        if session not in self._waiting:
            session.claims.pop(self, None)
            session.dispatch()
        self.dispatch()

    def _wake_at(self, moment: float, now: float) -> None:
        if moment == self._wakes_at:
            return
        if self._cancel_timer is not None:
            self._cancel_timer()
        self._wakes_at = moment
        self._cancel_timer = None if math.isinf(moment) else self.call_later(moment - now, self._wake)

    def _wake(self) -> None:
        self._wakes_at, self._cancel_timer = math.inf, None
        # Where a session's own rate was in the way, its other budgets may have claimed the next start before.
        for session in list(self._waiting):
            session.dispatch()
        self.dispatch()


_BUDGETS: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[tuple[str, Hashable], SharedBudget]] = (
    WeakKeyDictionary()
)
"""The budgets of each event loop, as long as a session that is not closed uses them."""


def shared_budget(gateway: str, account: Hashable, *, now: Callable[[], float], call_later: CallLater) -> SharedBudget:
    """Return this event loop's budget of a gateway and account, made if there is none."""
    budgets = _BUDGETS.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    budget = budgets.get((gateway, account))
    if budget is None:
        budget = budgets[gateway, account] = SharedBudget(now, call_later)
    return budget


def forget_budget(gateway: str, account: Hashable, budget: SharedBudget) -> None:
    """Forget a budget of this event loop that no session uses any more, and what it has learned."""
    # Only of this loop: other threads may be adding loops of their own just now.
    budgets = _BUDGETS.get(asyncio.get_running_loop())
    if budgets is not None and budgets.get((gateway, account)) is budget:
        del budgets[gateway, account]

"""How much a session asks of its gateways at once: slots, a rate, and the pauses that gateways ask for.

Sessions of one account that ask the same gateway from one event loop share its budget, and take turns.
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
from nxcdr_async.limits.concurrency import HIGHEST_LIMIT, AdaptiveConcurrency
from nxcdr_async.limits.fair_queue import FairQueue
from nxcdr_async.limits.gate import Gate, Reservation
from nxcdr_async.limits.shared import SharedBudget, Slot, forget_budget, shared_budget

MOST_CONCURRENCY = 10_000
"""The highest ceiling that can be asked for."""

MOST_RATE = 1e6
"""The highest rate that can be asked for, in requests a second; none beyond it means anything."""


@define(eq=False)
class _SessionBounds:
    """The bounds a user set for a session."""

    limit: float
    rate: float


class Limiter(Uncopied):
    """Hands out slots to all requests of a session: clients take turns, as do its budgets, and sessions at a budget.

    There is a budget for each gateway and account; an account is any hashable that tells accounts apart.

    Args:
        concurrency: requests in flight at most, None to adapt to the gateway, up to `HIGHEST_LIMIT`.
        rate: requests a second at most; None to adapt to the gateway.
        now: the clock, in seconds.
        sleep: waits for so many seconds.

    Attributes:
        fixed: the ceiling a user set, 0 without.
        peak_in_flight: the most requests that ever were in flight.
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
        self._bounds = _SessionBounds(ceiling or HIGHEST_LIMIT, starts or math.inf)
        self._now = now
        self._sleep = sleep
        self._gate = Gate(self._bounds, now, sleep)
        self._budgets: dict[tuple[str, Hashable], SharedBudget] = {}
        self._queues: dict[SharedBudget, FairQueue] = {}
        self._queue_of_budgets = FairQueue()

    @property
    def ceiling(self) -> int:
        """Requests in flight at most, whatever a gateway allows."""
        return int(self._bounds.limit)

    @property
    def in_flight(self) -> int:
        """Requests in flight now."""
        return self._gate.in_flight

    def limit(self, gateway: str, account: Hashable) -> int:
        """Return how many requests to a gateway may be in flight now."""
        return min(self.ceiling, int(self._concurrency(gateway, account).limit))

    def rate(self, gateway: str, account: Hashable) -> float:
        """Return how many requests to a gateway may start a second; infinite without a bound."""
        return min(self._bounds.rate, self._concurrency(gateway, account).rate)

    def useful_concurrency(self, gateway: str, account: Hashable) -> int:
        """Return how many requests are worth having at once: the limit, or as many as the rate lets start meanwhile.

        With a rate that is one more, which waits for it: otherwise the rate would neither be used up nor be probed.
        """
        limit, rate = self.limit(gateway, account), self.rate(gateway, account)
        if math.isinf(rate):
            return limit
        budget = self._budgets.get((gateway, account))
        return min(limit, math.ceil((budget.typical_seconds if budget else 0.0) * rate) + 1)

    def lower_ceiling(self, ceiling: int) -> None:
        """Keep the ceiling at or under what the connection pool allows."""
        self._bounds.limit = min(self.ceiling, ceiling)
        self.fixed = min(self.fixed, ceiling)

    def pause_for(self, gateway: str, account: Hashable, seconds: float) -> None:
        """Let nothing start at a gateway for so long, as it asked (`Retry-After`)."""
        self._budget(gateway, account).pause_for(seconds)

    @asynccontextmanager
    async def slot(self, gateway: str, account: Hashable, client: Hashable | None = None) -> AsyncIterator[Slot]:
        """Wait for a slot at a gateway, and for the rate and any pause; on leaving, the slot is free again.

        Args:
            gateway: its base URL.
            account: tells accounts apart.
            client: whose request it is; those of one client start in the order they came. None for a client of its own.
        """
        slot = await self._begin(self._budget(gateway, account), object() if client is None else client)
        try:
            yield slot
        finally:
            slot.budget.gate.finish()
            self._gate.finish()

    def leave(self) -> None:
        """Leave all budgets, as the session is closed; the last session to leave one has it forgotten."""
        for key, budget in self._budgets.items():
            budget.leave(self)
            if budget.is_unused:
                forget_budget(*key, budget)

    async def _begin(self, budget: SharedBudget, client: Hashable) -> Slot:
        queue = self._queues[budget]
        await queue.acquire(client)
        try:
            slot = await self._start_within_session(budget) or await self._start_within_budget(budget)
            while slot is None:
                # Each may let it start just when the other does not, which could go on for ever where both are busy.
                slot = await self._start_in_reservation(budget)
            return slot
        finally:
            queue.release()

    async def _start_within_session(self, budget: SharedBudget) -> Slot | None:
        """Wait until the session may start one more; None if the budget does not let it start then."""
        await self._queue_of_budgets.acquire(budget)
        try:
            await self._gate.wait_until_open()
            return self._start(budget, waited_for_rate=False) if budget.queue.is_free and budget.gate.is_open else None
        finally:
            self._queue_of_budgets.release()

    async def _start_in_reservation(self, budget: SharedBudget) -> Slot | None:
        """Wait until the session may start one more, and reserve that place while waiting for the budget."""
        await self._queue_of_budgets.acquire(budget)
        try:
            await self._gate.wait_until_open()
            if budget.queue.is_free and budget.gate.is_open:
                return self._start(budget, waited_for_rate=False)
            reservation = budget.reserve(self._gate)
        finally:
            self._queue_of_budgets.release()
        try:
            return await self._start_within_budget(budget, reservation)
        finally:
            budget.release(reservation)

    async def _start_within_budget(self, budget: SharedBudget, reservation: Reservation | None = None) -> Slot | None:
        """Wait until the budget lets one more start; None if the session does not let it start then.

        The session's other budgets do not wait meanwhile: a gateway that asked for a pause delays no other.
        """
        await budget.queue.acquire(self)
        try:
            waited_for_rate = await budget.gate.wait_until_open()
            if reservation is not None and reservation.claim():
                return self._start_reserved(budget, waited_for_rate=waited_for_rate)
            return self._start(budget, waited_for_rate=waited_for_rate) if self._gate.is_open else None
        finally:
            budget.queue.release()

    def _start(self, budget: SharedBudget, *, waited_for_rate: bool) -> Slot:
        self._gate.start()
        return self._start_reserved(budget, waited_for_rate=waited_for_rate)

    def _start_reserved(self, budget: SharedBudget, *, waited_for_rate: bool) -> Slot:
        budget.gate.start()
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        return Slot(
            budget,
            budget.concurrency.start(self._now(), in_flight=budget.gate.in_flight, waited_for_rate=waited_for_rate),
        )

    def _concurrency(self, gateway: str, account: Hashable) -> AdaptiveConcurrency:
        budget = self._budgets.get((gateway, account))
        if budget is not None:
            return budget.concurrency
        unknown = AdaptiveConcurrency()
        unknown.allow_at_least(self.fixed)
        return unknown

    def _budget(self, gateway: str, account: Hashable) -> SharedBudget:
        budget = self._budgets.get((gateway, account))
        if budget is None:
            budget = self._budgets[gateway, account] = shared_budget(gateway, account, self._make_budget)
            self._queues[budget] = FairQueue()
            budget.join(self)
        return budget

    def _make_budget(self) -> SharedBudget:
        concurrency = AdaptiveConcurrency()
        return SharedBudget(concurrency, Gate(concurrency, self._now, self._sleep))

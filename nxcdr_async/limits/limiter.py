"""How much a session asks of its gateways at once: slots, a rate, and the pauses that gateways ask for.

Sessions of one account that ask the same gateway from one event loop share its budget, and take turns.
"""

import math
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager

from attrs import define, field

from nxcdr_async._util import clocks
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async._util.validation import as_number, as_whole
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.limits.budget import CallLater, SessionBounds, SharedBudget, Slot, forget_budget, shared_budget
from nxcdr_async.limits.concurrency import HIGHEST_LIMIT, AdaptiveConcurrency

MOST_CONCURRENCY = 10_000
"""The highest ceiling that can be asked for."""

MOST_RATE = 1e6
"""The highest rate that can be asked for, in requests a second; none beyond it means anything."""


@define(eq=False)
class _Turn(AbstractAsyncContextManager[Slot]):
    """A request from the wait for its slot to its end."""

    _budget: SharedBudget
    _session: SessionBounds
    _client: Hashable
    _slot: Slot = field(init=False)

    async def __aenter__(self) -> Slot:
        self._slot = await self._budget.acquire(self._session, self._client)
        return self._slot

    async def __aexit__(self, *_: object) -> None:
        self._slot.release()


class Limiter(Uncopied):
    """Hands out slots to all requests of a session: clients take turns, as do its budgets, and sessions at a budget.

    There is a budget for each gateway and account; an account is any hashable that tells accounts apart.

    Args:
        concurrency: requests in flight at most, None to adapt to the gateway, up to `HIGHEST_LIMIT`.
        rate: requests a second at most; None to adapt to the gateway.
        now: the clock, in seconds.
        call_later: sets a timer, and returns what cancels it.
    """

    def __init__(
        self,
        *,
        concurrency: int | None = None,
        rate: float | None = None,
        now: Callable[[], float] = clocks.steady,
        call_later: CallLater = clocks.call_later,
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
        self._session = SessionBounds(ceiling or HIGHEST_LIMIT, starts or math.inf, fixed=ceiling or 0)
        self._now = now
        self._call_later = call_later
        self._budgets: dict[tuple[str, Hashable], SharedBudget] = {}

    @property
    def ceiling(self) -> int:
        """Requests in flight at most, whatever a gateway allows."""
        return self._session.limit

    @property
    def fixed(self) -> int:
        """The ceiling a user set, 0 without."""
        return self._session.fixed

    @property
    def in_flight(self) -> int:
        """Requests in flight now."""
        return self._session.starts.in_flight

    @property
    def peak_in_flight(self) -> int:
        """The most requests that ever were in flight."""
        return self._session.peak_in_flight

    def limit(self, gateway: str, account: Hashable) -> int:
        """Return how many requests to a gateway may be in flight now."""
        return min(self.ceiling, int(self._concurrency(gateway, account).limit))

    def rate(self, gateway: str, account: Hashable) -> float:
        """Return how many requests to a gateway may start a second; infinite without a bound."""
        return min(self._session.rate, self._concurrency(gateway, account).rate)

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
        self._session.limit = min(self.ceiling, ceiling)
        self._session.fixed = min(self.fixed, ceiling)

    def pause_for(self, gateway: str, account: Hashable, seconds: float) -> None:
        """Let nothing start at a gateway for so long, as it asked (`Retry-After`)."""
        self._budget(gateway, account).pause_for(seconds)

    def slot(
        self, gateway: str, account: Hashable, client: Hashable | None = None
    ) -> AbstractAsyncContextManager[Slot]:
        """Wait for a slot at a gateway, and for the rate and any pause; on leaving, the slot is free again.

        Args:
            gateway: its base URL.
            account: tells accounts apart.
            client: whose request it is; those of one client start in the order they came. None for a client of its own.
        """
        return _Turn(self._budget(gateway, account), self._session, object() if client is None else client)

    def leave(self) -> None:
        """Leave all budgets, as the session is closed; the last session to leave one has it forgotten."""
        for key, budget in self._budgets.items():
            budget.leave(self._session)
            if budget.is_unused:
                forget_budget(*key, budget)

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
            budget = shared_budget(gateway, account, now=self._now, call_later=self._call_later)
            self._budgets[gateway, account] = budget
            budget.join(self._session)
        return budget

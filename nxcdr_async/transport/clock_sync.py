"""The wait before a signature: while a gateway's clock is in doubt, one request measures it and the others wait."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from attrs import define, field

from nxcdr_async._util.clocks import move_on_after
from nxcdr_async.transport.clock_skew import Freshness, Moment

LONGEST_SILENCE = 5.0
"""Seconds a request waits for others to measure the clock; then nobody waits any more: it may be the connection."""


@define(eq=False)
class ClockSync:
    """Lets one request through at a time until a response settles the gateway's clock; then all.

    Were all of them signed by a clock that is off, each would be refused. A request that ends without a response leaves
    the measuring to the next. Where nothing can be learned (responses without a `Date`, a gateway that does not answer)
    all go on until something can; nobody waits for the end of a request that hangs.
    """

    _freshness: Freshness = field(factory=Freshness, init=False)
    _measured: asyncio.Event | None = field(default=None, init=False)
    _is_settled: bool = field(default=True, init=False)
    _is_given_up: bool = field(default=False, init=False)

    @asynccontextmanager
    async def ready_to_sign(self, now: Callable[[], Moment]) -> AsyncIterator[None]:
        """Wait until a request may be signed; the block is the request."""
        if self._measured is not None:
            await self._wait(now)
        if not self.is_shut(now()):
            yield
            return
        self._measured = measured = asyncio.Event()
        try:
            yield
        finally:
            if self._measured is measured:
                self._measured = None
            measured.set()

    def learn(self, moment: Moment, *, has_time: bool, is_settled: bool = True) -> None:
        """Learn from a response: whether it had the gateway's time, and whether that is beyond doubt by now."""
        if has_time:
            self._freshness.renew(moment)
        self._is_settled = is_settled
        self._is_given_up = is_settled and not has_time

    async def _wait(self, now: Callable[[], Moment]) -> None:
        with move_on_after(LONGEST_SILENCE) as waiting:
            while self._measured is not None and self.is_shut(now()):
                await self._measured.wait()
        measured = self._measured
        if waiting.cancelled_caught and measured is not None and self.is_shut(now()):
            self._is_given_up, self._measured = True, None
            measured.set()

    def is_shut(self, moment: Moment) -> bool:
        """Return whether a request has to wait, or to measure the clock itself."""
        return not self._is_given_up and (not self._is_settled or self._freshness.is_over(moment))

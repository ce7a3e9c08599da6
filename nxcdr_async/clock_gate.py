"""The gate before a signature: while a gateway's clock is unknown, one request measures it and the others wait."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from attrs import define, field

from nxcdr_async.clock import Freshness, Moment

LONGEST_FAILURE = 5.0
"""Seconds; once a measuring request took longer without a reply, nobody waits any more: it may be the line itself."""


@define(eq=False)
class ClockGate:
    """Lets one request through at a time until a reply tells the gateway's clock; then all.

    Were all of them signed by a clock that is off, each would be refused. A request that ends without a reply leaves
    the gate to the next. Where nothing can be learned (replies without a `Date`, a line that does not answer) the gate
    stands open until something can.
    """

    _freshness: Freshness = field(factory=Freshness, init=False)
    _measured: asyncio.Event | None = field(default=None, init=False)
    _is_given_up: bool = field(default=False, init=False)

    @asynccontextmanager
    async def passed(self, now: Callable[[], Moment]) -> AsyncIterator[None]:
        """Wait until a request may be signed; the block is the request."""
        while self._measured is not None and self._is_shut(now()):
            await self._measured.wait()
        if not self._is_shut(now()):
            yield
            return
        self._measured = measured = asyncio.Event()
        began = now().steady
        try:
            yield
        finally:
            self._measured = None
            measured.set()
            moment = now()
            if self._is_shut(moment) and moment.steady - began > LONGEST_FAILURE:
                self._is_given_up = True

    def learn(self, moment: Moment, *, told_time: bool) -> None:
        """Take in that a reply came, and whether it told the gateway's time."""
        if told_time:
            self._freshness.renew(moment)
        self._is_given_up = not told_time

    def _is_shut(self, moment: Moment) -> bool:
        return not self._is_given_up and self._freshness.is_over(moment)

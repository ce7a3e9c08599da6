"""A gateway, and what its replies told of it."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

from nxcdr_async._util.clocks import steady, wall
from nxcdr_async.config import Region
from nxcdr_async.protocol.endpoints import Endpoint, GatewayKind
from nxcdr_async.stats import ClockSource
from nxcdr_async.telemetry.log import log_clock_source
from nxcdr_async.transport.clock_skew import ClockEstimate, Moment
from nxcdr_async.transport.clock_sync import ClockGate
from nxcdr_async.transport.retry import LONGEST_DELAY


@define(eq=False)
class KnownGateway:
    """A gateway, and what its replies told of it.

    Attributes:
        url: base URL.
        clock: its clock, against ours.
        clock_gate: lets one request measure its clock while that is in doubt.
        is_heard: whether anything answered there that is a gateway.
        answered: when it last answered a question, epoch seconds by our clock.
        failed: when a request last failed there, likewise.
        failing_since: when requests began to fail there, one soon after the other, likewise.
        paused_until: until when it asked us to wait, likewise.
    """

    url: str
    clock: ClockEstimate = field(factory=ClockEstimate)
    clock_gate: ClockGate = field(factory=ClockGate)
    is_heard: bool = False
    answered: float = -math.inf
    failed: float = -math.inf
    failing_since: float = -math.inf
    paused_until: float = -math.inf
    _told_source: ClockSource = field(default="date", init=False)

    def clock_at(self, moment: Moment) -> ClockEstimate:
        """Return the estimate of its clock, with how far this machine's two clocks are apart now."""
        self.clock.ours = moment.wall - moment.steady
        return self.clock

    def note_failure(self, now: float, *, timeout: float) -> None:
        """Note that a request failed, an attempt of which may take so many seconds.

        Where none was tried for long, as this process or machine stood still, no time was lost on the gateway.
        """
        if now - max(self.failed, self.paused_until) > timeout + LONGEST_DELAY:
            self.failing_since = now
        self.failed = now

    def learn_clock(self, endpoint: Endpoint[Any], moment: Moment, *, told_time: bool) -> None:
        """Open or shut the gate by what a reply told, and log once where it is not the `Date` that is believed."""
        clock = self.clock
        self.clock_gate.learn(moment, told_time=told_time, is_settled=clock.is_settled)
        if clock.source != self._told_source and clock.is_settled:
            self._told_source = clock.source
            log_clock_source(endpoint, clock.source, clock.skew or 0.0)


def known_gateways(region: Region, by_hand: str | None) -> Mapping[GatewayKind, KnownGateway]:
    """Return where each API is asked: of the region's gateway and the shared one, or of one given by hand."""
    own = KnownGateway(by_hand or region.gateway)
    shared = own.url if by_hand else region.shared_gateway
    return {"region": own, "shared": own if shared == own.url else KnownGateway(shared)}


def steady_clock() -> Callable[[], float]:
    """Return a clock in epoch seconds that does not jump when the machine's clock is set."""
    offset = wall() - steady()
    return lambda: steady() + offset

"""What is known of a gateway from its responses: its clock, failures and pauses."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

from nxcdr_async._util.clocks import steady, wall
from nxcdr_async.config import Region
from nxcdr_async.errors import ClockSkewError, GatewayError, NxcdrError
from nxcdr_async.protocol.endpoints import Endpoint, GatewayKind
from nxcdr_async.stats import ClockSource
from nxcdr_async.telemetry.log import log_clock_source
from nxcdr_async.transport.clock_skew import ClockEstimate, Moment
from nxcdr_async.transport.clock_sync import ClockSync
from nxcdr_async.transport.retry import LONGEST_DELAY, Attempts, outage_until


@define(frozen=True)
class Timing:
    """The times of an exchange, epoch seconds by our clock.

    Attributes:
        sent: when the request was signed and sent.
        received: when its response had been read.
        correction: seconds that were added to our clock for the timestamp.
    """

    sent: float
    received: float
    correction: float


@define(eq=False)
class GatewayState:
    """What is known of a gateway from its responses.

    Attributes:
        url: base URL.
        clock: its clock, against ours.
        clock_sync: lets one request measure its clock while that is in doubt.
        is_heard: whether anything answered there that is a gateway.
        answered: when it last answered a question, epoch seconds by our clock.
        failed: when a request last failed there, likewise.
        failing_since: when requests began to fail there, one soon after the other, likewise.
        paused_until: until when it asked us to wait, likewise.
    """

    url: str
    clock: ClockEstimate = field(factory=ClockEstimate)
    clock_sync: ClockSync = field(factory=ClockSync)
    is_heard: bool = False
    answered: float = -math.inf
    failed: float = -math.inf
    failing_since: float = -math.inf
    paused_until: float = -math.inf
    _logged_source: ClockSource = field(default="date", init=False)

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

    def circuit_open(self, attempts: Attempts, *, timeout: float) -> bool:
        """Return whether all has failed here for so long that a question is not asked again.

        Args:
            attempts: those at the question.
            timeout: seconds one attempt may take.
        """
        alive = max(self.answered, self.failing_since)
        return attempts.circuit_open(self.failed, alive=alive, paused_until=self.paused_until, timeout=timeout)

    def seconds_to_outage(self, now: float, *, timeout: float) -> float | None:
        """Return how long it is still asked at most if it goes on answering nothing; None while it answers."""
        if self.failed <= self.answered:
            return None
        dead_since = max(self.answered, self.failing_since)
        return max(0.0, outage_until(dead_since, paused_until=self.paused_until, timeout=timeout) - now)

    def observe_clock(self, moment: Moment, timing: Timing, headers: Mapping[str, str]) -> bool:
        """Learn its clock from the headers of a response, and return whether they had a time."""
        return self.clock_at(moment).observe(
            sent=timing.sent, received=timing.received, date=headers.get("date"), age=headers.get("age")
        )

    def note_answer(self, endpoint: Endpoint[Any], moment: Moment, timing: Timing, *, has_time: bool) -> None:
        """Note that a question was answered, after `observe_clock` of that response."""
        self.is_heard = True
        self.answered = max(self.answered, timing.received)
        if endpoint.auth.is_timestamped:
            self.clock.accepted(timing.correction, sent=timing.sent, received=timing.received)
        self._settle_clock(endpoint, moment, has_time=has_time or endpoint.auth.is_timestamped)

    def note_refusal(
        self, endpoint: Endpoint[Any], moment: Moment, timing: Timing, failure: NxcdrError, *, has_time: bool
    ) -> None:
        """Note that a response was no answer, after `observe_clock` of it."""
        # A web page in place of an answer may come from anywhere; a refusal, if only by status, is a gateway's.
        self.is_heard = self.is_heard or isinstance(failure, GatewayError)
        if isinstance(failure, ClockSkewError) and endpoint.auth.is_timestamped:
            self.clock.refused(timing.correction, sent=timing.sent, received=timing.received)
        self._settle_clock(endpoint, moment, has_time=has_time)

    def _settle_clock(self, endpoint: Endpoint[Any], moment: Moment, *, has_time: bool) -> None:
        """Let those go on that wait for its clock, or hold them back; log once where the `Date` is not believed."""
        clock = self.clock
        self.clock_sync.learn(moment, has_time=has_time, is_settled=clock.is_settled)
        if clock.source != self._logged_source and clock.is_settled:
            self._logged_source = clock.source
            log_clock_source(endpoint, clock.source, clock.skew or 0.0)


def known_gateways(region: Region, by_hand: str | None) -> Mapping[GatewayKind, GatewayState]:
    """Return where each API is asked: of the region's gateway and the shared one, or of one given by hand."""
    own = GatewayState(by_hand or region.gateway)
    shared = own.url if by_hand else region.shared_gateway
    return {"region": own, "shared": own if shared == own.url else GatewayState(shared)}


def steady_clock() -> Callable[[], float]:
    """Return a clock in epoch seconds that does not jump when the machine's clock is set."""
    offset = wall() - steady()
    return lambda: steady() + offset

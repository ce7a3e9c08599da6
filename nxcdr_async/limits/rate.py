"""How many requests a second a gateway accepts, if it bounds them. Pure: times are arguments, in seconds."""

import math

from attrs import define, field

from nxcdr_async.limits.probing import ProbeSchedule

LOWEST_RATE = 0.45
"""Requests a second never gone below: the vendor's sibling APIs allow one in two seconds at least."""

RATE_KEPT = 0.97
"""The share kept of a rate that was throttled, as the network delays requests unevenly."""

SHRINK_BELOW_ONE = 0.7
"""The same, where less than one a second was too much: the time between two requests is less certain than a count."""

FIRST_STEP = 0.03
"""How much higher the first rate probed is; each probe that succeeds doubles the next step."""

CLEARLY_MORE = 1.1
"""Times a rate that was once throttled, from which on a success shows that the gateway accepts more by now."""

SECONDS_TO_FIND = 1.5
RESPONSES_TO_FIND = 10
"""How long a trial goes on lowering the rate: until the requests counted all started under it."""

SECONDS_TO_JUDGE = 1.0
RESPONSES_TO_JUDGE = 40
"""How long throttled requests are then counted, to judge whether the lower rate helped."""

FEW_THROTTLED = 0.03
"""The share of throttled requests that starts no trial, and up to which a lower rate counts as having helped."""

NEAR_HIGHEST = 0.95
"""The share of the highest recent rate above which the rate may be why a request was throttled."""

MOST_UNEXPLAINED = 0.5
"""The share of throttled requests above which a trial is always worth it."""

WEIGHT_OF_LATEST_RESPONSE = 0.02
"""The weight of the latest response in the share of throttled requests."""

UNEXPLAINED_KEPT = 0.995
"""What each response leaves of the share that the rate does not explain, so that it is judged anew now and then."""


@define(eq=False)
class _Trial:
    """A lower rate on trial: first it is found, then judged by the requests that started under it.

    Attributes:
        judging_since: when the rate was found; infinite before.
        responses: those that came before that.
        judged: those that came after it.
        throttled: how many of those judged were throttled.
    """

    since: float
    judging_since: float = math.inf
    responses: int = 0
    judged: int = 0
    throttled: int = 0

    def is_finding(self) -> bool:
        return math.isinf(self.judging_since)

    def count(self, started_at: float, now: float, *, throttled: bool) -> None:
        if self.is_finding():
            self.responses += 1
            if now >= self.since + SECONDS_TO_FIND and self.responses >= RESPONSES_TO_FIND:
                self.judging_since = now
        elif started_at > self.judging_since:
            self.judged += 1
            self.throttled += throttled

    def is_over(self, now: float) -> bool:
        if self.throttled > FEW_THROTTLED * RESPONSES_TO_JUDGE:
            return True
        return now >= self.judging_since + SECONDS_TO_JUDGE and self.judged >= RESPONSES_TO_JUDGE

    @property
    def share(self) -> float:
        return self.throttled / self.judged


@define(eq=False)
class AdaptiveRate:
    """Requests a second that may start.

    A bound is found by trial: the rate is lowered to what the gateway accepted in the last second, and kept if requests
    are no longer throttled. If they are, there is another reason, say a gateway that fails now and then, and the bound
    is dropped; else it would fall for ever. A bound that was found is probed in growing steps.

    Attributes:
        value: infinite while no bound is known.
    """

    value: float = math.inf
    _probing: ProbeSchedule = field(factory=ProbeSchedule)
    _throttled_share: float = 0.0
    _unexplained_share: float = 0.0
    _trial: _Trial | None = None
    _rate_before_probing: float = math.inf
    _rate_before_step: float = math.inf
    _step: float = FIRST_STEP
    _is_probing: bool = False
    _changed_at: float = -math.inf

    def on_success(self, started_at: float, now: float, *, waited_for_rate: bool) -> None:
        """Learn from a success."""
        self._probing.count_response()
        self._count(started_at, now, throttled=False)
        if waited_for_rate and not math.isinf(self.value) and self._trial is None and self._probing.is_due(started_at):
            if not self._is_probing:
                self._rate_before_probing = self.value
            self._rate_before_step = self.value
            self.value *= 1 + self._step
            self._step = min(1.0, 2 * self._step)
            self._is_probing = True
            self._probing.after_step(now)
            if self._rate_before_step > self._rate_before_probing * CLEARLY_MORE:
                self._probing.after_success()

    def on_throttled(
        self, started_at: float, now: float, *, rate: float | None, highest_rate: float, pause: float
    ) -> bool:
        """Learn from a throttled request.

        Args:
            started_at: when it started.
            now: the time.
            rate: the requests a second before it, None after an idle time.
            highest_rate: the most requests a second that were accepted lately.
            pause: the seconds the gateway asked to pause for.

        Returns:
            whether the rate explains it.
        """
        self._count(started_at, now, throttled=True)
        if self._trial is None and started_at <= self._changed_at:
            return True  # it was sent before the rate was lowered
        if rate is None or (self._trial is None and rate <= highest_rate * NEAR_HIGHEST):
            return False
        if self._is_probing:
            self._step_back(rate, highest_rate, now, pause)
            return True
        if not self._begin_trial(now, pause):
            return False
        self._lower(rate, highest_rate, now)
        return True

    def _step_back(self, rate: float, highest_rate: float, now: float, pause: float) -> None:
        """Go back to a rate that was accepted."""
        self.value = max(self._rate_before_probing, min(self._rate_before_step, _below(rate, highest_rate)))
        self._is_probing, self._step, self._changed_at = False, FIRST_STEP, now
        self._probing.after_throttle(now, pause)

    def _begin_trial(self, now: float, pause: float) -> bool:
        """Begin a trial if more requests are throttled than usual; return whether one is finding a rate now."""
        if self._trial is not None:
            return self._trial.is_finding()
        if self._throttled_share <= max(FEW_THROTTLED, min(MOST_UNEXPLAINED, 2 * self._unexplained_share)):
            return False
        self._trial = _Trial(now)
        self._probing.after_throttle(now, pause)
        return True

    def _lower(self, rate: float, highest_rate: float, now: float) -> None:
        self.value = max(LOWEST_RATE, min(self.value, _below(rate, highest_rate)))
        self._changed_at = now

    def _count(self, started_at: float, now: float, *, throttled: bool) -> None:
        self._throttled_share += (throttled - self._throttled_share) * WEIGHT_OF_LATEST_RESPONSE
        self._unexplained_share *= UNEXPLAINED_KEPT
        trial = self._trial
        if trial is None:
            return
        trial.count(started_at, now, throttled=throttled)
        if trial.is_over(now):
            self._trial = None
            self._unexplained_share = trial.share
            if trial.share > FEW_THROTTLED:
                self.value, self._is_probing, self._step = math.inf, False, FIRST_STEP


def _below(throttled: float, highest_rate: float) -> float:
    """Return a rate that should be accepted, from one that was throttled and the highest that was accepted."""
    return throttled * RATE_KEPT if throttled >= 1 else max(throttled * SHRINK_BELOW_ONE, highest_rate * RATE_KEPT)

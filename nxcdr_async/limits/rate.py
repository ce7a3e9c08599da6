"""How many requests a second a gateway accepts, if it bounds them. Pure: times are arguments, in seconds."""

import math
from typing import Literal

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

EXCESS_TO_CHECK = 1.5
"""Times the lower rate at which it is checked: a gateway that bounds the rate throttles a third of the requests."""

SECONDS_TO_CHECK = 1.0
RESPONSES_TO_CHECK = 10
THROTTLED_TO_CONFIRM = 2
"""How long that goes on, unless so many are throttled; without them the rate was not the reason, and is dropped.

A single one that asks for a pause is enough: after it, the gateway may count from none.
"""

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
    """A lower rate on trial: it is found, then judged by requests that started under it, then checked by exceeding it.

    Attributes:
        stage: of the three.
        since: when that began.
        responses: those to requests that started since then; while it is found, all that came.
        throttled: how many of them were throttled.
    """

    since: float
    stage: Literal["finding", "judging", "checking"] = "finding"
    responses: int = 0
    throttled: int = 0

    def begin(self, stage: Literal["judging", "checking"], now: float) -> None:
        self.stage, self.since, self.responses, self.throttled = stage, now, 0, 0

    def count(self, started_at: float, *, throttled: bool) -> None:
        if self.stage == "finding" or started_at > self.since:
            self.responses += 1
            self.throttled += throttled

    def has_lasted(self, now: float, *, seconds: float, responses: int) -> bool:
        return now >= self.since + seconds and self.responses >= responses

    @property
    def share(self) -> float:
        return self.throttled / self.responses


@define(eq=False)
class AdaptiveRate:
    """Requests a second that may start.

    A bound is found by trial: the rate is lowered to what the gateway accepted in the last second, and kept if requests
    are no longer throttled. If they are, there is another reason, say a gateway that fails now and then, and the bound
    is dropped; else it would fall for ever. If not, it is clearly exceeded for a moment: only where requests are then
    throttled again was it the reason. A bound that was found is probed in growing steps.

    Attributes:
        value: infinite while no bound is known.
    """

    value: float = math.inf
    _probing: ProbeSchedule = field(factory=ProbeSchedule)
    _throttled_share: float = 0.0
    _suspected: float = math.inf
    _unexplained_share: float = 0.0
    _trial: _Trial | None = None
    _rate_before_probing: float = math.inf
    _rate_before_step: float = math.inf
    _step: float = FIRST_STEP
    _is_probing: bool = False
    _changed_at: float = -math.inf
    _pause: float = 0.0

    @property
    def is_on_trial(self) -> bool:
        """Whether a lower rate is being found or checked, so that other bounds should stay as they are."""
        return self._trial is not None and self._trial.stage != "judging"

    @property
    def is_probed(self) -> bool:
        """Whether a rate that was found is exceeded by little, so that a throttled request most likely came of that."""
        return self._is_probing and self._rate_before_step <= self._rate_before_probing * CLEARLY_MORE

    def on_success(self, started_at: float, now: float, *, rate: float, waited_for_rate: bool) -> None:
        """Learn from a success, before which so many started in a second."""
        if rate > self._suspected * CLEARLY_MORE:
            self._throttled_share = 0.0  # it was not the rate that those before were throttled for
        self._probing.count_response()
        # A check proves nothing while the rate that is checked was not exceeded, as something else held requests up.
        self._count(started_at, now, throttled=False, counts=waited_for_rate and rate > self._rate_before_probing)
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
        self._pause = pause
        self._count(started_at, now, throttled=True)
        if self._trial is None and started_at <= self._changed_at:
            return True  # it was sent before the rate was lowered
        # What a probe has reached by now is no measure of what the gateway had accepted before.
        accepted = min(highest_rate, self._rate_before_probing) if self._is_probing else highest_rate
        if rate is None or (self._trial is None and rate <= accepted * NEAR_HIGHEST):
            return False
        if rate > self._suspected * CLEARLY_MORE:
            self._throttled_share = WEIGHT_OF_LATEST_RESPONSE
        self._suspected = rate
        if self._is_probing:
            self._step_back(rate, highest_rate, now, pause)
            return True
        usual = max(FEW_THROTTLED, min(MOST_UNEXPLAINED, 2 * self._unexplained_share))
        if self._trial is None and self._throttled_share > usual:
            self._trial = _Trial(now)
            self._probing.after_throttle(now, pause)
        if self._trial is None or self._trial.stage == "judging":
            return False
        if self._trial.stage == "finding":
            self.value = max(LOWEST_RATE, min(self.value, _below(rate, highest_rate)))
            self._changed_at = now
        return True

    def _step_back(self, rate: float, highest_rate: float, now: float, pause: float) -> None:
        """Go back to a rate that was accepted."""
        self.value = max(self._rate_before_probing, min(self._rate_before_step, _below(rate, highest_rate)))
        self._is_probing, self._step, self._changed_at = False, FIRST_STEP, now
        self._probing.after_throttle(now, pause)

    def _count(self, started_at: float, now: float, *, throttled: bool, counts: bool = True) -> None:
        self._throttled_share += (throttled - self._throttled_share) * WEIGHT_OF_LATEST_RESPONSE
        self._unexplained_share *= UNEXPLAINED_KEPT
        if self._trial is not None:
            if counts or self._trial.stage != "checking":
                self._trial.count(started_at, throttled=throttled)
            self._judge(self._trial, now)

    def _judge(self, trial: _Trial, now: float) -> None:
        if trial.stage == "finding":
            if trial.has_lasted(now, seconds=SECONDS_TO_FIND, responses=RESPONSES_TO_FIND):
                trial.begin("judging", now)
        elif trial.stage == "judging":
            if trial.throttled > FEW_THROTTLED * RESPONSES_TO_JUDGE:
                self._drop(trial.share)
            elif trial.has_lasted(now, seconds=SECONDS_TO_JUDGE, responses=RESPONSES_TO_JUDGE):
                trial.begin("checking", now)
                self._rate_before_probing = self.value
                self.value *= EXCESS_TO_CHECK
        elif trial.throttled >= (1 if self._pause else THROTTLED_TO_CONFIRM):
            self._trial, self.value, self._changed_at = None, self._rate_before_probing, now
            self._probing.after_throttle(now, self._pause)
        elif trial.has_lasted(now, seconds=SECONDS_TO_CHECK, responses=RESPONSES_TO_CHECK):
            self._drop(FEW_THROTTLED)

    def _drop(self, unexplained: float) -> None:
        self._trial, self._unexplained_share = None, unexplained
        self.value, self._is_probing, self._step = math.inf, False, FIRST_STEP


def _below(throttled: float, highest_rate: float) -> float:
    """Return a rate that should be accepted, from one that was throttled and the highest that was accepted."""
    return throttled * RATE_KEPT if throttled >= 1 else max(throttled * SHRINK_BELOW_ONE, highest_rate * RATE_KEPT)

"""When to probe whether a gateway allows more than it once did. Pure: times are arguments, in seconds."""

import math

from attrs import define

SECONDS_TO_PROBE = 2.0
"""Seconds after a throttled request before the bound that explained it is probed."""

SECONDS_BETWEEN_STEPS = 1.0
"""How long a higher rate is kept before the probe has succeeded, as rates are counted by the second."""

RESPONSES_TO_PROBE = (20, 100)
"""Successes before a bound is probed: after the first throttled request, and at most, as each further doubles it."""

PAUSES_TO_PROBE = 20.0
"""Times the pause that a gateway asked for, for which its bound is not probed."""

LONGEST_TO_PROBE = 300.0
"""Seconds after which a bound is probed, however long the pause was."""


@define(eq=False)
class ProbeSchedule:
    """When to probe whether more is allowed by now."""

    _responses: int = 0
    _responses_to_probe: int = RESPONSES_TO_PROBE[0]
    _not_before: float = -math.inf
    _not_before_responses: int = 0

    def count_response(self) -> None:
        """Count a success."""
        self._responses += 1

    def is_due(self, now: float) -> bool:
        """Return whether it is time to probe."""
        return now >= self._not_before and self._responses >= self._not_before_responses

    def after_throttle(self, now: float, pause: float) -> None:
        """Wait before the next probe: the longer, the more probes failed and the longer the pause asked for was."""
        self._not_before = now + min(LONGEST_TO_PROBE, max(SECONDS_TO_PROBE, PAUSES_TO_PROBE * pause))
        self._not_before_responses = self._responses + self._responses_to_probe
        self._responses_to_probe = min(RESPONSES_TO_PROBE[1], 2 * self._responses_to_probe)

    def after_step(self, now: float) -> None:
        """Wait until a probe can have failed."""
        self._not_before, self._not_before_responses = now + SECONDS_BETWEEN_STEPS, self._responses

    def after_success(self) -> None:
        """Probe soon after the next throttled request, as the gateway does not stay as it was."""
        self._responses_to_probe = RESPONSES_TO_PROBE[0]

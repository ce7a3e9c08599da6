"""When a bound that a gateway once set is tried again. Pure: times are arguments, in seconds."""

import math

from attrs import define

SECONDS_TO_TRY = 2.0
"""Seconds after a refusal before the bound that explained it is tried again."""

SECONDS_BETWEEN_STEPS = 1.0
"""How long a pace is kept before a try for more has succeeded, as rates are counted by the second."""

REPLIES_TO_TRY = (20, 100)
"""Good replies before a bound is tried again: after the first refusal, and at most, as each that follows doubles it."""

PAUSES_TO_TRY = 20.0
"""How many times as long as the pause a refusal asked for its bound is left alone."""

LONGEST_TO_TRY = 300.0
"""Seconds after which a bound is tried again, however long the pause was."""


@define(eq=False)
class Patience:
    """When to try whether more is allowed by now."""

    _replies: int = 0
    _replies_to_try: int = REPLIES_TO_TRY[0]
    _not_before: float = -math.inf
    _not_before_replies: int = 0

    def count_reply(self) -> None:
        """Count a good reply."""
        self._replies += 1

    def is_over(self, now: float) -> bool:
        """Tell whether it is time to try."""
        return now >= self._not_before and self._replies >= self._not_before_replies

    def after_refusal(self, now: float, pause: float) -> None:
        """Wait before the next try; the longer, the more tries failed, and the longer the gateway asked to."""
        self._not_before = now + min(LONGEST_TO_TRY, max(SECONDS_TO_TRY, PAUSES_TO_TRY * pause))
        self._not_before_replies = self._replies + self._replies_to_try
        self._replies_to_try = min(REPLIES_TO_TRY[1], 2 * self._replies_to_try)

    def after_step(self, now: float) -> None:
        """Wait until a try can have failed."""
        self._not_before, self._not_before_replies = now + SECONDS_BETWEEN_STEPS, self._replies

    def after_success(self) -> None:
        """Try soon again after the next refusal: the gateway does not stay as it was."""
        self._replies_to_try = REPLIES_TO_TRY[0]

"""How many requests a second a gateway takes, if that is what it bounds. Pure: times are arguments, in seconds."""

import math

from attrs import define, field

from nxcdr_async.limits.probing import Patience

LOWEST_PACE = 0.45
"""Requests a second never gone below: the vendor's sibling APIs allow one in two seconds at least."""

PACE_KEPT = 0.97
"""What is kept of the requests a second a gateway took when it refused one more: room for a network that is uneven."""

SHRINK_BELOW_ONE = 0.7
"""The same, where less than one a second was too much: the time between two requests tells less than a count."""

FIRST_STEP = 0.03
"""How much faster the first try for a higher pace is; each that succeeds doubles the next."""

CLEARLY_MORE = 1.1
"""How many times a pace that was once refused has to be taken to show that the gateway takes more by now."""

SECONDS_TO_FIND = 1.5
REPLIES_TO_FIND = 10
"""How long a trial goes on lowering the pace: until the requests counted all started under it."""

SECONDS_TO_JUDGE = 1.0
REPLIES_TO_JUDGE = 40
"""How long refusals are then counted, to judge whether the lower pace was of use."""

FEW = 0.03
"""The share of refusals that is nothing to look for a pace for, and up to which one that was found is of use."""

AS_QUICKLY = 0.95
"""The share of the highest rate taken lately above which the rate may be the reason for a refusal."""

MOST_NOISE = 0.5
"""The share of refusals above which there is always a reason to look for."""

SHARE_NEWS = 0.02
"""How much the last reply counts in the share of replies that refuse."""

NOISE_KEPT = 0.995
"""What each reply leaves of the share of refusals that is taken to have no reason: it is judged anew now and then."""


@define(eq=False)
class _Trial:
    """A lower pace that is tried.

    Attributes:
        since: when it began.
        judging_since: when the pace was found; infinite before.
        replies: replies that came before.
        judged: replies that came after.
        refused: how many of them refused.
    """

    since: float
    judging_since: float = math.inf
    replies: int = 0
    judged: int = 0
    refused: int = 0

    def is_finding(self) -> bool:
        return math.isinf(self.judging_since)

    def count(self, started_at: float, now: float, *, refused: bool) -> None:
        if self.is_finding():
            self.replies += 1
            if now >= self.since + SECONDS_TO_FIND and self.replies >= REPLIES_TO_FIND:
                self.judging_since = now
        elif started_at > self.judging_since:
            self.judged += 1
            self.refused += refused

    def is_over(self, now: float) -> bool:
        if self.refused > FEW * REPLIES_TO_JUDGE:
            return True
        return now >= self.judging_since + SECONDS_TO_JUDGE and self.judged >= REPLIES_TO_JUDGE

    @property
    def share(self) -> float:
        return self.refused / self.judged


@define(eq=False)
class Pace:
    """Requests a second that may start.

    A pace is found by trial: it is lowered to what the gateway took in the last second, and kept if that ends the
    refusals. If it does not, they have another reason, say a gateway that fails now and then, and the pace is given up;
    else it would fall for ever. A pace that was found is tried for more in growing steps.

    Attributes:
        value: infinite while nothing speaks for a bound.
    """

    value: float = math.inf
    _patience: Patience = field(factory=Patience)
    _share: float = 0.0
    _noise: float = 0.0
    _trial: _Trial | None = None
    _before_steps: float = math.inf
    _before_step: float = math.inf
    _step: float = FIRST_STEP
    _is_trying_for_more: bool = False
    _changed_at: float = -math.inf

    def taken(self, started_at: float, now: float, *, was_paced: bool) -> None:
        """Take in a good reply."""
        self._patience.count_reply()
        self._count(started_at, now, refused=False)
        if was_paced and not math.isinf(self.value) and self._trial is None and self._patience.is_over(started_at):
            if not self._is_trying_for_more:
                self._before_steps = self.value
            self._before_step = self.value
            self.value *= 1 + self._step
            self._step = min(1.0, 2 * self._step)
            self._is_trying_for_more = True
            self._patience.after_step(now)
            if self._before_step > self._before_steps * CLEARLY_MORE:
                self._patience.after_success()

    def refused(self, started_at: float, now: float, *, rate: float | None, taken: float, pause: float) -> bool:
        """Take in a refusal.

        Args:
            started_at: when the request started.
            now: the time.
            rate: the requests a second before it, None if there was no such thing.
            taken: the most requests a second that were taken lately.
            pause: the pause the gateway asked for.

        Returns:
            Whether the pace explains it.
        """
        self._count(started_at, now, refused=True)
        if self._trial is None and started_at <= self._changed_at:
            return True  # it was sent before the pace was lowered
        if rate is None or (self._trial is None and rate <= taken * AS_QUICKLY):
            return False
        if self._is_trying_for_more:
            self._step_back(rate, taken, now, pause)
            return True
        if not self._search(now, pause):
            return False
        self._lower(rate, taken, now)
        return True

    def _step_back(self, rate: float, taken: float, now: float, pause: float) -> None:
        """Go back to a pace that was taken."""
        self.value = max(self._before_steps, min(self._before_step, _below(rate, taken)))
        self._is_trying_for_more, self._step, self._changed_at = False, FIRST_STEP, now
        self._patience.after_refusal(now, pause)

    def _search(self, now: float, pause: float) -> bool:
        """Begin a trial if there are more refusals than come without reason; tell whether one looks for a pace now."""
        if self._trial is not None:
            return self._trial.is_finding()
        if self._share <= max(FEW, min(MOST_NOISE, 2 * self._noise)):
            return False
        self._trial = _Trial(now)
        self._patience.after_refusal(now, pause)
        return True

    def _lower(self, rate: float, taken: float, now: float) -> None:
        self.value = max(LOWEST_PACE, min(self.value, _below(rate, taken)))
        self._changed_at = now

    def _count(self, started_at: float, now: float, *, refused: bool) -> None:
        self._share += (refused - self._share) * SHARE_NEWS
        self._noise *= NOISE_KEPT
        trial = self._trial
        if trial is None:
            return
        trial.count(started_at, now, refused=refused)
        if trial.is_over(now):
            self._trial = None
            self._noise = trial.share
            if trial.share > FEW:
                self.value, self._is_trying_for_more, self._step = math.inf, False, FIRST_STEP


def _below(refused: float, taken: float) -> float:
    """Return a rate a gateway should take, from one it refused and the highest it took."""
    return refused * PACE_KEPT if refused >= 1 else max(refused * SHRINK_BELOW_ONE, taken * PACE_KEPT)

"""The gateway's clock, told from its replies. Pure: every time is an argument, in epoch seconds.

A reply's `Date` header says which second the gateway was in at some moment between sending and receiving. So each reply
bounds the difference of the two clocks from both sides, and the bounds of several replies narrow each other.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

from attrs import define

CORRECT_ABOVE = 3.0
"""Seconds of skew that are left alone: far inside the vendor's window of 60."""

SAME_SKEW = 30.0
"""Two skews closer than this cannot explain why one was refused and the other would not be."""

LONGEST_UNHEARD = 120.0
"""Seconds without a reply after which a gateway's clock may have moved too far to sign by what was known of it."""

APART = 5.0
"""Seconds by which this machine's two clocks may part until one of them must have stood still, or been set."""

_DATE_RESOLUTION = 1.0


@define(frozen=True)
class Moment:
    """A moment by both clocks of this machine, epoch seconds.

    Attributes:
        steady: by the one that never jumps, but stands still while some machines sleep.
        wall: by the one that people set.
    """

    steady: float
    wall: float


@define
class Freshness:
    """Tells whether what was learned of a gateway's clock still holds.

    Attributes:
        renewed: when it was learned last; None before the first time.
    """

    renewed: Moment | None = None

    def renew(self, moment: Moment) -> None:
        """Note that it was learned now."""
        self.renewed = moment

    def is_over(self, moment: Moment) -> bool:
        """Tell whether it has to be learned anew: never known, long ago, or the machine slept meanwhile."""
        if self.renewed is None:
            return True
        passed = moment.steady - self.renewed.steady
        return passed > LONGEST_UNHEARD or abs(moment.wall - self.renewed.wall - passed) > APART


@define
class ClockEstimate:
    """What is known of the difference between the gateway's clock and ours.

    Attributes:
        earliest: the least the gateway can be ahead of us, in seconds; None before the first reply.
        latest: the most it can be ahead.
        trusted: False once the gateway refused timestamps that its own `Date` headers had set.
        accepted_correction: the correction of the last timestamp the gateway accepted.
        refused_correction: that of the last one it refused.
    """

    earliest: float | None = None
    latest: float | None = None
    trusted: bool = True
    accepted_correction: float | None = None
    refused_correction: float | None = None

    @property
    def skew(self) -> float | None:
        """Seconds the gateway is ahead of us (negative: behind); None before the first reply."""
        if self.earliest is None or self.latest is None:
            return None
        if self.earliest <= 0 <= self.latest:
            return 0.0
        return (self.earliest + self.latest) / 2

    @property
    def correction(self) -> float:
        """Seconds to add to our clock before signing."""
        skew = self.skew
        if not self.trusted or skew is None or abs(skew) <= CORRECT_ABOVE:
            return 0.0
        return skew

    def observe(self, *, sent: float, received: float, date: str | None, age: str | None = None) -> bool:
        """Learn from one reply: when it was sent for and received by our clock, its `Date` and `Age` headers.

        Returns:
            Whether it told the time: a reply out of a cache (`Age`) or with no readable `Date` does not.
        """
        if date is None or age is not None or received < sent:
            return False
        told = _epoch(date)
        if told is None:
            return False
        earliest, latest = told - received, told + _DATE_RESOLUTION - sent
        if self.earliest is None or self.latest is None or latest < self.earliest or earliest > self.latest:
            # The first reply, or one that contradicts the others: a clock was set, so what we knew is void.
            self.earliest, self.latest = earliest, latest
        else:
            self.earliest, self.latest = max(self.earliest, earliest), min(self.latest, latest)
        return True

    def accepted(self, correction: float) -> None:
        """Learn that a timestamp made with this correction was accepted."""
        self.accepted_correction = correction

    def was_accepted(self, correction: float) -> bool:
        """Tell whether about this correction was accepted the last time, so that a refusal is no matter of clocks."""
        return self.accepted_correction is not None and abs(self.accepted_correction - correction) < SAME_SKEW

    def refused(self, used_correction: float) -> None:
        """Learn that a timestamp made with this correction was refused (code 1004), after `observe` of that reply.

        If the reply's own `Date` would lead to the same timestamp again, though none like it was ever accepted, it is
        not the clock the gateway checks by. Should timestamps by our own clock be refused then, it gets a new trial.
        """
        self.refused_correction = used_correction
        if not self.trusted:
            self.trusted = not used_correction
            return
        if (
            used_correction
            and not self.was_accepted(used_correction)
            and abs(self.correction - used_correction) < SAME_SKEW
        ):
            self.trusted = False

    @property
    def may_be_accepted(self) -> bool:
        """Whether a timestamp made now may be accepted though the last one was refused.

        It may if one like it was, or if the gateway, by its own `Date`, is elsewhere than the one that was refused: of
        several machines behind one address, each with a clock of its own, the next answer may come from another.
        """
        if self.was_accepted(self.correction):
            return True
        skew, refused = self.skew, self.refused_correction
        return skew is not None and refused is not None and abs(skew - refused) >= SAME_SKEW


@lru_cache(maxsize=4)  # many replies come in one second
def _epoch(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        # One without a zone, or with -0000, comes back naive; by HTTP every Date is UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

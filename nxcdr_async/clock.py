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

_DATE_RESOLUTION = 1.0


@define
class ClockEstimate:
    """What is known of the difference between the gateway's clock and ours.

    Attributes:
        earliest: the least the gateway can be ahead of us, in seconds; None before the first reply.
        latest: the most it can be ahead.
        trusted: False once the gateway refused timestamps that its own `Date` headers had set.
        accepted_correction: the correction of the last timestamp the gateway accepted.
    """

    earliest: float | None = None
    latest: float | None = None
    trusted: bool = True
    accepted_correction: float | None = None

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

    def observe(self, *, sent: float, received: float, date: str | None, age: str | None = None) -> None:
        """Learn from one reply: when it was sent for and received by our clock, its `Date` and `Age` headers.

        A reply out of a cache (`Age`) or with no readable `Date` teaches nothing.
        """
        if date is None or age is not None or received < sent:
            return
        told = _epoch(date)
        if told is None:
            return
        earliest, latest = told - received, told + _DATE_RESOLUTION - sent
        if self.earliest is None or self.latest is None or latest < self.earliest or earliest > self.latest:
            # The first reply, or one that contradicts the others: a clock was set, so what we knew is void.
            self.earliest, self.latest = earliest, latest
            return
        self.earliest, self.latest = max(self.earliest, earliest), min(self.latest, latest)

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
        if not self.trusted:
            self.trusted = not used_correction
            return
        if (
            used_correction
            and not self.was_accepted(used_correction)
            and abs(self.correction - used_correction) < SAME_SKEW
        ):
            self.trusted = False


@lru_cache(maxsize=4)  # many replies come in one second
def _epoch(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        # One without a zone, or with -0000, comes back naive; by HTTP every Date is UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

"""The gateway's clock, learned from what it accepts and refuses, and from its `Date` headers. Pure.

Every time is an argument, in epoch seconds. One rule says whom to believe. A `ts` that is accepted proves the gateway's
clock to within 60 s of it, and a refused one that it is not there; no `Date` outweighs that, as it may be a relay's. A
`Date` that agrees with it tells the second. Where none does, this machine's own clock is used.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

from attrs import define, field

from nxcdr_async.stats import ClockSource

CORRECT_ABOVE = 3.0
"""Seconds of skew that are left alone: far inside the vendor's window of 60."""

SAME_SKEW = 30.0
"""Two skews closer than this cannot explain why one was refused and the other would not be."""

PROVEN_WITHIN = 60.0
"""Seconds between a `ts` that is accepted and the gateway's clock, at most."""

SAFE_WITHIN = 45.0
"""Seconds a timestamp goes at most beyond those that were accepted: their proof, less what a slow network may cost."""

LONGEST_UNHEARD = 120.0
"""Seconds without a response after which a gateway's clock may have moved too far to sign by what was known of it."""

APART = 5.0
"""Seconds by which this machine's two clocks may part until one of them must have stood still, or been set."""

_DATE_RESOLUTION = 1.0
_REFUSALS_KEPT = 8
_CONTRADICTS_BEYOND = 75.0  # what is proven and a quarter of it, as a Date is no more exact than the network


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
    """Says whether what was learned of a gateway's clock still holds.

    Attributes:
        renewed: when it was learned last; None before the first time.
    """

    renewed: Moment | None = None

    def renew(self, moment: Moment) -> None:
        """Note that it was learned now."""
        self.renewed = moment

    def is_over(self, moment: Moment) -> bool:
        """Return whether it has to be learned anew: never known, long ago, or the machine slept meanwhile."""
        if self.renewed is None:
            return True
        passed = moment.steady - self.renewed.steady
        return passed > LONGEST_UNHEARD or abs(moment.wall - self.renewed.wall - passed) > APART


@define(frozen=True)
class Interval:
    """Numbers from one to another, both included."""

    least: float
    most: float

    def around(self, within: float) -> "Interval":
        """Return what is so near to each of them."""
        return Interval(self.most - within, self.least + within)

    def holds(self, number: float) -> bool:
        """Return whether a number is one of them."""
        return self.least <= number <= self.most

    def nearest(self, number: float) -> float:
        """Return the one nearest to a number."""
        return min(max(number, self.least), self.most)

    def with_(self, number: float) -> "Interval":
        """Return the least span that holds a number too."""
        return Interval(min(self.least, number), max(self.most, number))


@define
class ClockEstimate:
    """How far a gateway's clock is ahead of ours, in seconds: the one estimate that all goes by.

    Attributes:
        ours: how far this machine's clock, which people set, is ahead of the steady one that the others go by.
    """

    ours: float = 0.0
    _date: Interval | None = field(default=None, init=False)
    _dates_seen: Interval | None = field(default=None, init=False)
    _is_date_trusted: bool = field(default=True, init=False)
    _has_date_agreed: bool = field(default=False, init=False)
    _accepted: Interval | None = field(default=None, init=False)
    _refused: list[float] = field(factory=list, init=False)
    # Whether a timestamp a little below, or above, what was accepted since was refused.
    _is_refused_below: bool = field(default=False, init=False)
    _is_refused_above: bool = field(default=False, init=False)
    _learned_at: float = field(default=float("-inf"), init=False)

    @property
    def skew(self) -> float | None:
        """Seconds the gateway is believed to be ahead of us (negative: behind); None while that is not known."""
        if self._accepted is None:
            return self._agreed_date
        return self._accepted.around(PROVEN_WITHIN).nearest(self._aim)

    @property
    def source(self) -> ClockSource:
        """What it is known from."""
        if self._agreed_date is not None:
            return "date"
        return "machine" if self._accepted is None else "timestamps"

    @property
    def is_settled(self) -> bool:
        """Whether the next timestamp is expected to be accepted; until then one request tries at a time."""
        return not self._refused and not self._is_contradicted

    @property
    def bounds(self) -> Interval:
        """The least and the most the gateway may be ahead: as one where timestamps prove it, else by all sources."""
        skew = self.skew
        if skew is not None and self._accepted is not None and self.is_settled:
            return Interval(skew, skew)
        bounds = Interval(self.ours, self.ours)
        seen = self._dates_seen
        if self._date_skew is not None and seen is not None and seen.most - seen.least <= _CONTRADICTS_BEYOND:
            bounds = bounds.with_(self._date_skew)
        if skew is None or self._accepted is None:
            return bounds
        return bounds.with_(self._accepted.least).with_(self._accepted.most).with_(skew)

    @property
    def correction(self) -> float:
        """Seconds to add to our clock before signing."""
        if self._refused:
            return self._trial
        aim = self._aim
        if self._accepted is None:
            return 0.0 if abs(aim) <= CORRECT_ABOVE else aim
        if self._is_contradicted:
            return self._probe(self._accepted, aim=self._date_skew or 0.0)
        return self._safe(self._accepted).nearest(0.0 if abs(aim) <= CORRECT_ABOVE else aim)

    @property
    def may_be_accepted(self) -> bool:
        """Whether a timestamp made now may be accepted though the last one was refused.

        It may if one was before, or if there is a clock left to try. Of several machines behind one address, each with
        a clock of its own, the next answer may come from another.
        """
        return self._accepted is not None or self._untried is not None

    def observe(self, *, sent: float, received: float, date: str | None, age: str | None = None) -> bool:
        """Learn from one response: when it was sent for and received by our clock, its `Date` and `Age` headers.

        The `Date` says which second it was at some moment between the two, so each response bounds the difference from
        both sides, and the bounds of several narrow each other.

        Returns:
            Whether it had a time: a response out of a cache (`Age`) or with no readable `Date` does not.
        """
        if date is None or age is not None or received < sent:
            return False
        second = _epoch(date)
        if second is None:
            return False
        earliest, latest = second - received, second + _DATE_RESOLUTION - sent
        if self._date is not None and earliest <= self._date.most and latest >= self._date.least:
            if earliest > self._date.least or latest < self._date.most:
                self._date = Interval(max(self._date.least, earliest), min(self._date.most, latest))
        else:
            # The first response, or one that contradicts the others: a clock was set, so what we knew is void.
            self._date = Interval(earliest, latest)
        middle = (earliest + latest) / 2
        if self._dates_seen is None:
            self._dates_seen = Interval(middle, middle)
        elif not self._dates_seen.holds(middle):
            self._dates_seen = self._dates_seen.with_(middle)
        return True

    def accepted(self, correction: float, *, sent: float, received: float) -> None:
        """Learn that a timestamp made with this correction was accepted, after `observe` of that response."""
        if sent < self._learned_at:
            return
        if self._accepted is None or self._refused or not self._is_near_accepted(correction):
            self._accepted, self._learned_at = Interval(correction, correction), received
            near = [refused for refused in self._refused if self._is_near_accepted(refused)]
            self._is_refused_below = any(refused < correction for refused in near)
            self._is_refused_above = any(refused > correction for refused in near)
            self._refused.clear()
            self._is_date_trusted, self._has_date_agreed = True, False
        elif not self._accepted.holds(correction):
            self._accepted = self._accepted.with_(correction)
        if self._agreed_date is not None:
            self._has_date_agreed = True
        elif self._date is not None and not self._has_date_agreed:
            self._is_date_trusted = False

    def refused(self, correction: float, *, sent: float, received: float) -> None:
        """Learn that a timestamp made with this correction was refused (1004), after `observe` of that response."""
        # What was signed before the last news teaches nothing new: of many on the wire, all are refused.
        if sent < self._learned_at:
            return
        self._learned_at = received
        if not self._refused and self._accepted is not None and not self._is_near_accepted(correction):
            # It was the Date that led away from all that was accepted.
            self._is_date_trusted = False
            return
        date = self._date_skew
        if date is not None and abs(date - correction) < SAME_SKEW and not self._is_near_accepted(correction):
            self._is_date_trusted = False
        self._refused = [*self._refused[1 - _REFUSALS_KEPT :], correction]

    @property
    def _date_skew(self) -> float | None:
        if self._date is None:
            return None
        return 0.0 if self._date.holds(0.0) else (self._date.least + self._date.most) / 2

    @property
    def _agreed_date(self) -> float | None:
        """What the `Date` says, if no timestamp says that it is another clock's."""
        skew = self._date_skew
        if skew is None or not self._is_date_trusted:
            return None
        return skew if self._accepted is None or self._is_near_accepted(skew) else None

    @property
    def _is_contradicted(self) -> bool:
        """Whether a `Date` that agreed with accepted timestamps left them: the gateway's clock was set, or it lies."""
        skew = self._date_skew
        if skew is None or not (self._is_date_trusted and self._has_date_agreed):
            return False
        return not self._is_near_accepted(skew)

    def _is_near_accepted(self, skew: float) -> bool:
        accepted = self._accepted
        if accepted is None:
            return False
        return accepted.most - _CONTRADICTS_BEYOND <= skew <= accepted.least + _CONTRADICTS_BEYOND

    @property
    def _machine(self) -> float:
        return 0.0 if abs(self.ours) <= CORRECT_ABOVE else self.ours

    @property
    def _aim(self) -> float:
        """Where the gateway's clock is, by the best source there is."""
        date = self._agreed_date
        if date is not None:
            return date
        if self._accepted is None or self._accepted.around(SAFE_WITHIN).holds(self._machine):
            return self._machine
        return (self._accepted.least + self._accepted.most) / 2

    def _safe(self, accepted: Interval) -> Interval:
        """Return which corrections are expected to be accepted: none nearer to one that was refused close by."""
        safe = accepted.around(SAFE_WITHIN)
        return Interval(
            accepted.least if self._is_refused_below else safe.least,
            accepted.most if self._is_refused_above else safe.most,
        )

    @staticmethod
    def _probe(accepted: Interval, *, aim: float) -> float:
        """Return a correction that is accepted if the `Date` is right, and refused if the clock stands where it did."""
        beyond = PROVEN_WITHIN + _CONTRADICTS_BEYOND - 10  # which a Date just beyond contradiction is 50 s from
        return max(aim, accepted.least + beyond) if aim > accepted.most else min(aim, accepted.most - beyond)

    @property
    def _trial(self) -> float:
        """Return what to try after a refusal; one that was refused already where nothing else is left."""
        untried = self._untried
        if untried is not None:
            return untried
        return self._machine if self._accepted is None else self._accepted.most

    @property
    def _untried(self) -> float | None:
        last, date = self._refused[-1] if self._refused else None, self._date_skew
        if last is None:
            return self._aim
        is_date_elsewhere = date is not None and abs(date - last) >= SAME_SKEW
        was_moved = is_date_elsewhere and self._is_date_trusted
        if len(self._refused) == 1 and self._is_near_accepted(last) and not was_moved:
            return last  # one like it was accepted, so that it may be no matter of clocks
        known = None if self._accepted is None else self._accepted.most
        trials: list[float] = [trial for trial in (date, known, self._machine, 0.0) if trial is not None]
        for apart in (SAME_SKEW, CORRECT_ABOVE):
            for trial in trials:
                if all(abs(trial - refused) >= apart for refused in self._refused):
                    return trial
        # Of several machines behind one address, each with its own clock, the one that refused shows where it is.
        return date if was_moved else None


@lru_cache(maxsize=4)  # many responses come in one second
def _epoch(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        # One without a zone, or with -0000, comes back naive; by HTTP every Date is UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

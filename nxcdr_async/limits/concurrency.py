"""How much a gateway allows, told from what it takes and what it refuses. Pure: times are arguments, in seconds.

No document says how much that is, and it may be so many requests at once, or so many a second. A refusal alone does not
say which; but a gateway that a moment ago took a request with as many others in flight refused it for the pace, and one
that took requests as quickly refused it for being one too many. So each refusal is held against what was taken lately,
and lowers the one bound that explains it, to just what is known to fit. Later that bound is tried again: rarely, so
that a gateway that stays as it is refuses about one request in a hundred, and boldly once a try succeeds.
"""

import math
from bisect import bisect_left, bisect_right

from attrs import define, field

from nxcdr_async.limits.probing import Patience
from nxcdr_async.limits.rate import LOWEST_PACE, Pace

FIRST_LIMIT = 8
"""Requests in flight to start with, unless sessions ask for a fixed number."""

HIGHEST_LIMIT = 64
"""Requests in flight never exceeded, unless sessions ask for more."""

SHRINK = 0.7
"""What is left of the limit after a refusal that nothing explains."""

GROWTH = 0.25
"""Requests in flight added for each good reply while nothing speaks against it: a quarter more each round trip."""

LUCK = 2.0
"""Requests taken for each one refused with as many in flight, below which they were just lucky."""

_SECONDS_REMEMBERED = 1.0
_REPLIES_REMEMBERED = 8
_SECONDS_COUNTED = 10.0


@define(eq=False)
class Start:
    """How things stood when a request started.

    Attributes:
        at: when.
        in_flight: requests in flight, with it.
        was_paced: whether it had to wait for the pace.
    """

    at: float
    in_flight: int
    was_paced: bool


@define(eq=False)
class _Starts:
    """When requests started that were not refused, so far as is known."""

    _times: list[float] = field(factory=list)
    _paused_until: float = -math.inf

    def add(self, started: Start) -> None:
        if self._times and self._times[0] < started.at - 2 * _SECONDS_COUNTED:
            del self._times[: bisect_left(self._times, started.at - _SECONDS_COUNTED)]
        self._times.append(started.at)

    def remove(self, refused: Start) -> None:
        place = bisect_left(self._times, refused.at)
        if place < len(self._times) and self._times[place] == refused.at:
            del self._times[place]

    def pause(self, until: float) -> None:
        """Take in that nothing starts until then because the gateway asked for that."""
        self._paused_until = max(self._paused_until, until)

    def rate_before(self, started: Start) -> float | None:
        """Return how many started in the second before, or one in the time since the last did, if that is longer.

        None for what follows on nothing: how many start at once, when nothing started for a while, is no rate. Unless
        it was the gateway that asked for a pause.
        """
        place = bisect_left(self._times, started.at)
        first = bisect_right(self._times, started.at - 1)
        latest = self._times[first - 1] if first else -math.inf
        active = max(latest, self._paused_until if self._paused_until <= started.at else -math.inf)
        if started.at - active > 1 / LOWEST_PACE:
            return None
        return float(place - first) or 1 / (started.at - latest)


@define(eq=False)
class _Highest:
    """The highest value of about the last second or two, and of the last few at least."""

    _current: float = 0.0
    _before: float = 0.0
    _count: int = 0
    _since: float = -math.inf

    @property
    def value(self) -> float:
        return max(self._current, self._before)

    def add(self, value: float, now: float) -> None:
        if self._count >= _REPLIES_REMEMBERED and now - self._since >= _SECONDS_REMEMBERED:
            self._before, self._current, self._count, self._since = self._current, 0.0, 0, now
        self._current = max(self._current, value)
        self._count += 1


@define(eq=False)
class _Levels:
    """How many requests were taken and refused lately with how many in flight; each second all count half."""

    _taken: list[float] = field(factory=list)
    _refused: list[float] = field(factory=list)
    _halved: float = -math.inf

    def count(self, started: Start, now: float, *, refused: bool) -> None:
        if now - self._halved >= _SECONDS_REMEMBERED:
            kept = 0.5 ** (now - self._halved)
            self._halved = now
            self._taken = [count * kept for count in self._taken]
            self._refused = [count * kept for count in self._refused]
        missing = started.in_flight + 1 - len(self._taken)
        self._taken += [0.0] * missing
        self._refused += [0.0] * missing
        (self._refused if refused else self._taken)[started.in_flight] += 1

    def is_too_much(self, in_flight: int) -> bool:
        """Tell whether with so many in flight, or more, about as many were refused as taken."""
        return sum(self._taken[in_flight:]) < LUCK * sum(self._refused[in_flight:])


@define(eq=False)
class Allowance:
    """What one gateway seems to allow one account: so many requests in flight, so many a second.

    Attributes:
        limit: requests that may be in flight.
        highest: what the limit never exceeds.
        pace: requests a second that may start.
        refused_at: with how many in flight a request was refused; None while the limit may grow.
    """

    limit: float = float(FIRST_LIMIT)
    highest: float = float(HIGHEST_LIMIT)
    refused_at: int | None = None
    _pace: Pace = field(factory=Pace)
    _was_refused: bool = False
    _taken_there: int = 0
    _last_cut: float = -math.inf
    _limit_before_cut: float = 0.0
    _starts: _Starts = field(factory=_Starts)
    _at_once: _Levels = field(factory=_Levels)
    _taken_a_second: _Highest = field(factory=_Highest)
    _patience: Patience = field(factory=Patience)

    @property
    def pace(self) -> float:
        """Requests a second that may start; infinite while nothing speaks for a bound."""
        return self._pace.value

    def expect(self, in_flight: int) -> None:
        """Take in that sessions ask for so many requests in flight together, whatever the bounds for others are."""
        self.highest = float(max(HIGHEST_LIMIT, in_flight))
        if not self._was_refused:
            self.limit = max(self.limit, float(in_flight))

    def start(self, now: float, *, in_flight: int, was_paced: bool) -> Start:
        """Take in that a request starts, with so many in flight, itself included."""
        started = Start(now, in_flight, was_paced)
        self._starts.add(started)
        return started

    def taken(self, started: Start, now: float, *, in_flight: int) -> None:
        """Take in that the gateway answered a request as it should, with so many in flight by then."""
        self._patience.count_reply()
        self._at_once.count(started, now, refused=False)
        self._taken_a_second.add(self._starts.rate_before(started) or 0.0, now)
        if in_flight * 2 >= self.limit:
            self._widen(started, now)
        self._pace.taken(started.at, now, was_paced=started.was_paced)

    def refused(self, started: Start, now: float, *, pause: float = 0.0) -> None:
        """Take in that the gateway refused a request as one too many, and the pause it asked for, in seconds."""
        self._was_refused = True
        rate = self._starts.rate_before(started)
        self._starts.remove(started)
        self._starts.pause(now + pause)
        self._at_once.count(started, now, refused=True)
        if started.in_flight > 1 and self._at_once.is_too_much(started.in_flight):
            self._meet_bound(started.in_flight, now, pause)
            return
        if not self._pace.refused(started.at, now, rate=rate, taken=self._taken_a_second.value, pause=pause):
            self.strained(started, now)

    def strained(self, started: Start, now: float) -> None:
        """Take in a sign of too much at once that tells no bound; it counts once for all that were in flight then."""
        self._was_refused = True
        if started.at <= self._last_cut:
            return
        self._last_cut = now
        self._limit_before_cut = self.limit
        self.limit = max(1.0, self.limit * SHRINK)

    def _meet_bound(self, at_once: int, now: float, pause: float) -> None:
        self.refused_at, self._taken_there = at_once, 0
        self.limit = min(self.limit, float(self.refused_at - 1))
        self._patience.after_refusal(now, pause)

    def _widen(self, started: Start, now: float) -> None:
        step = 1 / self.limit if self.limit < self._limit_before_cut else max(1 / self.limit, GROWTH)
        if self.refused_at is not None and started.in_flight >= self.refused_at:
            self._taken_there += 1
            if self._taken_there >= self.refused_at:
                self.refused_at = None
                self._patience.after_success()
        if self.refused_at is None or self.limit + step < self.refused_at:
            self.limit = min(self.highest, self.limit + step)
        elif self._patience.is_over(now):
            self.limit = min(self.highest, float(self.refused_at))

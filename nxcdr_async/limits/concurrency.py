"""How much a gateway allows, learned from what it accepts and what it throttles. Pure: times are arguments, in seconds.

The vendor does not document it, and a gateway may bound the requests at once, or those a second. A throttled request
does not say which. But if a moment ago as many in flight were accepted, it was the rate, and if as many a second were,
it was the concurrency. So each throttled request is compared with recent successes, and lowers the one bound that
explains it, to just what is known to fit; while a rate is on trial, the concurrency stays as it is. Later that bound is
probed: rarely, so that a gateway that stays as it is throttles about one request in a hundred, and in larger steps once
a probe succeeds.
"""

import math
from bisect import bisect_left, bisect_right

from attrs import define, field

from nxcdr_async.limits.probing import ProbeSchedule
from nxcdr_async.limits.rate import LOWEST_RATE, AdaptiveRate

FIRST_LIMIT = 8
"""Requests in flight to start with, unless sessions ask for a fixed number."""

HIGHEST_LIMIT = 64
"""Requests in flight never exceeded, unless sessions ask for more."""

SHRINK = 0.7
"""What is left of the limit at least after a throttled request that no bound explains, and after a timeout."""

GROWTH = 0.25
"""Added to the limit with each success while nothing was throttled: a quarter more each round trip."""

MANY_THROTTLED = 1 / 3
"""The share that was throttled of those with as many in flight, above which that is the reason."""

SOME_THROTTLED = 0.05
"""The same, where the rate does not explain it."""

NEARLY = 0.75
"""The share of what was in flight from which on others that were throttled speak for the same bound."""

FEW_OTHERS = 0.2
"""How many may have been throttled lately with fewer in flight than that: else it is no bound on what is in flight."""

THROTTLED_TO_BE_SURE = 1.5
"""How many must have been throttled lately for that, where it was not known before: a single one may be chance."""

_SECONDS_REMEMBERED = 1.0
_RESPONSES_REMEMBERED = 8
_SECONDS_COUNTED = 10.0


@define(eq=False)
class RequestStart:
    """When a request started, with how many in flight (itself included), and whether it had to wait for the rate."""

    at: float
    in_flight: int
    waited_for_rate: bool


@define(eq=False)
class _AcceptedStarts:
    """When requests started that were not throttled, as far as is known."""

    _times: list[float] = field(factory=list)
    _paused_until: float = -math.inf

    def add(self, started: RequestStart) -> None:
        if self._times and self._times[0] < started.at - 2 * _SECONDS_COUNTED:
            del self._times[: bisect_left(self._times, started.at - _SECONDS_COUNTED)]
        self._times.append(started.at)

    def remove(self, throttled: RequestStart) -> None:
        place = bisect_left(self._times, throttled.at)
        if place < len(self._times) and self._times[place] == throttled.at:
            del self._times[place]

    def pause(self, until: float) -> None:
        """Note that nothing starts until then, as the gateway asked for it."""
        self._paused_until = max(self._paused_until, until)

    def rate_before(self, started: RequestStart) -> float | None:
        """Return how many started in the second before, or one in the time since the last did, if that is longer.

        None if nothing started for a while, unless the gateway asked for a pause: a burst after that is no rate.
        """
        place = bisect_left(self._times, started.at)
        first = bisect_right(self._times, started.at - 1)
        latest = self._times[first - 1] if first else -math.inf
        active = max(latest, self._paused_until if self._paused_until <= started.at else -math.inf)
        if started.at - active > 1 / LOWEST_RATE:
            return None
        return float(place - first) or 1 / (started.at - latest)


@define(eq=False)
class _RecentMaximum:
    """The highest value of about the last second or two, and of the last few at least."""

    _current: float = 0.0
    _before: float = 0.0
    _count: int = 0
    _since: float = -math.inf

    @property
    def value(self) -> float:
        return max(self._current, self._before)

    def add(self, value: float, now: float) -> None:
        if self._count >= _RESPONSES_REMEMBERED and now - self._since >= _SECONDS_REMEMBERED:
            self._before, self._current, self._count, self._since = self._current, 0.0, 0, now
        self._current = max(self._current, value)
        self._count += 1


@define(eq=False)
class _OutcomesByInFlight:
    """How many requests succeeded and were throttled lately with how many in flight; each second halves the counts."""

    _succeeded: list[float] = field(factory=list)
    _throttled: list[float] = field(factory=list)
    _halved: float = -math.inf

    def count(self, started: RequestStart, now: float, *, throttled: bool) -> None:
        if now - self._halved >= _SECONDS_REMEMBERED:
            kept = 0.5 ** (now - self._halved)
            self._halved = now
            self._succeeded = [count * kept for count in self._succeeded]
            self._throttled = [count * kept for count in self._throttled]
        missing = started.in_flight + 1 - len(self._succeeded)
        self._succeeded += [0.0] * missing
        self._throttled += [0.0] * missing
        (self._throttled if throttled else self._succeeded)[started.in_flight] += 1

    def throttled(self, in_flight: int = 0) -> float:
        """Return how many were throttled with so many in flight, or more."""
        return sum(self._throttled[in_flight:])

    def share_throttled(self, in_flight: int) -> float:
        """Return the share that was throttled of those with so many in flight, or more."""
        throttled = self.throttled(in_flight)
        return throttled / (throttled + sum(self._succeeded[in_flight:]))


@define(eq=False)
class AdaptiveConcurrency:
    """What one gateway seems to allow one account: so many requests in flight, so many a second.

    Attributes:
        limit: requests that may be in flight.
        highest: what the limit never exceeds.
        throttled_at: with how many in flight a request was throttled; None while the limit may grow.
        _suspected_at: with how many a single one was, which may be chance; None once as many were accepted.
    """

    limit: float = float(FIRST_LIMIT)
    highest: float = float(HIGHEST_LIMIT)
    throttled_at: int | None = None
    _suspected_at: int | None = None
    _rate: AdaptiveRate = field(factory=AdaptiveRate)
    _was_throttled: bool = False
    _successes_there: int = 0
    _last_cut: float = -math.inf
    _limit_before_cut: float = 0.0
    _starts: _AcceptedStarts = field(factory=_AcceptedStarts)
    _by_in_flight: _OutcomesByInFlight = field(factory=_OutcomesByInFlight)
    _recent_rates: _RecentMaximum = field(factory=_RecentMaximum)
    _probing: ProbeSchedule = field(factory=ProbeSchedule)

    @property
    def rate(self) -> float:
        """Requests a second that may start; infinite while no bound is known."""
        return self._rate.value

    def allow_at_least(self, in_flight: int) -> None:
        """Allow as many requests in flight as sessions ask for together, even beyond `HIGHEST_LIMIT`."""
        self.highest = float(max(HIGHEST_LIMIT, in_flight))
        if not self._was_throttled:
            self.limit = max(self.limit, float(in_flight))

    def start(self, now: float, *, in_flight: int, waited_for_rate: bool) -> RequestStart:
        """Note that a request starts, with so many in flight, itself included."""
        started = RequestStart(now, in_flight, waited_for_rate)
        self._starts.add(started)
        return started

    def on_success(self, started: RequestStart, now: float, *, in_flight: int) -> None:
        """Learn from a request that was answered as it should be, with so many in flight by then."""
        self._probing.count_response()
        self._by_in_flight.count(started, now, throttled=False)
        if self._suspected_at is not None and started.in_flight >= self._suspected_at:
            self._suspected_at = None
        rate = self._starts.rate_before(started) or 0.0
        self._recent_rates.add(rate, now)
        if in_flight * 2 >= self.limit:
            self._raise_limit(started, now)
        self._rate.on_success(started.at, now, rate=rate, waited_for_rate=started.waited_for_rate)

    def on_throttled(self, started: RequestStart, now: float, *, pause: float = 0.0) -> None:
        """Learn from a request that was throttled, and the pause that the gateway asked for, in seconds."""
        self._was_throttled = True
        rate = self._starts.rate_before(started)
        self._starts.remove(started)
        self._starts.pause(now + pause)
        self._by_in_flight.count(started, now, throttled=True)
        share = self._by_in_flight.share_throttled(started.in_flight)
        # A single one may be chance, unless it asks for a pause, or came where one was throttled before.
        is_sure = pause > 0 or self._was_throttled_at(started.in_flight)
        is_open = not self._rate.is_on_trial and (is_sure or not self._rate.is_probed)
        if share > MANY_THROTTLED and started.in_flight > 1 and is_open:
            if is_sure:
                self._lower_limit(started.in_flight, now, pause)
            else:
                self._suspected_at = min(started.in_flight, self._suspected_at or started.in_flight)
                self._cut(started, now)
            return
        highest_rate = self._recent_rates.value
        explained = self._rate.on_throttled(started.at, now, rate=rate, highest_rate=highest_rate, pause=pause)
        if explained or self._rate.is_on_trial or started.at <= self._last_cut:
            return
        others = self._by_in_flight.throttled() - self._by_in_flight.throttled(int(started.in_flight * NEARLY))
        if share > SOME_THROTTLED and is_sure and started.in_flight > 1 and others < FEW_OTHERS:
            self._last_cut = now
            self._lower_limit(started.in_flight, now, pause)
        else:
            self._cut(started, now)

    def on_timeout(self, started: RequestStart, now: float) -> None:
        """Learn from a sign of overload that names no bound; it counts once for all that were in flight then."""
        self._was_throttled = True
        self._cut(started, now, least=1.0)

    def _was_throttled_at(self, in_flight: int) -> bool:
        places = (self.throttled_at, self._suspected_at)
        is_known = any(place is not None and in_flight >= place for place in places)
        return is_known or self._by_in_flight.throttled(in_flight) > THROTTLED_TO_BE_SURE

    def _cut(self, started: RequestStart, now: float, *, least: float | None = None) -> None:
        """Lower the limit to just below what was in flight, or to `least`, but by no more than a part of it."""
        if started.at > self._last_cut:
            self._last_cut, self._limit_before_cut = now, self.limit
            wanted = min(self.limit, started.in_flight - 1.0 if least is None else least)
            self.limit = max(1.0, self.limit * SHRINK, wanted)

    def _lower_limit(self, in_flight: int, now: float, pause: float) -> None:
        self.throttled_at, self._successes_there = in_flight, 0
        self.limit = min(self.limit, float(self.throttled_at - 1))
        self._probing.after_throttle(now, pause)

    def _raise_limit(self, started: RequestStart, now: float) -> None:
        step = 1 / self.limit if self.limit < self._limit_before_cut else max(1 / self.limit, GROWTH)
        if self.throttled_at is not None and started.in_flight >= self.throttled_at:
            self._successes_there += 1
            if self._successes_there >= self.throttled_at:
                self.throttled_at = None
                self._probing.after_success()
        if self.throttled_at is None or self.limit + step < self.throttled_at:
            self.limit = min(self.highest, self.limit + step)
        elif self._probing.is_due(now):
            self.limit = min(self.highest, float(self.throttled_at))

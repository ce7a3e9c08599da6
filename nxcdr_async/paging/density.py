"""How many calls to expect when, learned for each hour of the week from the windows that were read. Pure."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate

from attrs import Factory, define, field

from nxcdr_async.windows import HOUR, Window

HOURS_A_DAY = 24
HOURS_A_WEEK = 168
WEEK = HOURS_A_WEEK * HOUR

_DOUBT = HOUR / 2
"""Seconds that an hour of any day counts for in that hour of the week, and the mean of all in that hour of a day."""


@define(eq=False)
class Density:
    """Calls to expect at any time, in the rhythm of a week.

    Attributes:
        calls: calls seen in each hour of the week.
        seconds: how much of each hour of the week was read.
    """

    calls: list[float] = Factory(lambda: [0.0] * HOURS_A_WEEK)
    seconds: list[float] = Factory(lambda: [0.0] * HOURS_A_WEEK)
    _curve: list[float] | None = field(default=None, init=False)

    @property
    def mean(self) -> float:
        """Calls a second over all that was read; 0 before that."""
        covered = sum(self.seconds)
        return sum(self.calls) / covered if covered else 0.0

    def learn(self, window: Window, starts: Iterable[float]) -> None:
        """Learn from a window that was read whole, with the start times of its calls (epoch seconds)."""
        for hour, seconds in _hours(window):
            self.seconds[hour] += seconds
        for hour, calls in _calls_by_hour(sorted(starts)):
            self.calls[hour % HOURS_A_WEEK] += calls
        self._curve = None

    def rates(self) -> list[float]:
        """Return the calls a second to expect in each hour of the week, by coarser means where little is known."""
        mean = self.mean
        by_day = [
            (sum(self.calls[hour::HOURS_A_DAY]) + mean * _DOUBT) / (sum(self.seconds[hour::HOURS_A_DAY]) + _DOUBT)
            for hour in range(HOURS_A_DAY)
        ]
        return [
            (calls + by_day[hour % HOURS_A_DAY] * _DOUBT) / (seconds + _DOUBT)
            for hour, (calls, seconds) in enumerate(zip(self.calls, self.seconds, strict=True))
        ]

    def expected(self, window: Window) -> float:
        """Return the calls to expect in a window."""
        return max(0.0, self._until(window.end) - self._until(window.start))

    def when(self, start: int, calls: float) -> float:
        """Return the moment by which so many calls are to be expected from a start on; infinity if never."""
        curve = self._calls_of_a_week()
        if not curve[-1]:
            return math.inf
        weeks, rest = divmod(self._until(start) + calls, curve[-1])
        hour = min(bisect_right(curve, rest), HOURS_A_WEEK) - 1
        part = (rest - curve[hour]) / (curve[hour + 1] - curve[hour])
        return weeks * WEEK + (hour + part) * HOUR

    def _until(self, moment: int) -> float:
        """Return the calls to expect from the epoch to a moment, as if every week had been like this."""
        weeks, rest = divmod(moment, WEEK)
        hour, seconds = divmod(rest, HOUR)
        curve = self._calls_of_a_week()
        return weeks * curve[-1] + curve[hour] + (curve[hour + 1] - curve[hour]) * seconds / HOUR

    def _calls_of_a_week(self) -> list[float]:
        """Return the calls to expect from the start of the week to that of each hour, and to its end."""
        if self._curve is None:
            self._curve = list(accumulate((rate * HOUR for rate in self.rates()), initial=0.0))
        return self._curve


def _calls_by_hour(starts: list[float]) -> Iterator[tuple[int, int]]:
    """Count sorted start times by the hours since the epoch."""
    first = 0
    while first < len(starts):
        hour = int(starts[first] // HOUR)
        behind = bisect_left(starts, (hour + 1) * HOUR, lo=first)
        yield hour, behind - first
        first = behind


def _hours(window: Window) -> Iterator[tuple[int, float]]:
    """Give each hour of the week with the seconds of it that a window covers."""
    weeks, rest = divmod(window.seconds, WEEK)
    if weeks:
        yield from ((hour, float(weeks * HOUR)) for hour in range(HOURS_A_WEEK))
    start = window.end - rest
    while start < window.end:
        end = min(window.end, (start // HOUR + 1) * HOUR)
        yield start // HOUR % HOURS_A_WEEK, float(end - start)
        start = end

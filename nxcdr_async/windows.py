"""Cutting a time range into windows by the density of calls. Pure; times are whole epoch seconds."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from typing import Self

from attrs import Factory, define, field

from nxcdr_async.errors import ConfigurationError

HOUR = 3600
HOURS_A_WEEK = 168
WEEK = HOURS_A_WEEK * HOUR
HALF_A_DAY = 12 * HOUR

OVERLAP = 1
"""Seconds that neighbouring windows share."""

FARTHEST_OUTSIDE = HOUR
"""Seconds a call may start before the window that gives it, as gateways may filter by another time than the start."""

SURELY_SOME = 3.0
"""Calls to be expected in a window beyond which an answer without any is doubted."""

TOO_FULL = 2.5
"""A window is split when it seems to hold this many times the calls it should."""

MOST_PARTS = 32
"""Parts a window is split into at once."""

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)
_HOURS_OF_DOUBT = 0.5
"""How many hours of the overall mean the density of one hour of the week starts with."""


@define(frozen=True, order=True)
class Window:
    """The seconds [start, end) of a range, end after start."""

    start: int
    end: int

    @property
    def seconds(self) -> int:
        """Width of the window."""
        return self.end - self.start

    @property
    def bounds(self) -> tuple[int, int]:
        """What is asked of a gateway, one second early.

        No document says whether the ends of a range belong to it, nor whether fractions of a second count, so
        neighbours overlap by a second and their duplicates go by id.
        """
        return max(0, self.start - OVERLAP), self.end

    def parts(self, count: int) -> list[Self]:
        """Cut into at most `count` windows of about the same width, none under a second."""
        count = max(1, min(count, self.seconds))
        edges = [self.start + self.seconds * part // count for part in range(count + 1)]
        return [type(self)(start, end) for start, end in pairwise(edges)]


def window_of(start: datetime, end: datetime) -> Window:
    """Return the whole seconds that cover [start, end).

    Raises:
        ConfigurationError: a time without a zone, or an end that is not after the start.
    """
    for name, moment in (("start", start), ("end", end)):
        if not isinstance(moment, datetime):
            raise ConfigurationError(f"{name} must be a datetime with a zone, not {type(moment).__name__}")
        if moment.tzinfo is None or moment.utcoffset() is None:
            raise ConfigurationError(
                f"{name} has no time zone: say which one it is in, for example "
                f"{name}.replace(tzinfo=datetime.UTC) or datetime(…, tzinfo=ZoneInfo('Asia/Hong_Kong'))",
            )
    if start < _EARLIEST or end > _LATEST:
        raise ConfigurationError("start and end must lie between the years 1970 and 9999")
    if end <= start:
        raise ConfigurationError(f"end ({end.isoformat()}) must be after start ({start.isoformat()})")
    return Window(math.floor(start.timestamp()), math.ceil(end.timestamp()))


def check_offset(zone: tzinfo, window: Window) -> None:
    """Check that local times say when, all over a range.

    Raises:
        ConfigurationError: the zone changes its offset inside the range, so an hour of local times comes twice.
    """
    moments = [*range(window.start, window.end, HALF_A_DAY), window.end]
    offsets = {datetime.fromtimestamp(moment, UTC).astimezone(zone).utcoffset() for moment in moments}
    if len(offsets) > 1:
        raise ConfigurationError(
            f"naive_zone {zone} changes its offset from UTC inside this range, so the vendor's local times do not say "
            "when: give a fixed offset, such as datetime.timezone(timedelta(hours=8))",
        )


@define
class Density:
    """Calls a second for each hour of the week, learned from what was read."""

    calls: list[float] = Factory(lambda: [0.0] * HOURS_A_WEEK)
    seconds: list[float] = Factory(lambda: [0.0] * HOURS_A_WEEK)

    @property
    def mean(self) -> float:
        """Calls a second over all that was read; 0 before anything was."""
        covered = sum(self.seconds)
        return sum(self.calls) / covered if covered else 0.0

    def learn(self, window: Window, starts: Iterable[float]) -> None:
        """Take in a window that was read whole, with the start times of its calls (epoch seconds)."""
        for hour, seconds in _hours(window):
            self.seconds[hour] += seconds
        for start in starts:
            self.calls[_hour_of_week(start)] += 1

    def rates(self) -> list[float]:
        """Calls a second to expect in each hour of the week, leaning on the overall mean where little is known."""
        mean, doubt = self.mean, _HOURS_OF_DOUBT * HOUR
        return [
            (calls + mean * doubt) / (seconds + doubt) for calls, seconds in zip(self.calls, self.seconds, strict=True)
        ]

    def expected(self, window: Window) -> float:
        """Calls to expect in a window."""
        rates = self.rates()
        return sum(rates[hour] * seconds for hour, seconds in _hours(window))


@define
class WindowPlan:
    """Cuts windows off a range, one by one, each with about as many calls as is best to read in one go.

    Attributes:
        whole: the range.
        most_rows: calls a window should not exceed by much.
        fewest_rows: calls a window should have, where there are enough.
    """

    whole: Window
    most_rows: int
    fewest_rows: int
    density: Density = field(factory=Density)
    _frontier: int | None = field(default=None, init=False)

    def next(self, *, readers: int) -> Window | None:
        """Cut the next window, the whole range the first time; None when nothing is left.

        Args:
            readers: how many windows are read at once; towards the end windows get smaller so that all stay busy.
        """
        if self._frontier is None:
            self._frontier = self.whole.end
            return self.whole
        if self._frontier >= self.whole.end:
            return None
        start = self._frontier
        left = Window(start, self.whole.end)
        target = min(self.most_rows, max(self.fewest_rows, self.density.mean * left.seconds / (2 * readers)))
        self._frontier = self._cut(left, target)
        if left == self.whole:
            # It was split, so the same window again would only be split again, whatever the density says.
            self._frontier = min(self._frontier, start + left.seconds // 2)
        return Window(start, self._frontier)

    def is_too_full(self, window: Window, starts: list[float]) -> bool:
        """Tell whether a window had better be split than read to its end, by the start times seen of it so far."""
        if window.seconds == 1:
            return False
        most = self.fewest_rows if window == self.whole else TOO_FULL * self.most_rows
        return self.estimate(window, starts) > most

    def estimate(self, window: Window, starts: list[float]) -> float:
        """Guess how many calls a window holds from those seen of it: just those, unless they came in order of time."""
        if not in_time_order(starts):
            return float(len(starts))
        span = max(1.0, abs(starts[-1] - starts[0]))
        return max(float(len(starts)), len(starts) * window.seconds / span)

    def expects_calls(self, window: Window) -> bool:
        """Tell whether an answer without any calls would be a surprise, as it always is for the whole range."""
        return window == self.whole or self.density.expected(window) >= SURELY_SOME

    def split(self, window: Window, starts: list[float], rows: float) -> list[Window]:
        """Give the parts to read instead of a window that turned out too full.

        The whole range gets none at once: from now on `next` cuts them, each by what was learned until then.

        Args:
            window: the window.
            starts: start times of the calls seen of it so far, in the order the gateway sent them.
            rows: how many calls it is thought to hold.
        """
        self._learn_part(window, starts, rows)
        if window == self.whole and window.seconds > 1:
            self._frontier = window.start
            return []
        return window.parts(min(MOST_PARTS, max(2, math.ceil(rows / self.most_rows))))

    def _cut(self, left: Window, target: float) -> int:
        rates = self.density.rates()
        a_week = sum(rates) * HOUR
        weeks = int(min(left.seconds // WEEK, target / a_week if a_week else math.inf))
        expected = weeks * a_week
        for piece in _clock_hours(left, skip=weeks * WEEK):
            rate = rates[_hour_of_week(piece.start)]
            if expected + rate * piece.seconds >= target:
                return max(left.start + 1, piece.start + int((target - expected) / rate))
            expected += rate * piece.seconds
        return left.end

    def _learn_part(self, window: Window, starts: list[float], rows: float) -> None:
        """Learn from the part of a window that was seen, as if its calls lay side by side."""
        if not starts:
            return
        width = max(1, round(window.seconds * min(1.0, len(starts) / rows)))
        start = min(max(window.start, math.floor(min(starts))), window.end - width)
        self.density.learn(Window(start, start + width), starts)


def in_time_order(starts: list[float]) -> bool:
    """Tell whether start times, of two calls or more, only rise or only fall."""
    pairs = list(pairwise(starts))
    return bool(pairs) and (all(a <= b for a, b in pairs) or all(a >= b for a, b in pairs))


def _hour_of_week(moment: float) -> int:
    return int(moment // HOUR) % HOURS_A_WEEK


def _clock_hours(window: Window, *, skip: int = 0) -> Iterable[Window]:
    start = window.start + skip
    while start < window.end:
        end = min(window.end, (start // HOUR + 1) * HOUR)
        yield Window(start, end)
        start = end


def _hours(window: Window) -> Iterable[tuple[int, float]]:
    """Give each hour of the week with the seconds of it that a window covers."""
    weeks, rest = divmod(window.seconds, WEEK)
    if weeks:
        yield from ((hour, float(weeks * HOUR)) for hour in range(HOURS_A_WEEK))
    for piece in _clock_hours(Window(window.end - rest, window.end)) if rest else ():
        yield _hour_of_week(piece.start), float(piece.seconds)

"""Cutting a range into windows by the density of calls, and forecasting how many pages they have. Pure."""

import math
from collections import deque

from attrs import define, field

from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.density import Density
from nxcdr_async.windows import Window

TOO_FULL = 12
"""A window is split when it seems to have this many times the calls it should, as it has to fit into memory."""

MOST_PARTS = 32
"""Parts a window is split into at once."""

MOST_UNORDERED = 1_600
"""Calls of a range read in no order of time, after which it has to be measured how many there are."""

EAGERNESS = 3.5
"""How many times the forecast is requested ahead in a range read as one window, so that it ends in few round trips."""

OVERRUN = 1.2
"""How many times its first forecast a window may hold before it is believed to hold far more."""

_PRIOR_CALLS = 100
"""Calls of the expected density that a window's own density is weighed against."""

_UNORDERED_SHARE = 0.8
"""The share of a window that its first page covers only if calls come in no order of time, and more follow."""

_FEWEST_FORECASTS, _FORECASTS_KEPT = 3, 16
_LOWEST_CONFIDENCE, _HIGHEST_CONFIDENCE = 0.3, 0.95
_DEVIATIONS = 1.5
"""Standard deviations by which a forecast may turn out too high and still be relied on."""


@define(eq=False)
class SeenCalls:
    """How many calls of a window came, and when the earliest and the latest start (epoch seconds)."""

    count: int = 0
    earliest: float = math.inf
    latest: float = -math.inf

    def add(self, count: int, earliest: float, latest: float) -> None:
        """Add some more calls."""
        self.count += count
        self.earliest = min(self.earliest, earliest)
        self.latest = max(self.latest, latest)


@define(eq=False)
class WindowPlanner:
    """Cuts windows off a range, one by one, each with about as many calls as is best to read in one go.

    Attributes:
        whole: the range.
        most_rows: calls a window should not exceed by much.
        most_at_once: calls up to which the range is read as one window.
        confidence: the share of the calls forecast for the rest of a window that surely come.
    """

    whole: Window
    most_rows: int
    most_at_once: int
    limits: AnswerLimits = field(factory=AnswerLimits)
    density: Density = field(factory=Density)
    confidence: float = field(default=0.5, init=False)
    _forecast_shares: deque[float] = field(factory=lambda: deque(maxlen=_FORECASTS_KEPT), init=False)
    _frontier: int | None = field(default=None, init=False)
    _latest_end: int | None = field(default=None, init=False)
    _has_learned: bool = field(default=False, init=False)
    _first: Window | None = field(default=None, init=False)

    def next(self) -> Window | None:
        """Cut the next window, the whole range the first time; None when nothing is left, or it waits for the first.

        A range that is too wide for one query begins with the widest window, and is cut further once that has shown how
        many calls there are.
        """
        if self._frontier is None and not self.limits.is_too_wide(self.whole.seconds):
            self._frontier = self.whole.end
            return self.whole
        start = self.whole.start if self._frontier is None else self._frontier
        if start >= self.whole.end or self._first is not None:
            return None
        self._frontier = self._cut(Window(start, self.whole.end))
        if self._latest_end is not None:
            # It was split, so the same window again would only be split again, whatever the density says.
            self._frontier, self._latest_end = min(self._frontier, self._latest_end), None
        window = Window(start, self._frontier)
        self._first = None if self._has_learned else window
        return window

    def learn(self, window: Window, starts: list[float], *, forecast: float = 0.0, seen: int = 0) -> None:
        """Learn from a window that was read whole.

        Args:
            window: the window.
            starts: when its calls start, epoch seconds.
            forecast: calls forecast after the first page, 0 without one.
            seen: calls of the first page.
        """
        if forecast > seen:
            self._learn_confidence(min(1.0, max(0.0, len(starts) - seen) / (forecast - seen)))
        self._has_learned, self._first = True, None
        self.density.learn(window, starts)

    def begin_at(self, moment: int) -> None:
        """Cut the next window from a moment (epoch seconds) on, as the first one was refused as it was."""
        self._frontier, self._first = moment, None

    def is_first(self, window: Window) -> bool:
        """Return whether a window was cut before anything was known of the calls."""
        return window in (self.whole, self._first)

    def is_worth_splitting(self, window: Window, seen: SeenCalls) -> bool:
        """Return whether this is the first window, and its first page shows that it is too full to be read as one."""
        is_first = self.is_first(window) and window.seconds > 1
        return is_first and self.estimate(window, seen) > self.limits.most_rows(self.most_at_once)

    def is_too_full(self, window: Window, rows: float) -> bool:
        """Return whether a window that seems to have so many calls must be split, whatever was read of it."""
        most = TOO_FULL * self.most_rows
        return window.seconds > 1 and rows > min(most, self.limits.depth_cap or most)

    def is_unordered(self, window: Window, seen: SeenCalls) -> bool:
        """Return whether the first calls of a window are spread all over it: if more follow, they come in no order."""
        return self._covered(window, seen) > _UNORDERED_SHARE * window.seconds

    def estimate(self, window: Window, seen: SeenCalls) -> float:
        """Estimate how many calls a window has from those seen of it, as if they came evenly."""
        return seen.count * window.seconds / self._covered(window, seen) if seen.count else 0.0

    def forecast(self, window: Window, seen: SeenCalls) -> float:
        """Estimate how many calls a window has from those seen of it, in order of time, and the density of the rest."""
        expected = self.density.expected(window)
        if not seen.count or not expected:
            return expected or self.estimate(window, seen)
        covered = self._covered(window, seen)
        is_early = seen.latest - window.start <= window.end - seen.earliest
        edge = window.start + covered if is_early else window.end - covered
        if not window.start < edge < window.end:
            return float(seen.count)
        rest = self.density.expected(Window(edge, window.end) if is_early else Window(window.start, edge))
        denser = (seen.count + _PRIOR_CALLS) / (expected - rest + _PRIOR_CALLS)
        return seen.count + rest * denser

    def split(self, window: Window, starts: list[float], rows: float) -> list[Window]:
        """Return the parts to read instead of a window that turned out too full.

        There are none of the first window: from now on `next` cuts it, part by part, by what was learned until then.

        Args:
            window: the window.
            starts: when the calls seen of it so far start, in the order the gateway sent them.
            rows: how many calls it seems to have.
        """
        is_first = self.is_first(window)
        self._has_learned, self._first = True, None
        self._learn_part(window, starts, rows)
        if is_first and window.seconds > 1:
            self._frontier, self._latest_end = window.start, window.start + window.seconds // 2
            return []
        return window.parts(min(MOST_PARTS, max(2, math.ceil(rows / self._rows_wanted))))

    @property
    def _rows_wanted(self) -> int:
        return self.limits.most_rows(self.most_rows)

    def _covered(self, window: Window, seen: SeenCalls) -> int:
        """Estimate how many seconds the calls seen cover, whether they came earliest or latest first."""
        from_start, to_end = math.ceil(seen.latest) - window.start, window.end - math.floor(seen.earliest)
        return max(1, min(window.seconds, from_start, to_end))

    def _cut(self, left: Window) -> int:
        # As full as the others that are left: a last one of a few calls would cost as much in proofs as any.
        rest = self.density.expected(left)
        end = self.density.when(left.start, rest / math.ceil(rest / self._rows_wanted) if rest else self._rows_wanted)
        cut = left.end if end >= left.end else max(left.start + 1, int(end))
        return min(cut, left.start + (self.limits.max_window or left.seconds))

    def _learn_confidence(self, share: float) -> None:
        """Learn from the share of a forecast that came: confidence is the mean, less what the shares vary by."""
        self._forecast_shares.append(share)
        if len(self._forecast_shares) >= _FEWEST_FORECASTS:
            mean = math.fsum(self._forecast_shares) / len(self._forecast_shares)
            variance = math.fsum((part - mean) ** 2 for part in self._forecast_shares) / len(self._forecast_shares)
            sure = mean - _DEVIATIONS * math.sqrt(variance)
            self.confidence = min(_HIGHEST_CONFIDENCE, max(_LOWEST_CONFIDENCE, sure))

    def _learn_part(self, window: Window, starts: list[float], rows: float) -> None:
        """Learn from the calls seen of a window, as if they were one part of it without a gap."""
        if not starts:
            return
        rows = max(rows, 1.0)
        width = max(1, round(window.seconds * min(1.0, len(starts) / rows)))
        start = min(max(window.start, math.floor(min(starts))), window.end - width)
        self.density.learn(Window(start, start + width), starts)


class WindowForecast:
    """How many pages a window seems to have, going by those that came.

    Attributes:
        forecast: calls it seems to have.
        sure_pages: pages that may be requested without waiting for those before them.
        likely_pages: pages that are likely to exist, worth requesting while nothing else is to be done.
        is_too_full: whether the window should be split.
        needs_measuring: whether it has to be measured how many calls there are, as they come in no order of time.
    """

    def __init__(self, planner: WindowPlanner, window: Window, rows_a_page: int) -> None:
        self._planner, self._window, self._rows_a_page = planner, window, rows_a_page
        self._seen = SeenCalls()
        self._is_ordered = True
        self._was_measured = False
        self._first_forecast: tuple[float, int] | None = None
        self.forecast = planner.forecast(window, self._seen)
        self.sure_pages = 1
        self.likely_pages = max(1, int(self.forecast * planner.confidence / rows_a_page))
        self.is_too_full = False
        self.needs_measuring = False

    def add_page(self, count: int, earliest: float, latest: float) -> None:
        """Add a full page of so many calls, which start between two moments (epoch seconds)."""
        planner, window, seen = self._planner, self._window, self._seen
        seen.add(count, earliest, latest)
        self._rows_a_page = max(self._rows_a_page, count)
        if self._first_forecast is None:
            self._is_ordered = not planner.is_unordered(window, seen)
            self.is_too_full = planner.is_worth_splitting(window, seen)
        if self._is_ordered:
            self.forecast = planner.forecast(window, seen)
        self.forecast = max(self.forecast, float(seen.count))
        self.is_too_full = self.is_too_full or planner.is_too_full(window, self.forecast)
        self._first_forecast = self._first_forecast or (self.forecast, seen.count)
        is_first = planner.is_first(window)
        self.needs_measuring = (
            is_first and not self._is_ordered and not self._was_measured and seen.count >= MOST_UNORDERED
        )
        rest = self.forecast - seen.count
        self.sure_pages = int(seen.count + rest * planner.confidence) // self._rows_a_page
        self.likely_pages = int(seen.count + rest * (EAGERNESS if is_first else 1)) // self._rows_a_page + 1
        # Where far more came than was forecast at first, as many again may: page by page would take too long.
        overrun = seen.count - OVERRUN * self._first_forecast[0]
        self.likely_pages += max(0, int(overrun)) // self._rows_a_page

    def set_measured(self, pages: int) -> None:
        """Set about how many pages there are, as measured."""
        self.forecast = float(pages * self._rows_a_page)
        self.needs_measuring, self._was_measured = False, True
        self.is_too_full = self._window.seconds > 1 and self.forecast > self._planner.most_at_once
        self.sure_pages = self.likely_pages = pages

    def learn(self, starts: list[float]) -> None:
        """Have the planner learn from the window, with when all its calls start (epoch seconds)."""
        forecast, seen = self._first_forecast or (0.0, 0)
        self._planner.learn(self._window, starts, forecast=forecast, seen=seen)

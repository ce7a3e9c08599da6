"""Cutting a range into windows by the density of calls, and forecasting how many pages they have. Pure."""

import math
from collections import deque

from attrs import define, field

from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.density import Density
from nxcdr_async.windows import Window

TOO_FULL = 12
"""A window is split when it seems to hold this many times the calls it should: memory has to hold it whole."""

MOST_PARTS = 32
"""Parts a window is split into at once."""

_CALLS_OF_DOUBT = 100
"""How many calls as dense as expected a window counts for before its own density counts more."""

_ALL_OVER = 0.8
"""The part of a window beyond which the first calls seen of it, if more follow, came in no order of time."""

_FEWEST_FORECASTS, _FORECASTS_KEPT = 3, 16
_LOWEST_CONFIDENCE, _HIGHEST_CONFIDENCE = 0.3, 0.95
_DEVIATIONS = 1.5
"""By how many standard deviations a forecast may turn out too high, to be relied on all the same."""


@define(eq=False)
class Seen:
    """Calls seen of a window so far.

    Attributes:
        count: how many.
        earliest: when the first of them starts, epoch seconds.
        latest: when the last of them starts.
    """

    count: int = 0
    earliest: float = math.inf
    latest: float = -math.inf

    def add(self, count: int, earliest: float, latest: float) -> None:
        """Take in some more calls."""
        self.count += count
        self.earliest = min(self.earliest, earliest)
        self.latest = max(self.latest, latest)


@define(eq=False)
class WindowPlan:
    """Cuts windows off a range, one by one, each with about as many calls as is best to read in one go.

    Attributes:
        whole: the range.
        most_rows: calls a window should not exceed by much.
        most_at_once: calls up to which the range is read as one window.
        limits: how wide and how deep a question may be.
        density: what is known of the calls.
        confidence: the part of the calls forecast for the rest of a window that surely come.
    """

    whole: Window
    most_rows: int
    most_at_once: int
    limits: AnswerLimits = field(factory=AnswerLimits)
    density: Density = field(factory=Density)
    confidence: float = field(default=0.5, init=False)
    _came_of_forecast: deque[float] = field(factory=lambda: deque(maxlen=_FORECASTS_KEPT), init=False)
    _frontier: int | None = field(default=None, init=False)
    _latest_end: int | None = field(default=None, init=False)
    _has_learned: bool = field(default=False, init=False)
    _first: Window | None = field(default=None, init=False)

    def next(self) -> Window | None:
        """Cut the next window, the whole range the first time; None when nothing is left, or it waits for the first.

        A range that is too wide for one question begins with as much as may be asked for, and is cut further once that
        has shown how many calls there are.
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
        """Take in a window that was read whole.

        Args:
            window: the window.
            starts: the start times of its calls, epoch seconds.
            forecast: how many calls were forecast when `seen` of them were there, if any were.
            seen: see there.
        """
        if forecast > seen:
            self._learn_confidence(min(1.0, max(0.0, len(starts) - seen) / (forecast - seen)))
        self._has_learned, self._first = True, None
        self.density.learn(window, starts)

    def begin_at(self, moment: int) -> None:
        """Cut the next window from a moment on, as the first one cannot be asked for as it was."""
        self._frontier, self._first = moment, None

    def is_first(self, window: Window) -> bool:
        """Tell whether a window was cut before anything was known of the calls."""
        return window in (self.whole, self._first)

    def is_worth_splitting(self, window: Window, seen: Seen) -> bool:
        """Tell by the first page of a window whether it is the first, and too full to be read as one window."""
        is_first = self.is_first(window) and window.seconds > 1
        return is_first and self.estimate(window, seen) > self.limits.most_rows(self.most_at_once)

    def is_too_full(self, window: Window, rows: float) -> bool:
        """Tell whether a window that seems to hold so many calls must be split, whatever was read of it."""
        most = TOO_FULL * self.most_rows
        return window.seconds > 1 and rows > min(most, self.limits.depth or most)

    def came_all_over(self, window: Window, seen: Seen) -> bool:
        """Tell whether the first calls seen of a window lie all over it: if more follow, they come in no order."""
        return self._covered(window, seen) > _ALL_OVER * window.seconds

    def estimate(self, window: Window, seen: Seen) -> float:
        """Guess how many calls a window holds from those seen of it, as if they came evenly."""
        return seen.count * window.seconds / self._covered(window, seen) if seen.count else 0.0

    def forecast(self, window: Window, seen: Seen) -> float:
        """Guess how many calls a window holds from those seen of it, in order of time, and the density of the rest."""
        expected = self.density.expected(window)
        if not seen.count or not expected:
            return expected or self.estimate(window, seen)
        covered = self._covered(window, seen)
        is_early = seen.latest - window.start <= window.end - seen.earliest
        edge = window.start + covered if is_early else window.end - covered
        if not window.start < edge < window.end:
            return float(seen.count)
        rest = self.density.expected(Window(edge, window.end) if is_early else Window(window.start, edge))
        denser = (seen.count + _CALLS_OF_DOUBT) / (expected - rest + _CALLS_OF_DOUBT)
        return seen.count + rest * denser

    def split(self, window: Window, starts: list[float], rows: float) -> list[Window]:
        """Give the parts to read instead of a window that turned out too full.

        The first one gets none at once: from now on `next` cuts them, each by what was learned until then.

        Args:
            window: the window.
            starts: start times of the calls seen of it so far, in the order the gateway sent them.
            rows: how many calls it is thought to hold.
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

    def _covered(self, window: Window, seen: Seen) -> int:
        """Guess how many seconds of a window the calls seen of it cover, whether they came earliest or latest first."""
        from_start, to_end = math.ceil(seen.latest) - window.start, window.end - math.floor(seen.earliest)
        return max(1, min(window.seconds, from_start, to_end))

    def _cut(self, left: Window) -> int:
        end = self.density.when(left.start, self._rows_wanted)
        cut = left.end if end >= left.end else max(left.start + 1, int(end))
        return min(cut, left.start + (self.limits.window_seconds or left.seconds))

    def _learn_confidence(self, came: float) -> None:
        """Go by how much of earlier forecasts came: their mean, less what they vary by."""
        self._came_of_forecast.append(came)
        if len(self._came_of_forecast) >= _FEWEST_FORECASTS:
            mean = math.fsum(self._came_of_forecast) / len(self._came_of_forecast)
            variance = math.fsum((part - mean) ** 2 for part in self._came_of_forecast) / len(self._came_of_forecast)
            sure = mean - _DEVIATIONS * math.sqrt(variance)
            self.confidence = min(_HIGHEST_CONFIDENCE, max(_LOWEST_CONFIDENCE, sure))

    def _learn_part(self, window: Window, starts: list[float], rows: float) -> None:
        """Learn from the part of a window that was seen, as if its calls lay side by side."""
        if not starts:
            return
        rows = max(rows, 1.0)
        width = max(1, round(window.seconds * min(1.0, len(starts) / rows)))
        start = min(max(window.start, math.floor(min(starts))), window.end - width)
        self.density.learn(Window(start, start + width), starts)


MOST_BLIND = 1_600
"""Calls seen all over a range, in no order of time, after which it has to be measured how many there are."""

EAGERNESS = 3.5
"""How many times as much as forecast may follow in a range read as one window: a short one ends in few round trips."""


class Outlook:
    """How many pages a window seems to have, going by those that came.

    Attributes:
        forecast: calls it seems to hold.
        sure_pages: pages that may be asked for without waiting for those before them.
        likely_pages: pages that are likely to be there, worth a try while nothing else is to do.
        is_too_full: whether the window had better be split.
        is_blind: whether it has to be measured how many calls there are, as their times tell nothing.
    """

    def __init__(self, plan: WindowPlan, window: Window, rows_a_page: int) -> None:
        self._plan, self._window, self._rows_a_page = plan, window, rows_a_page
        self._seen = Seen()
        self._came_in_order = True
        self._was_measured = False
        self._first_forecast: tuple[float, int] | None = None
        self.forecast = plan.forecast(window, self._seen)
        self.sure_pages = 1
        self.likely_pages = max(1, int(self.forecast * plan.confidence / rows_a_page))
        self.is_too_full = False
        self.is_blind = False

    def see(self, count: int, earliest: float, latest: float) -> None:
        """Take in so many calls of a full page, and between when they start (epoch seconds)."""
        plan, window, seen = self._plan, self._window, self._seen
        seen.add(count, earliest, latest)
        self._rows_a_page = max(self._rows_a_page, count)
        if self._first_forecast is None:
            self._came_in_order = not plan.came_all_over(window, seen)
            self.is_too_full = plan.is_worth_splitting(window, seen)
        if self._came_in_order:
            self.forecast = plan.forecast(window, seen)
        self.forecast = max(self.forecast, float(seen.count))
        self.is_too_full = self.is_too_full or plan.is_too_full(window, self.forecast)
        self._first_forecast = self._first_forecast or (self.forecast, seen.count)
        is_first = plan.is_first(window)
        self.is_blind = is_first and not self._came_in_order and not self._was_measured and seen.count >= MOST_BLIND
        rest = self.forecast - seen.count
        self.sure_pages = int(seen.count + rest * plan.confidence) // self._rows_a_page
        self.likely_pages = int(seen.count + rest * (EAGERNESS if is_first else 1)) // self._rows_a_page + 1

    def measured(self, pages: int) -> None:
        """Take in that there are about so many pages."""
        self.forecast = float(pages * self._rows_a_page)
        self.is_blind, self._was_measured = False, True
        self.is_too_full = self._window.seconds > 1 and self.forecast > self._plan.most_at_once
        self.sure_pages = self.likely_pages = pages

    def learn(self, starts: list[float]) -> None:
        """Take in all calls of the window."""
        forecast, seen = self._first_forecast or (0.0, 0)
        self._plan.learn(self._window, starts, forecast=forecast, seen=seen)

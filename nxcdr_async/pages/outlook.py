"""How many pages a window seems to have while it is read. Pure."""

from nxcdr_async.plan import Seen, WindowPlan
from nxcdr_async.windows import Window

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

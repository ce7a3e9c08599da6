"""How far a gateway's answers reach, as learned from them: rows of an answer, width of a range, age. Pure."""

from collections import deque
from datetime import timedelta

from attrs import define, field

from nxcdr_async.errors import ConfigurationError
from nxcdr_async.windows import HOUR, OVERLAP, Window

NARROWEST = HOUR
"""Seconds; a query as narrow as this is never refused for its width."""

SHARE_OF_DEPTH = 0.7
"""The share of the depth cap that a window is cut to hold, as windows turn out fuller than forecast."""

_ENDS_REMEMBERED = 16


@define(eq=False)
class AnswerLimits:
    """The limits of the answers of an API, learned for each session and API, as the vendor documents none.

    Attributes:
        max_span: seconds between the ends of the widest query that is accepted; None while no limit is known.
        depth_cap: the most rows of an answer that its pages show together; None while no cap is known.
        deepest: the most rows that an answer has shown.
        retained_since: epoch seconds before which a query may not begin; None while no such limit is known.
    """

    max_span: int | None = None
    depth_cap: int | None = field(default=None, init=False)
    deepest: int = field(default=0, init=False)
    retained_since: int | None = field(default=None, init=False)
    _ends: deque[tuple[int, Window]] = field(factory=lambda: deque(maxlen=_ENDS_REMEMBERED), init=False)

    @property
    def max_window(self) -> int | None:
        """Seconds of the widest window, as the query for it begins `OVERLAP` earlier."""
        return None if self.max_span is None else self.max_span - OVERLAP

    def most_rows(self, wanted: int) -> int:
        """Return how many rows a window should hold, at most as many as are wanted."""
        return wanted if self.depth_cap is None else max(1, min(wanted, int(self.depth_cap * SHARE_OF_DEPTH)))

    def is_too_wide(self, seconds: int) -> bool:
        """Return whether a window of so many seconds would be refused."""
        return self.max_window is not None and seconds > self.max_window

    def note_refused_width(self, seconds: int) -> None:
        """Note that a query was refused for its width; half of that is tried next."""
        self.max_span = max(NARROWEST, min(seconds // 2, self.max_span or seconds))

    def note_refused_before(self, moment: int) -> None:
        """Note that queries that begin before a moment are refused; that moment only moves forward."""
        self.retained_since = max(moment, self.retained_since or moment)

    def is_cut_at(self, rows: int) -> bool:
        """Return whether an answer shows nothing after so many rows."""
        return self.depth_cap is not None and rows >= self.depth_cap

    def needs_end_check(self, window: Window, rows: int, *, is_full: bool, page_size: int) -> bool:
        """Return whether it has to be proven that the end of an answer is no cap.

        Always after a full page that nothing follows. After a short page only if no answer was ever longer, or that of
        another window ended with just as many rows.

        Args:
            window: the window that was queried.
            rows: how many the answer showed.
            is_full: whether the last page with rows was full.
            page_size: rows requested at once; no cap is lower.
        """
        if rows < page_size:
            return False
        return is_full or rows >= self.deepest or self.has_ended_at(rows, besides=window)

    def has_ended_at(self, rows: int, *, besides: Window) -> bool:
        """Return whether the answer for another window ended with just so many rows."""
        return any(rows == ended and window != besides for ended, window in self._ends)

    def note_end(self, window: Window, rows: int) -> None:
        """Remember how many rows an answer showed."""
        self.deepest = max(self.deepest, rows)
        self._ends.append((rows, window))

    def note_complete(self, rows: int) -> None:
        """Note that an answer showed so many rows and that these were all, which may disprove a cap."""
        if self.depth_cap is not None and rows > self.depth_cap:
            self.depth_cap = None

    def note_cap(self, rows: int) -> None:
        """Note that an answer showed so many rows though there were more."""
        self.depth_cap = rows if self.depth_cap is None else min(rows, self.depth_cap)


def checked_span(max_span: timedelta | None) -> int | None:
    """Return a user's `max_span` in seconds.

    Raises:
        ConfigurationError: it is no timedelta, or under an hour.
    """
    if max_span is None:
        return None
    if not isinstance(max_span, timedelta) or max_span < timedelta(seconds=NARROWEST):
        raise ConfigurationError(f"max_span is {max_span!r}: give a timedelta of an hour or more, or None")
    return int(max_span.total_seconds())

"""How far a gateway's answers reach, as far as it has shown: how deep, over how wide a range, how far back. Pure."""

from collections import deque
from datetime import timedelta

from attrs import define, field

from nxcdr_async.errors import ConfigurationError
from nxcdr_async.windows import HOUR, OVERLAP, Window

NARROWEST = HOUR
"""Seconds; a question as narrow as this that is refused is refused for something else than its width."""

PART_OF_DEPTH = 0.7
"""The part of the rows that an answer shows at most which a window is cut to hold, as windows turn out fuller."""

_ENDS_REMEMBERED = 16


@define(eq=False)
class AnswerLimits:
    """What bounds the answers of an API; one for each session and API, as no document tells of such limits.

    Attributes:
        seconds: between the ends of the widest question that may be asked; None while no limit is known.
        depth: rows of an answer that are shown at most, however many pages are asked for; None while no cap is known.
        deepest: the most rows of an answer that were shown.
        oldest: the moment (epoch seconds) before which a question may not begin; None while no such limit is known.
    """

    seconds: int | None = None
    depth: int | None = field(default=None, init=False)
    deepest: int = field(default=0, init=False)
    oldest: int | None = field(default=None, init=False)
    _ends: deque[tuple[int, Window]] = field(factory=lambda: deque(maxlen=_ENDS_REMEMBERED), init=False)

    @property
    def window_seconds(self) -> int | None:
        """The width of the widest window that may be asked for, whose question begins a little earlier."""
        return None if self.seconds is None else self.seconds - OVERLAP

    def most_rows(self, wanted: int) -> int:
        """Return how many rows a window should hold, of as many as are wanted."""
        return wanted if self.depth is None else max(1, min(wanted, int(self.depth * PART_OF_DEPTH)))

    def is_too_wide(self, seconds: int) -> bool:
        """Tell whether a window is wider than may be asked for."""
        return self.window_seconds is not None and seconds > self.window_seconds

    def refuse_width(self, seconds: int) -> None:
        """Take in that a question was refused for its width; half of it may do."""
        self.seconds = max(NARROWEST, min(seconds // 2, self.seconds or seconds))

    def refuse_before(self, moment: int) -> None:
        """Take in that questions that begin before a moment are refused, which only moves forward."""
        self.oldest = max(moment, self.oldest or moment)

    def is_cut_at(self, rows: int) -> bool:
        """Tell whether nothing behind so many rows of an answer is worth asking for."""
        return self.depth is not None and rows >= self.depth

    def is_doubtful(self, window: Window, rows: int, *, is_full: bool, page_size: int) -> bool:
        """Tell whether the end of an answer has to be proven.

        A full page that nothing follows always has to be. A short page may stand at a cap, too, if no answer was ever
        longer, or that of another window ended with just as many rows.

        Args:
            window: what was asked for.
            rows: how many were shown.
            is_full: whether the last page with rows was full.
            page_size: rows that are asked for at once, below which there is no cap.
        """
        if rows < page_size:
            return False
        return is_full or rows >= self.deepest or self.has_ended_at(rows, besides=window)

    def has_ended_at(self, rows: int, *, besides: Window) -> bool:
        """Tell whether the answer for another window ended with just so many rows."""
        return any(rows == ended and window != besides for ended, window in self._ends)

    def note_end(self, window: Window, rows: int) -> None:
        """Remember how many rows an answer showed."""
        self.deepest = max(self.deepest, rows)
        self._ends.append((rows, window))

    def note_whole(self, rows: int) -> None:
        """Take in that an answer showed so many rows, and that these were all there are."""
        if self.depth is not None and rows > self.depth:
            self.depth = None

    def cap(self, rows: int) -> None:
        """Take in that there were more rows than the so many that were shown."""
        self.depth = rows if self.depth is None else min(rows, self.depth)


def checked_span(max_span: timedelta | None) -> int | None:
    """Return the seconds of the widest question that may be asked, as a user gave it.

    Raises:
        ConfigurationError: it is none, or too narrow to ask by.
    """
    if max_span is None:
        return None
    if not isinstance(max_span, timedelta) or max_span < timedelta(seconds=NARROWEST):
        raise ConfigurationError(f"max_span is {max_span!r}: give a timedelta of an hour or more, or None")
    return int(max_span.total_seconds())

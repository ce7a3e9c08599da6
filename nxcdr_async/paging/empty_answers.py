"""Whether an empty answer is believed at once: by what the short ranges near it hold, and how the gateway did. Pure."""

import math
from collections import deque
from collections.abc import Hashable

from attrs import define, field

from nxcdr_async.windows import HOUR, Window

LONGEST_BELIEVED = HOUR // 2
"""Seconds of the longest range of which an empty answer may be believed at once; for others a request is little."""

FARTHEST_NEAR = HOUR
"""Seconds between a range and others by which it is judged."""

SUSPICIOUS_FROM = 3.0
"""Calls to expect from which on an empty answer is suspicious: it is true once in twenty times, if calls are random."""

MOST_UNCHECKED = 16
"""Empty answers believed in a row, before one is checked all the same."""

CHECKED_AFTER_A_LIE = 16
"""Empty answers that have to prove true, after one did not, before any is believed again."""

_RANGES_REMEMBERED = 64
_PRIOR_CALLS = 0.5
"""Calls that ranges near are taken to have besides, so that a single empty one does not prove that there are none."""


@define(frozen=True)
class _ShortRange:
    window: Window
    filters: Hashable
    calls: float


@define(eq=False)
class EmptyAnswers:
    """Whether an empty answer is believed at once or asked for again; one for each session and API.

    A throttled gateway may answer with nothing. So an empty answer is believed at once only where it is an ordinary
    one, and where those that were asked for again lately were empty again.
    """

    _read: deque[_ShortRange] = field(factory=lambda: deque(maxlen=_RANGES_REMEMBERED), init=False)
    _unchecked: int = field(default=MOST_UNCHECKED, init=False)
    _to_check: int = field(default=0, init=False)

    def note_range(self, window: Window, filters: Hashable, calls: float) -> None:
        """Note how many calls a range has.

        Args:
            window: the range.
            filters: by which the answer was narrowed; None for all calls.
            calls: how many came, infinity if more may follow.
        """
        if window.seconds <= LONGEST_BELIEVED:
            self._read.append(_ShortRange(window, filters, calls))

    def expected(self, window: Window, filters: Hashable) -> float:
        """Return how many calls to expect at most in a range by those near it; infinity if that is not known.

        The arguments are those of `note_range`.
        """
        if window.seconds > LONGEST_BELIEVED:
            return math.inf
        near = [
            read
            for read in self._read
            if read.filters in (None, filters) and _seconds_between(read.window, window) <= FARTHEST_NEAR
        ]
        seconds = sum(read.window.seconds for read in near)
        calls = _PRIOR_CALLS + sum(read.calls for read in near)
        return calls * window.seconds / seconds if seconds else math.inf

    def believe(self, expected: float) -> bool:
        """Return whether an empty answer is believed at once.

        Args:
            expected: calls to expect; 0 where nothing is as ordinary an answer as a call, such as to an id.
        """
        if self._to_check or expected >= SUSPICIOUS_FROM:
            return False
        if not expected:
            return True
        self._unchecked += 1
        return self._unchecked <= MOST_UNCHECKED

    def note_checked(self, *, was_true: bool) -> None:
        """Note that an empty answer was asked for again, and whether it was empty again."""
        if was_true:
            self._unchecked, self._to_check = 0, max(0, self._to_check - 1)
        else:
            self._to_check = CHECKED_AFTER_A_LIE


def _seconds_between(one: Window, other: Window) -> int:
    return max(one.start, other.start) - min(one.end, other.end)

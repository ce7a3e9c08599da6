"""Putting what windows gave into one sequence: sorted, each call once, with bounded memory. Pure."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Any

from nxcdr_async.windows import FARTHEST_OUTSIDE, OVERLAP, Window
from nxcdr_async.wire import Dated

WINDOWS_REMEMBERED = 4
"""A call can stand in two windows, in three where they are one second wide."""

_start_ms = attrgetter("start_ms")
_start_and_identity = attrgetter("start_ms", "identity")


class Sequencer:
    """Takes windows in order of time and releases their calls sorted by time and id, without duplicates.

    Neighbouring windows share `OVERLAP`, so nothing newer than it before the next window's start is final. No document
    says whether a range is about the start of calls or their end. A call that ends after its window shows that it is
    the start; until one does, or once a call starts before its window, calls are held back for `FARTHEST_OUTSIDE`, so
    that the order holds either way.

    Attributes:
        duplicates: calls left out because they were there already.
        out_of_order: calls released although a later one had gone out before.
        final_until: the moment before which all calls are out (epoch seconds), as far as the windows pushed tell; None
            while that is not after the start of the first of them.
    """

    def __init__(self, end_ms: Callable[[Any], float | None] | None = None) -> None:
        self.duplicates = 0
        self.out_of_order = 0
        self.final_until: int | None = None
        self._end_ms = end_ms
        self._is_by_start = end_ms is None
        self._has_strays = False
        self._begin: int | None = None
        self._held: list[Dated] = []
        self._rank: Callable[[Dated], Any] = _start_and_identity
        self._seen: deque[set[Hashable]] = deque(maxlen=WINDOWS_REMEMBERED)
        self._released_until = float("-inf")

    def push(self, calls: list[Dated], window: Window) -> list[Dated]:
        """Take the calls of a window and return those that are final."""
        self._held += self._fresh(calls)
        self._held.sort(key=self._rank)
        self._learn_filter(calls, window)
        lag = 0 if self._is_by_start and not self._has_strays else FARTHEST_OUTSIDE
        final_until = window.end - OVERLAP - lag
        self._begin = window.start if self._begin is None else self._begin
        if final_until > max(self._begin, self.final_until or 0):
            self.final_until = final_until
        return self._release(bisect_left(self._held, final_until * 1000, key=_start_ms))

    def flush(self) -> list[Dated]:
        """Return what was held back: no window follows."""
        return self._release(len(self._held))

    def _learn_filter(self, calls: list[Dated], window: Window) -> None:
        earliest = min(map(_start_ms, calls), default=window.start * 1000)
        self._has_strays = self._has_strays or earliest < (window.start - OVERLAP) * 1000
        if self._end_ms is None or self._is_by_start:
            return
        # The latest calls first: they are the most likely to end after the window.
        ends = map(self._end_ms, sorted(calls, key=_start_ms, reverse=True))
        self._is_by_start = any(end is not None and end > (window.end + OVERLAP) * 1000 for end in ends)

    def _fresh(self, calls: list[Dated]) -> list[Dated]:
        """Leave out what this window or one of the last ones gave already; calls without an id always count."""
        identities = {call.identity for call in calls}
        if None in identities:
            identities.discard(None)
            self._rank = _careful_rank
        known = [window for window in self._seen if not window.isdisjoint(identities)]
        self._seen.append(identities)
        return calls if not known and len(identities) == len(calls) else self._without_known(calls, known)

    def _without_known(self, calls: list[Dated], known_windows: list[set[Hashable]]) -> list[Dated]:
        known: set[Hashable] = set().union(*known_windows)
        fresh = []
        for call in calls:
            if call.identity in known:
                self.duplicates += 1
                continue
            if call.identity is not None:
                known.add(call.identity)
            fresh.append(call)
        return fresh

    def _release(self, count: int) -> list[Dated]:
        ready = self._held[:count]
        if not ready:
            return []
        del self._held[:count]
        self.out_of_order += bisect_left(ready, self._released_until, key=_start_ms)
        self._released_until = max(self._released_until, ready[-1].start_ms)
        return ready


def _careful_rank(call: Dated) -> tuple[float, bool, Any]:
    """Sort calls without an id before those with one of the same time."""
    identity: Any = call.identity
    return call.start_ms, identity is not None, identity if identity is not None else 0

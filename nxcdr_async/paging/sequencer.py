"""Putting the calls of windows into one sequence: sorted, each call once, with bounded memory. Pure."""

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Any

from attrs import define

from nxcdr_async.protocol.responses import Row
from nxcdr_async.records.legs import pairs
from nxcdr_async.windows import FARTHEST_OUTSIDE, OVERLAP, Window

WINDOWS_REMEMBERED = 4
"""A call can be in two windows, in three where they are one second wide."""

_identity = attrgetter("identity")
_start_ms = attrgetter("start_ms")
_start_and_identity = attrgetter("start_ms", "identity")


class Sequencer:
    """Gets windows in order of time, and releases their calls sorted by time and id, without duplicates.

    Neighbouring windows share `OVERLAP`, so calls are final up to `OVERLAP` before the next window's start. The vendor
    does not document whether a range is about the start of calls or their end. A call that ends after its window proves
    that it is the start; until then, or once a call starts before its window, calls are kept for `FARTHEST_OUTSIDE`, so
    that the order is right either way.

    Attributes:
        duplicates: calls left out because they were there already.
        legs: calls beside another one with their id, in their window or one shortly before it.
        out_of_order: calls released although a later one had been released before.
        final_until: epoch seconds before which all calls are released, as far as the windows pushed show; None while
            that is not after the start of the first window.
    """

    def __init__(self, end_ms: Callable[[Any], float | None] | None = None) -> None:
        self.duplicates = 0
        self.legs = 0
        self.out_of_order = 0
        self.final_until: int | None = None
        self._end_ms = end_ms
        self._is_by_start = end_ms is None
        self._has_strays = False
        self._first_start: int | None = None
        self._pending: list[Row] = []
        self._rank: Callable[[Row], Any] = _start_and_identity
        self._seen: deque[_WindowStarts] = deque(maxlen=WINDOWS_REMEMBERED)
        self._released_until = float("-inf")

    def push(self, calls: list[Row], window: Window) -> list[Row]:
        """Add the calls of a window, each once, and return those that are final."""
        self._pending += self._fresh(calls)
        self._sort()
        self._learn_filter(calls, window)
        lag = 0 if self._is_by_start and not self._has_strays else FARTHEST_OUTSIDE
        final_until = window.end - OVERLAP - lag
        self._first_start = window.start if self._first_start is None else self._first_start
        if final_until > max(self._first_start, self.final_until or 0):
            self.final_until = final_until
        return self._release(bisect_left(self._pending, final_until * 1000, key=_start_ms))

    def flush(self) -> list[Row]:
        """Return the calls that are left, as no window follows."""
        return self._release(len(self._pending))

    def _sort(self) -> None:
        """Sort what is pending; by id only where calls start together, as pages mostly come in order of time."""
        self._pending.sort(key=_start_ms)
        if len(set(map(_start_ms, self._pending))) < len(self._pending):
            self._pending.sort(key=self._rank)

    def _learn_filter(self, calls: list[Row], window: Window) -> None:
        earliest = min(map(_start_ms, calls), default=window.start * 1000)
        self._has_strays = self._has_strays or earliest < (window.start - OVERLAP) * 1000
        if self._end_ms is None or self._is_by_start:
            return
        # The latest calls first: they are the most likely to end after the window.
        ends = map(self._end_ms, sorted(calls, key=_start_ms, reverse=True))
        self._is_by_start = any(end is not None and end > (window.end + OVERLAP) * 1000 for end in ends)

    def _fresh(self, calls: list[Row]) -> list[Row]:
        """Leave out what one of the last windows had already; calls without an id always count."""
        starts = _WindowStarts.of(calls)
        if None in starts.identities:
            self._rank = _rank_with_missing_ids
        shared = {identity for window in self._seen for identity in window.distinct & starts.distinct}
        if shared:
            calls = self._without_known(calls, shared)
            starts = _WindowStarts.of(calls)
        self._seen.append(starts)
        self.legs += starts.legs
        return calls

    def _without_known(self, calls: list[Row], shared: set[Hashable]) -> list[Row]:
        """Leave out what is known of the calls whose ids one of the last windows shares."""
        starts: defaultdict[Hashable, list[float]] = defaultdict(list)
        for window in self._seen:
            for identity, start in zip(window.identities, window.starts, strict=True):
                if identity in shared:
                    starts[identity].append(start)
        fresh = [call for call in calls if call.identity not in shared]
        by_id: defaultdict[Hashable, list[Row]] = defaultdict(list)
        for call in calls:
            if call.identity in shared:
                by_id[call.identity].append(call)
        for identity, same_id in by_id.items():
            known = starts[identity]
            matches = pairs(known, [call.start_ms for call in same_id])
            new = [call for call, match in zip(same_id, matches, strict=True) if match is None]
            self.duplicates += len(same_id) - len(new)
            self.legs += bool(known and new)
            fresh += new
        return fresh

    def _release(self, count: int) -> list[Row]:
        ready = self._pending[:count]
        if not ready:
            return []
        del self._pending[:count]
        self.out_of_order += bisect_left(ready, self._released_until, key=_start_ms)
        self._released_until = max(self._released_until, ready[-1].start_ms)
        return ready


@define(frozen=True)
class _WindowStarts:
    """The ids of the calls of a window, None without one, and when each starts, epoch milliseconds.

    Attributes:
        distinct: the ids, without None.
    """

    identities: list[Any]
    starts: list[float]
    distinct: set[Any]

    @classmethod
    def of(cls, calls: list[Row]) -> "_WindowStarts":
        """Return those of the calls of a window."""
        identities = list(map(_identity, calls))
        return cls(identities, list(map(_start_ms, calls)), set(identities) - {None})

    @property
    def legs(self) -> int:
        """How many calls there are beside another one with their id."""
        return len(self.identities) - self.identities.count(None) - len(self.distinct)


def _rank_with_missing_ids(call: Row) -> tuple[float, bool, Any]:
    """Return the sort key where some calls have no id: they come before those with one of the same time."""
    identity: Any = call.identity
    return call.start_ms, identity is not None, identity if identity is not None else 0

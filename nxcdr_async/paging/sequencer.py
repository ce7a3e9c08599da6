"""Putting what windows gave into one sequence: sorted, each call once, with bounded memory. Pure."""

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Any

from attrs import define

from nxcdr_async.paging.page_rows import repeated_identities
from nxcdr_async.protocol.responses import Dated
from nxcdr_async.records.legs import pairs
from nxcdr_async.windows import FARTHEST_OUTSIDE, OVERLAP, Window

WINDOWS_REMEMBERED = 4
"""A call can stand in two windows, in three where they are one second wide."""

_identity = attrgetter("identity")
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
        legs: calls beside another one with their id, in their window or one shortly before it.
        out_of_order: calls released although a later one had gone out before.
        final_until: the moment before which all calls are out (epoch seconds), as far as the windows pushed tell; None
            while that is not after the start of the first of them.
    """

    def __init__(self, end_ms: Callable[[Any], float | None] | None = None) -> None:
        self.duplicates = 0
        self.legs = 0
        self.out_of_order = 0
        self.final_until: int | None = None
        self._end_ms = end_ms
        self._is_by_start = end_ms is None
        self._has_strays = False
        self._begin: int | None = None
        self._held: list[Dated] = []
        self._rank: Callable[[Dated], Any] = _start_and_identity
        self._seen: deque[_Given] = deque(maxlen=WINDOWS_REMEMBERED)
        self._released_until = float("-inf")

    def push(self, calls: list[Dated], window: Window) -> list[Dated]:
        """Take the calls of a window, each once, and return those that are final."""
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
        """Leave out what one of the last windows gave already; calls without an id always count."""
        identities = set(map(_identity, calls))
        if None in identities:
            identities.discard(None)
            self._rank = _careful_rank
        known = [window for window in self._seen if not window.starts.keys().isdisjoint(identities)]
        fresh = self._without_known(calls, known) if known else calls
        given = _Given.of(fresh)
        self._seen.append(given)
        self.legs += sum(len(starts) - 1 for starts in given.legs.values())
        return fresh

    def _without_known(self, calls: list[Dated], windows: list["_Given"]) -> list[Dated]:
        by_id: defaultdict[Hashable, list[Dated]] = defaultdict(list)
        for call in calls:
            by_id[call.identity].append(call)
        fresh = by_id.pop(None, [])
        for identity, came in by_id.items():
            known = [start for window in windows for start in window.starts_of(identity)]
            new = [
                call
                for call, place in zip(came, pairs(known, [c.start_ms for c in came]), strict=True)
                if place is None
            ]
            self.duplicates += len(came) - len(new)
            self.legs += bool(known and new)
            fresh += new
        return fresh

    def _release(self, count: int) -> list[Dated]:
        ready = self._held[:count]
        if not ready:
            return []
        del self._held[:count]
        self.out_of_order += bisect_left(ready, self._released_until, key=_start_ms)
        self._released_until = max(self._released_until, ready[-1].start_ms)
        return ready


@define(frozen=True)
class _Given:
    """When the calls start that a window gave, by their ids.

    Attributes:
        starts: of each id one.
        legs: all of each id that several calls have.
    """

    starts: dict[Hashable, float]
    legs: dict[Hashable, list[float]]

    @classmethod
    def of(cls, calls: list[Dated]) -> "_Given":
        """Return what is to be remembered of calls."""
        starts = dict(zip(map(_identity, calls), map(_start_ms, calls), strict=True))
        if len(starts) == len(calls):
            return cls(starts, {})
        repeated = repeated_identities(calls)
        return cls(starts, {one: [call.start_ms for call in calls if call.identity == one] for one in repeated})

    def starts_of(self, identity: Hashable) -> list[float]:
        """Return when the calls of an id start."""
        if identity in self.legs:
            return self.legs[identity]
        return [self.starts[identity]] if identity in self.starts else []


def _careful_rank(call: Dated) -> tuple[float, bool, Any]:
    """Sort calls without an id before those with one of the same time."""
    identity: Any = call.identity
    return call.start_ms, identity is not None, identity if identity is not None else 0

"""Putting what windows gave into one sequence: sorted, each call once, with bounded memory. Pure."""

from collections import deque
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from nxcdr_async.windows import FARTHEST_OUTSIDE, OVERLAP

RecordT = TypeVar("RecordT")

SHARED = timedelta(seconds=OVERLAP)
"""Neighbouring windows share this much, so nothing newer than it before the next window's start is final."""

LAG = timedelta(seconds=FARTHEST_OUTSIDE)
"""How far records are held back while a gateway may filter by their end, so that later windows may still give some
that started earlier."""

WINDOWS_REMEMBERED = 4
"""A call can stand in two windows, in three where they are one second wide."""


class Sequencer(Generic[RecordT]):
    """Takes windows in order of time and releases their records sorted by time and id, without duplicates.

    No document says whether a range is about the start of calls or their end. A call that ends after its window shows
    that it is the start; until one does, or once a call starts before its window, records are held back for
    `LAG`, so that the order holds either way.

    Attributes:
        duplicates: records left out because they were there already.
        out_of_order: records released although a later one had gone out before.
    """

    def __init__(
        self,
        moment: Callable[[RecordT], datetime],
        identity: Callable[[RecordT], Hashable | None],
        end_time: Callable[[RecordT], datetime | None] | None = None,
    ) -> None:
        self.duplicates = 0
        self.out_of_order = 0
        self._moment = moment
        self._identity = identity
        self._end_time = end_time
        self._is_by_start = end_time is None
        self._has_strays = False
        self._held: list[RecordT] = []
        self._seen: deque[set[Hashable]] = deque(maxlen=WINDOWS_REMEMBERED)
        self._released_until = datetime.min.replace(tzinfo=UTC)

    def push(self, records: list[RecordT], *, start: datetime, end: datetime) -> list[RecordT]:
        """Take the records of the window [start, end) and return those that are final."""
        self._held += self._fresh(records)
        self._learn_filter(records, start, end)
        lag = timedelta(0) if self._is_by_start and not self._has_strays else LAG
        return self._release(before=end - SHARED - lag)

    def flush(self) -> list[RecordT]:
        """Return what was held back: no window follows."""
        return self._release(before=None)

    def _learn_filter(self, records: list[RecordT], start: datetime, end: datetime) -> None:
        self._has_strays = self._has_strays or any(self._moment(record) < start - SHARED for record in records)
        if self._end_time is None or self._is_by_start:
            return
        ends = (self._end_time(record) for record in records)
        self._is_by_start = any(last is not None and last > end + SHARED for last in ends)

    def _fresh(self, records: list[RecordT]) -> list[RecordT]:
        """Leave out what this window or one of the last ones gave already; records without an id always count."""
        seen: set[Hashable] = set()
        fresh = []
        for record in records:
            identity = self._identity(record)
            if identity is not None and (identity in seen or any(identity in window for window in self._seen)):
                self.duplicates += 1
                continue
            seen.add(identity)
            fresh.append(record)
        self._seen.append({identity for identity in map(self._identity, records) if identity is not None})
        return fresh

    def _release(self, *, before: datetime | None) -> list[RecordT]:
        ready = sorted((r for r in self._held if before is None or self._moment(r) < before), key=self._rank)
        if not ready:
            return ready
        self._held = [] if before is None else [r for r in self._held if self._moment(r) >= before]
        self.out_of_order += sum(1 for r in ready if self._moment(r) < self._released_until)
        self._released_until = max(self._released_until, self._moment(ready[-1]))
        return ready

    def _rank(self, record: RecordT) -> tuple[datetime, bool, Any]:
        identity = self._identity(record)
        return self._moment(record), identity is not None, identity if identity is not None else 0

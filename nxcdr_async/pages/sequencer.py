"""Putting what windows gave into one sequence: sorted, each call once, with bounded memory. Pure."""

from collections import deque
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

RecordT = TypeVar("RecordT")

OVERLAP = timedelta(seconds=1)
"""Neighbouring windows share this much, so nothing newer than it before the next window's start is final."""

LONGEST_LAG = timedelta(hours=1)
"""How far calls are held back for a gateway whose windows give calls that started before them."""

WINDOWS_REMEMBERED = 4
"""A call can stand in two windows, in three where they are one second wide."""


class Sequencer(Generic[RecordT]):
    """Takes windows in order of time and releases their records sorted by time and id, without duplicates.

    A gateway may filter by another time than that of the record's start; then a window holds records from before it.
    How long before is learned, and that long records are held back, up to `LONGEST_LAG`.

    Attributes:
        duplicates: records left out because they were there already.
        out_of_order: records released although a later one had gone out before.
    """

    def __init__(self, moment: Callable[[RecordT], datetime], identity: Callable[[RecordT], Hashable | None]) -> None:
        self.duplicates = 0
        self.out_of_order = 0
        self._moment = moment
        self._identity = identity
        self._held: list[RecordT] = []
        self._seen: deque[set[Hashable]] = deque(maxlen=WINDOWS_REMEMBERED)
        self._lag = timedelta(0)
        self._released_until = datetime.min.replace(tzinfo=UTC)

    def push(self, records: list[RecordT], *, start: datetime, end: datetime) -> list[RecordT]:
        """Take the records of the window [start, end) and return those that are final."""
        self._held += self._fresh(records)
        earliest = min(map(self._moment, records), default=start)
        self._lag = min(LONGEST_LAG, max(self._lag, start - OVERLAP - earliest))
        return self._release(before=end - OVERLAP - self._lag)

    def flush(self) -> list[RecordT]:
        """Return what was held back: no window follows."""
        return self._release(before=datetime.max.replace(tzinfo=UTC))

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

    def _release(self, *, before: datetime) -> list[RecordT]:
        ready = sorted((r for r in self._held if self._moment(r) < before), key=self._rank)
        if not ready:
            return ready
        self._held = [r for r in self._held if self._moment(r) >= before]
        self.out_of_order += sum(1 for r in ready if self._moment(r) < self._released_until)
        self._released_until = max(self._released_until, self._moment(ready[-1]))
        return ready

    def _rank(self, record: RecordT) -> tuple[datetime, bool, Any]:
        identity = self._identity(record)
        return self._moment(record), identity is not None, identity if identity is not None else 0

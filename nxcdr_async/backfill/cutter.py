"""Cutting what a paginator hands out into windows to be stored. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from attrs import define, field

from nxcdr_async.backfill.ledger import Reading
from nxcdr_async.windows import Window


@define(frozen=True)
class Cut:
    """A window that was read whole, with its records."""

    window: Window
    records: list[Any]


@define(eq=False)
class Cutter:
    """Takes records in order of time and cuts off windows that are complete.

    A window has all records before its end that were not cut off before it, so that none is lost for its time.

    Attributes:
        reading: what is read.
        time: the time of a record.
        floor: the last moment up to a given one at which the source lets a window end.
        must_end: moments at which a window has to end, in order.
    """

    reading: Reading
    time: Callable[[Any], datetime]
    floor: Callable[[int], int]
    must_end: Sequence[int] = ()
    _start: int = field(init=False)
    _until: int = field(init=False)
    _records: list[Any] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._start = self._until = self.reading.window.start

    @property
    def start(self) -> int:
        """Where the next window begins, epoch seconds."""
        return self._start

    @property
    def held(self) -> int:
        """Records taken and not cut off yet."""
        return len(self._records)

    @property
    def can_cut(self) -> bool:
        """Whether anything is complete that was not cut off yet."""
        return self._until > self._start

    def take(self, records: Sequence[Any], complete_until: datetime | None) -> None:
        """Take more records, after which none is missing before a moment."""
        self._records += records
        if complete_until is not None:
            # The end of the reading is reached by its finish alone: up to then, more may come out of order.
            reached = min(self.reading.window.end - 1, int(complete_until.timestamp()))
            self._until = max(self._until, self.reading.floor(self.floor(reached)))

    def finish(self) -> None:
        """Take in that the reading is at its end."""
        self._until = self.reading.window.end

    def cut(self) -> Iterator[Cut]:
        """Cut off all that is complete: one window, or more where one has to end."""
        edges = sorted({*self.reading.edges(self._start, self._until), *self._must_end(), self._until})
        for edge in edges:
            if edge > self._start:
                yield self._cut_at(edge)

    def _must_end(self) -> list[int]:
        floors = [self.reading.floor(self.floor(edge)) for edge in self.must_end]
        return [edge for edge in floors if self._start < edge < self._until]

    def _cut_at(self, edge: int) -> Cut:
        is_last = edge == self.reading.window.end
        place = len(self._records) if is_last else bisect_left(self._records, float(edge), key=self._seconds)
        cut = Cut(Window(self._start, edge), self._records[:place])
        del self._records[:place]
        self._start = edge
        return cut

    def _seconds(self, record: Any) -> float:
        return self.time(record).timestamp()

"""Cutting what a paginator hands out into windows to be stored. Pure."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async.ingest.ranges import ReadRange
from nxcdr_async.records.arrow import Table
from nxcdr_async.windows import Window


@define(frozen=True)
class Segment:
    """A window that was read whole, with its rows."""

    window: Window
    rows: pa.Table


@define(eq=False)
class Segmenter:
    """Cuts off windows that are complete from rows that come in order of time.

    A window has all rows before its end that were not cut off before it, so that none is lost for its time; the last
    one has what is left.

    Attributes:
        table: whose rows they are.
        read_range: what is read.
        floor: the last moment up to a given one at which the source lets a window end.
        must_end: moments at which a window has to end, in order.
    """

    table: Table
    read_range: ReadRange
    floor: Callable[[int], int]
    must_end: Sequence[int] = ()
    _start: int = field(init=False)
    _until: int = field(init=False)
    _pending: list[pa.Table] = field(factory=list, init=False)
    _count: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._start = self._until = self.read_range.window.start

    @property
    def rows_pending(self) -> int:
        """Rows added and not yet cut off."""
        return self._count

    @property
    def has_segments(self) -> bool:
        """Whether anything is complete that was not cut off yet."""
        return self._until > self._start

    def add(self, rows: pa.Table, complete_until: datetime | None) -> None:
        """Add rows, after which none is missing before a moment."""
        self._pending.append(rows)
        self._count += rows.num_rows
        if complete_until is not None:
            # The end of the range is reached by its finish alone: up to then, more may come out of order.
            reached = min(self.read_range.window.end - 1, int(complete_until.timestamp()))
            self._until = max(self._until, self.read_range.floor(self.floor(reached)))

    def finish(self) -> None:
        """Note that the range was read to its end."""
        self._until = self.read_range.window.end

    def segments(self) -> Iterator[Segment]:
        """Cut off all that is complete: one window, or more where one has to end."""
        floors = (self.read_range.floor(self.floor(edge)) for edge in self.must_end)
        edges = {*floors, *self.read_range.ends, self._until}
        for edge in sorted(edge for edge in edges if self._start < edge <= self._until):
            yield self._cut_at(edge)

    def _cut_at(self, edge: int) -> Segment:
        window, rows = Window(self._start, edge), pa.concat_tables([self.table.empty(), *self._pending])
        kept = rows.slice(rows.num_rows)
        if edge < self.read_range.window.end:
            is_before = pc.less(rows[self.table.time], pa.scalar(moment_at(edge)))
            rows, kept = rows.filter(is_before), rows.filter(pc.invert(is_before))
        self._pending, self._count, self._start = [kept], kept.num_rows, edge
        return Segment(window, rows.combine_chunks())

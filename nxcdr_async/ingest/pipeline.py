"""A run: reads parts of a range, cuts them into windows and has these stored while it reads on."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field

from nxcdr_async._util.clocks import steady
from nxcdr_async._util.tasks import in_thread
from nxcdr_async.errors import NxcdrError
from nxcdr_async.ingest.progress import ProgressMeter
from nxcdr_async.ingest.ranges import ReadRange
from nxcdr_async.ingest.segmenter import Segment, Segmenter
from nxcdr_async.ingest.table_writer import ReadSummary, RowCounts
from nxcdr_async.records.arrow import RECORDS_AT_ONCE, BadRowHandler, Table, rows_of
from nxcdr_async.sinks.ledger import ROWS_A_WINDOW, SECONDS_A_WINDOW, Ledger
from nxcdr_async.sources.base import SkippedRows, Source
from nxcdr_async.transport.clock_skew import Interval
from nxcdr_async.windows import HOUR

OPEN_WINDOWS = 24
"""Windows, none under an hour, that what may still get late rows is cut into: so closely follows `complete_until`."""

WINDOWS_WAITING = 1
"""Windows that may wait for the one being stored."""


@define(frozen=True)
class Clocks:
    """What time it is.

    Attributes:
        steady: seconds that only ever grow.
        gateway: the earliest and the latest it may be by the gateway's clock, epoch seconds. Nothing counts as read
            later than the earliest, and reading goes on to the latest, so that a clock in doubt costs no row.
    """

    steady: Callable[[], float]
    gateway: Callable[[], Interval]


def clocks_of(source: Source) -> Clocks:
    """Return the clocks by which a source is read."""
    return Clocks(steady, partial(source.context.time_at, source.endpoint))


class WindowWriter(Protocol):
    """Stores the windows of a run one by one, or compares them with what is stored. Lives in worker threads."""

    @property
    def table(self) -> Table:
        """Whose records they are."""

    @property
    def settle(self) -> int:
        """Seconds a window stays open after its end."""

    @property
    def ledger(self) -> Ledger:
        """What was read so far."""

    def put(self, segment: Segment, summary: ReadSummary, /) -> RowCounts:
        """Store a window, or compare it."""


@define(eq=False)
class Pipeline:
    """Reads a source, and has its windows stored one by one.

    Attributes:
        source: what is read.
        writer: stores the windows, or compares them with a store.
        clocks: what time it is.
        meter: counts and reports what is done.
        on_bad_row: gets the error of each bad row, which is then left out; None to stop at the first.
    """

    source: Source
    writer: WindowWriter
    clocks: Clocks
    meter: ProgressMeter
    on_bad_row: BadRowHandler | None = None
    _skipped: SkippedRows = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._skipped = SkippedRows(self.on_bad_row)

    async def read(self, read_ranges: Sequence[ReadRange]) -> None:
        """Read parts of the range, one after the other, each concurrently; all that is complete is stored, always.

        Raises:
            NxcdrError: it could not be read or stored to the end.
        """
        failures: list[Exception] = []
        send, receive = anyio.create_memory_object_stream[tuple[Segment, ReadSummary]](WINDOWS_WAITING)
        async with anyio.create_task_group() as group:

            async def store() -> None:
                try:
                    await self._store_all(receive)
                except Exception as error:  # noqa: BLE001 - raised below, bare, not in a group
                    failures.append(error)
                    group.cancel_scope.cancel()

            group.start_soon(store)
            try:
                async with send:
                    for read_range in read_ranges:
                        await self._read_one(read_range, send)
            except Exception as error:  # noqa: BLE001 - as above, after what was read before it is stored
                failures.append(error)
        if failures:
            raise failures[0]

    async def _read_one(self, read_range: ReadRange, send: MemoryObjectSendStream[tuple[Segment, ReadSummary]]) -> None:
        began = sent_at = self.clocks.steady()
        segmenter, records = self._segmenter(read_range), list[Any]()
        failure: NxcdrError | None = None
        async with self.source.read_window(read_range.window, self._skipped) as paginator:
            try:
                async for page in paginator.pages():
                    records += page
                    self.meter.read(len(page))
                    is_overdue = self.clocks.steady() - sent_at >= SECONDS_A_WINDOW
                    if len(records) < RECORDS_AT_ONCE and not is_overdue:
                        continue
                    self._add(segmenter, records, paginator.complete_until)
                    if segmenter.has_segments and (segmenter.rows_pending >= ROWS_A_WINDOW or is_overdue):
                        await self._send(segmenter, began, send)
                        sent_at = self.clocks.steady()
                self._add(segmenter, records, None)
            except NxcdrError as error:
                self._add(segmenter, records, error.complete_until)
                failure = error
        self.meter.legs += paginator.stats.legs
        if failure is None:
            segmenter.finish()
        await self._send(segmenter, began, send)
        if failure is not None:
            raise failure

    def _add(self, segmenter: Segmenter, records: list[Any], complete_until: datetime | None) -> None:
        """Hand records on as rows; the list is emptied, as they take more memory than the rows.

        Also if one cannot be stored: what was taken before them can be, all the same.
        """
        taken, records[:] = records[:], []
        segmenter.add(rows_of(self.writer.table, taken, self._skipped.bad_row_handler), complete_until)

    def _segmenter(self, read_range: ReadRange) -> Segmenter:
        """Have windows end where rows cease to turn up late, so that what lies before is sealed at once.

        And now and then after that: a window is sealed as a whole, so a long one would stay open for long.
        """
        now, settle = int(self.clocks.gateway().least), self.writer.settle
        step = max(HOUR, settle // OPEN_WINDOWS)
        edges = (now - settle, *range(now - settle + step, now, step))
        must_end = [edge for edge in edges if edge > read_range.window.start]
        return Segmenter(self.writer.table, read_range, self.source.unit.floor, must_end)

    async def _send(
        self, segmenter: Segmenter, began: float, send: MemoryObjectSendStream[tuple[Segment, ReadSummary]]
    ) -> None:
        # By the gateway's clock as it is known by now, and when the reading began: what came later may not be in it.
        read_at = int(self.clocks.gateway().least - (self.clocks.steady() - began))
        for segment in segmenter.segments():
            await send.send((segment, self._summary(segment, read_at)))

    def _summary(self, segment: Segment, read_at: int) -> ReadSummary:
        bad_rows, self._skipped.bad_rows = self._skipped.bad_rows, 0
        saturated = self._skipped.saturated_until(segment.window.end)
        return ReadSummary(read_at, bad_rows, saturated, self._skipped.refused_in(segment.window))

    async def _store_all(self, receive: MemoryObjectReceiveStream[tuple[Segment, ReadSummary]]) -> None:
        # At once, so that whoever waits to send sees it closed after the error that closed it is known.
        with receive:
            async for segment, summary in receive:
                counts = await in_thread(partial(self.writer.put, segment, summary))
                if self.on_bad_row is not None:
                    for bad in counts.left_out:
                        self.on_bad_row(bad)
                self.meter.stored(segment.window, counts, self.writer.ledger.complete_until(self.writer.settle))

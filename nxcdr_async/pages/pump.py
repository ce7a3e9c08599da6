"""The pump: reads the windows of a source side by side and puts their records, in order, into a mailbox.

It runs inside one task, and all concurrency is inside it. Whatever fails in it goes out through the mailbox.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from nxcdr_async.errors import NxcdrError, TransportError
from nxcdr_async.pages.sequencer import Sequencer
from nxcdr_async.pages.source import ReadResult, Source, Split
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window

RecordT = TypeVar("RecordT")


class Mailbox(Generic[RecordT]):
    """A bounded queue of batches. A batch leaves it in the same step in which it is handed out.

    So a reader that is cancelled or times out while it waits never loses one.
    """

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self._batches: deque[list[RecordT]] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    async def put(self, batch: list[RecordT]) -> None:
        """Add a batch, once there is room."""
        while len(self._batches) >= self._size:
            await self._change()
        self._batches.append(batch)
        self._changed.set()

    async def take(self) -> list[RecordT] | None:
        """Take the oldest batch, once there is one; None when there will be none."""
        while not self._batches:
            if self._ended:
                return None
            await self._change()
        self._changed.set()
        return self._batches.popleft()

    def end(self) -> None:
        """Say that no batch follows."""
        self._ended = True
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


@define(eq=False)
class _Errand(Generic[RecordT]):
    """A window on its way: waiting, being read, or read."""

    window: Window
    is_under_way: bool = False
    result: ReadResult[RecordT] | None = None


@define(eq=False)
class Pump(Generic[RecordT]):
    """Reads a source into a mailbox.

    Attributes:
        source: what is read.
        sequencer: puts the records in order.
        readers: how many windows are worth reading at once, which may change while it runs.
        stats: where records are counted.
        mailbox: where batches of records go.
        error: what ended the pump early, to be raised after the last batch.
        is_finished: whether the source was read to its end.
    """

    source: Source[RecordT]
    sequencer: Sequencer[RecordT]
    readers: Callable[[], int]
    stats: PaginatorStats
    mailbox: Mailbox[RecordT] = field(factory=Mailbox, init=False)
    error: Exception | None = field(default=None, init=False)
    is_finished: bool = field(default=False, init=False)
    _errands: list[_Errand[RecordT]] = field(factory=list, init=False)
    _progress: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def run(self) -> None:
        """Read until the end or the first error; then, or when cancelled, end the mailbox."""
        try:
            async with anyio.create_task_group() as workers:
                try:
                    self.error = await self._deliver_all(workers)
                    self.is_finished = self.error is None
                except Exception as error:  # noqa: BLE001 - raised by the paginator, bare, not in a group
                    self.error = error
                workers.cancel_scope.cancel()
        finally:
            self.mailbox.end()

    async def _deliver_all(self, workers: TaskGroup) -> Exception | None:
        while True:
            self._start_reading(workers)
            if not self._errands:
                await self._deliver(self.sequencer.flush())
                return None
            first = self._errands[0]
            if first.result is None:
                self._progress.clear()
                await self._progress.wait()
                continue
            del self._errands[0]
            start, end = (datetime.fromtimestamp(edge, UTC) for edge in (first.window.start, first.window.end))
            ready = self.sequencer.push(first.result.records, start=start, end=end)
            if first.result.error is not None:
                await self._deliver(ready + self.sequencer.flush())
                if isinstance(first.result.error, NxcdrError):
                    first.result.error.complete_until = start
                return first.result.error
            await self._deliver(ready)

    def _start_reading(self, workers: TaskGroup) -> None:
        """Keep as many windows being read as are worth it, the earliest first, and as many again read ahead of need."""
        readers = self.readers()
        under_way = sum(errand.is_under_way for errand in self._errands)
        for errand in islice(self._errands, 2 * readers):
            if under_way >= readers:
                return
            if not errand.is_under_way and errand.result is None:
                self._start(errand, workers)
                under_way += 1
        while under_way < readers and len(self._errands) < 2 * readers:
            window = self.source.next(readers=readers)
            if window is None:
                return
            self._errands.append(_Errand(window))
            self._start(self._errands[-1], workers)
            under_way += 1

    def _start(self, errand: _Errand[RecordT], workers: TaskGroup) -> None:
        errand.is_under_way = True
        workers.start_soon(self._read, errand, workers)

    async def _read(self, errand: _Errand[RecordT], workers: TaskGroup) -> None:
        result: ReadResult[RecordT] | Split
        try:
            result = await self.source.read(errand.window)
        except asyncio.CancelledError:  # noqa: ASYNC103 - raised again if it is ours
            if workers.cancel_scope.cancel_called:
                raise
            # Not ours: were it let through, the group would take it for its own and end as if all were read.
            fault = TransportError("a request was cancelled from outside; was its client session closed?")
            result = ReadResult([], fault)
        except Exception as error:  # noqa: BLE001 - raised by the paginator when its turn comes
            result = ReadResult([], error)
        errand.is_under_way = False
        if isinstance(result, Split):
            place = self._errands.index(errand)
            self._errands[place : place + 1] = [_Errand(part) for part in result.parts]
        else:
            errand.result = result
        self._progress.set()

    async def _deliver(self, records: list[RecordT]) -> None:
        self.stats.duplicates = self.sequencer.duplicates
        self.stats.out_of_order = self.sequencer.out_of_order
        if records:
            self.stats.records += len(records)
            await self.mailbox.put(records)

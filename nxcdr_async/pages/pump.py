"""The pump: reads the pieces of a source side by side and puts their records, in order, into a mailbox.

It runs inside one task, and all concurrency is inside it. Whatever fails in it goes out through the mailbox.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC
from itertools import islice
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from nxcdr_async.errors import NxcdrError, TransportError
from nxcdr_async.pages.sequencer import Sequencer
from nxcdr_async.pages.source import Piece, Rows, Source, Split
from nxcdr_async.stats import PaginatorStats

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
class _Reader(Generic[RecordT]):
    """A piece on its way: waiting, being read, or read."""

    piece: Piece
    is_reading: bool = False
    rows: Rows[RecordT] | None = None


@define(eq=False)
class Pump(Generic[RecordT]):
    """Reads a source into a mailbox.

    Attributes:
        source: what is read.
        sequencer: puts the records in order.
        mailbox: where they go.
        width: how many pieces are worth reading at once, which may change while it runs.
        error: what ended the pump early, to be raised after the last batch.
        finished: whether the source was read to its end.
    """

    source: Source[RecordT]
    sequencer: Sequencer[RecordT]
    mailbox: Mailbox[RecordT]
    width: Callable[[], int]
    stats: PaginatorStats
    error: Exception | None = None
    finished: bool = False
    _line: list[_Reader[RecordT]] = field(factory=list, init=False)
    _progress: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def run(self) -> None:
        """Read until the end or the first error; then, or when cancelled, end the mailbox."""
        try:
            async with anyio.create_task_group() as workers:
                try:
                    self.error = await self._deliver_all(workers)
                    self.finished = self.error is None
                except Exception as error:  # noqa: BLE001 - raised by the paginator, bare, not in a group
                    self.error = error
                workers.cancel_scope.cancel()
        finally:
            self.mailbox.end()

    async def _deliver_all(self, workers: TaskGroup) -> Exception | None:
        while True:
            self._start_readers(workers)
            if not self._line:
                await self._deliver(self.sequencer.flush())
                return None
            head = self._line[0]
            if head.rows is None:
                self._progress.clear()
                await self._progress.wait()
                continue
            del self._line[0]
            ready = self.sequencer.push(head.rows.records, start=head.piece.start, end=head.piece.end)
            if head.rows.error is not None:
                await self._deliver(ready + self.sequencer.flush())
                return _at(head.rows.error, head.piece)
            await self._deliver(ready)

    def _start_readers(self, workers: TaskGroup) -> None:
        """Keep as many pieces being read as are worth it, the earliest first, and as many again read ahead of need."""
        width = self.width()
        reading = sum(reader.is_reading for reader in self._line)
        for reader in islice(self._line, 2 * width):
            if reading >= width:
                return
            if not reader.is_reading and reader.rows is None:
                self._start(reader, workers)
                reading += 1
        while reading < width and len(self._line) < 2 * width:
            piece = self.source.next(readers=width)
            if piece is None:
                return
            self._line.append(_Reader(piece))
            self._start(self._line[-1], workers)
            reading += 1

    def _start(self, reader: _Reader[RecordT], workers: TaskGroup) -> None:
        reader.is_reading = True
        workers.start_soon(self._read, reader, workers)

    async def _read(self, reader: _Reader[RecordT], workers: TaskGroup) -> None:
        result: Rows[RecordT] | Split
        try:
            result = await self.source.read(reader.piece)
        except asyncio.CancelledError:
            if workers.cancel_scope.cancel_called:
                raise
            # Not ours: were it let through, the group would take it for its own and end as if all were read.
            result = Rows([], TransportError("a request was cancelled from outside; was its client session closed?"))
        except Exception as error:  # noqa: BLE001 - raised by the paginator when its turn comes
            result = Rows([], error)
        reader.is_reading = False
        if isinstance(result, Split):
            place = self._line.index(reader)
            self._line[place : place + 1] = [_Reader(part) for part in result.parts]
        else:
            reader.rows = result
        self._progress.set()

    async def _deliver(self, records: list[RecordT]) -> None:
        self.stats.duplicates = self.sequencer.duplicates
        self.stats.out_of_order = self.sequencer.out_of_order
        if records:
            self.stats.records += len(records)
            await self.mailbox.put(records)


def _at(error: Exception, piece: Piece) -> Exception:
    if isinstance(error, NxcdrError):
        error.complete_until = piece.start.astimezone(UTC)
    return error

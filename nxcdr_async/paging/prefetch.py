"""Reading ahead: the windows of a pager are read concurrently, and their records go into a bounded queue, in order."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio
from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async.errors import NxcdrError
from nxcdr_async.paging.places import Pager, Places
from nxcdr_async.paging.sequencer import Sequencer
from nxcdr_async.protocol.responses import Row
from nxcdr_async.records.columns import records_from
from nxcdr_async.stats import PaginatorStats

RecordT = TypeVar("RecordT")

LARGEST_BATCH = 100
"""Records that are handed over at once: few enough that what a reader does with them, such as writing lines, takes an
event loop some milliseconds, and that they stay in the processor's caches until they are read."""


@define(frozen=True)
class Batch(Generic[RecordT]):
    """Records that are handed over at once, at least one.

    Attributes:
        complete_until: epoch seconds before which no record is missing after these; None where only begun.
    """

    records: list[RecordT]
    complete_until: int | None


class BatchQueue(Generic[RecordT]):
    """A bounded queue of batches: a reader that is cancelled or times out while it waits never loses one."""

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self._batches: deque[Batch[RecordT]] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False

    async def put(self, batch: Batch[RecordT]) -> None:
        """Add a batch, once there is room."""
        while len(self._batches) >= self._size:
            await self._change()
        self._batches.append(batch)
        self._changed.set()

    async def get(self) -> Batch[RecordT] | None:
        """Remove and return the oldest batch, once there is one; None when there will be none."""
        if self._batches:
            await asyncio.sleep(0)  # whoever else shares the event loop has a turn between two batches
        while not self._batches:
            if self._is_closed:
                return None
            await self._change()
        self._changed.set()
        return self._batches.popleft()

    def close(self) -> None:
        """End the queue after the batches in it."""
        self._is_closed = True
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


@define(eq=False)
class Prefetcher(Uncopied, Generic[RecordT]):
    """Reads the windows of a pager concurrently, and puts their records into a queue, in order.

    `run` is the body of one task, and all concurrency is inside it. An error stays in `error`, for the reader of the
    queue to raise after the last batch.

    Attributes:
        concurrency: returns how many requests are worth sending at once, which may change while it runs.
        is_finished: whether the pager was read to its end.
        read_until: the end of the last window read, epoch seconds; None before the first.
    """

    pager: Pager
    sequencer: Sequencer
    concurrency: Callable[[], int]
    stats: PaginatorStats
    queue: BatchQueue[RecordT] = field(factory=BatchQueue, init=False)
    error: Exception | None = field(default=None, init=False)
    is_finished: bool = field(default=False, init=False)
    read_until: int | None = field(default=None, init=False)
    _complete_until: int | None = field(default=None, init=False)

    async def run(self) -> None:
        """Read until the end or the first error; then, or when cancelled, close the queue."""
        try:
            async with anyio.create_task_group() as group:
                places = Places(self.pager, self.concurrency, group)
                group.start_soon(places.hand_out)
                try:
                    self.error = await self._deliver_all(places)
                    self.is_finished = self.error is None
                except Exception as error:  # noqa: BLE001 - raised by the paginator, bare, not in a group
                    self.error = error
                group.cancel_scope.cancel()
        finally:
            self.queue.close()

    async def _deliver_all(self, places: Places) -> Exception | None:
        """Deliver the records of one window after the other; return the error of the first that has one."""
        while (read := await places.next_result()) is not None:
            window, result = read
            ready = self.sequencer.push(result.records, window)
            self.sequencer.duplicates += result.duplicates
            result.records.clear()  # else they would stay in memory until the next window is read
            if result.error is not None:
                if isinstance(result.error, NxcdrError):
                    result.error.complete_until = moment_at(window.start)
                await self._deliver(ready + self.sequencer.flush())
                return result.error
            self.read_until = window.end
            await self._deliver(ready, complete_until=self.sequencer.final_until)
        await self._deliver(self.sequencer.flush())
        return None

    async def _deliver(self, found: list[Row], *, complete_until: int | None = None) -> None:
        """Put the records of calls into the queue, and empty the list.

        Args:
            found: the calls.
            complete_until: epoch seconds before which no record is missing after them; None for no change.
        """
        self.stats.duplicates = self.sequencer.duplicates
        self.stats.legs = self.sequencer.legs
        self.stats.out_of_order = self.sequencer.out_of_order
        # The list is emptied on the way, so that each call is free as soon as its reader has done with it.
        found.reverse()
        while found:
            records = records_from([row.values for row in reversed(found[-LARGEST_BATCH:])])
            del found[-LARGEST_BATCH:]
            self.stats.records += len(records)
            if not found:
                self._complete_until = complete_until or self._complete_until
            await self.queue.put(Batch(records, self._complete_until))
        self._complete_until = complete_until or self._complete_until

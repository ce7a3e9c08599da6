"""Reading ahead: the windows of a pager are read concurrently, and their records go into a bounded queue, in order."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async.errors import NxcdrError, TransportError
from nxcdr_async.paging.base import Outcome, Pager, ReadResult, Split, Step, WindowReading
from nxcdr_async.paging.sequencer import Sequencer
from nxcdr_async.protocol.responses import Row
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window

RecordT = TypeVar("RecordT")

LARGEST_BATCH = 200
"""Records that are made and handed over at once: few enough to stay in the processor's caches until they are read."""

FEWEST_WINDOWS = 4
"""Windows open at once, whatever the concurrency and the calls forecast."""

MOST_CALLS_FORECAST = 16_000
"""Calls forecast for the open windows, from which on no more are opened."""

MOST_CALLS_IN_MEMORY = 24_000
"""Calls in memory, some 32 MB, from which on only the earliest window is read, until it can be handed over."""


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
class _WindowTask:
    """A window that waits to be opened, is being read, or was read."""

    window: Window
    reading: WindowReading | None = None
    error: Exception | None = None

    @property
    def calls_read(self) -> int:
        """About how many of its calls are in memory."""
        return self.reading.calls_read if self.reading is not None else 0

    @property
    def outcome(self) -> Outcome | None:
        """How reading it ended; None until then."""
        if self.error is not None:
            return ReadResult([], self.error)
        return self.reading.outcome if self.reading is not None else None


@define(eq=False)
class Prefetcher(Uncopied, Generic[RecordT]):
    """Reads the windows of a pager concurrently, and puts their records into a queue, in order.

    `run` is the body of one task, and all concurrency is inside it. An error stays in `error`, for the reader of the
    queue to raise after the last batch.

    Attributes:
        make_records: turns calls into records.
        concurrency: returns how many steps are worth doing at once, which may change while it runs.
        is_finished: whether the pager was read to its end.
        read_until: the end of the last window read, epoch seconds; None before the first.
    """

    pager: Pager
    sequencer: Sequencer
    make_records: Callable[[list[Row]], list[RecordT]]
    concurrency: Callable[[], int]
    stats: PaginatorStats
    queue: BatchQueue[RecordT] = field(factory=BatchQueue, init=False)
    error: Exception | None = field(default=None, init=False)
    is_finished: bool = field(default=False, init=False)
    read_until: int | None = field(default=None, init=False)
    _tasks: list[_WindowTask] = field(factory=list, init=False)
    _under_way: int = field(default=0, init=False)
    _progress: asyncio.Event = field(factory=asyncio.Event, init=False)
    _complete_until: int | None = field(default=None, init=False)

    async def run(self) -> None:
        """Read until the end or the first error; then, or when cancelled, close the queue."""
        try:
            async with anyio.create_task_group() as workers:
                try:
                    self.error = await self._deliver_all(workers)
                    self.is_finished = self.error is None
                except Exception as error:  # noqa: BLE001 - raised by the paginator, bare, not in a group
                    self.error = error
                workers.cancel_scope.cancel()
        finally:
            self.queue.close()

    async def _deliver_all(self, workers: TaskGroup) -> Exception | None:
        while True:
            self._start_steps(workers)
            # With no concurrency left nothing was begun, so no open window does not yet mean the end.
            if not self._tasks and self._add_window() is None:
                await self._deliver(self.sequencer.flush())
                return None
            read = self._pop_first_result()
            if read is None:
                self._progress.clear()
                await self._progress.wait()
                continue
            ready, error = read
            if error is not None:
                await self._deliver(ready)
                return error
            self._start_steps(workers)
            await self._deliver(ready, complete_until=self.sequencer.final_until)

    def _pop_first_result(self) -> tuple[list[Row], Exception | None] | None:
        """Return the calls that are final after the first window, and its error; None while it is being read."""
        result = self._tasks[0].outcome
        if not isinstance(result, ReadResult):
            return None
        window = self._tasks.pop(0).window
        ready = self.sequencer.push(result.records, window)
        self.sequencer.duplicates += result.duplicates
        # A request may be under way for a page behind the last one, which must not keep the calls in memory.
        result.records.clear()
        if result.error is None:
            self.read_until = window.end
            return ready, None
        if isinstance(result.error, NxcdrError):
            result.error.complete_until = moment_at(window.start)
        return ready + self.sequencer.flush(), result.error

    def _start_steps(self, workers: TaskGroup) -> None:
        """Keep as many steps under way as the concurrency allows."""
        while self._under_way < self.concurrency():
            chosen = self._next_step()
            if chosen is None:
                return
            self._under_way += 1
            workers.start_soon(self._work, chosen, workers)

    def _next_step(self) -> tuple[_WindowTask, Step] | None:
        """Choose the next step: of the earliest window that has one, then of a new window; speculative ones last.

        While very many calls are in memory, only of the earliest window.
        """
        is_full = sum(task.calls_read for task in self._tasks) >= MOST_CALLS_IN_MEMORY
        tasks = self._tasks[:1] if is_full else self._tasks
        for task in tasks:
            if task.outcome is None and (step := self._reading_of(task).next_step()):
                return task, step
        if not is_full and (new := self._add_window()) and (step := self._reading_of(new).next_step()):
            return new, step
        for task in tasks:
            if task.outcome is None and (speculative := self._reading_of(task).next_speculative_step()):
                return task, speculative
        return None

    def _reading_of(self, task: _WindowTask) -> WindowReading:
        if task.reading is None:
            task.reading = self.pager.open(task.window)
        return task.reading

    def _add_window(self) -> _WindowTask | None:
        """Cut one more window, unless enough are open."""
        windows = len(self._tasks)
        if windows >= max(FEWEST_WINDOWS, self.concurrency()):
            return None
        if windows >= FEWEST_WINDOWS and self._forecast() >= MOST_CALLS_FORECAST:
            return None
        window = self.pager.next()
        if window is None:
            return None
        self._tasks.append(_WindowTask(window))
        return self._tasks[-1]

    def _forecast(self) -> float:
        return sum(self._reading_of(task).forecast for task in self._tasks)

    async def _work(self, chosen: tuple[_WindowTask, Step], workers: TaskGroup) -> None:
        """Do one step after the other, and start workers for whatever else can be done."""
        step: tuple[_WindowTask, Step] | None = chosen
        del chosen  # else the first window would stay in memory until this worker ends
        while step is not None:
            await self._do(*step, workers)
            self._start_steps(workers)
            step = self._next_step() if self._under_way <= self.concurrency() else None
        self._under_way -= 1

    async def _do(self, task: _WindowTask, step: Step, workers: TaskGroup) -> None:
        try:
            await step()
        except asyncio.CancelledError:  # noqa: ASYNC103 - raised again if it is ours
            if workers.cancel_scope.cancel_called:
                raise
            # Not ours: were it let through, the group would take it for its own and end as if all were read.
            task.error = TransportError("a request was cancelled from outside; was its client session closed?")
        except Exception as error:  # noqa: BLE001 - raised by the paginator after the records before it
            task.error = error
        if isinstance(task.outcome, Split) and task in self._tasks:
            place = self._tasks.index(task)
            self._tasks[place : place + 1] = [_WindowTask(part) for part in task.outcome.parts]
        self._progress.set()

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
            records = self.make_records([found.pop() for _ in range(min(LARGEST_BATCH, len(found)))])
            self.stats.records += len(records)
            if not found:
                self._complete_until = complete_until or self._complete_until
            await self.queue.put(Batch(records, self._complete_until))
        self._complete_until = complete_until or self._complete_until

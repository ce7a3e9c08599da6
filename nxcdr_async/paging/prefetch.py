"""The pump: reads the windows of a source side by side and puts their records, in order, into a mailbox.

It runs inside one task, and all concurrency is inside it. Whatever fails in it goes out through the mailbox.
"""

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
from nxcdr_async.paging.base import Outcome, Reading, ReadResult, Source, Split, Step
from nxcdr_async.paging.sequencer import Sequencer
from nxcdr_async.protocol.responses import Dated
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window

RecordT = TypeVar("RecordT")

LARGEST_BATCH = 200
"""Records that are made and handed over at once: few enough to stay in the processor's caches until they are read."""

FEWEST_WINDOWS = 4
"""Windows that are held at once, read or being read, however few requests may be in flight or many calls may come."""

MOST_CALLS_FORECAST = 16_000
"""Calls that the windows opened hold or are going to hold, beyond which no more are opened."""

MOST_CALLS_HELD = 24_000
"""Calls that came, beyond which only the earliest window is read on, until it can be handed over: some 32 MB."""


@define(frozen=True)
class Batch(Generic[RecordT]):
    """Records that are handed over at once.

    Attributes:
        records: at least one.
        complete_until: the moment before which, once these are read, none is missing (epoch seconds); None if the range
            has only begun.
    """

    records: list[RecordT]
    complete_until: int | None


class Mailbox(Generic[RecordT]):
    """A bounded queue of batches. A batch leaves it in the same step in which it is handed out.

    So a reader that is cancelled or times out while it waits never loses one.
    """

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self._batches: deque[Batch[RecordT]] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    async def put(self, batch: Batch[RecordT]) -> None:
        """Add a batch, once there is room."""
        while len(self._batches) >= self._size:
            await self._change()
        self._batches.append(batch)
        self._changed.set()

    async def take(self) -> Batch[RecordT] | None:
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
class _Errand:
    """A window on its way: waiting to be opened, being read, or read."""

    window: Window
    reading: Reading | None = None
    fault: Exception | None = None

    @property
    def held(self) -> int:
        """About how many calls it holds."""
        return self.reading.held if self.reading is not None else 0

    @property
    def outcome(self) -> Outcome | None:
        """How the reading ended; None while it is not over."""
        if self.fault is not None:
            return ReadResult([], self.fault)
        return self.reading.outcome if self.reading is not None else None


@define(eq=False)
class Pump(Uncopied, Generic[RecordT]):
    """Reads a source into a mailbox.

    Attributes:
        source: what is read.
        sequencer: puts the records in order.
        finish: makes records of calls.
        readers: how many steps are worth doing at once, which may change while it runs.
        stats: where records are counted.
        mailbox: where batches of records go.
        error: what ended the pump early, to be raised after the last batch.
        is_finished: whether the source was read to its end.
        read_until: the end of the last window read, epoch seconds; None before the first.
    """

    source: Source
    sequencer: Sequencer
    finish: Callable[[list[Dated]], list[RecordT]]
    readers: Callable[[], int]
    stats: PaginatorStats
    mailbox: Mailbox[RecordT] = field(factory=Mailbox, init=False)
    error: Exception | None = field(default=None, init=False)
    is_finished: bool = field(default=False, init=False)
    read_until: int | None = field(default=None, init=False)
    _errands: list[_Errand] = field(factory=list, init=False)
    _under_way: int = field(default=0, init=False)
    _progress: asyncio.Event = field(factory=asyncio.Event, init=False)
    _complete_until: int | None = field(default=None, init=False)

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
            self._start_steps(workers)
            # Without a free place nothing was begun, so no window under way is not yet the end.
            if not self._errands and self._new_errand() is None:
                await self._deliver(self.sequencer.flush())
                return None
            read = self._take_first_read()
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

    def _take_first_read(self) -> tuple[list[Dated], Exception | None] | None:
        """Return what is final by the first window, and what kept it from its end; None while it is being read."""
        result = self._errands[0].outcome
        if not isinstance(result, ReadResult):
            return None
        window = self._errands.pop(0).window
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
        """Keep as many steps under way as are worth it."""
        while self._under_way < self.readers():
            chosen = self._next_step()
            if chosen is None:
                return
            self._under_way += 1
            workers.start_soon(self._work, chosen, workers)

    def _next_step(self) -> tuple[_Errand, Step] | None:
        """Choose what to do next: for the earliest window that has a step, then for a new one; guesses last.

        While very many calls are held, only for the earliest window.
        """
        is_full = sum(errand.held for errand in self._errands) >= MOST_CALLS_HELD
        errands = self._errands[:1] if is_full else self._errands
        for errand in errands:
            if errand.outcome is None and (step := self._opened(errand).next_step()):
                return errand, step
        if not is_full and (new := self._new_errand()) and (step := self._opened(new).next_step()):
            return new, step
        for errand in errands:
            if errand.outcome is None and (guess := self._opened(errand).next_guess()):
                return errand, guess
        return None

    def _opened(self, errand: _Errand) -> Reading:
        if errand.reading is None:
            errand.reading = self.source.open(errand.window)
        return errand.reading

    def _new_errand(self) -> _Errand | None:
        """Cut one more window, unless there is enough to do with those opened."""
        windows = len(self._errands)
        if windows >= max(FEWEST_WINDOWS, self.readers()):
            return None
        if windows >= FEWEST_WINDOWS and self._forecast() >= MOST_CALLS_FORECAST:
            return None
        window = self.source.next()
        if window is None:
            return None
        self._errands.append(_Errand(window))
        return self._errands[-1]

    def _forecast(self) -> float:
        return sum(self._opened(errand).forecast for errand in self._errands)

    async def _work(self, chosen: tuple[_Errand, Step], workers: TaskGroup) -> None:
        """Do one step after the other, and have others do what can be done besides."""
        following: tuple[_Errand, Step] | None = chosen
        del chosen  # else the first window would stay in memory until this task ends
        while following is not None:
            await self._do(*following, workers)
            self._start_steps(workers)
            following = self._next_step() if self._under_way <= self.readers() else None
        self._under_way -= 1

    async def _do(self, errand: _Errand, step: Step, workers: TaskGroup) -> None:
        try:
            await step()
        except asyncio.CancelledError:  # noqa: ASYNC103 - raised again if it is ours
            if workers.cancel_scope.cancel_called:
                raise
            # Not ours: were it let through, the group would take it for its own and end as if all were read.
            errand.fault = TransportError("a request was cancelled from outside; was its client session closed?")
        except Exception as error:  # noqa: BLE001 - raised by the paginator when its turn comes
            errand.fault = error
        if isinstance(errand.outcome, Split) and errand in self._errands:
            place = self._errands.index(errand)
            self._errands[place : place + 1] = [_Errand(part) for part in errand.outcome.parts]
        self._progress.set()

    async def _deliver(self, found: list[Dated], *, complete_until: int | None = None) -> None:
        """Hand over the records of calls, which are taken out of the list.

        Args:
            found: the calls.
            complete_until: the moment before which none is missing after them; None if that is what it was before.
        """
        self.stats.duplicates = self.sequencer.duplicates
        self.stats.legs = self.sequencer.legs
        self.stats.out_of_order = self.sequencer.out_of_order
        # The list is emptied on the way, so that each call is free as soon as its reader has done with it.
        found.reverse()
        while found:
            records = self.finish([found.pop() for _ in range(min(LARGEST_BATCH, len(found)))])
            self.stats.records += len(records)
            if not found:
                self._complete_until = complete_until or self._complete_until
            await self.mailbox.put(Batch(records, self._complete_until))
        self._complete_until = complete_until or self._complete_until

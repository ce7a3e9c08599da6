"""Calls that the vendor pushes, put into the store of a backfill: the push is a hint, the sync is the truth.

>>> def receiver(session):
...     pushed = PushedCalls(session, "calls.sqlite")
...     return call_push_app(pushed.store, token="…")
"""

import math
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import RunVar
from attrs import define, field

from nxcdr_async._util.clocks import sleep, steady
from nxcdr_async._util.tasks import in_thread
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async._util.validation import as_number
from nxcdr_async.errors import BusyError, ConfigurationError, RecordError
from nxcdr_async.records.models import CallRecord
from nxcdr_async.session import CdrSession
from nxcdr_async.sinks.factory import check_arrow, check_file, sink_for

if TYPE_CHECKING:
    import pyarrow as pa

    from nxcdr_async.ingest.pushed_rows import PushWriter
    from nxcdr_async.sinks.protocol import Sink

__all__ = ["PushedCalls"]

LOCK_TIMEOUT = 5.0
"""Seconds to wait for another run to let go of the sink."""

SECONDS_BETWEEN_TRIES = 0.05
"""How long to leave a sink alone that another run has hold of; those of a file wait longer by themselves."""

MOST_AT_ONCE = 1_000
"""Calls that are stored in one transaction."""


@define(eq=False)
class _Push:
    """A call that waits to be stored.

    Attributes:
        call: the call.
        deadline: the steady time up to which it waits for the sink.
        is_done: whether it is stored, or failed.
        error: why it failed.
        traceback: where that was.
    """

    call: CallRecord
    deadline: float
    is_done: bool = False
    error: Exception | None = None
    traceback: TracebackType | None = None

    def finish(self, error: Exception | None = None) -> None:
        """Note what became of it."""
        self.error, self.is_done = error, True
        self.traceback = None if error is None else error.__traceback__


@define(eq=False)
class _Queue:
    """The calls of one event loop that wait.

    Attributes:
        pushes: all of them, in the order they came.
        turn: held by the one who stores for all.
    """

    pushes: list[_Push] = field(factory=list)
    turn: anyio.Lock = field(factory=anyio.Lock)


class PushedCalls(Uncopied):
    """Stores calls that the vendor pushes in the table of calls that `backfill` and `sync` fill.

    A push adds the call, or what it knows more of it, and nothing to the ledger: what is complete, which windows are
    read again and what is verified stay as they are. The next sync that reads the time of the call puts what the
    gateway tells over what was pushed, and only a value that it does not tell stays. What the gateway told already
    stays, and a push only fills in what is missing there; a call that ended after its time was read is none of these.

    Of several pushes of a call, each is put over those before, and no known value is replaced by null. One that tells
    less than is stored, or no end of a call that ended, is an older one that came late: it only fills in, and a line of
    the log says so if it tells other values. Calls of one id are the same if they start less than a second apart. One
    that is none of those the gateway told of its id, such as a leg that it has yet to tell, is left to the sync, and a
    line of the log says so. No push takes a call away again, and no sync one that it does not replace; `verify` counts
    one as extra that the gateway does not tell.

    The sink is held for each batch of calls only, so runs, and other processes that receive pushes, take turns with it.
    A run holds it as long as it takes. In a DuckDB file, which has no index, a call is looked for among those within an
    hour of it: one that is pushed at a time farther off than the gateway tells is there twice.

    Args:
        session: tells whose calls they are; nothing is asked.
        to: `postgresql://…`, a file `….sqlite` or `….duckdb`, or a sink of your own with the method `add`. A folder has
            a file for each window that was read, and no place for calls of none.
        new_key: as for `backfill`.
        new_gateway: as for `backfill`.
        lock_timeout: seconds that a call waits at least for a run to let go of the sink.

    Raises:
        ConfigurationError: an argument cannot work, or the session has no keys for calls.
    """

    _instead = "make one in each process, for a session of that"

    def __init__(
        self,
        session: CdrSession,
        to: "str | Path | Sink",
        *,
        new_key: bool = False,
        lock_timeout: float = LOCK_TIMEOUT,
        new_gateway: bool = False,
    ) -> None:
        seconds = as_number(lock_timeout)
        if seconds is None or not 0 <= seconds < math.inf:
            raise ConfigurationError(f"lock_timeout is {lock_timeout!r}: give seconds, 0 or more")
        self._lock_timeout = seconds
        self._writer = _writer_into(session, to, new_key=new_key, new_gateway=new_gateway)
        # Each event loop has its own, as one may be left for ever in the middle of a turn.
        self._queues: RunVar[_Queue] = RunVar("pushed calls that wait")
        self._sink_lock = threading.Lock()

    async def store(self, call: CallRecord) -> None:
        """Store a call; once this returns, it outlasts a crash. Calls that come meanwhile are stored together.

        Storing a call again does no harm. One whose storing is cancelled may be stored or not; the others are.

        Raises:
            RecordError: no sink can hold it.
            BusyError: a run had hold of the sink for too long.
            ConfigurationError: it holds the calls of another account.
            SinkError: it could not be stored.
        """
        if not isinstance(call, CallRecord):
            raise ConfigurationError(f"only a CallRecord can be stored, not {type(call).__name__}")
        push = _Push(call, steady() + self._lock_timeout)
        queue = self._queue_here()
        queue.pushes.append(push)
        try:
            # Whoever comes first stores for all who wait by then.
            async with queue.turn:
                while not push.is_done:
                    await self._store_some(queue)
        finally:
            if push in queue.pushes:
                queue.pushes.remove(push)
        if push.error is not None:
            # All of a batch raise the same error, whose traceback else grew with each of them.
            raise push.error.with_traceback(push.traceback)

    async def _store_some(self, queue: _Queue) -> None:
        queue.pushes = [push for push in queue.pushes if not push.is_done]
        batch = _next_batch(queue.pushes)
        busy = await in_thread(partial(self._store_batch, batch))
        if busy is None:
            return
        now = steady()
        for push in batch:
            if not push.is_done and push.deadline <= now:
                push.finish(busy)
        await sleep(SECONDS_BETWEEN_TRIES)

    def _store_batch(self, batch: list[_Push]) -> Exception | None:
        # A sink does one thing at a time, and other event loops have threads of their own.
        with self._sink_lock:
            return _store_batch(self._writer, batch)

    def _queue_here(self) -> _Queue:
        queue = self._queues.get(None)
        if queue is None:
            queue = _Queue()
            self._queues.set(queue)
        return queue


def _next_batch(pushes: list[_Push]) -> list[_Push]:
    """Return those to be stored next; of several with one call the first, as each is to add to the one before."""
    batch: dict[str, _Push] = {}
    for push in pushes:
        batch.setdefault(push.call.call_id, push)
        if len(batch) == MOST_AT_ONCE:
            break
    return list(batch.values())


def _writer_into(session: CdrSession, to: "str | Path | Sink", *, new_key: bool, new_gateway: bool) -> "PushWriter":
    if not isinstance(session, CdrSession):
        raise ConfigurationError(f"session is of type {type(session).__name__}: give the session, then the store")
    check_arrow()
    from nxcdr_async.ingest.pushed_rows import PushWriter  # noqa: PLC0415 - imports pyarrow
    from nxcdr_async.ingest.table_writer import AllowedChanges  # noqa: PLC0415 - as above

    writer = PushWriter.of(session, sink_for(to), AllowedChanges(new_key, new_gateway))
    check_file(to)
    return writer


def _store_batch(writer: "PushWriter", batch: list[_Push]) -> Exception | None:
    """Store a batch, and note what became of it, as whoever waits may be cancelled; return why it is to wait."""
    from nxcdr_async.ingest.table_writer import store_by_halves  # noqa: PLC0415 - imports pyarrow

    try:
        for push, unfit in store_by_halves(batch, partial(_store_together, writer)):
            push.finish(unfit)
    except BusyError as busy:
        return busy
    return None


def _store_together(writer: "PushWriter", batch: Sequence[_Push]) -> None:
    """Store a batch in one transaction; what keeps all of it from being stored is the error of each."""
    from nxcdr_async.sinks.protocol import UnfitError  # noqa: PLC0415 - imports pyarrow

    error: Exception | None = None
    try:
        writer.put(_good_rows(writer, batch))
    except (BusyError, UnfitError):
        raise
    except Exception as other:  # noqa: BLE001 - each of the batch raises it
        error = other
    for push in batch:
        if not push.is_done:
            push.finish(error)


def _good_rows(writer: "PushWriter", batch: Sequence[_Push]) -> "pa.Table":
    """Return the calls of a batch as rows; those that no sink can hold are left out and done with."""
    try:
        return writer.rows_of([push.call for push in batch])
    except RecordError:
        for push in batch:
            _finish_if_bad(writer, push)
    return writer.rows_of([push.call for push in batch if not push.is_done])


def _finish_if_bad(writer: "PushWriter", push: _Push) -> None:
    try:
        writer.rows_of([push.call])
    except RecordError as bad:
        push.finish(bad)

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

    from nxcdr_async.ingest.pushed_rows import PushedRows
    from nxcdr_async.sinks.protocol import Sink

__all__ = ["PushedCalls"]

PATIENCE = 5.0
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
        until: the steady time up to which it waits for the sink.
        is_done: whether it is stored, or failed.
        error: why it failed.
        trace: where that was.
    """

    call: CallRecord
    until: float
    is_done: bool = False
    error: Exception | None = None
    trace: TracebackType | None = None

    def end(self, error: Exception | None = None) -> None:
        """Take in what became of it."""
        self.error, self.is_done = error, True
        self.trace = None if error is None else error.__traceback__


@define(eq=False)
class _Line:
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
        patience: seconds that a call waits at least for a run to let go of the sink.

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
        patience: float = PATIENCE,
        new_gateway: bool = False,
    ) -> None:
        seconds = as_number(patience)
        if seconds is None or not 0 <= seconds < math.inf:
            raise ConfigurationError(f"patience is {patience!r}: give seconds, 0 or more")
        self._patience = seconds
        self._rows = _rows_into(session, to, new_key=new_key, new_gateway=new_gateway)
        # Each event loop has its own, as one may be left for ever in the middle of a turn.
        self._lines: RunVar[_Line] = RunVar("pushed calls that wait")
        self._sink_is_ours = threading.Lock()

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
        push = _Push(call, steady() + self._patience)
        line = self._line_here()
        line.pushes.append(push)
        try:
            # Whoever comes first stores for all who wait by then.
            async with line.turn:
                while not push.is_done:
                    await self._store_some(line)
        finally:
            if push in line.pushes:
                line.pushes.remove(push)
        if push.error is not None:
            # All of a batch raise the same error, whose traceback else grew with each of them.
            raise push.error.with_traceback(push.trace)

    async def _store_some(self, line: _Line) -> None:
        line.pushes = [push for push in line.pushes if not push.is_done]
        batch = _first_of(line.pushes)
        busy = await in_thread(partial(self._put, batch))
        if busy is None:
            return
        now = steady()
        for push in batch:
            if not push.is_done and push.until <= now:
                push.end(busy)
        await sleep(SECONDS_BETWEEN_TRIES)

    def _put(self, batch: list[_Push]) -> Exception | None:
        # A sink does one thing at a time, and other event loops have threads of their own.
        with self._sink_is_ours:
            return _put(self._rows, batch)

    def _line_here(self) -> _Line:
        line = self._lines.get(None)
        if line is None:
            line = _Line()
            self._lines.set(line)
        return line


def _first_of(pushes: list[_Push]) -> list[_Push]:
    """Return those to be stored next; of several with one call the first, as each is to add to the one before."""
    batch: dict[str, _Push] = {}
    for push in pushes:
        batch.setdefault(push.call.call_id, push)
        if len(batch) == MOST_AT_ONCE:
            break
    return list(batch.values())


def _rows_into(session: CdrSession, to: "str | Path | Sink", *, new_key: bool, new_gateway: bool) -> "PushedRows":
    if not isinstance(session, CdrSession):
        raise ConfigurationError(f"session is of type {type(session).__name__}: give the session, then the store")
    check_arrow()
    from nxcdr_async.ingest.pushed_rows import PushedRows  # noqa: PLC0415 - imports pyarrow
    from nxcdr_async.ingest.table_writer import Allowed  # noqa: PLC0415 - as above

    rows = PushedRows.of(session, sink_for(to), Allowed(new_key, new_gateway))
    check_file(to)
    return rows


def _put(rows: "PushedRows", batch: list[_Push]) -> Exception | None:
    """Store a batch, and note what became of it, as whoever waits for this may be cancelled; return why not yet."""
    from nxcdr_async.ingest.table_writer import store_by_halves  # noqa: PLC0415 - imports pyarrow

    try:
        for push, unfit in store_by_halves(batch, partial(_put_some, rows)):
            push.end(unfit)
    except BusyError as busy:
        return busy
    return None


def _put_some(rows: "PushedRows", batch: Sequence[_Push]) -> None:
    from nxcdr_async.sinks.protocol import UnfitError  # noqa: PLC0415 - imports pyarrow

    error: Exception | None = None
    try:
        rows.put(_rows_of_good(rows, batch))
    except (BusyError, UnfitError):
        raise
    except Exception as other:  # noqa: BLE001 - each of the batch raises it
        error = other
    for push in batch:
        if not push.is_done:
            push.end(error)


def _rows_of_good(rows: "PushedRows", batch: Sequence[_Push]) -> "pa.Table":
    """Return the calls of a batch as rows; those that no sink can hold are left out and done with."""
    try:
        return rows.rows_of([push.call for push in batch])
    except RecordError:
        for push in batch:
            _check(rows, push)
    return rows.rows_of([push.call for push in batch if not push.is_done])


def _check(rows: "PushedRows", push: _Push) -> None:
    try:
        rows.rows_of([push.call])
    except RecordError as bad:
        push.end(bad)

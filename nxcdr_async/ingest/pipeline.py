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
from nxcdr_async.ingest.feeds import Feed, Mishaps
from nxcdr_async.ingest.progress import Pulse
from nxcdr_async.ingest.ranges import Reading
from nxcdr_async.ingest.segmenter import Cut, Cutter
from nxcdr_async.ingest.table_writer import Finding, Taken
from nxcdr_async.protocol.endpoints import Endpoint
from nxcdr_async.records.arrow import RECORDS_AT_ONCE, BadRowTaker, Table, rows_of
from nxcdr_async.session import CdrSession
from nxcdr_async.sinks.ledger import ROWS_A_WINDOW, SECONDS_A_WINDOW, Ledger
from nxcdr_async.transport.clock_skew import Span
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
    gateway: Callable[[], Span]


def clocks_of(session: CdrSession, endpoint: Endpoint[Any]) -> Clocks:
    """Return the clocks by which a session reads an API."""
    return Clocks(steady, partial(session.time_at, endpoint))


class Taker(Protocol):
    """Takes in the windows of a run, one by one: a store, or a check of one. Lives in worker threads."""

    @property
    def table(self) -> Table:
        """Whose records they are."""

    @property
    def settle(self) -> int:
        """Seconds a window stays open after its end."""

    @property
    def ledger(self) -> Ledger:
        """What was read so far."""

    def put(self, cut: Cut, finding: Finding) -> Taken:
        """Take in a window."""


@define(eq=False)
class Run:
    """Reads a source, and has its windows taken in one by one.

    Attributes:
        feed: what is read.
        store: takes them in: a store, or a check of one.
        clocks: what time it is.
        pulse: counts and tells what is done.
        on_bad_row: gets the error of each bad row, which is then left out; None to stop at the first.
    """

    feed: Feed
    store: Taker
    clocks: Clocks
    pulse: Pulse
    on_bad_row: BadRowTaker | None = None
    _mishaps: Mishaps = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._mishaps = Mishaps(self.on_bad_row)

    async def read(self, readings: Sequence[Reading]) -> None:
        """Read parts of the range, one after the other, each concurrently; all that is complete is taken in, always.

        Raises:
            NxcdrError: it could not be read or stored to the end.
        """
        failures: list[Exception] = []
        send, receive = anyio.create_memory_object_stream[tuple[Cut, Finding]](WINDOWS_WAITING)
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
                    for reading in readings:
                        await self._read_one(reading, send)
            except Exception as error:  # noqa: BLE001 - as above, after what was read before it is stored
                failures.append(error)
        if failures:
            raise failures[0]

    async def _read_one(self, reading: Reading, send: MemoryObjectSendStream[tuple[Cut, Finding]]) -> None:
        began = cut_at = self.clocks.steady()
        cutter, records = self._cutter(reading), list[Any]()
        failure: NxcdrError | None = None
        async with self.feed.read(reading.window, self._mishaps) as paginator:
            try:
                async for page in paginator.pages():
                    records += page
                    self.pulse.read(len(page))
                    is_overdue = self.clocks.steady() - cut_at >= SECONDS_A_WINDOW
                    if len(records) < RECORDS_AT_ONCE and not is_overdue:
                        continue
                    self._take(cutter, records, paginator.complete_until)
                    if cutter.can_cut and (cutter.held >= ROWS_A_WINDOW or is_overdue):
                        await self._send(cutter, began, send)
                        cut_at = self.clocks.steady()
                self._take(cutter, records, None)
            except NxcdrError as error:
                self._take(cutter, records, error.complete_until)
                failure = error
        self.pulse.legs += paginator.stats.legs
        if failure is None:
            cutter.finish()
        await self._send(cutter, began, send)
        if failure is not None:
            raise failure

    def _take(self, cutter: Cutter, records: list[Any], complete_until: datetime | None) -> None:
        """Hand records on as rows; the list is emptied, as they take more memory than the rows.

        Also if one cannot be stored: what was taken before them can be, all the same.
        """
        taken, records[:] = records[:], []
        cutter.take(rows_of(self.store.table, taken, self._mishaps.bad_row_taker), complete_until)

    def _cutter(self, reading: Reading) -> Cutter:
        """Have windows end where rows cease to turn up late, so that what lies before is sealed at once.

        And now and then after that: a window is sealed as a whole, so a long one would stay open for long.
        """
        now, settle = int(self.clocks.gateway().least), self.store.settle
        step = max(HOUR, settle // OPEN_WINDOWS)
        edges = (now - settle, *range(now - settle + step, now, step))
        must_end = [edge for edge in edges if edge > reading.window.start]
        return Cutter(self.store.table, reading, self.feed.floor, must_end)

    async def _send(self, cutter: Cutter, began: float, send: MemoryObjectSendStream[tuple[Cut, Finding]]) -> None:
        # By the gateway's clock as it is known by now, and when the reading began: what came later may not be in it.
        read_at = int(self.clocks.gateway().least - (self.clocks.steady() - began))
        for cut in cutter.cut():
            await send.send((cut, self._finding(cut, read_at)))

    def _finding(self, cut: Cut, read_at: int) -> Finding:
        bad_rows, self._mishaps.bad_rows = self._mishaps.bad_rows, 0
        saturated = self._mishaps.saturated_until(cut.window.end)
        return Finding(read_at, bad_rows, saturated, self._mishaps.refused_in(cut.window))

    async def _store_all(self, receive: MemoryObjectReceiveStream[tuple[Cut, Finding]]) -> None:
        # At once, so that whoever waits to send sees it closed after the error that closed it is known.
        with receive:
            async for cut, finding in receive:
                taken = await in_thread(partial(self.store.put, cut, finding))
                if self.on_bad_row is not None:
                    for bad in taken.left_out:
                        self.on_bad_row(bad)
                self.pulse.stored(cut.window, taken, self.store.ledger.complete_until(self.store.settle))

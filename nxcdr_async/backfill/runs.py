"""What a backfill and a sync do, from hold of the sink to the report."""

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from functools import partial

import anyio
import pyarrow as pa
from attrs import define, field

from nxcdr_async.backfill.engine import Clocks, Run, clocks_of
from nxcdr_async.backfill.feeds import FEEDS, Feed
from nxcdr_async.backfill.ledger import Entry, Reading, readings_of
from nxcdr_async.backfill.pulse import OnProgress, Pulse
from nxcdr_async.backfill.report import BackfillReport, Gap
from nxcdr_async.backfill.sinks.protocol import Origin, Sink
from nxcdr_async.backfill.store import Store
from nxcdr_async.backfill.threads import in_thread
from nxcdr_async.backfill.times import moment_if_any, moment_of
from nxcdr_async.clock import Span
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.export.columns import BadRowTaker
from nxcdr_async.export.tables import TABLES
from nxcdr_async.records import SourceName
from nxcdr_async.session import CdrSession
from nxcdr_async.stats import SessionStats
from nxcdr_async.windows import Window


@define(frozen=True)
class Settings:
    """How to run.

    Attributes:
        settle: seconds a window stays open after its end.
        new_key: whether the account of the sink goes by another key now.
        on_progress: gets the news.
        on_bad_row: gets the error of each bad row, which is then left out; None to stop at the first.
    """

    settle: int
    new_key: bool = False
    on_progress: OnProgress | None = None
    on_bad_row: BadRowTaker | None = None


@define(eq=False)
class Job:
    """A source, the sink that is filled from it, and what time it is.

    Attributes:
        session: asks.
        sink: where records go.
        feed: the source.
        store: its table in the sink.
        settings: how to run.
        clocks: what time it is.
    """

    session: CdrSession
    sink: Sink
    feed: Feed
    store: Store
    settings: Settings
    clocks: Clocks = field(init=False)
    _stats_before: SessionStats = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._stats_before = self.session.stats
        self.clocks = clocks_of(self.session, self.feed.endpoint)

    @classmethod
    def of(cls, session: CdrSession, source: SourceName, sink: Sink, settings: Settings) -> "Job":
        """Return the job of reading a source into a sink."""
        return cls(session, sink, FEEDS[source](session), Store(sink, TABLES[source], settings.settle), settings)

    async def backfill(self, start: date, end: date) -> BackfillReport:
        """Read what the sink lacks of a range, and what of it can be sealed by now."""
        asked = self.feed.whole(start, end)
        origin = self.origin()
        async with holding(self.sink):
            await in_thread(partial(self.store.begin, origin, new_key=self.settings.new_key))
            now = await self._now(asked)
            if asked.start >= now.most:
                raise ConfigurationError(f"the range begins at {moment_of(asked.start)}, which has yet to come")
            whole = Window(asked.start, min(asked.end, self.feed.ceiling(int(now.most))))
            ledger = self.store.ledger
            ledger.doubt(int(now.least))
            again = [entry for entry in ledger.within(whole) if self._can_be_sealed(entry, now)]
            return await self._run(whole, readings_of(ledger.missing(whole), again))

    async def sync(self) -> BackfillReport:
        """Read again all that is not sealed, and go on to the present."""
        origin = self.origin()
        async with holding(self.sink):
            await in_thread(partial(self.store.begin, origin, new_key=self.settings.new_key))
            ledger = self.store.ledger
            if ledger.start is None:
                raise ConfigurationError(
                    f"{self.sink.name} holds no {self.store.table.name} yet: say by a backfill from when on to read; "
                    "calls that were pushed do not count"
                )
            now = await self._now(Window(ledger.start, ledger.start + 1))
            ledger.doubt(int(now.least))
            whole = Window(ledger.start, max(self.feed.ceiling(int(now.most)), ledger.entries[-1].window.end))
            again = [entry for entry in ledger.entries if not entry.is_sealed(self.settings.settle)]
            return await self._run(whole, readings_of(ledger.missing(whole), again))

    def origin(self) -> Origin:
        """Return where the records come from.

        Raises:
            ConfigurationError: the session has no keys to ask for them.
        """
        return Origin(self.session.account_of(self.feed.endpoint), str(self.session.naive_zone))

    def pulse_of(self, readings: Sequence[Reading]) -> Pulse:
        """Return what counts, and tells, how far it is with some readings."""
        return Pulse(
            source=self.store.table.source,
            seconds_of_range=sum(reading.window.seconds for reading in readings),
            stats=lambda: self.session.stats,
            steady=self.clocks.steady,
            on_progress=self.settings.on_progress,
            complete_until=self.store.ledger.complete_until(self.settings.settle),
        )

    async def _now(self, window: Window) -> Span:
        """Return the time by the gateway's clock, which any answer tells; what was known of it may be long ago."""
        await self.session.ask_page(self.feed.endpoint, self.feed.smallest(window))
        return self.clocks.gateway()

    def _can_be_sealed(self, entry: Entry, now: Span) -> bool:
        settle = self.settings.settle
        return not entry.is_sealed(settle) and now.least >= entry.window.end + settle

    async def _run(self, whole: Window, readings: Sequence[Reading]) -> BackfillReport:
        ledger = self.store.ledger
        windows_before = len(ledger.within(whole)) - sum(len(reading.rigid) for reading in readings)
        pulse = self.pulse_of(readings)
        await Run(self.feed, self.store, self.clocks, pulse, self.settings.on_bad_row).read(readings)
        return self._report(whole, windows_before, pulse)

    def _report(self, whole: Window, windows_before: int, pulse: Pulse) -> BackfillReport:
        entries, taken = self.store.ledger.within(whole), pulse.taken
        before, after = self._stats_before, self.session.stats
        requests, retries = after.requests - before.requests, after.retries - before.retries
        full_pages = -(-taken.rows // self.feed.endpoint.page_size)
        return BackfillReport(
            source=self.store.table.source,
            sink=self.sink.name,
            start=moment_of(whole.start),
            end=moment_of(whole.end),
            rows_new=taken.new,
            rows_changed=taken.changed,
            rows_unchanged=taken.unchanged,
            windows=pulse.windows,
            windows_before=windows_before,
            windows_open=sum(not entry.is_sealed(self.settings.settle) for entry in entries),
            requests=requests,
            waste=max(0, requests - retries - full_pages),
            retries=retries,
            throttled=after.throttled - before.throttled,
            gaps=tuple(gap for entry in entries for gap in gaps_of(entry, whole)),
            complete_until=moment_if_any(pulse.complete_until),
            seconds=pulse.seconds,
            clock_source=after.clock_source,
            legs=pulse.legs,
        )


@asynccontextmanager
async def holding(sink: Sink) -> AsyncIterator[None]:
    """Have hold of a sink, so that no other run can."""
    try:
        await in_thread(sink.open)
        with _memory_given_back:
            yield
    finally:
        with anyio.CancelScope(shield=True):
            await in_thread(sink.close)


@define(eq=False)
class _MemoryGivenBack:
    """Has Arrow allocate as everybody does: its own way to keeps what it frees, which comes to some 40 MB in a run.

    That is the same for the whole process, so only the last of several runs at once puts it back.
    """

    _runs: int = field(default=0, init=False)
    _before: pa.MemoryPool | None = field(default=None, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def __enter__(self) -> None:
        with self._lock:
            self._runs += 1
            if self._runs == 1:
                self._before = pa.default_memory_pool()
                pa.set_memory_pool(pa.system_memory_pool())

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._runs -= 1
            if self._runs == 0:
                pa.set_memory_pool(self._before)


_memory_given_back = _MemoryGivenBack()


def gaps_of(entry: Entry, whole: Window) -> list[Gap]:
    """Return what is known to be missing in a window, as far as it may be in a range."""
    saturated = [second for second in entry.saturated if whole.start <= second < whole.end]
    gaps = [Gap("saturated second", moment_of(second), moment_of(second + 1), None) for second in saturated]
    if entry.bad_rows:
        gaps.append(Gap("bad rows", moment_of(entry.window.start), moment_of(entry.window.end), entry.bad_rows))
    return gaps

"""What a backfill and a sync do, from hold of the sink to the report."""

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from functools import partial

import anyio
import pyarrow as pa
from attrs import define, field

from nxcdr_async._util.clocks import present
from nxcdr_async._util.moments import moment_at, moment_if_any
from nxcdr_async._util.tasks import in_thread
from nxcdr_async.errors import ConfigurationError, InvalidRequestError
from nxcdr_async.ingest.feeds import FEEDS, Feed, unit_at
from nxcdr_async.ingest.pipeline import Clocks, Run, clocks_of
from nxcdr_async.ingest.progress import OnProgress, Pulse
from nxcdr_async.ingest.ranges import Reading, readings_of
from nxcdr_async.ingest.report import BackfillReport, Gap, GapKind
from nxcdr_async.ingest.table_writer import Allowed, Store
from nxcdr_async.protocol.codes import may_refuse_range
from nxcdr_async.records.arrow import TABLES, BadRowTaker
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession
from nxcdr_async.sinks.ledger import Entry
from nxcdr_async.sinks.protocol import Origin, Sink
from nxcdr_async.stats import SessionStats
from nxcdr_async.transport.clock_skew import Span
from nxcdr_async.windows import Window


@define(frozen=True)
class Settings:
    """How to run.

    Attributes:
        settle: seconds a window stays open after its end.
        allowed: in what the sink may differ from where records come from now.
        on_progress: gets the news.
        on_bad_row: gets the error of each bad row, which is then left out; None to stop at the first.
    """

    settle: int
    allowed: Allowed = field(factory=Allowed)
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
    _started: datetime = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started = present()
        self._stats_before = self.session.stats
        self.clocks = clocks_of(self.session, self.feed.endpoint)

    @classmethod
    def of(cls, session: CdrSession, source: SourceName, sink: Sink, settings: Settings) -> "Job":
        """Return the job of reading a source into a sink."""
        leaves_out = settings.on_bad_row is not None
        store = Store(sink, TABLES[source], settings.settle, leaves_out=leaves_out)
        return cls(session, sink, FEEDS[source](session), store, settings)

    async def backfill(self, start: date, end: date) -> BackfillReport:
        """Read what the sink lacks of a range, and what of it can be sealed by now."""
        asked = self.feed.whole(start, end)
        async with self._holding() as pulse:
            now = await self._now()
            if asked.start >= now.most:
                raise ConfigurationError(f"the range begins at {moment_at(asked.start)}, which has yet to come")
            whole = Window(asked.start, min(asked.end, self.feed.ceiling(int(now.most))))
            ledger = self.store.ledger
            ledger.doubt(int(now.least))
            again = [entry for entry in self._wanted(ledger.within(whole)) if self._is_due(entry, now)]
            return await self._run(whole, readings_of(self._missing(whole), again), pulse)

    async def sync(self) -> BackfillReport:
        """Read again all that is not sealed, and go on to the present."""
        async with self._holding() as pulse:
            ledger = self.store.ledger
            if ledger.start is None:
                raise ConfigurationError(
                    f"{self.sink.name} holds no {self.store.table.name} yet: give the --to of an earlier backfill, or "
                    "say by a backfill from when on to read; calls that were pushed do not count"
                )
            now = await self._now()
            ledger.doubt(int(now.least))
            whole = Window(ledger.start, max(self.feed.ceiling(int(now.most)), ledger.entries[-1].window.end))
            again = [entry for entry in self._wanted(ledger.entries) if not entry.is_sealed(self.settings.settle)]
            return await self._run(whole, readings_of(self._missing(whole), again), pulse)

    def origin(self) -> Origin:
        """Return where the records come from.

        Raises:
            ConfigurationError: the session has no keys to ask for them.
        """
        return origin_of(self.session, self.feed)

    def pulse(self) -> Pulse:
        """Return what counts, and tells, how far it is, once it is known what is there."""
        return Pulse(
            source=self.store.table.source,
            stats=lambda: self.session.stats,
            steady=self.clocks.steady,
            on_progress=self.settings.on_progress,
            complete_until=self._complete_until(),
        )

    def expect(self, readings: Sequence[Reading], pulse: Pulse) -> None:
        """Have a pulse count how much of some readings is done."""
        pulse.expect(sum(reading.window.seconds for reading in readings), self._complete_until())

    @asynccontextmanager
    async def _holding(self) -> AsyncIterator[Pulse]:
        """Have hold of the sink, and tell what is there; and how far it came, if it comes to no end."""
        origin = self.origin()
        async with holding(self.sink):
            await in_thread(partial(self.store.begin, origin, self.settings.allowed))
            await in_thread(self.store.check_rows)
            pulse = self.pulse()
            pulse.tell()
            try:
                yield pulse
            except BaseException as ended:
                pulse.tell_of_end(ended)
                raise

    def _complete_until(self) -> int | None:
        return self.store.ledger.complete_until(self.settings.settle)

    async def _now(self) -> Span:
        """Return the time by the gateway's clock, which any answer tells; what was known of it may be long ago.

        The question is about the present, which lies neither too far back nor too far apart for any gateway.
        """
        now = int(self.clocks.gateway().most)
        try:
            await self.session.ask_page(self.feed.endpoint, self.feed.smallest(Window(now - 1, now)))
        except InvalidRequestError as refused:
            # By a clock that is wrong it may be about another time, and a refusal tells the right one, too.
            if not may_refuse_range(refused, self.feed.endpoint.codes):
                raise
        return self.clocks.gateway()

    def _is_due(self, entry: Entry, now: Span) -> bool:
        """Tell whether a window is to be read again by a backfill: it can be sealed by now, or its rows are gone."""
        settle = self.settings.settle
        return not entry.is_sealed(settle) and (now.least >= entry.window.end + settle or entry in self.store.lost)

    def _wanted(self, entries: Sequence[Entry]) -> list[Entry]:
        """Leave out windows whose rows were removed on purpose."""
        return [entry for entry in entries if not self.store.ledger.is_pruned(entry)]

    def _missing(self, whole: Window) -> list[Window]:
        """Return the parts of a range that were never read, but for those whose rows are not wanted any more."""
        ledger = self.store.ledger
        start = whole.start
        if ledger.pruned_before is not None:
            start = max(start, self.feed.floor(ledger.pruned_before))
        return ledger.missing(Window(start, whole.end)) if start < whole.end else []

    async def _run(self, whole: Window, readings: Sequence[Reading], pulse: Pulse) -> BackfillReport:
        ledger = self.store.ledger
        windows_before = len(ledger.within(whole)) - sum(len(reading.rigid) for reading in readings)
        self.expect(readings, pulse)
        await Run(self.feed, self.store, self.clocks, pulse, self.settings.on_bad_row).read(readings)
        return self._report(whole, windows_before, pulse)

    def _report(self, whole: Window, windows_before: int, pulse: Pulse) -> BackfillReport:
        entries, taken = self.store.ledger.within(whole), pulse.taken
        pruned_before = self.store.ledger.pruned_before
        before, after = self._stats_before, self.session.stats
        requests, retries = after.requests - before.requests, after.retries - before.retries
        full_pages = -(-taken.rows // self.feed.endpoint.page_size)
        return BackfillReport(
            source=self.store.table.source,
            sink=self.sink.name,
            start=moment_at(whole.start),
            end=moment_at(whole.end),
            rows_new=taken.new,
            rows_changed=taken.changed,
            rows_unchanged=taken.unchanged,
            windows=pulse.windows,
            windows_before=windows_before,
            windows_open=sum(not entry.is_sealed(self.settings.settle) for entry in self._wanted(entries)),
            requests=requests,
            waste=max(0, requests - retries - full_pages),
            retries=retries,
            throttled=after.throttled - before.throttled,
            gaps=tuple(gap for entry in self._wanted(entries) for gap in gaps_of(self.feed, entry, whole)),
            complete_until=moment_if_any(pulse.complete_until),
            seconds=pulse.seconds,
            started=self._started,
            finished=present(),
            clock_source=after.clock_source,
            windows_lost=len(self.store.lost),
            pruned_before=moment_if_any(pruned_before if (pruned_before or 0) > whole.start else None),
            legs=pulse.legs,
        )


def origin_of(session: CdrSession, feed: Feed) -> Origin:
    """Return where a session reads the records of a source from.

    Raises:
        ConfigurationError: it has no keys to ask for them.
    """
    endpoint = feed.endpoint
    return Origin(session.account_of(endpoint), str(session.naive_zone), session.gateway_of(endpoint))


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


def gaps_of(feed: Feed, entry: Entry, whole: Window) -> list[Gap]:
    """Return what is known to be missing in a window, as far as it may be in a range."""
    gaps = []
    for second in entry.saturated:
        full = unit_at(feed, second)
        if full.shared_with(whole):
            kind: GapKind = "saturated second" if full.seconds == 1 else "saturated day"
            gaps.append(Gap(kind, moment_at(full.start), moment_at(full.end), None))
    refused = [part for each in entry.refused if (part := each.shared_with(whole))]
    gaps += [Gap("refused range", moment_at(part.start), moment_at(part.end), None) for part in refused]
    if entry.bad_rows:
        gaps.append(Gap("bad rows", moment_at(entry.window.start), moment_at(entry.window.end), entry.bad_rows))
    return gaps

"""What a backfill and a sync do, from opening the sink to the report."""

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from functools import partial

import anyio
import pyarrow as pa
from attrs import define, evolve, field

from nxcdr_async._util.clocks import present
from nxcdr_async._util.moments import TrueTypes, moment_at, moment_if_any
from nxcdr_async._util.tasks import in_thread
from nxcdr_async.errors import ConfigurationError, InvalidRequestError, NxcdrError
from nxcdr_async.ingest.gaps import gaps_of
from nxcdr_async.ingest.pipeline import Clocks, Pipeline, clocks_of
from nxcdr_async.ingest.progress import OnProgress, ProgressMeter
from nxcdr_async.ingest.ranges import ReadRange, read_ranges_of
from nxcdr_async.ingest.report import BackfillReport
from nxcdr_async.ingest.table_writer import AllowedChanges, TableWriter
from nxcdr_async.protocol.codes import may_refuse_range
from nxcdr_async.records.arrow import TABLES, BadRowHandler
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession, context_of
from nxcdr_async.sinks.ledger import LedgerEntry, RunNote, RunOutcome
from nxcdr_async.sinks.protocol import Origin, Sink
from nxcdr_async.sources import SOURCES
from nxcdr_async.sources.base import Source
from nxcdr_async.stats import SessionStats
from nxcdr_async.transport.clock_skew import Interval
from nxcdr_async.windows import Window

_LATEST = TrueTypes.DATETIME(9998, 12, 31, tzinfo=UTC)
"""A range that ends then ends at the present."""
LONGEST_ERROR = 500
"""Characters of an error that the ledger keeps."""


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
    allowed: AllowedChanges = field(factory=AllowedChanges)
    on_progress: OnProgress | None = None
    on_bad_row: BadRowHandler | None = None


@define(eq=False)
class Job:
    """A source, the sink that is filled from it, and what time it is.

    Attributes:
        session: asks.
        sink: where records go.
        source: what is read.
        writer: its table in the sink.
        settings: how to run.
        clocks: what time it is.
    """

    session: CdrSession
    sink: Sink
    source: Source
    writer: TableWriter
    settings: Settings
    clocks: Clocks = field(init=False)
    _stats_before: SessionStats = field(init=False)
    _started: datetime = field(init=False)
    # What the ledger notes of the run, once it has begun.
    _run_note: RunNote = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started = present()
        self._stats_before = self.session.stats
        self.clocks = clocks_of(self.source)

    @classmethod
    def of(cls, session: CdrSession, source: SourceName, sink: Sink, settings: Settings) -> "Job":
        """Return the job of reading a source into a sink."""
        leaves_out = settings.on_bad_row is not None
        writer = TableWriter(sink, TABLES[source], settings.settle, leaves_out=leaves_out)
        return cls(session, sink, SOURCES[source](context_of(session)), writer, settings)

    async def backfill(self, start: date, end: date) -> BackfillReport:
        """Read what the sink lacks of a range, and what of it can be sealed by now."""
        asked = self.source.unit.whole(start, end)
        async with self._locked("backfill") as meter:
            now = await self._now()
            if asked.start >= now.most:
                raise ConfigurationError(f"the range begins at {moment_at(asked.start)}, which has yet to come")
            whole = Window(asked.start, min(asked.end, self.source.unit.ceiling(int(now.most))))
            ledger = self.writer.ledger
            ledger.doubt(int(now.least))
            again = [entry for entry in self._unpruned(ledger.within(whole)) if self._is_due(entry, now)]
            return await self._run(whole, read_ranges_of(self._missing(whole), again), meter)

    async def sync(self, since: date | None = None) -> BackfillReport:
        """Read again all that is not sealed, fill holes from a moment on, and go on to the present."""
        first = None if since is None else self._first_moment(since)
        async with self._locked("sync") as meter:
            ledger = self.writer.ledger
            begun = [moment for moment in (ledger.start, first) if moment is not None]
            if not begun:
                raise ConfigurationError(
                    f"{self.sink.name} holds no {self.writer.table.name} yet: give the --to of an earlier backfill, or "
                    "say by --since (since=…) from when on to read; calls that were pushed do not count"
                )
            now = await self._now()
            if min(begun) >= now.most:
                raise ConfigurationError(f"the range begins at {moment_at(min(begun))}, which has yet to come")
            ledger.doubt(int(now.least))
            ends = (entry.window.end for entry in ledger.entries[-1:])
            whole = Window(min(begun), max([self.source.unit.ceiling(int(now.most)), *ends]))
            again = [entry for entry in self._unpruned(ledger.entries) if not entry.is_sealed(self.settings.settle)]
            return await self._run(whole, read_ranges_of(self._missing(whole), again), meter)

    def origin(self) -> Origin:
        """Return where the records come from.

        Raises:
            ConfigurationError: the session has no keys to ask for them.
        """
        return origin_of(self.source)

    def meter(self) -> ProgressMeter:
        """Return what counts and reports how far it is, once it is known what is there."""
        return ProgressMeter(
            source=self.writer.table.source,
            stats=lambda: self.session.stats,
            steady=self.clocks.steady,
            on_progress=self.settings.on_progress,
            complete_until=self._complete_until(),
        )

    def expect(self, read_ranges: Sequence[ReadRange], meter: ProgressMeter) -> None:
        """Have a meter count how much of some ranges is done."""
        meter.expect(sum(read_range.window.seconds for read_range in read_ranges), self._complete_until())

    @asynccontextmanager
    async def _locked(self, command: str) -> AsyncIterator[ProgressMeter]:
        """Lock the sink and report what is there; also how far the run came, if an error ends it.

        The ledger notes how the run ended, and before that that it began: so one that was killed is known as that.
        """
        origin = self.origin()
        async with locked(self.sink):
            await in_thread(partial(self.writer.begin, origin, self.settings.allowed))
            await in_thread(self.writer.reopen_lost)
            meter = self.meter()
            meter.report()
            self._run_note = RunNote(command, int(self._started.timestamp()), self.settings.settle)
            try:
                await in_thread(partial(self.writer.note_run, self._run_note))
                yield meter
            except BaseException as ended:
                meter.report_end(ended)
                await self._note_failure(meter, ended)  # noqa: ASYNC102 - it shields itself; a write ends by itself
                raise

    def _first_moment(self, since: date) -> int:
        last = _LATEST if isinstance(since, datetime) else _LATEST.date()
        return self.source.unit.whole(since, last).start

    async def _note_failure(self, meter: ProgressMeter, ended: BaseException) -> None:
        """Note in the ledger what ended the run; if that fails too, that becomes a note on the error."""
        is_error = isinstance(ended, Exception)
        error = f"{type(ended).__name__}: {ended}"[:LONGEST_ERROR] if is_error else None
        with anyio.CancelScope(shield=True):
            try:
                await self._note_end(meter, "failed" if is_error else "stopped", error)
            except NxcdrError as failure:
                ended.add_note(f"the ledger could not note it, too: {failure}")

    async def _note_end(self, meter: ProgressMeter, outcome: RunOutcome, error: str | None = None) -> None:
        note = evolve(
            self._run_note,
            finished=int(present().timestamp()),
            outcome=outcome,
            rows_new=meter.counts.new,
            rows_changed=meter.counts.changed,
            requests=self.session.stats.requests - self._stats_before.requests,
            error=error,
        )
        await in_thread(partial(self.writer.note_run, note))

    def _complete_until(self) -> int | None:
        return self.writer.ledger.complete_until(self.settings.settle)

    async def _now(self) -> Interval:
        """Return the time by the gateway's clock, which any answer has; what was known of it may be long ago.

        The question is about the present, which lies neither too far back nor too far apart for any gateway.
        """
        context, endpoint = self.source.context, self.source.endpoint
        now = int(self.clocks.gateway().most)
        try:
            await context.ask(endpoint, self.source.smallest_question(Window(now - 1, now)))
        except InvalidRequestError as refused:
            # By a clock that is wrong it may be about another time, and a refusal has the right one, too.
            if not may_refuse_range(refused, endpoint.codes):
                raise
        return self.clocks.gateway()

    def _is_due(self, entry: LedgerEntry, now: Interval) -> bool:
        """Return whether a window is to be read again by a backfill: it can be sealed by now, or its rows are gone."""
        settle = self.settings.settle
        return not entry.is_sealed(settle) and (now.least >= entry.window.end + settle or entry in self.writer.lost)

    def _unpruned(self, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
        """Leave out windows whose rows were removed on purpose."""
        return [entry for entry in entries if not self.writer.ledger.is_pruned(entry)]

    def _missing(self, whole: Window) -> list[Window]:
        """Return the parts of a range that were never read, but for those whose rows are not wanted any more."""
        ledger = self.writer.ledger
        start = whole.start
        if ledger.pruned_before is not None:
            start = max(start, self.source.unit.floor(ledger.pruned_before))
        return ledger.missing(Window(start, whole.end)) if start < whole.end else []

    async def _run(self, whole: Window, read_ranges: Sequence[ReadRange], meter: ProgressMeter) -> BackfillReport:
        ledger = self.writer.ledger
        windows_before = len(ledger.within(whole)) - sum(len(read_range.rigid) for read_range in read_ranges)
        self.expect(read_ranges, meter)
        await Pipeline(self.source, self.writer, self.clocks, meter, self.settings.on_bad_row).read(read_ranges)
        report = self._report(whole, windows_before, meter)
        await self._note_end(meter, "gaps" if report.gaps else "done")
        return report

    def _report(self, whole: Window, windows_before: int, meter: ProgressMeter) -> BackfillReport:
        entries, counts = self.writer.ledger.within(whole), meter.counts
        pruned_before = self.writer.ledger.pruned_before
        before, after = self._stats_before, self.session.stats
        requests, retries = after.requests - before.requests, after.retries - before.retries
        full_pages = -(-counts.rows // self.source.endpoint.page_size)
        return BackfillReport(
            source=self.writer.table.source,
            sink=self.sink.name,
            start=moment_at(whole.start),
            end=moment_at(whole.end),
            rows_new=counts.new,
            rows_changed=counts.changed,
            rows_unchanged=counts.unchanged,
            windows=meter.windows,
            windows_before=windows_before,
            windows_open=sum(not entry.is_sealed(self.settings.settle) for entry in self._unpruned(entries)),
            requests=requests,
            waste=max(0, requests - retries - full_pages),
            retries=retries,
            throttled=after.throttled - before.throttled,
            gaps=tuple(gap for entry in self._unpruned(entries) for gap in gaps_of(self.source.unit, entry, whole)),
            complete_until=moment_if_any(meter.complete_until),
            seconds=meter.seconds,
            started=self._started,
            finished=present(),
            clock_source=after.clock_source,
            windows_lost=len(self.writer.lost),
            pruned_before=moment_if_any(pruned_before if (pruned_before or 0) > whole.start else None),
            legs=meter.legs,
            rows_held=self.writer.ledger.rows,
        )


def origin_of(source: Source) -> Origin:
    """Return where the records of a source come from.

    Raises:
        ConfigurationError: the session has no keys to ask for them.
    """
    context, endpoint = source.context, source.endpoint
    return Origin(context.account_of(endpoint), str(context.zone), context.gateway_of(endpoint))


@asynccontextmanager
async def locked(sink: Sink) -> AsyncIterator[None]:
    """Open a sink, which locks it against other runs, and close it."""
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

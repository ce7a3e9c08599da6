"""A verification: reads sealed windows again, compares them with the sink, and mends it if that is wanted."""

from collections.abc import Callable, Sequence
from datetime import date, tzinfo
from functools import partial
from itertools import pairwise
from random import Random, randrange

import pyarrow as pa
from attrs import define, evolve, field

from nxcdr_async._util.clocks import present, steady
from nxcdr_async._util.moments import moment_if_any
from nxcdr_async._util.tasks import in_thread
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.ingest.compare import Comparator, absent
from nxcdr_async.ingest.gaps import gaps_of
from nxcdr_async.ingest.job import Job, Settings, locked
from nxcdr_async.ingest.pipeline import Pipeline
from nxcdr_async.ingest.progress import ProgressMeter
from nxcdr_async.ingest.ranges import ReadRange, read_ranges_of
from nxcdr_async.ingest.report import VerifiedSource, VerifyReport
from nxcdr_async.ingest.totals import TotalsByDay
from nxcdr_async.records.arrow import TABLES, Table, rows_of
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession
from nxcdr_async.sinks.ledger import LedgerEntry
from nxcdr_async.sinks.protocol import Sink
from nxcdr_async.sinks.values import outside, seconds_of
from nxcdr_async.sources.base import SkippedRows, unit_at
from nxcdr_async.windows import EVER, HOUR, Window, merged


def sample(entries: Sequence[LedgerEntry], count: int, below: Callable[[int], int]) -> list[LedgerEntry]:
    """Choose windows all over the range: one of each part of it, any of them as likely as any other.

    Args:
        entries: in order of time.
        count: how many to choose, all if there are no more.
        below: returns a whole number from 0 to below its argument, by chance.
    """
    parts = min(count, len(entries))
    edges = [len(entries) * part // parts for part in range(parts + 1)] if parts else []
    return [entries[first + below(last - first)] for first, last in pairwise(edges)]


def read_ranges_again(entries: Sequence[LedgerEntry], most_rows: int) -> list[ReadRange]:
    """Return what to read to have windows again as they are: neighbours in one go, up to a number of rows.

    Args:
        entries: in order of time.
        most_rows: rows after which a reading ends with its window.
    """
    read_ranges: list[ReadRange] = []
    group: list[LedgerEntry] = []
    rows = 0
    for entry in entries:
        if rows + entry.rows > most_rows:
            read_ranges += _each_alone(group)
            group, rows = [], 0
        group.append(entry)
        rows += entry.rows
    return read_ranges + _each_alone(group)


def _each_alone(entries: Sequence[LedgerEntry]) -> list[ReadRange]:
    read_ranges = read_ranges_of((), entries)
    return [evolve(read_range, ends=tuple(window.end for window in read_range.rigid)) for read_range in read_ranges]


ROWS_AT_ONCE = 20_000
"""Rows of neighbouring windows to read in one go, after which rows that did not come are looked for."""

_SEEDS = 1 << 32
_END = "end_time"


@define(eq=False)
class Verification:
    """A verification of one or more sources of a sink.

    Attributes:
        session: asks.
        sink: is verified.
        settings: how to run.
        sample: windows of each source to read, all if None.
        seed: chooses them, another each time if None.
        mends: whether what is missing or different is stored.
        span: from when to when windows are verified; a day for DID calls is included. None for all.
        zone: by whose days totals are counted; None without.
    """

    session: CdrSession
    sink: Sink
    settings: Settings
    sample: int | None
    seed: int | None
    mends: bool
    span: tuple[date, date] | None = None
    zone: tzinfo | None = None
    _chosen_seed: int | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        wanted = randrange(_SEEDS) if self.seed is None else self.seed  # noqa: S311 - a choice, and no secret
        self._chosen_seed = None if self.sample is None else wanted

    async def of(self, sources: Sequence[SourceName]) -> VerifyReport:
        """Verify those of the sources that the sink holds."""
        started, began, asked = present(), steady(), self.session.stats.requests
        async with locked(self.sink):
            jobs = await self._jobs_of_stored(sources)
            stored = [
                _SourceVerification(job, self._chance(job), self.sample, self.mends, self._whole(job), self.zone)
                for job in jobs
            ]
            for source in stored:
                source.meter.report()
            try:
                verified = [await source.run() for source in stored]
            except BaseException as ended:
                for source in stored:
                    source.meter.report_end(ended)
                raise
        return VerifyReport(
            sink=self.sink.name,
            sources=tuple(verified),
            seed=self._chosen_seed,
            requests=self.session.stats.requests - asked,
            seconds=steady() - began,
            started=started,
            finished=present(),
        )

    async def _jobs_of_stored(self, sources: Sequence[SourceName]) -> list[Job]:
        """Return the jobs of the sources that are stored, before anything is asked of the gateway."""
        jobs = [Job.of(self.session, source, self.sink, self.settings) for source in sources]
        stored = [job for job in jobs if await in_thread(partial(self._is_stored, job))]
        if not stored:
            names = " or ".join(TABLES[source].name for source in sources)
            raise ConfigurationError(f"{self.sink.name} holds no {names}: give the --to of an earlier backfill")
        return stored

    def _is_stored(self, job: Job) -> bool:
        stored = job.writer.inspect()
        if stored is None or not stored.entries:
            return False
        try:
            origin = job.origin()
        except ConfigurationError as missing:
            source = job.writer.table.source
            raise ConfigurationError(
                f"{source} of {self.sink.name} cannot be asked for again ({missing}): give those keys, or verify one "
                "source that there are keys for, with --source (source=…)"
            ) from None
        job.writer.begin(origin, self.settings.allowed)
        return True

    def _whole(self, job: Job) -> Window:
        return EVER if self.span is None else job.source.unit.whole(*self.span)

    def _chance(self, job: Job) -> Random:
        # Each source has a choice of its own, the same whichever others are verified with it.
        return Random(f"{self._chosen_seed} {job.writer.table.source}")  # noqa: S311 - has to be repeatable, not secret


@define(eq=False)
class _SourceVerification:
    """The verification of one source, see `Verification`."""

    job: Job
    chance: Random
    sample: int | None
    mends: bool
    whole: Window
    zone: tzinfo | None
    meter: ProgressMeter = field(init=False)
    _comparator: Comparator = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.meter = self.job.meter()
        self._comparator = Comparator(self.job.writer, self.mends)

    async def run(self) -> VerifiedSource:
        """Read what was chosen, compare it, and return what was found."""
        settings, ledger = self.job.settings, self.job.writer.ledger
        asked = ledger.within(self.whole)
        sealed = [entry for entry in asked if entry.is_sealed(settings.settle) and not ledger.is_pruned(entry)]
        chosen = sealed if self.sample is None else sample(sealed, self.sample, self.chance.randrange)
        lost = await in_thread(self.job.writer.find_lost)
        wanted = {entry.window for entry in (*chosen, *lost)}
        read_ranges = read_ranges_again([entry for entry in sealed if entry.window in wanted], ROWS_AT_ONCE)
        self.job.expect(read_ranges, self.meter)
        if self.zone is not None:
            windows = merged(read_range.window for read_range in read_ranges)
            self._comparator.totals = TotalsByDay(self.job.writer.table, self.zone, windows, self.whole)
        pipeline = Pipeline(self.job.source, self._comparator, self.job.clocks, self.meter, settings.on_bad_row)
        for read_range in read_ranges:
            await pipeline.read([read_range])
            await self._look_for_unmatched()
        return self._verified(len(sealed))

    async def _look_for_unmatched(self) -> None:
        """Look around each window for rows that it did not bring: a gateway may give them with its neighbour."""
        comparator = self._comparator
        unmatched, comparator.unmatched = comparator.unmatched, []
        for rows in unmatched:
            comparator.note_extra(await self._nowhere(rows))

    async def _nowhere(self, rows: pa.Table) -> pa.Table:
        """Return those of the stored rows that the gateway does not show any more, as far as that is certain."""
        table = self.job.writer.table
        skipped = SkippedRows(None if self.job.settings.on_bad_row is None else _leave_out)
        window = around(table, rows, self.job.settings.settle)
        async with self.job.source.read_window(window, skipped) as paginator:
            async for page in paginator.pages():
                read = rows_of(table, page, skipped.bad_row_handler)
                rows = await in_thread(partial(absent, table, rows, read))
                if not rows.num_rows:
                    return rows
        if skipped.bad_rows:
            return table.empty()
        untold = (unit_at(self.job.source, second) for second in skipped.saturated)
        return outside(table, rows, [*skipped.refused, *untold])

    def _verified(self, sealed: int) -> VerifiedSource:
        comparator, writer = self._comparator, self.job.writer
        return VerifiedSource(
            source=writer.table.source,
            windows_sealed=sealed,
            windows_checked=len(comparator.checked),
            rows_compared=comparator.counts.rows,
            missing=comparator.counts.new,
            different=comparator.counts.changed,
            extra=comparator.extra,
            fixed=comparator.fixed,
            gaps=tuple(
                gap for entry in comparator.checked for gap in gaps_of(self.job.source.unit, entry, entry.window)
            ),
            complete_until=moment_if_any(writer.ledger.complete_until(writer.settle)),
            examples=tuple(comparator.examples),
            days=() if comparator.totals is None else comparator.totals.days(),
        )


def around(table: Table, rows: pa.Table, longest: int) -> Window:
    """Return the range in which a gateway shows rows by whatever time of theirs: an hour more on either side.

    Args:
        table: whose rows they are.
        rows: at least one.
        longest: seconds a call lasts at most; ends later than that are not believed.
    """
    starts = [second for second in seconds_of(rows, table.time) if second is not None]
    ends = seconds_of(rows, _END) if _END in table.columns else [None]
    latest = max(starts) + longest
    reached = max([*starts, *(min(end, latest) for end in ends if end is not None)])
    return Window(max(0, min(starts) - HOUR), reached + HOUR + 1)


def _leave_out(_: object) -> None:
    """Do nothing about a bad row, which was reported before."""

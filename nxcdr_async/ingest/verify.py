"""A verification: reads sealed windows again, compares them with the sink, and mends it if that is wanted."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from random import Random, randrange

import pyarrow as pa
from attrs import define, evolve, field

from nxcdr_async._util.clocks import present, steady
from nxcdr_async._util.moments import moment_if_any
from nxcdr_async._util.tasks import in_thread
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.ingest.compare import Checker, absent
from nxcdr_async.ingest.feeds import Mishaps, unit_at
from nxcdr_async.ingest.job import Job, Settings, gaps_of, holding
from nxcdr_async.ingest.pipeline import Run
from nxcdr_async.ingest.progress import Pulse
from nxcdr_async.ingest.ranges import Reading, readings_of
from nxcdr_async.ingest.report import VerifiedSource, VerifyReport
from nxcdr_async.records.arrow import TABLES, Table, rows_of
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession
from nxcdr_async.sinks.ledger import Entry
from nxcdr_async.sinks.protocol import Sink
from nxcdr_async.sinks.values import outside, seconds_of
from nxcdr_async.windows import HOUR, Window


def sample(entries: Sequence[Entry], count: int, below: Callable[[int], int]) -> list[Entry]:
    """Choose windows all over the range: one of each part of it, any of them as likely as any other.

    Args:
        entries: in order of time.
        count: how many to choose, all if there are no more.
        below: returns a whole number from 0 to below its argument, by chance.
    """
    parts = min(count, len(entries))
    edges = [len(entries) * part // parts for part in range(parts + 1)] if parts else []
    return [entries[first + below(last - first)] for first, last in pairwise(edges)]


def readings_again(entries: Sequence[Entry], most_rows: int) -> list[Reading]:
    """Return what to read to have windows again as they are: neighbours in one go, up to a number of rows.

    Args:
        entries: in order of time.
        most_rows: rows after which a reading ends with its window.
    """
    readings: list[Reading] = []
    group: list[Entry] = []
    rows = 0
    for entry in entries:
        if rows + entry.rows > most_rows:
            readings += _each_alone(group)
            group, rows = [], 0
        group.append(entry)
        rows += entry.rows
    return readings + _each_alone(group)


def _each_alone(entries: Sequence[Entry]) -> list[Reading]:
    readings = readings_of((), entries)
    return [evolve(reading, ends=tuple(window.end for window in reading.rigid)) for reading in readings]


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
    """

    session: CdrSession
    sink: Sink
    settings: Settings
    sample: int | None
    seed: int | None
    mends: bool
    _chosen_seed: int | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        wanted = randrange(_SEEDS) if self.seed is None else self.seed  # noqa: S311 - a choice, and no secret
        self._chosen_seed = None if self.sample is None else wanted

    async def of(self, sources: Sequence[SourceName]) -> VerifyReport:
        """Verify those of the sources that the sink holds."""
        started, began, asked = present(), steady(), self.session.stats.requests
        async with holding(self.sink):
            jobs = await self._held(sources)
            held = [_SourceVerification(job, self._chance(job), self.sample, self.mends) for job in jobs]
            for source in held:
                source.pulse.tell()
            try:
                verified = [await source.run() for source in held]
            except BaseException as ended:
                for source in held:
                    source.pulse.tell_of_end(ended)
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

    async def _held(self, sources: Sequence[SourceName]) -> list[Job]:
        """Return what there is to verify, before anything of it is asked."""
        jobs = [Job.of(self.session, source, self.sink, self.settings) for source in sources]
        held = [job for job in jobs if await in_thread(partial(self._is_held, job))]
        if not held:
            names = " or ".join(TABLES[source].name for source in sources)
            raise ConfigurationError(f"{self.sink.name} holds no {names}: give the --to of an earlier backfill")
        return held

    def _is_held(self, job: Job) -> bool:
        held = job.store.look()
        if held is None or not held.entries:
            return False
        try:
            origin = job.origin()
        except ConfigurationError as missing:
            source = job.store.table.source
            raise ConfigurationError(
                f"{source} of {self.sink.name} cannot be asked for again ({missing}): give those keys, or verify one "
                "source that there are keys for, with --source (source=…)"
            ) from None
        job.store.begin(origin, self.settings.allowed)
        return True

    def _chance(self, job: Job) -> Random:
        # Each source has a choice of its own, the same whichever others are verified with it.
        return Random(f"{self._chosen_seed} {job.store.table.source}")  # noqa: S311 - has to be repeatable, not secret


@define(eq=False)
class _SourceVerification:
    """The verification of one source, see `Verification`."""

    job: Job
    chance: Random
    sample: int | None
    mends: bool
    pulse: Pulse = field(init=False)
    _checker: Checker = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.pulse = self.job.pulse()
        self._checker = Checker(self.job.store, self.mends)

    async def run(self) -> VerifiedSource:
        """Read what was chosen, compare it, and tell what was found."""
        settings, ledger = self.job.settings, self.job.store.ledger
        sealed = [entry for entry in ledger.entries if entry.is_sealed(settings.settle) and not ledger.is_pruned(entry)]
        chosen = sealed if self.sample is None else sample(sealed, self.sample, self.chance.randrange)
        lost = await in_thread(self.job.store.find_lost)
        wanted = {entry.window for entry in (*chosen, *lost)}
        readings = readings_again([entry for entry in sealed if entry.window in wanted], ROWS_AT_ONCE)
        self.job.expect(readings, self.pulse)
        run = Run(self.job.feed, self._checker, self.job.clocks, self.pulse, settings.on_bad_row)
        for reading in readings:
            await run.read([reading])
            await self._look_for_unmatched()
        return self._verified(len(sealed))

    async def _look_for_unmatched(self) -> None:
        """Look around each window for rows that it did not bring: a gateway may give them with its neighbour."""
        checker = self._checker
        unmatched, checker.unmatched = checker.unmatched, []
        for rows in unmatched:
            checker.note_extra(await self._nowhere(rows))

    async def _nowhere(self, rows: pa.Table) -> pa.Table:
        """Return those of the stored rows that the gateway does not tell any more, as far as that is certain."""
        table = self.job.store.table
        mishaps = Mishaps(None if self.job.settings.on_bad_row is None else _leave_out)
        window = around(table, rows, self.job.settings.settle)
        async with self.job.feed.read(window, mishaps) as paginator:
            async for page in paginator.pages():
                read = rows_of(table, page, mishaps.bad_row_taker)
                rows = await in_thread(partial(absent, table, rows, read))
                if not rows.num_rows:
                    return rows
        if mishaps.bad_rows:
            return table.empty()
        untold = (unit_at(self.job.feed, second) for second in mishaps.saturated)
        return outside(table, rows, [*mishaps.refused, *untold])

    def _verified(self, sealed: int) -> VerifiedSource:
        checker, store = self._checker, self.job.store
        return VerifiedSource(
            source=store.table.source,
            windows_sealed=sealed,
            windows_checked=len(checker.checked),
            rows_compared=checker.rows,
            missing=checker.missing,
            different=checker.different,
            extra=checker.extra,
            fixed=checker.fixed,
            gaps=tuple(gap for entry in checker.checked for gap in gaps_of(self.job.feed, entry, entry.window)),
            complete_until=moment_if_any(store.ledger.complete_until(store.settle)),
            examples=tuple(checker.examples),
        )


def around(table: Table, rows: pa.Table, longest: int) -> Window:
    """Return the range in which a gateway tells rows by whatever time of theirs: an hour more on either side.

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
    """Hear of a bad row that whoever wants to know was told of before."""

"""`nxcdr sync` of all that a store holds, and `--every`: round after round until somebody stops it."""

from collections.abc import Callable
from contextlib import nullcontext
from datetime import date, tzinfo
from random import random
from typing import TYPE_CHECKING, Any

import anyio
from attrs import asdict, define, field

from nxcdr_async._util.clocks import present, sleep, steady, wall
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import RangeOptions, secrets_for
from nxcdr_async.cli.report import (
    ReportPlace,
    RunReport,
    facts_of,
    json_line,
    moment_text,
    outcome_of,
    show_report,
    summary_of,
    whole_report,
)
from nxcdr_async.cli.run import exit_code
from nxcdr_async.cli.store_run import SECONDS_BETWEEN_LINES, displayed, note_how_to_skip
from nxcdr_async.cli.terminal import Level, Manner, duration, say, say_error, say_last
from nxcdr_async.errors import BusyError, NxcdrError
from nxcdr_async.ingest import api
from nxcdr_async.ingest.report import BackfillProgress, BackfillReport
from nxcdr_async.ingest.schedule import RoundOutcome, Schedule, Track, is_final, next_due
from nxcdr_async.ingest.sync_watch import SourceWatch, SyncWatch
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession
from nxcdr_async.telemetry import names
from nxcdr_async.telemetry.watch import observe

if TYPE_CHECKING:
    from nxcdr_async.cli.monitoring import MetricsPlace

SECONDS_BETWEEN_LINES_OF_A_ROUND = 60.0
"""A round has one line, but for one that takes long, such as the first."""


@define(frozen=True)
class SyncResult:
    """What came of bringing one source up to date.

    Attributes:
        source: which.
        outcome: how it ended.
        filled: what it did; None if it did not come to its end.
        error: what ended it; None if it came to its end.
        report: the same, as it stands in a report.
    """

    source: SourceName
    outcome: RoundOutcome
    filled: BackfillReport | None
    error: NxcdrError | None
    report: dict[str, Any]


@define(frozen=True)
class SyncPlan:
    """What is brought up to date, and how.

    Attributes:
        place: the store.
        source: what is read; None for all that it holds.
        since: where the store begins; None if it has begun.
        options: keyword arguments of `sync`.
        gateway: where to read.
        report_to: where reports go; None for nowhere.
        zone: of the times that are shown.
    """

    place: str
    source: SourceName | None
    since: date | None
    options: dict[str, Any]
    gateway: RangeOptions
    report_to: ReportPlace | None
    zone: tzinfo

    async def sources(self) -> tuple[SourceName, ...]:
        """Return what is read; the errors are those of `stored_sources`."""
        return await api.stored_sources(self.place) if self.source is None else (self.source,)

    def session(self, sources: tuple[SourceName, ...]) -> CdrSession:
        """Return a session with the keys of some sources.

        Raises:
            ConfigurationError: they are missing, or another argument cannot work.
        """
        arguments = self.gateway.arguments()
        for source in sources:
            arguments |= secrets_for(source)
        return CdrSession.from_env(**arguments)

    async def sync(
        self,
        session: CdrSession,
        source: SourceName,
        on_progress: Callable[[BackfillProgress], object],
        seconds_between_lines: float,
    ) -> SyncResult:
        """Bring a source up to date, and show how far it is."""
        run = RunReport(None, source)

        def note(progress: BackfillProgress) -> None:
            run.update(progress)
            on_progress(progress)

        async def work(session: CdrSession) -> BackfillReport:
            return await api.sync(session, source, on_progress=note, since=self.since, **self.options)

        try:
            filled = await displayed(session, run, work, seconds_between_lines, self.zone)
        except NxcdrError as error:
            note_how_to_skip(error)
            outcome: RoundOutcome = "busy" if isinstance(error, BusyError) else "failed"
            return SyncResult(source, outcome, None, error, {**run.failure(error), "outcome": outcome})
        outcome = outcome_of(filled)
        report = whole_report(outcome, {**asdict(filled), "rows": filled.rows})
        return SyncResult(source, outcome, filled, None, report)

    def write(self, reports: dict[SourceName, dict[str, Any]], stopped: BaseException | None = None) -> None:
        """Write what is known of all sources, if a report was asked for.

        Raises:
            SinkError: it cannot be written.
        """
        if self.report_to is None:
            return
        if self.source is not None:
            self.report_to.write(json_line(reports[self.source]))
            return
        told = list(reports.values())
        worst = max((report["outcome"] for report in told), key=_GRAVITY.index, default="done")
        first = next((report for report in told if report["error"] is not None), {"error": None, "error_class": None})
        self.report_to.write(
            json_line(
                {
                    "outcome": worst if stopped is None else "stopped",
                    "error": first["error"],
                    "error_class": first["error_class"],
                    "rows": sum(report["rows"] for report in told),
                    "sources": told,
                }
            )
        )


_GRAVITY: tuple[RoundOutcome, ...] = ("done", "gaps", "busy", "failed")


def sync_stored(plan: SyncPlan) -> ExitCode:
    """Bring all that a store holds up to date, one source after the other, whichever of them fail.

    Raises:
        NxcdrError: nothing of it could be done.
        KeyboardInterrupt: it was stopped.
    """
    results: list[SyncResult] = []
    try:
        anyio.run(_sync_each, plan, results)
    except KeyboardInterrupt as stopped:
        done = ", ".join(result.source for result in results) or "nothing"
        stopped.add_note(f"brought up to date was {done}; what was stored is whole: the same command goes on")
        _write_if_begun(plan, results, stopped)
        raise
    _write_if_begun(plan, results)
    errors = [result.error for result in results if result.error is not None]
    if errors:
        return exit_code(errors[0])
    return ExitCode.KNOWN_GAPS if any(result.outcome == "gaps" for result in results) else ExitCode.DONE


def _write_if_begun(plan: SyncPlan, results: list[SyncResult], stopped: BaseException | None = None) -> None:
    # One that finds the store in use leaves the report to the run that uses it.
    if any(result.outcome != "busy" for result in results):
        plan.write({result.source: result.report for result in results}, stopped)


async def _sync_each(plan: SyncPlan, results: list[SyncResult]) -> None:
    sources = await plan.sources()
    async with plan.session(sources) as session:
        for source in sources:
            result = await plan.sync(session, source, _ignore, SECONDS_BETWEEN_LINES)
            results.append(result)
            if result.filled is not None:
                show_report(result.filled, plan.zone)
            if result.error is not None:
                result.error.add_note(f"this was the sync of {source}")
                say_error(result.error)


def _ignore(_: object) -> None:
    """Do nothing with the news: the display has them from the report."""


def sync_every(plan: SyncPlan, every: float, metrics: "MetricsPlace | None") -> ExitCode:
    """Bring a store up to date in rounds until SIGTERM or Ctrl-C, which leave it whole: the only end that is no error.

    Args:
        plan: what is brought up to date.
        every: seconds from the beginning of a round to that of the next.
        metrics: where to tell figures; None for nowhere.

    Raises:
        NxcdrError: it never worked, and never will until somebody mends it.
    """
    rounds = Rounds(plan, Schedule(every))
    try:
        anyio.run(rounds.run, metrics)
    except KeyboardInterrupt:
        if not Manner.is_quiet:
            say_last(f"stopped {rounds.now_at}: what is stored is whole, and the next start goes on from there")
    return ExitCode.DONE


@define(eq=False)
class Rounds:
    """Rounds of syncs: one source after the other, each when it is due.

    Attributes:
        plan: what is brought up to date.
        schedule: when.
        watch: what is known of it.
        now_at: what it is doing, in words.
    """

    plan: SyncPlan
    schedule: Schedule
    watch: SyncWatch = field(init=False)
    now_at: str = field(default="before the first round", init=False)
    _tracks: dict[SourceName, Track] = field(factory=dict, init=False)
    _reports: dict[SourceName, dict[str, Any]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.watch = SyncWatch(self.schedule.patience)

    async def run(self, metrics: "MetricsPlace | None") -> None:
        """Go on for ever.

        Raises:
            NxcdrError: it never worked, and never will until somebody mends it.
        """
        observe(lambda: self.watch.measure(at=wall()), counters=names.SYNC_COUNTERS, gauges=names.SYNC_GAUGES)
        async with nullcontext() if metrics is None else metrics.telling(self.watch):
            sources = await self._sources()
            begun = steady()
            self._tracks = {source: Track(begun) for source in sources}
            async with self.plan.session(sources) as session:
                self.watch.stats = lambda: session.stats
                self.watch.sources = {source: SourceWatch(begun) for source in sources}
                while True:
                    await self._next(session)

    async def _sources(self) -> tuple[SourceName, ...]:
        while True:
            try:
                return await self.plan.sources()
            except BusyError as busy:
                pause = self.schedule.after(Track(0.0), "busy", begun=0.0, ended=0.0, chance=random()).due  # noqa: S311 - no secret
                _say(f"{busy}; tried again in {duration(pause)}", self.plan.zone, "warning", error_class="BusyError")
                await sleep(pause)

    async def _next(self, session: CdrSession) -> None:
        source = next_due(self._tracks)
        track, watch = self._tracks[source], self.watch.sources[source]
        self.now_at = "between two rounds"
        await sleep(max(0.0, track.due - steady()))
        self.now_at = f"in the middle of a round of {source}"
        begun = steady()
        result = await self.plan.sync(
            session,
            source,
            lambda progress: watch.note_progress(progress, now=steady()),
            SECONDS_BETWEEN_LINES_OF_A_ROUND,
        )
        ended = steady()
        if result.error is not None and is_final(result.error, track):
            raise result.error
        watch.note_end(result.outcome, result.filled, now=ended, at=wall())
        after = self.schedule.after(track, result.outcome, begun=begun, ended=ended, chance=random())  # noqa: S311 - no secret
        self._tracks[source] = after
        self._reports[source] = result.report
        _tell(result, after, after.due - ended, self.plan.zone)
        try:
            self.plan.write(self._reports)
        except NxcdrError as error:  # the rows are stored all the same
            say_error(error)


def _tell(result: SyncResult, track: Track, pause: float, zone: tzinfo) -> None:
    """Say on one line how a round ended."""
    facts: dict[str, Any] = {"event": "round", "next_in_seconds": round(pause, 3), "failures": track.failures}
    if result.filled is not None:
        # What is known to be missing stays so: it is told by each round, and is an alarm only in the figures.
        summary = summary_of(result.filled, zone)
        _say(f"{summary}, next in {duration(pause)}", zone, **facts, **facts_of(result.filled))
        return
    error = result.error
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    how_often = f" ({track.failures} in a row)" if track.failures > 1 else ""
    _say(
        f"{result.source}: {result.outcome}{how_often}: {error}{notes}; tried again in {duration(pause)}",
        zone,
        "warning" if result.outcome == "busy" else "error",
        **facts,
        source=result.source,
        outcome=result.outcome,
        error=str(error),
        error_class=type(error).__name__,
    )


def _say(text: str, zone: tzinfo, level: Level = "info", **facts: Any) -> None:
    """Say something with the time, which JSON has anyway."""
    say(text if Manner.is_json else f"{moment_text(present().replace(microsecond=0), zone)} {text}", level, **facts)

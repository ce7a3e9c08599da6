"""How a store is: what it holds, how far it is complete, what its last run came to. Nothing in it is changed."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from nxcdr_async._util.moments import moment_at, moment_if_any
from nxcdr_async._util.tasks import in_thread
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.ingest.gaps import gaps_of, holes_in
from nxcdr_async.ingest.report import AgeCount, LastRun, RunState, SourceStatus, StoreStatus
from nxcdr_async.records.arrow import TABLES
from nxcdr_async.records.converter import UTC_PLUS_8
from nxcdr_async.records.models import SourceName
from nxcdr_async.sinks.ledger import Ledger, RunNote
from nxcdr_async.sinks.protocol import Origin, Sink, SurveySink, TableState, TableSurvey
from nxcdr_async.sources.units import Days, Seconds, TimeUnit

_OFFSET = re.compile(r"UTC(|[+-][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)")
"""How `datetime.timezone` writes itself."""

_UNFINISHED: dict[bool | None, RunState] = {True: "running", False: "killed", None: "unfinished"}
"""What a run is that has not noted its end, by whether the store is in use."""


async def status_of(sink: Sink, sources: Sequence[SourceName], default_settle: int) -> StoreStatus:
    """Tell how a sink is that nobody has opened.

    Args:
        sink: the sink.
        sources: of which to tell, if they are there.
        default_settle: seconds that a window stays open where no run was noted.

    Raises:
        BusyError: a run is at work, and nobody else can read meanwhile.
        ConfigurationError: nothing is there, or it holds none of the sources, or cannot be looked at.
        SinkError: it cannot be read.
    """
    if not isinstance(sink, SurveySink):
        raise ConfigurationError(
            f"{sink.name} cannot be looked at: for that a sink of your own needs the method survey"
        )
    survey = await in_thread(partial(sink.survey, [TABLES[source] for source in sources]))
    if not survey.tables:
        names = " or ".join(TABLES[source].name for source in sources)
        raise ConfigurationError(f"{sink.name} holds no {names}: give the --to of an earlier backfill")
    statuses = [
        _source_status(source, table, default_settle, is_in_use=survey.is_in_use)
        for source, table in survey.tables.items()
    ]
    return StoreStatus(sink.name, survey.size, survey.is_in_use, tuple(statuses))


def _source_status(
    source: SourceName, survey: TableSurvey, default_settle: int, *, is_in_use: bool | None
) -> SourceStatus:
    state, run = survey.state, survey.state.last_run
    ledger, settle = Ledger(state.entries, state.pruned_before), default_settle if run is None else run.settle
    unit = _unit_of(source, state.origin)
    entries = [entry for entry in ledger.entries if not ledger.is_pruned(entry)]
    return SourceStatus(
        source=source,
        rows=survey.rows,
        size=survey.size,
        start=moment_if_any(ledger.start),
        read_until=moment_if_any(ledger.entries[-1].window.end if ledger.entries else None),
        complete_until=moment_if_any(ledger.complete_until(settle)),
        windows=len(ledger.entries),
        windows_open=sum(not entry.is_sealed(settle) for entry in entries),
        settle=timedelta(seconds=settle),
        evidence=_evidence(state),
        gaps=(*holes_in(ledger), *(gap for entry in entries for gap in gaps_of(unit, entry, entry.window))),
        last_run=None if run is None else _last_run(run, is_in_use=is_in_use),
        gateway=None if state.origin is None else state.origin.gateway,
        pruned_before=moment_if_any(state.pruned_before),
    )


def _evidence(_state: TableState) -> tuple[AgeCount, ...]:
    """Return how late rows turned up, as far as the ledger knows: nobody notes it yet."""
    return ()


def _last_run(run: RunNote, *, is_in_use: bool | None) -> LastRun:
    return LastRun(
        command=run.command,
        outcome=run.outcome or _UNFINISHED[is_in_use],
        started=moment_at(run.started),
        finished=moment_if_any(run.finished),
        rows_new=run.rows_new,
        rows_changed=run.rows_changed,
        requests=run.requests,
        error=run.error,
    )


def _unit_of(source: SourceName, origin: Origin | None) -> TimeUnit:
    """Return the unit by which a source was read; of days, in the zone that was noted, if anybody knows it here."""
    if source != "did":
        return Seconds()
    name = "" if origin is None else origin.zone
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        return Days(datetime.fromisoformat(f"2000-01-01T00:00{offset[1]}").tzinfo or UTC)
    try:
        return Days(ZoneInfo(name))
    except (ValueError, KeyError, OSError):  # what ZoneInfo raises for names that are none
        return Days(UTC_PLUS_8)

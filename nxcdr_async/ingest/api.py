"""Bulk backfills: months of records in a store of yours, which knows itself how far it is complete.

>>> async def fill(session, start, end):
...     report = await backfill(session, "calls", start, end, to="calls.duckdb")
...     print(report.rows_new, report.complete_until)
"""

import math
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from nxcdr_async._util.clocks import present
from nxcdr_async._util.validation import as_text, as_whole
from nxcdr_async.errors import ConfigurationError, RecordError
from nxcdr_async.ingest.pushes import PushedCalls
from nxcdr_async.ingest.report import (
    AgeCount,
    BackfillProgress,
    BackfillReport,
    DayTotals,
    Difference,
    Gap,
    LastRun,
    PrunedSource,
    PruneReport,
    SourceStatus,
    StoreStatus,
    Totals,
    VerifiedSource,
    VerifyReport,
)
from nxcdr_async.paging.base import OnBadRow
from nxcdr_async.paging.page_reader import bad_row_handler
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession
from nxcdr_async.sinks.factory import check_arrow, sink_for
from nxcdr_async.sources import SOURCES

if TYPE_CHECKING:
    from nxcdr_async.ingest.job import Job, Settings
    from nxcdr_async.sinks.protocol import Sink

__all__ = [
    "AgeCount",
    "BackfillProgress",
    "BackfillReport",
    "DayTotals",
    "Difference",
    "Gap",
    "LastRun",
    "PruneReport",
    "PrunedSource",
    "PushedCalls",
    "SourceStatus",
    "StoreStatus",
    "Totals",
    "VerifiedSource",
    "VerifyReport",
    "backfill",
    "prune",
    "status",
    "sync",
    "verify",
]

SETTLE = timedelta(hours=24)
"""How long after its end rows may turn up in a window: the longest call, and the delay of its publishing."""

SAMPLE = 20
"""Windows of each source that a verification reads again."""


async def backfill(  # noqa: PLR0917 - what, from when until when, where to: it reads like a sentence
    session: CdrSession,
    source: SourceName,
    start: date,
    end: date,
    to: "str | Path | Sink",
    on_progress: Callable[[BackfillProgress], object] | None = None,
    *,
    settle: timedelta = SETTLE,
    new_key: bool = False,
    new_gateway: bool = False,
    on_bad_row: OnBadRow = "raise",
    bad_row_callback: Callable[[RecordError], object] | None = None,
) -> BackfillReport:
    """Read the records of a range into a store, each once, and note there what was read.

    It may be killed at any moment: each window is stored together with the note that it was read, so the same call goes
    on where it was. What was read before is not read again, unless late rows may have turned up in it that by now are
    all there (see `settle`).

    Args:
        session: asks the gateway.
        source: "calls", "did" or "flash".
        start: aware; the first moment of the range. For "did", a date is the first day.
        end: aware; the moment the range ends before, cut off at the present. For "did", a date is the last day,
            included.
        to: `postgresql://…`, a file `….duckdb` or `….sqlite`, a folder `….parquet`, `….jsonl` or `….csv`, or a sink of
            your own.
        on_progress: gets the news in the event loop: first once the sink is held, then some times a second.
        settle: how long rows may still turn up in a window after its end. It is sealed once read later than that.
        new_key: take the sink though it was filled with another access key, as the key of the account has changed.
        new_gateway: take the sink though it was filled from another gateway, as the gateway has another address now.
        on_bad_row: as for `CdrSession.calls`; rows that are skipped are gaps of the report.
        bad_row_callback: likewise.

    Raises:
        BusyError: another run has hold of the sink.
        ConfigurationError: an argument cannot work, the sink holds other things.
        SinkError: it cannot be stored. What was stored is whole.
        NxcdrError: it cannot be read; what was complete before the error is stored.
    """
    settings = _settings(
        settle=settle,
        new_key=new_key,
        new_gateway=new_gateway,
        on_progress=on_progress,
        on_bad_row=on_bad_row,
        bad_row_callback=bad_row_callback,
    )
    return await _job(session, source, to, settings).backfill(start, end)


async def sync(
    session: CdrSession,
    source: SourceName,
    to: "str | Path | Sink",
    on_progress: Callable[[BackfillProgress], object] | None = None,
    *,
    settle: timedelta = SETTLE,
    new_key: bool = False,
    new_gateway: bool = False,
    on_bad_row: OnBadRow = "raise",
    bad_row_callback: Callable[[RecordError], object] | None = None,
    since: date | None = None,
) -> BackfillReport:
    """Bring a store up to the present: read again where late rows may turn up, fill holes, and go on to now.

    The arguments and errors are those of `backfill`, which has to have begun the store. Or `since` begins it, which is
    as the start of a backfill: what is stored from then on stays, and what is missing is read.
    """
    settings = _settings(
        settle=settle,
        new_key=new_key,
        new_gateway=new_gateway,
        on_progress=on_progress,
        on_bad_row=on_bad_row,
        bad_row_callback=bad_row_callback,
    )
    return await _job(session, source, to, settings).sync(since)


async def verify(
    session: CdrSession,
    to: "str | Path | Sink",
    source: SourceName | None = None,
    on_progress: Callable[[BackfillProgress], object] | None = None,
    *,
    start: date | None = None,
    end: date | None = None,
    totals: tzinfo | None = None,
    sample: int | None = SAMPLE,
    seed: int | None = None,
    fix: bool = False,
    settle: timedelta = SETTLE,
    new_key: bool = False,
    new_gateway: bool = False,
    on_bad_row: OnBadRow = "raise",
    bad_row_callback: Callable[[RecordError], object] | None = None,
) -> VerifyReport:
    """Read sealed windows of a store again, and compare it with what the gateway tells now.

    A value that the gateway does not tell any more is no difference, as the store keeps what was known. A row counts as
    missing if the store has its key nowhere, and as extra if the gateway does not tell it an hour earlier or later
    either. How many rows the ledger notes of a window is not compared: a gateway may give a row with either of two
    neighbours, so these numbers may rightly differ from what is stored there.

    Args:
        session: asks the gateway.
        to: as for `backfill`; it is held while it is verified, as no other run may write it meanwhile.
        source: "calls", "did" or "flash"; None for all that the store holds.
        on_progress: gets the news in the event loop: of each source once the sink is held, then of one source after the
            other, some times a second.
        start: aware; where the windows to verify begin, with `end`. For "did", a date is the first day. None for all.
        end: aware; what they end before; each that lies there in part is read whole. For "did", a date is the last day.
        totals: also count rows, cost and talk time of each day of this zone, as stored and as the gateway tells them.
            For that all sealed windows of the range are read, whatever `sample` is.
        sample: windows of each source to read, chosen by chance all over the range; None reads all that are sealed.
        seed: repeats a choice: the `seed` of its report. None to choose anew.
        fix: store what is missing or different, as a backfill would. Nothing is ever deleted.
        settle: as for `backfill`: a window is sealed that was read so long after its end.
        new_key: as for `backfill`.
        new_gateway: as for `backfill`.
        on_bad_row: as for `backfill`. Where a row is skipped, no row of the store is called extra.
        bad_row_callback: likewise.

    Raises:
        BusyError: another run has hold of the sink.
        ConfigurationError: an argument cannot work, the sink holds nothing of the source, or holds some of one that
            the session has no keys for.
        SinkError: it cannot be read, or written.
        NxcdrError: the gateway cannot be read; what was mended before stays so.
    """
    windows, first_choice = _whole_from(1, "sample", sample), _whole_from(0, "seed", seed)
    if totals is not None and not isinstance(totals, tzinfo):
        raise ConfigurationError(f"totals is {totals!r}: give the zone of the days, such as datetime.UTC, or None")
    sources = tuple(SOURCES) if source is None else (_checked_source(source),)
    _check_switch("fix", fix)
    settings = _settings(
        settle=settle,
        new_key=new_key,
        new_gateway=new_gateway,
        on_progress=on_progress,
        on_bad_row=on_bad_row,
        bad_row_callback=bad_row_callback,
    )
    from nxcdr_async.ingest.verify import Verification  # noqa: PLC0415 - imports pyarrow

    verification = Verification(
        session,
        sink_for(to),
        settings,
        sample=windows if totals is None else None,
        seed=first_choice,
        mends=fix,
        span=_checked_span(start, end),
        zone=totals,
    )
    return await verification.of(sources)


async def prune(
    to: "str | Path | Sink",
    before: datetime,
    sources: Iterable[SourceName] | None = None,
    *,
    dry_run: bool = False,
) -> PruneReport:
    """Remove the rows of times before a moment from a store, for good, as people may have a right to.

    The store notes that: neither a backfill, a sync, calls that are pushed, nor a verification brings them back, and
    it counts as complete as before. Rows without a time stay. What was removed is not left in the bytes of files
    either; of PostgreSQL's, `VACUUM FULL` sees to that. Backups, and what a store was exported to, are yours to see to.

    Args:
        to: as for `backfill`; it is held meanwhile.
        before: aware, cut off to the second; the first moment whose rows stay.
        sources: some of "calls", "did" and "flash"; None for all that the store holds.
        dry_run: count only, and change nothing.

    Raises:
        BusyError: another run has hold of the store.
        ConfigurationError: an argument cannot work, the store holds nothing of these sources, or is a sink of your own
            without the method `prune`.
        SinkError: they could not be removed; the same again finishes it.
    """
    wanted = tuple(SOURCES) if sources is None else _checked_sources(sources)
    edge = _checked_before(before)
    _check_switch("dry_run", dry_run)
    check_arrow()
    from nxcdr_async.ingest.pruning import prune_sink  # noqa: PLC0415 - imports pyarrow

    return await prune_sink(sink_for(to), edge, wanted, is_trial=dry_run)


async def stored_sources(to: "str | Path | Sink") -> tuple[SourceName, ...]:
    """Return the sources that were read into a store; the arguments and errors are those of `prune`."""
    check_arrow()
    from nxcdr_async.ingest.stored import sources_begun  # noqa: PLC0415 - imports pyarrow

    return await sources_begun(sink_for(to))


async def status(to: "str | Path | Sink", sources: Iterable[SourceName] | None = None) -> StoreStatus:
    """Tell how a store is: its rows, how far it is read and complete, what is missing, what its last run came to.

    Nothing is made, changed or locked for that, and nothing asked of a gateway: it may be asked while a run is at work,
    at any time, and by who may only read. Of a DuckDB file alone nobody can know anything while a run writes it.

    Args:
        to: as for `backfill`; a sink of your own needs the method `survey`.
        sources: some of "calls", "did" and "flash"; None for all that the store holds.

    Raises:
        BusyError: it is a DuckDB file that a run is writing.
        ConfigurationError: an argument cannot work, nothing is there, or it holds nothing of these sources.
        SinkError: it cannot be read.
    """
    wanted = tuple(SOURCES) if sources is None else _checked_sources(sources)
    check_arrow()
    from nxcdr_async.ingest.status import status_of  # noqa: PLC0415 - imports pyarrow

    return await status_of(sink_for(to), wanted, math.ceil(SETTLE.total_seconds()))


def _checked_span(start: date | None, end: date | None) -> tuple[date, date] | None:
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise ConfigurationError("start and end go together: give both, or neither for all that is stored")
    return start, end


def _checked_before(before: datetime) -> int:
    # What pandas has for a time that is missing is a datetime that does not equal itself.
    if not isinstance(before, datetime) or before != before or before.utcoffset() is None:  # noqa: PLR0124 - tells NaT
        raise ConfigurationError(f"before is {before!r}: give an aware datetime, such as datetime(…, tzinfo=UTC)")
    if before > present():
        raise ConfigurationError(f"before is {before.isoformat()}, which has yet to come: no row since then would stay")
    return math.floor(before.timestamp())


def _checked_sources(sources: Iterable[SourceName]) -> tuple[SourceName, ...]:
    if not isinstance(sources, Iterable):
        raise ConfigurationError(f"sources is {sources!r}: give some of {_names('and')}, or None for all")
    named = [sources] if isinstance(sources, str) else list(sources)
    if not named:
        raise ConfigurationError(f"sources is empty: give some of {_names('and')}, or None for all")
    return tuple(dict.fromkeys(_checked_source(source) for source in named))


def _job(session: CdrSession, source: SourceName, to: "str | Path | Sink", settings: "Settings") -> "Job":
    checked = _checked_source(source)
    from nxcdr_async.ingest.job import Job  # noqa: PLC0415 - imports pyarrow

    return Job.of(session, checked, sink_for(to), settings)


def _checked_source(source: object) -> SourceName:
    name = as_text(source)
    for known in SOURCES:
        if name == known:
            return known
    raise ConfigurationError(f"source is {source!r}: give {_names('or')}")


def _names(conjunction: str) -> str:
    """Return the sources there are, for messages: 'calls', 'did' or 'flash'."""
    *names, last = (f"'{name}'" for name in SOURCES)
    return f"{', '.join(names)} {conjunction} {last}"


def _whole_from(least: int, name: str, number: object) -> int | None:
    whole = as_whole(number)
    if number is not None and (whole is None or whole < least):
        raise ConfigurationError(f"{name} is {number!r}: give a whole number from {least} on, or None")
    return whole


def _check_switch(name: str, switch: object) -> None:
    # Any text is true to Python, "no" as well.
    if not isinstance(switch, bool):
        raise ConfigurationError(f"{name} is {switch!r}: give True or False")


def _settings(
    *,
    settle: timedelta,
    new_key: bool,
    new_gateway: bool,
    on_progress: Callable[[BackfillProgress], object] | None,
    on_bad_row: OnBadRow,
    bad_row_callback: Callable[[RecordError], object] | None,
) -> "Settings":
    on_bad = bad_row_handler(on_bad_row, bad_row_callback)
    if not isinstance(settle, timedelta) or settle < timedelta():
        raise ConfigurationError(f"settle is {settle!r}: give a timedelta that is not negative")
    _check_switch("new_key", new_key)
    _check_switch("new_gateway", new_gateway)
    if on_progress is not None and not callable(on_progress):
        raise ConfigurationError("on_progress cannot be called: give a function of one argument")
    check_arrow()
    from nxcdr_async.ingest.job import Settings  # noqa: PLC0415 - imports pyarrow
    from nxcdr_async.ingest.table_writer import AllowedChanges  # noqa: PLC0415 - as above

    return Settings(math.ceil(settle.total_seconds()), AllowedChanges(new_key, new_gateway), on_progress, on_bad)

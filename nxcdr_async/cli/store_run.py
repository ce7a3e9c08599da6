"""Runs into a store, with how far they are on a display and a report however they end: backfill, sync, verify."""

from collections.abc import Awaitable, Callable
from datetime import tzinfo
from functools import partial
from typing import Any, TypeVar

import anyio
from attrs import asdict

from nxcdr_async._util.clocks import steady
from nxcdr_async._util.counts import counted
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import RangeOptions, StoreOptions, parse_duration, parse_target, parse_zone, secrets_for
from nxcdr_async.cli.progress import RunStatus, bar_or_lines, shown_while
from nxcdr_async.cli.report import RunReport, moment_text, outcome_of, show_report
from nxcdr_async.cli.streaming import BadRows
from nxcdr_async.errors import NxcdrError, RecordError
from nxcdr_async.ingest.report import BackfillReport
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession

SECONDS_BETWEEN_LINES = 5.0

ResultT = TypeVar("ResultT")


def fill_store(
    fill: Callable[[CdrSession, dict[str, Any]], Awaitable[BackfillReport]],
    source: SourceName,
    to: str,
    *,
    settle: str,
    skip_bad_rows: bool,
    store: StoreOptions,
    gateway: RangeOptions,
    tz: str,
) -> ExitCode:
    """Fill a store, show how it goes, and report; returns the exit code.

    Args:
        fill: does it, with the keyword arguments that `backfill` and `sync` have in common.
        source: what is read.
        to: the store.
        settle: how long a window stays open.
        skip_bad_rows: whether rows that cannot be read are left out.
        store: how to go on in it, and where to report.
        gateway: where to read.
        tz: the zone of the times that are shown.

    Raises:
        NxcdrError: it could not be done to the end; notes on it say what is stored, and how to go on.
        KeyboardInterrupt: it was stopped; likewise.
    """
    store.choose_manner()
    place, zone = parse_target(to), parse_zone(tz)
    options = run_options(place, settle=settle, skip_bad_rows=skip_bad_rows, store=store)
    arguments, report = gateway.arguments(), RunReport.checked(store.report, place, source)
    arguments |= secrets_for(source)  # nobody is asked for them before all else is known to be right
    options["on_progress"] = report.update
    try:
        filled = anyio.run(in_session, arguments, report, lambda session: fill(session, options), zone)
    except (NxcdrError, KeyboardInterrupt) as ended:
        note_how_to_skip(ended)
        _note_how_to_go_on(ended, report, zone)
        report.fail(ended)
        raise
    show_report(filled, zone)
    report.end(outcome_of(filled), {**asdict(filled), "rows": filled.rows})
    return ExitCode.KNOWN_GAPS if filled.gaps else ExitCode.DONE


def run_options(place: str, *, settle: str, skip_bad_rows: bool, store: StoreOptions) -> dict[str, Any]:
    """Return the keyword arguments that `backfill` and `sync` have in common; all but place are those of `fill_store`.

    Raises:
        ConfigurationError: the time to settle is no duration.
    """
    return {
        "to": place,
        "settle": parse_duration("--settle", settle),
        "new_key": store.new_key,
        "new_gateway": store.new_gateway,
        **BadRows(are_skipped=skip_bad_rows).options,
    }


async def in_session(
    arguments: dict[str, Any], report: RunReport, work: Callable[[CdrSession], Awaitable[ResultT]], zone: tzinfo
) -> ResultT:
    """Do some work in a session, and show how far it is meanwhile; returns what it returns, raises what it raises."""
    async with CdrSession.from_env(**arguments) as session:
        return await displayed(session, report, work, SECONDS_BETWEEN_LINES, zone)


async def displayed(
    session: CdrSession,
    report: RunReport,
    work: Callable[[CdrSession], Awaitable[ResultT]],
    seconds_between_lines: float,
    zone: tzinfo,
) -> ResultT:
    """Show how far some work is while it is done; returns what it returns, raises what it raises."""

    def status() -> RunStatus:
        return RunStatus(report.latest, session.stats, steady() - report.updated, zone)

    with bar_or_lines(seconds_between_lines) as display:
        return await shown_while(display, status, partial(work, session))


def note_how_to_skip(ended: BaseException) -> None:
    """Say with an error of a row that such rows can be left out of a store."""
    if isinstance(ended, RecordError):
        ended.add_note("with --skip-bad-rows such rows are left out, told and counted as gaps")


def _note_how_to_go_on(ended: BaseException, report: RunReport, zone: tzinfo) -> None:
    latest = report.latest
    if latest is None or latest.reached is None:
        if isinstance(ended, KeyboardInterrupt):
            ended.add_note("nothing was stored by this run: the same command begins where it did")
        return
    are = "is" if latest.rows == 1 else "are"
    stored = f"{counted(latest.rows, 'row')} up to {moment_text(latest.reached, zone)} {are} stored"
    if latest.complete_until is not None:
        stored += f", and it is complete before {moment_text(latest.complete_until, zone)}"
    ended.add_note(f"{stored}: run the same command to go on")

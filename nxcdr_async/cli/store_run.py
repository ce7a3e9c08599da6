"""Runs into a store, with how far they are on a display and a report however they end: backfill, sync, verify."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
from attrs import asdict

from nxcdr_async._util.clocks import sleep, steady
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import RangeOptions, StoreOptions, parse_duration, parse_target, secrets_for
from nxcdr_async.cli.progress import ProgressDisplay, RunStatus, bar_or_lines
from nxcdr_async.cli.report import RunReport, show_report
from nxcdr_async.cli.streaming import BadRows
from nxcdr_async.errors import NxcdrError, RecordError
from nxcdr_async.ingest.report import BackfillReport
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_LOOKS = 0.2

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

    Raises:
        NxcdrError: it could not be done to the end; notes on it say what is stored, and how to go on.
        KeyboardInterrupt: it was stopped; likewise.
    """
    place = parse_target(to)
    options: dict[str, Any] = {
        "to": place,
        "settle": parse_duration("--settle", settle),
        "new_key": store.new_key,
        "new_gateway": store.new_gateway,
        **BadRows(are_skipped=skip_bad_rows).options,
    }
    arguments, report = gateway.arguments(), RunReport.checked(store.report, place, source)
    arguments |= secrets_for(source)  # nobody is asked for them before all else is known to be right
    options["on_progress"] = report.update
    try:
        filled = anyio.run(in_session, arguments, report, lambda session: fill(session, options))
    except (NxcdrError, KeyboardInterrupt) as ended:
        note_how_to_skip(ended)
        _note_how_to_go_on(ended, report)
        report.fail(ended)
        raise
    show_report(filled)
    report.end("gaps" if filled.gaps else "done", {**asdict(filled), "rows": filled.rows})
    return ExitCode.KNOWN_GAPS if filled.gaps else ExitCode.DONE


async def in_session(
    arguments: dict[str, Any], report: RunReport, work: Callable[[CdrSession], Awaitable[ResultT]]
) -> ResultT:
    """Do some work in a session, and show how far it is meanwhile; returns what it returns, raises what it raises."""
    failures: list[Exception] = []
    results: list[ResultT] = []
    async with CdrSession.from_env(**arguments) as session:
        with bar_or_lines("windows", SECONDS_BETWEEN_LINES) as display:
            async with anyio.create_task_group() as group:
                group.start_soon(_show, display, session, report)
                try:
                    results.append(await work(session))
                except Exception as error:  # noqa: BLE001 - raised below, bare, not in a group
                    failures.append(error)
                group.cancel_scope.cancel()
        if failures:
            raise failures[0]
    return results[0]


def note_how_to_skip(ended: BaseException) -> None:
    """Say with an error of a row that such rows can be left out of a store."""
    if isinstance(ended, RecordError):
        ended.add_note("with --skip-bad-rows such rows are left out, told and counted as gaps")


async def _show(display: ProgressDisplay, session: CdrSession, report: RunReport) -> None:
    while True:
        display.show(RunStatus(report.latest, session.stats, steady() - report.updated))
        await sleep(SECONDS_BETWEEN_LOOKS)


def _note_how_to_go_on(ended: BaseException, report: RunReport) -> None:
    latest = report.latest
    if latest is None or latest.reached is None:
        if isinstance(ended, KeyboardInterrupt):
            ended.add_note("nothing was stored by this run: the same command begins where it did")
        return
    stored = f"{latest.rows:,} rows up to {latest.reached.isoformat()} are stored"
    if latest.complete_until is not None:
        stored += f", and it is complete before {latest.complete_until.isoformat()}"
    ended.add_note(f"{stored}: run the same command to go on")

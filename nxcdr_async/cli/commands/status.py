"""`nxcdr status`: how a store is."""

import sys
from datetime import timedelta, tzinfo
from functools import partial
from typing import Annotated, Any

import anyio
import typer
from attrs import asdict

from nxcdr_async._util.counts import counted
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import ShownZoneOption, SourceChoice, TargetOption, parse_target, parse_zone
from nxcdr_async.cli.report import gap_text, json_line, moment_text
from nxcdr_async.cli.stdout import write_at_once
from nxcdr_async.cli.terminal import can_show, duration, printable, size_text
from nxcdr_async.ingest import api
from nxcdr_async.ingest.report import AgeCount, LastRun, SourceStatus, StoreStatus
from nxcdr_async.records.models import SourceName

DETAILS = """
Nothing is made, changed, locked or asked for: it may be used while a run is at work, and by who may only read.
"""

MOST_GAPS_SHOWN = 5
BAR_WIDTH = 40

_RUN_STATES = {
    "done": "done",
    "gaps": "done, with known gaps",
    "failed": "failed",
    "stopped": "stopped",
    "running": "at work",
    "killed": "was killed",
    "unfinished": "has not ended: it is at work, or was killed",
}


def status(
    *,
    to: TargetOption,
    sources: Annotated[
        list[SourceChoice] | None, typer.Argument(metavar="[SOURCES]", help="calls, did, flash; else all stored.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of text.")] = False,
    tz: ShownZoneOption = "UTC",
) -> ExitCode:
    place, zone = parse_target(to), parse_zone(tz)
    names: list[SourceName] = [source.value for source in sources or []]
    found = anyio.run(partial(api.status, place, names or None))
    if as_json:
        write_at_once(json_line(asdict(found, value_serializer=_plain)))
    else:
        _show(found, zone)
    return ExitCode.DONE


def _plain(_owner: object, _attribute: object, value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _show(found: StoreStatus, zone: tzinfo) -> None:
    _say("store", f"{found.sink}, {size_text(found.size)}{', in use now' if found.in_use else ''}")
    for source in found.sources:
        for label, text in _lines(source, zone):
            _say(label, text)


def _lines(source: SourceStatus, zone: tzinfo) -> list[tuple[str, str]]:
    size = "" if source.size is None else f", {size_text(source.size)}"
    gateway = "" if source.gateway is None else f", from {source.gateway}"
    lines: list[tuple[str, str]] = [(source.source, f"{counted(source.rows, 'row')}{size}{gateway}")]
    if source.start is None or source.read_until is None:
        lines.append(("read", "nothing yet: what there is was pushed"))
    else:
        lines += [
            ("read", f"{moment_text(source.start, zone)} to {moment_text(source.read_until, zone)}"),
            ("windows", f"{source.windows:,}, {source.windows_open:,} of them still open for late rows"),
        ]
    complete = "not known yet" if source.complete_until is None else f"until {moment_text(source.complete_until, zone)}"
    lines += [
        ("complete", complete),
        ("settle", f"late rows are waited for until {_hours(source.settle)} after the end of a window"),
    ]
    lines += [("", line) for line in evidence_plot(source.evidence)]
    lines.append(("gaps", f"{len(source.gaps):,}" if source.gaps else "none known"))
    lines += [("", f"- {gap_text(gap, zone)}") for gap in source.gaps[:MOST_GAPS_SHOWN]]
    if len(source.gaps) > MOST_GAPS_SHOWN:
        lines.append(("", f"- and {len(source.gaps) - MOST_GAPS_SHOWN:,} more, which --json names"))
    if source.pruned_before is not None:
        lines.append(("pruned", f"rows before {moment_text(source.pruned_before, zone)} were removed on purpose"))
    return [*lines, ("last run", _last_run(source.last_run, zone))]


def _last_run(run: LastRun | None, zone: tzinfo) -> str:
    if run is None:
        return "none was noted yet"
    began = f"{run.command} of {moment_text(run.started, zone)}: {_RUN_STATES[run.outcome]}"
    if run.finished is None:
        return began
    took = duration((run.finished - run.started).total_seconds())
    figures = f"{counted(run.rows_new, 'new row')}, {run.rows_changed:,} changed, {counted(run.requests, 'request')}"
    return f"{began} after {took}, {figures}" + ("" if run.error is None else f"; {run.error}")


def evidence_plot(counts: tuple[AgeCount, ...]) -> list[str]:
    """Return a small plot of how late rows turned up, a line for each age."""
    if not counts:
        return ["no evidence yet of how late rows turn up"]
    most, bar = max(1, *(count.rows for count in counts)), "█" if can_show("█", sys.stdout) else "#"
    return [
        f"{_age(count):>9} {bar * round(BAR_WIDTH * count.rows / most):<{BAR_WIDTH}} {counted(count.rows, 'row')}"
        + (f", {count.changes:,} changed" if count.changes else "")
        for count in counts
    ]


def _age(count: AgeCount) -> str:
    return "later" if count.up_to is None else f"to {duration(count.up_to.total_seconds())}"


def _hours(settle: timedelta) -> str:
    return f"{settle.total_seconds() / 3600:g} h"


def _say(label: str, text: str) -> None:
    sys.stdout.write(f"{printable(f'{label:<9} {text}', sys.stdout)}\n")

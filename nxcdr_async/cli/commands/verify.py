"""`nxcdr verify`: a store is compared with what the gateway answers now."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from functools import reduce
from operator import add
from typing import Annotated, Any, Literal

import anyio
import typer
from attrs import Attribute, asdict

from nxcdr_async._util.counts import counted
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    LastOption,
    RangeEndOption,
    RangeOptions,
    RangeStartOption,
    RangeWords,
    SettleOption,
    SkipOption,
    SourceChoice,
    StoreOptions,
    TargetOption,
    ZoneOption,
    parse_duration,
    parse_target,
    parse_zone,
    secrets_for,
)
from nxcdr_async.cli.report import RunReport, moment_text, say_item, show_gaps
from nxcdr_async.cli.store_run import in_session, note_how_to_skip
from nxcdr_async.cli.streaming import BadRows
from nxcdr_async.cli.terminal import duration, say, say_labelled
from nxcdr_async.errors import ConfigurationError, NxcdrError
from nxcdr_async.ingest import api
from nxcdr_async.ingest.report import DayTotals, Difference, Totals, VerifiedSource, VerifyReport
from nxcdr_async.records.models import SourceName

DETAILS = """
It reads sealed windows again: those in which no late rows are to be expected. Ends with code 1 if differences are
left, or nothing could be compared, and with code 3 if something is known to be missing.
"""

MOST_EXAMPLES_SHOWN = 5

LONGEST_VALUE = 80
"""Characters of a value that are shown."""

Verdict = Literal["equal", "mended", "differences", "gaps", "nothing checked"]

_EXIT_CODES: dict[Verdict, ExitCode] = {
    "equal": ExitCode.DONE,
    "mended": ExitCode.DONE,
    "differences": ExitCode.FAILED,
    "gaps": ExitCode.KNOWN_GAPS,
    "nothing checked": ExitCode.FAILED,
}


def verify(
    *,
    to: TargetOption,
    source: Annotated[
        SourceChoice | None,
        typer.Option("--source", metavar="SOURCE", help="Only calls, did or flash; else all stored."),
    ] = None,
    sample: Annotated[
        int | None, typer.Option("--sample", metavar="N", min=1, help="Windows of each source; 20 if not given.")
    ] = None,
    read_all: Annotated[bool, typer.Option("--all", help="Read all sealed windows, however long it takes.")] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="Repeat the choice of an earlier run.")
    ] = None,
    start: RangeStartOption = None,
    end: RangeEndOption = None,
    last: LastOption = None,
    totals: Annotated[
        bool, typer.Option("--totals", help="Rows, cost and talk time by day, beside the gateway's; implies --values.")
    ] = False,
    values: Annotated[
        bool, typer.Option("--values", help="Show both values of what differs, which are data of calls.")
    ] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Store what is missing or different; nothing is deleted.")] = False,
    settle: SettleOption = "24h",
    store: StoreOptions,
    skip_bad_rows: SkipOption = False,
    gateway: RangeOptions,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    store.choose_manner()
    if (read_all or totals) and sample is not None:
        other = "--all" if read_all else "--totals"
        raise ConfigurationError(f"--sample and {other} exclude each other: give one of them")
    place, zone = parse_target(to), parse_zone(tz)
    name: SourceName | None = None if source is None else source.value
    is_whole = start is None and end is None and last is None
    first, until = (None, None) if is_whole else RangeWords(start, end, last, tz).of(source)
    options: dict[str, Any] = {
        "start": first,
        "end": until,
        "totals": zone if totals else None,
        "sample": None if read_all else sample or api.SAMPLE,
        "seed": seed,
        "fix": fix,
        "settle": parse_duration("--settle", settle),
        "new_key": store.new_key,
        "new_gateway": store.new_gateway,
        **BadRows(are_skipped=skip_bad_rows).options,
    }
    arguments, report = gateway.arguments(), RunReport.checked(store.report, place, name)
    if name is not None:  # else which keys are needed is known once the store is open
        arguments |= secrets_for(name)
    try:
        verified = anyio.run(
            in_session,
            arguments,
            report,
            lambda session: api.verify(session, place, name, report.update, **options),
            zone,
        )
    except (NxcdrError, KeyboardInterrupt) as ended:
        note_how_to_skip(ended)
        if isinstance(ended, KeyboardInterrupt):
            note_how_far(ended, report, zone, fix=fix)
        report.fail(ended)
        raise
    verdict = verdict_on(verified)
    shows_values = values or totals
    _show(verified, verdict, zone, shows_values=shows_values)
    report.end(verdict, asdict(verified, filter=None if shows_values else _is_no_call_data))
    return _EXIT_CODES[verdict]


def note_how_far(stop: KeyboardInterrupt, report: RunReport, zone: tzinfo, *, fix: bool) -> None:
    """Say with a stop up to when was compared, and what became of it."""
    latest = report.latest
    if latest is None or latest.reached is None:
        stop.add_note("nothing was compared")
        return
    compared = counted(latest.windows, "window")
    mended = ", and what was mended by then is stored" if fix else ""
    stop.add_note(f"{compared} of {latest.source} up to {moment_text(latest.reached, zone)} compared{mended}")


def verdict_on(report: VerifyReport) -> Verdict:
    """Return what a verification comes to, the gravest first."""
    if not report.windows_checked:
        return "nothing checked"
    if report.unmended:
        return "differences"
    if any(source.gaps for source in report.sources):
        return "gaps"
    return "mended" if any(source.fixed for source in report.sources) else "equal"


def _show(report: VerifyReport, verdict: Verdict, zone: tzinfo, *, shows_values: bool) -> None:
    seed = "" if report.seed is None else f"; --seed {report.seed} chooses the same windows"
    say_labelled("verified", f"{report.sink}, {counted(report.requests, 'request')}, {duration(report.seconds)}{seed}")
    for source in report.sources:
        say_labelled(source.source, _counts(source))
        for example in source.examples[:MOST_EXAMPLES_SHOWN]:
            say_item(_example(example, zone, shows_values=shows_values))
        show_gaps(source.gaps, zone)
        _show_totals(source.days)
    say_labelled("result", _conclusion(report, verdict), "info" if verdict in {"equal", "mended"} else "warning")


def _counts(source: VerifiedSource) -> str:
    if not source.windows_sealed:
        return "no window is sealed yet: late rows may still turn up in all of them"
    found = f"{source.missing:,} missing, {source.different:,} different, {source.extra:,} extra"
    return (
        f"{source.windows_checked:,} of {counted(source.windows_sealed, 'sealed window')}, "
        f"{counted(source.rows_compared, 'row')}: "
        f"{found}, {source.fixed:,} mended"
    )


def _show_totals(days: tuple[DayTotals, ...]) -> None:
    """Say the totals of each day as the store has them, and beside these the gateway's."""
    if not days:
        return
    say(f"{'':11} {'rows':>9} {'gateway':>9} {'cost':>12} {'gateway':>12} {'talk time':>10} {'gateway':>10}")
    for day in days:
        marks = ("" if day.is_equal else " differs") + ("" if day.is_whole else " in part")
        say(f"{day.day.isoformat():<11} {_beside(day.stored, day.found)}{marks}")
    stored, found = (sum_of([getattr(day, which) for day in days]) for which in ("stored", "found"))
    say(f"{'all days':<11} {_beside(stored, found)}")


def sum_of(totals: Sequence[Totals]) -> Totals:
    """Return the totals of all, of which there is at least one."""
    return reduce(add, totals)


def _beside(stored: Totals, found: Totals) -> str:
    costs, talks = (_cost(stored), _cost(found)), (_talk_time(stored), _talk_time(found))
    return f"{stored.rows:>9,} {found.rows:>9,} {costs[0]:>12} {costs[1]:>12} {talks[0]:>10} {talks[1]:>10}"


def _cost(totals: Totals) -> str:
    return f"{totals.cost.normalize():,f}"


def _talk_time(totals: Totals) -> str:
    if totals.talk_seconds is None:
        return "-"
    minutes, seconds = divmod(totals.talk_seconds, 60)
    return f"{minutes // 60:,}:{minutes % 60:02}:{seconds:02}"


def _value(value: Any, zone: tzinfo) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    text = moment_text(value, zone) if isinstance(value, datetime) else f"{value}"
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _example(example: Difference, zone: tzinfo, *, shows_values: bool) -> str:
    pair = f" {_value(example.stored, zone)}, the gateway tells {_value(example.found, zone)}"
    what = {
        "missing": "is not stored",
        "different": f"is stored with {example.column}{pair}"
        if shows_values
        else f"is stored with another {example.column}",
        "extra": "is stored, and the gateway does not tell it any more",
    }[example.kind]
    name = "a row without an id" if example.key is None else str(example.key)
    return f"{name} of {moment_text(example.time, zone)} {what}"


def _conclusion(report: VerifyReport, verdict: Verdict) -> str:
    if verdict == "differences":
        extra = sum(source.extra for source in report.sources)
        advice = "--fix stores what is missing or different" if report.unmended > extra else "nothing is ever deleted"
        return f"{counted(report.unmended, 'difference is', 'differences are')} left: {advice}"
    return {
        "nothing checked": "nothing could be checked",
        "gaps": "all that can be read is stored as the gateway tells it, and something is known to be missing",
        "mended": "what differed is mended",
        "equal": "all that was read is stored as the gateway tells it",
    }[verdict]


def _is_no_call_data(attribute: "Attribute[Any]", _: Any) -> bool:
    return attribute.name not in {"stored", "found"}

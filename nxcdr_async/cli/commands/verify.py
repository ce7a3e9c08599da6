"""`nxcdr verify`: a store is compared with what the gateway answers now."""

from typing import Annotated, Any, Literal

import anyio
import typer
from attrs import Attribute, asdict

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    RangeOptions,
    SettleOption,
    SkipOption,
    SourceChoice,
    StoreOptions,
    TargetOption,
    parse_duration,
    parse_target,
    secrets_for,
)
from nxcdr_async.cli.report import RunReport, moment_text, show_gaps
from nxcdr_async.cli.store_run import in_session, note_how_to_skip
from nxcdr_async.cli.streaming import BadRows
from nxcdr_async.cli.terminal import duration, say
from nxcdr_async.errors import ConfigurationError, NxcdrError
from nxcdr_async.ingest import api
from nxcdr_async.ingest.report import Difference, VerifiedSource, VerifyReport
from nxcdr_async.records.models import SourceName

DETAILS = """
It reads sealed windows again: those in which no late rows are to be expected. Ends with code 1 if differences are
left, or nothing could be compared, and with code 3 if something is known to be missing.
"""

MOST_EXAMPLES_SHOWN = 5

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
    fix: Annotated[bool, typer.Option("--fix", help="Store what is missing or different; nothing is deleted.")] = False,
    settle: SettleOption = "24h",
    store: StoreOptions,
    skip_bad_rows: SkipOption = False,
    gateway: RangeOptions,
) -> ExitCode:
    if read_all and sample is not None:
        raise ConfigurationError("--sample and --all exclude each other: give one of them")
    place = parse_target(to)
    name: SourceName | None = None if source is None else source.value
    options: dict[str, Any] = {
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
            in_session, arguments, report, lambda session: api.verify(session, place, name, report.update, **options)
        )
    except (NxcdrError, KeyboardInterrupt) as ended:
        note_how_to_skip(ended)
        if fix and isinstance(ended, KeyboardInterrupt):
            ended.add_note("what was mended by then is stored")
        report.fail(ended)
        raise
    verdict = verdict_on(verified)
    _show(verified, verdict)
    report.end(verdict, asdict(verified, filter=_is_no_call_data))
    return _EXIT_CODES[verdict]


def verdict_on(report: VerifyReport) -> Verdict:
    """Return what a verification comes to, the gravest first."""
    if not report.windows_checked:
        return "nothing checked"
    if report.unmended:
        return "differences"
    if any(source.gaps for source in report.sources):
        return "gaps"
    return "mended" if any(source.fixed for source in report.sources) else "equal"


def _show(report: VerifyReport, verdict: Verdict) -> None:
    seed = "" if report.seed is None else f"; --seed {report.seed} chooses the same windows"
    say(f"verified  {report.sink}, {report.requests:,} requests, {duration(report.seconds)}{seed}")
    for source in report.sources:
        say(f"{source.source:<9} {_counts(source)}")
        for example in source.examples[:MOST_EXAMPLES_SHOWN]:
            say(f"{'':9} - {_example(example)}")
        show_gaps(source.gaps)
    say(f"{'result':<9} {_conclusion(report, verdict)}")


def _counts(source: VerifiedSource) -> str:
    if not source.windows_sealed:
        return "no window is sealed yet: late rows may still turn up in all of them"
    found = f"{source.missing:,} missing, {source.different:,} different, {source.extra:,} extra"
    return (
        f"{source.windows_checked:,} of {source.windows_sealed:,} sealed windows, {source.rows_compared:,} rows: "
        f"{found}, {source.fixed:,} mended"
    )


def _example(example: Difference) -> str:
    what = {
        "missing": "is not stored",
        "different": f"is stored with another {example.column}",
        "extra": "is stored, and the gateway does not tell it any more",
    }[example.kind]
    name = "a row without an id" if example.key is None else str(example.key)
    return f"{name} of {moment_text(example.time)} {what}"


def _conclusion(report: VerifyReport, verdict: Verdict) -> str:
    if verdict == "differences":
        extra = sum(source.extra for source in report.sources)
        advice = "--fix stores what is missing or different" if report.unmended > extra else "nothing is ever deleted"
        return f"{report.unmended:,} differences are left: {advice}"
    return {
        "nothing checked": "nothing could be checked",
        "gaps": "all that can be read is stored as the gateway tells it, and something is known to be missing",
        "mended": "what differed is mended",
        "equal": "all that was read is stored as the gateway tells it",
    }[verdict]


def _is_no_call_data(attribute: "Attribute[Any]", _: Any) -> bool:
    return attribute.name not in {"stored", "found"}

"""A verification: the run, what is said of its result, and how it ends."""

from datetime import timedelta
from typing import Any, Literal

import anyio
from attrs import Attribute, asdict, define

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import CommonOptions
from nxcdr_async.cli.progress import Monitor, watched
from nxcdr_async.cli.report import RunReport, moment_text, show_gaps
from nxcdr_async.cli.streaming import BadRows, note_how_to_skip
from nxcdr_async.cli.terminal import duration, say
from nxcdr_async.errors import NxcdrError
from nxcdr_async.ingest.api import verify
from nxcdr_async.ingest.report import Difference, VerifiedSource, VerifyReport
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession

MOST_EXAMPLES_SHOWN = 5

Verdict = Literal["equal", "mended", "differences", "gaps", "nothing checked"]

_EXIT_CODES: dict[Verdict, ExitCode] = {
    "equal": ExitCode.DONE,
    "mended": ExitCode.DONE,
    "differences": ExitCode.FAILED,
    "gaps": ExitCode.KNOWN_GAPS,
    "nothing checked": ExitCode.FAILED,
}


@define(frozen=True)
class Wanted:
    """What is verified, and how.

    Attributes:
        to: the sink.
        source: "calls", "did" or "flash", None for all that it holds.
        sample: windows of each source to read, None for all.
        seed: repeats a choice.
        fix: whether what is missing or different is stored.
        settle: how long a window stays open.
        new_key: whether the account goes by another key now.
        new_gateway: whether the gateway goes by another address now.
        skips_bad_rows: whether rows that cannot be read are left out.
        report: a file for the report as JSON, - for stdout, None for neither.
    """

    to: str
    source: SourceName | None
    sample: int | None
    seed: int | None
    fix: bool
    settle: timedelta
    new_key: bool
    new_gateway: bool
    skips_bad_rows: bool
    report: str | None


def run(wanted: Wanted, options: CommonOptions) -> ExitCode:
    """Do it, say what was found, and report; returns the exit code.

    Raises:
        NxcdrError: it could not be done to the end.
        KeyboardInterrupt: it was stopped.
    """
    told = RunReport.checked(wanted.report, wanted.to, wanted.source)
    try:
        report = anyio.run(_verify, wanted, _arguments(wanted.source, options), told)
    except (NxcdrError, KeyboardInterrupt) as ended:
        note_how_to_skip(ended)
        if wanted.fix and isinstance(ended, KeyboardInterrupt):
            ended.add_note("what was mended by then is stored")
        told.fail(ended)
        raise
    verdict = verdict_on(report)
    _show(report, verdict)
    told.end(verdict, asdict(report, filter=_is_no_call_data))
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


def _arguments(source: SourceName | None, options: CommonOptions) -> dict[str, Any]:
    if source is None:
        return options.arguments()  # which keys are needed is known once the sink is open
    return options.arguments_for(source)


async def _verify(wanted: Wanted, arguments: dict[str, Any], told: RunReport) -> VerifyReport:
    bad_rows = BadRows.skipping() if wanted.skips_bad_rows else BadRows()
    async with CdrSession.from_env(**arguments) as session:
        monitor = Monitor(lambda: session.stats, told.take)
        return await watched(
            monitor,
            lambda: verify(
                session,
                wanted.to,
                wanted.source,
                monitor.take,
                sample=wanted.sample,
                seed=wanted.seed,
                fix=wanted.fix,
                settle=wanted.settle,
                new_key=wanted.new_key,
                new_gateway=wanted.new_gateway,
                **bad_rows.options,
            ),
        )


def _show(report: VerifyReport, verdict: Verdict) -> None:
    seed = "" if report.seed is None else f"; --seed {report.seed} chooses the same windows"
    say(f"verified  {report.sink}, {report.requests:,} requests, {duration(report.seconds)}{seed}")
    for source in report.sources:
        say(f"{source.source:<9} {_told(source)}")
        for example in source.examples[:MOST_EXAMPLES_SHOWN]:
            say(f"{'':9} - {_example(example)}")
        show_gaps(source.gaps)
    say(f"{'result':<9} {_conclusion(report, verdict)}")


def _told(source: VerifiedSource) -> str:
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

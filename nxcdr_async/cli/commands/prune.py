"""`nxcdr prune`: old rows are removed from a store."""

from datetime import tzinfo
from functools import partial
from typing import Annotated

import anyio
import typer

from nxcdr_async._util.counts import counted
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import SourceChoice, TargetOption, ZoneOption, parse_moment, parse_target, parse_zone
from nxcdr_async.cli.report import moment_text
from nxcdr_async.cli.terminal import say_labelled
from nxcdr_async.ingest import api
from nxcdr_async.ingest.report import PruneReport
from nxcdr_async.records.models import SourceName

DETAILS = """
The store notes that, so that nothing brings them back, and stays as complete as it was. If it is cut short, the
same command finishes it.
"""


def prune(
    *,
    to: TargetOption,
    before: Annotated[
        str, typer.Option("--before", metavar="TIME", help="First moment whose rows stay, ISO 8601; a date: midnight.")
    ],
    sources: Annotated[
        list[SourceChoice] | None, typer.Argument(metavar="[SOURCES]", help="calls, did, flash; else all stored.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the rows that would be removed.")] = False,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    place, first_kept = parse_target(to), parse_moment("--before", before, tz)
    names: list[SourceName] = [source.value for source in sources or []]
    _show(anyio.run(partial(api.prune, place, first_kept, names or None, dry_run=dry_run)), parse_zone(tz))
    return ExitCode.DONE


def _show(report: PruneReport, zone: tzinfo) -> None:
    what = "would be removed" if report.dry_run else "removed"
    say_labelled("store", report.sink)
    for source in report.sources:
        say_labelled(source.source, f"{counted(source.rows, 'row')} before {moment_text(report.before, zone)} {what}")
    if not report.dry_run:
        say_labelled("result", "no backfill, sync, push or verification brings them back")

"""Removing old rows from a store: what is said of it, and how it ends."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import anyio

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.report import moment_text
from nxcdr_async.cli.terminal import say
from nxcdr_async.ingest.api import prune
from nxcdr_async.ingest.report import PruneReport
from nxcdr_async.records.models import SourceName


def run(to: str, before: datetime, sources: Sequence[SourceName], *, dry_run: bool) -> ExitCode:
    """Do it and say what was done; returns the exit code.

    Raises:
        NxcdrError: it could not be done to the end.
    """
    _show(anyio.run(partial(prune, to, before, sources or None, dry_run=dry_run)))
    return ExitCode.DONE


def _show(report: PruneReport) -> None:
    what = "would be removed" if report.dry_run else "removed"
    say(f"{'store':<9} {report.sink}")
    for source in report.sources:
        say(f"{source.source:<9} {source.rows:,} rows before {moment_text(report.before)} {what}")
    if not report.dry_run:
        say(f"{'result':<9} no backfill, sync, push or verification brings them back")

"""The command that removes old rows from a store."""

from typing import Annotated

import typer

from nxcdr_async.cli import prune as room
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import Source, TargetOption, ZoneOption, parse_moment, parse_target
from nxcdr_async.records.models import SourceName


def prune(
    *,
    to: TargetOption,
    before: Annotated[
        str, typer.Option("--before", metavar="TIME", help="First moment whose rows stay, ISO 8601; a date: midnight.")
    ],
    sources: Annotated[
        list[Source] | None, typer.Argument(metavar="[SOURCES]", help="calls, did, flash; else all stored.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the rows that would be removed.")] = False,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    """Remove old rows from a store, for good."""
    chosen: list[SourceName] = [source.value for source in sources or []]
    return room.run(parse_target(to), parse_moment("--before", before, tz), chosen, dry_run=dry_run)

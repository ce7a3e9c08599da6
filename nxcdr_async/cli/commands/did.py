"""`nxcdr did`: calls over DID numbers as JSON lines."""

from enum import Enum
from typing import Annotated

import typer

from nxcdr_async.cli import streaming
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.following import FollowGroup, write_followed
from nxcdr_async.cli.options import GatewayOptions, RangeWords, SkipOption, filter_option
from nxcdr_async.records.models import Direction
from nxcdr_async.sources.did import DidFilters

DETAILS = """
The vendor keeps them by whole days of its local time (UTC+8); the last day is read too.
"""


class DidDirection(Enum):
    """Directions DID calls can be asked for by."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


def did(
    *,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="DAY", help="First day, of the vendor's (UTC+8): 2026-01-01, yesterday."),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--end", metavar="DAY", help="Last day, which is read too (inclusive); the first alone if not given."
        ),
    ] = None,
    last: Annotated[
        str | None, typer.Option("--last", metavar="DURATION", help="So many days up to the last, for --start: 7d.")
    ] = None,
    did_number: Annotated[str | None, filter_option("--did-number", "over this number")] = None,
    call_number: Annotated[str | None, filter_option("--call-number", "with this number at the other end")] = None,
    direction: Annotated[DidDirection | None, typer.Option("--direction", help="Only calls of this direction.")] = None,
    skip_bad_rows: SkipOption = False,
    following: FollowGroup,
    gateway: GatewayOptions,
) -> ExitCode:
    following.check_range(start, end, last)
    bad_rows = streaming.BadRows(are_skipped=skip_bad_rows)
    filters: DidFilters = {
        "did_number": did_number,
        "call_number": call_number,
        "direction": None if direction is None else Direction[direction.name],
    }
    if following.follow:
        return write_followed(
            gateway.arguments_for("did"),
            lambda session, options: session.follow("did", **options, **filters),
            following,
            "+08:00",
            bad_rows,
        )
    first, until = RangeWords(start, start if end is None else end, last).days()
    return streaming.write_pages(
        gateway.arguments_for("did"),
        lambda session: session.did_calls(first, until, **filters, **bad_rows.options),
        streaming.ProgressRange.of_days(first, until, lambda call: call.start_time),
        bad_rows,
    )

"""`nxcdr did`: calls over DID numbers as JSON lines."""

from enum import Enum
from typing import Annotated

import typer

from nxcdr_async.cli import streaming
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import GatewayOptions, SkipOption, filter_option, parse_day
from nxcdr_async.records.models import Direction

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
        str, typer.Option("--start", metavar="DAY", help="First day, in the vendor's local time (UTC+8): 2026-01-01.")
    ],
    end: Annotated[
        str | None,
        typer.Option(
            "--end", metavar="DAY", help="Last day, which is read too (inclusive); the first alone if not given."
        ),
    ] = None,
    did_number: Annotated[str | None, filter_option("--did-number", "over this number")] = None,
    call_number: Annotated[str | None, filter_option("--call-number", "with this number at the other end")] = None,
    direction: Annotated[DidDirection | None, typer.Option("--direction", help="Only calls of this direction.")] = None,
    skip_bad_rows: SkipOption = False,
    gateway: GatewayOptions,
) -> ExitCode:
    first, last = parse_day("--start", start), parse_day("--end", start if end is None else end)
    bad_rows = streaming.BadRows(are_skipped=skip_bad_rows)
    return streaming.write_pages(
        gateway.arguments_for("did"),
        lambda session: session.did_calls(
            first,
            last,
            did_number=did_number,
            call_number=call_number,
            direction=None if direction is None else Direction[direction.name],
            **bad_rows.options,
        ),
        streaming.ProgressRange.of_days(first, last, lambda call: call.start_time),
        bad_rows,
    )

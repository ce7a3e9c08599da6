"""`nxcdr calls`: the calls of a call center as JSON lines."""

from enum import Enum
from typing import Annotated

import typer

from nxcdr_async.cli import streaming
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    EndOption,
    RangeOptions,
    SkipOption,
    StartOption,
    ZoneOption,
    filter_option,
    parse_moment,
)
from nxcdr_async.records.models import Direction

DETAILS = """
They come sorted by start time, each once; times are UTC, money is exact text. Ends with code 3 at a second that
holds more calls than the gateway shows.
"""


class CallDirection(Enum):
    """Directions calls can be asked for by."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    AICC = "aicc"


def calls(
    *,
    start: StartOption,
    end: EndOption,
    direction: Annotated[
        CallDirection | None, typer.Option("--direction", help="Only calls of this direction.")
    ] = None,
    answered: Annotated[
        bool | None, typer.Option("--answered/--not-answered", help="Only calls that were answered, or were not.")
    ] = None,
    agent: Annotated[str | None, filter_option("--agent", "of the agent with this account")] = None,
    caller: Annotated[str | None, filter_option("--caller", "from this number")] = None,
    callee: Annotated[str | None, filter_option("--callee", "to this number")] = None,
    call_id: Annotated[str | None, filter_option("--call-id", "with this id")] = None,
    order_id: Annotated[str | None, filter_option("--order-id", "of this order")] = None,
    skip_bad_rows: SkipOption = False,
    gateway: RangeOptions,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    first, last = parse_moment("--start", start, tz), parse_moment("--end", end, tz)
    bad_rows = streaming.BadRows(are_skipped=skip_bad_rows)
    return streaming.write_pages(
        gateway.arguments_for("calls"),
        lambda session: session.calls(
            first,
            last,
            direction=None if direction is None else Direction[direction.name],
            answered=answered,
            agent=agent,
            caller=caller,
            callee=callee,
            call_id=call_id,
            order_id=order_id,
            **bad_rows.options,
        ),
        streaming.ProgressRange(first, last, lambda call: call.start_time),
        bad_rows,
    )

"""`nxcdr calls`: the calls of a call center as JSON lines."""

from enum import Enum
from typing import Annotated

import typer

from nxcdr_async.cli import streaming
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.following import FollowGroup, write_followed
from nxcdr_async.cli.options import (
    EndOption,
    LastOption,
    RangeOptions,
    RangeWords,
    SkipOption,
    StartOption,
    ZoneOption,
    filter_option,
    parse_zone,
)
from nxcdr_async.records.models import Direction
from nxcdr_async.sources.calls import CallFilters

DETAILS = """
They come sorted by start time, each once; times are UTC, money is exact text. Ends with code 3 at a second that
holds more calls than the gateway shows.

With --follow it goes on, with calls in the order they turn up.
"""


class CallDirection(Enum):
    """Directions calls can be asked for by."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    AICC = "aicc"


def calls(
    *,
    start: StartOption = None,
    end: EndOption = None,
    last: LastOption = None,
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
    following: FollowGroup,
    gateway: RangeOptions,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    following.check_range(start, end, last)
    bad_rows = streaming.BadRows(are_skipped=skip_bad_rows)
    filters: CallFilters = {
        "direction": None if direction is None else Direction[direction.name],
        "answered": answered,
        "agent": agent,
        "caller": caller,
        "callee": callee,
        "call_id": call_id,
        "order_id": order_id,
    }
    if following.follow:
        return write_followed(
            gateway.arguments_for("calls"),
            lambda session, options: session.follow("calls", **options, **filters),
            following,
            tz,
            bad_rows,
        )
    first, before = RangeWords(start, end, last, tz).moments()
    return streaming.write_pages(
        gateway.arguments_for("calls"),
        lambda session: session.calls(first, before, **filters, **bad_rows.options),
        streaming.ProgressRange(first, before, lambda call: call.start_time, parse_zone(tz)),
        bad_rows,
    )

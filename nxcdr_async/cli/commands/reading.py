"""The commands that write records to stdout."""

from enum import Enum
from typing import Annotated, Any

import typer

from nxcdr_async.cli import streaming
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    CommonOptions,
    ConcurrencyOption,
    EndOption,
    GatewayOption,
    MaxSpanOption,
    RateOption,
    RegionOption,
    SkipOption,
    StartOption,
    TimeoutOption,
    ZoneOption,
    parse_day,
    parse_moment,
    parse_span,
)
from nxcdr_async.records.models import Direction


class CallDirection(Enum):
    """Directions calls can be asked for by."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    AICC = "aicc"


class DidDirection(Enum):
    """Directions DID calls can be asked for by."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


DirectionOption = Annotated[CallDirection | None, typer.Option("--direction", help="Only calls of this direction.")]
DidDirectionOption = Annotated[DidDirection | None, typer.Option("--direction", help="Only calls of this direction.")]
FirstDayOption = Annotated[
    str, typer.Option("--start", metavar="DAY", help="First day, in the vendor's local time (UTC+8): 2026-01-01.")
]
LastDayOption = Annotated[
    str | None,
    typer.Option("--end", metavar="DAY", help="Last day, which is read too (inclusive); the first alone if not given."),
]


def _only(what: str, option: str) -> Any:
    return typer.Option(option, metavar="TEXT", help=f"Only calls {what}.")


def calls(
    *,
    start: StartOption,
    end: EndOption,
    direction: DirectionOption = None,
    answered: Annotated[
        bool | None, typer.Option("--answered/--not-answered", help="Only calls that were answered, or were not.")
    ] = None,
    agent: Annotated[str | None, _only("of the agent with this account", "--agent")] = None,
    caller: Annotated[str | None, _only("from this number", "--caller")] = None,
    callee: Annotated[str | None, _only("to this number", "--callee")] = None,
    call_id: Annotated[str | None, _only("with this id", "--call-id")] = None,
    order_id: Annotated[str | None, _only("of this order", "--order-id")] = None,
    skip_bad_rows: SkipOption = False,
    region: RegionOption = None,
    gateway: GatewayOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    timeout: TimeoutOption = None,
    max_span: MaxSpanOption = None,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    """Write call-center calls as JSON lines."""
    first, last = parse_moment("--start", start, tz), parse_moment("--end", end, tz)
    filters: dict[str, Any] = {
        "answered": answered,
        "agent": agent,
        "caller": caller,
        "callee": callee,
        "call_id": call_id,
        "order_id": order_id,
    }
    arguments = CommonOptions(region, gateway, concurrency, rate, timeout, parse_span(max_span)).arguments_with(
        "credentials"
    )

    bad_rows = streaming.BadRows.skipping() if skip_bad_rows else streaming.BadRows()
    way = None if direction is None else Direction[direction.name]
    return streaming.write(
        arguments,
        lambda session: session.calls(first, last, direction=way, **filters, **bad_rows.options),
        streaming.Span(first, last, lambda call: call.start_time),
        bad_rows,
    )


def did(
    *,
    start: FirstDayOption,
    end: LastDayOption = None,
    did_number: Annotated[str | None, _only("over this number", "--did-number")] = None,
    call_number: Annotated[str | None, _only("with this number at the other end", "--call-number")] = None,
    direction: DidDirectionOption = None,
    skip_bad_rows: SkipOption = False,
    region: RegionOption = None,
    gateway: GatewayOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    timeout: TimeoutOption = None,
) -> ExitCode:
    """Write calls over DID numbers as JSON lines."""
    first, last = parse_day("--start", start), parse_day("--end", start if end is None else end)
    arguments = CommonOptions(region, gateway, concurrency, rate, timeout).arguments_with("credentials")

    bad_rows = streaming.BadRows.skipping() if skip_bad_rows else streaming.BadRows()
    filters: dict[str, Any] = {
        "did_number": did_number,
        "call_number": call_number,
        "direction": None if direction is None else Direction[direction.name],
    }
    return streaming.write(
        arguments,
        lambda session: session.did_calls(first, last, **filters, **bad_rows.options),
        streaming.Span.of_days(first, last, lambda call: call.start_time),
        bad_rows,
    )


def flash(
    *,
    start: StartOption,
    end: EndOption,
    skip_bad_rows: SkipOption = False,
    region: RegionOption = None,
    gateway: GatewayOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    timeout: TimeoutOption = None,
    max_span: MaxSpanOption = None,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    """Write flash calls as JSON lines."""
    first, last = parse_moment("--start", start, tz), parse_moment("--end", end, tz)
    arguments = CommonOptions(region, gateway, concurrency, rate, timeout, parse_span(max_span)).arguments_with(
        "flash app"
    )

    bad_rows = streaming.BadRows.skipping() if skip_bad_rows else streaming.BadRows()
    return streaming.write(
        arguments,
        lambda session: session.flash_calls(first, last, **bad_rows.options),
        streaming.Span(first, last, lambda call: call.gmt_create),
        bad_rows,
    )


def order(
    *,
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID", help="The id you gave when you started the calls.")],
    tenant: Annotated[int, typer.Option("--tenant", metavar="N", help="The team's number in the vendor's console.")],
    skip_bad_rows: SkipOption = False,
    region: RegionOption = None,
    gateway: GatewayOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    timeout: TimeoutOption = None,
) -> ExitCode:
    """Write the calls of one order as JSON lines."""
    arguments = CommonOptions(region, gateway, concurrency, rate, timeout).arguments_with("credentials")

    bad_rows = streaming.BadRows.skipping() if skip_bad_rows else streaming.BadRows()
    return streaming.write_order(arguments, order_id, tenant, bad_rows)

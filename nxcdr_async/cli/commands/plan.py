"""The command that estimates a reading before it is started."""

from typing import Annotated

import typer

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    CommonOptions,
    ConcurrencyOption,
    GatewayOption,
    MaxSpanOption,
    RangeEndOption,
    RangeStartOption,
    RateOption,
    RegionOption,
    SourceArgument,
    TimeoutOption,
    ZoneOption,
    parse_range,
    parse_span,
    parse_target,
)
from nxcdr_async.sinks.factory import sink_for


def plan(
    *,
    source: SourceArgument,
    start: RangeStartOption,
    end: RangeEndOption,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="PLACE", help="The store a backfill would fill; JSON lines if not given."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of a table.")] = False,
    region: RegionOption = None,
    gateway: GatewayOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    timeout: TimeoutOption = None,
    max_span: MaxSpanOption = None,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    """Estimate rows, requests, time and disk from a few samples."""
    if to is not None:
        sink_for(parse_target(to))  # refused before anything is asked
    options = CommonOptions(region, gateway, concurrency, rate, timeout, parse_span(max_span))
    start_and_end = parse_range(source, start, end, tz)
    arguments = options.arguments_for(source.value)
    from nxcdr_async.cli import plan as room  # noqa: PLC0415 - imports rich

    estimate = room.ESTIMATES[source.value](arguments, *start_and_end)
    if to is not None:
        estimate = room.stored(estimate, to)
        room.warn_of_disk(estimate)
    show = room.show_json if as_json else room.show_table
    show(estimate)
    return ExitCode.DONE

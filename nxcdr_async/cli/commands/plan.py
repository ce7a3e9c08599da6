"""The command that estimates a reading before it is started."""

from typing import Annotated

import typer

from nxcdr_async.backfill.sinks import sink_for
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    CommonOptions,
    ConcurrencyOption,
    GatewayOption,
    RateOption,
    RegionOption,
    Source,
    SourceArgument,
    TimeoutOption,
    ZoneOption,
    parse_day,
    parse_moment,
    parse_target,
)


def plan(
    *,
    source: SourceArgument,
    start: Annotated[str, typer.Option("--start", metavar="TIME", help="As for that command; a day for did.")],
    end: Annotated[str, typer.Option("--end", metavar="TIME", help="As for that command; did reads this day too.")],
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
    tz: ZoneOption = "UTC",
) -> ExitCode:
    """Estimate rows, requests, time and disk from a few samples."""
    if to is not None:
        sink_for(parse_target(to))  # refused before anything is asked
    options = CommonOptions(region, gateway, concurrency, rate, timeout)
    if source is Source.DID:
        days = parse_day("--start", start), parse_day("--end", end)
        arguments = options.arguments_with("credentials")
        from nxcdr_async.cli import plan as room  # noqa: PLC0415 - imports rich

        estimate = room.estimate_did(arguments, *days)
    else:
        times = parse_moment("--start", start, tz), parse_moment("--end", end, tz)
        arguments = options.arguments_with("credentials" if source is Source.CALLS else "flash app")
        from nxcdr_async.cli import plan as room  # noqa: PLC0415 - imports rich

        estimate = (room.estimate_calls if source is Source.CALLS else room.estimate_flash)(arguments, *times)
    if to is not None:
        estimate = room.stored(estimate, to)
        room.warn_of_disk(estimate)
    show = room.show_json if as_json else room.show_table
    show(estimate)
    return ExitCode.DONE

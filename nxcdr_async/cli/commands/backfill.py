"""The commands that fill a store and keep it up to date."""

from datetime import date
from typing import Annotated

import typer

from nxcdr_async.cli import backfill as room
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    CommonOptions,
    ConcurrencyOption,
    GatewayOption,
    RateOption,
    RegionOption,
    SettleOption,
    SkipOption,
    Source,
    SourceArgument,
    TargetOption,
    TimeoutOption,
    ZoneOption,
    parse_day,
    parse_duration,
    parse_moment,
    parse_target,
)

NewKeyOption = Annotated[
    bool, typer.Option("--new-key", help="Go on in a store that was filled with another key of the same account.")
]
ReportOption = Annotated[
    str | None, typer.Option("--report", metavar="FILE", help="Write the report as JSON too; - is stdout.")
]


def backfill(
    *,
    source: SourceArgument,
    start: Annotated[str, typer.Option("--start", metavar="TIME", help="First moment; for did the first day.")],
    end: Annotated[
        str,
        typer.Option("--end", metavar="TIME", help="End, not included; for did the last day."),
    ],
    to: TargetOption,
    settle: SettleOption = "24h",
    skip_bad_rows: SkipOption = False,
    new_key: NewKeyOption = False,
    report: ReportOption = None,
    region: RegionOption = None,
    gateway: GatewayOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    timeout: TimeoutOption = None,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    """Fill a store with the records of a range.

    It may be killed at any moment: the same command goes on where it was, and every row is there once. Ends with code
    3 if something is known to be missing.
    """
    span = _span(source, start, end, tz)
    target = _target(source, to, settle, skip_bad_rows=skip_bad_rows, new_key=new_key, report=report)
    options = CommonOptions(region, gateway, concurrency, rate, timeout)
    return room.run(target, room.backfilling(*span), options)


def sync(
    *,
    source: SourceArgument,
    to: TargetOption,
    settle: SettleOption = "24h",
    skip_bad_rows: SkipOption = False,
    new_key: NewKeyOption = False,
    report: ReportOption = None,
    region: RegionOption = None,
    gateway: GatewayOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    timeout: TimeoutOption = None,
) -> ExitCode:
    """Bring a store up to the present.

    Reads again where late rows may have turned up, fills holes and goes on to now. Run it every hour or day.
    """
    target = _target(source, to, settle, skip_bad_rows=skip_bad_rows, new_key=new_key, report=report)
    return room.run(target, room.syncing, CommonOptions(region, gateway, concurrency, rate, timeout))


def _span(source: Source, start: str, end: str, tz: str) -> tuple[date, date]:
    if source is Source.DID:
        return parse_day("--start", start), parse_day("--end", end)
    return parse_moment("--start", start, tz), parse_moment("--end", end, tz)


def _target(
    source: Source, to: str, settle: str, *, skip_bad_rows: bool, new_key: bool, report: str | None
) -> room.Target:
    return room.Target(
        source=source.value,
        to=parse_target(to),
        settle=parse_duration("--settle", settle),
        skips_bad_rows=skip_bad_rows,
        new_key=new_key,
        report=report,
    )

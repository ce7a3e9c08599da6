"""The commands that fill a store and keep it up to date."""

from nxcdr_async.cli import backfill as room
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    CommonOptions,
    ConcurrencyOption,
    GatewayOption,
    MaxSpanOption,
    NewGatewayOption,
    NewKeyOption,
    RangeEndOption,
    RangeStartOption,
    RateOption,
    RegionOption,
    ReportOption,
    SettleOption,
    SkipOption,
    Source,
    SourceArgument,
    TargetOption,
    TimeoutOption,
    ZoneOption,
    parse_duration,
    parse_range,
    parse_span,
    parse_target,
)


def backfill(
    *,
    source: SourceArgument,
    start: RangeStartOption,
    end: RangeEndOption,
    to: TargetOption,
    settle: SettleOption = "24h",
    skip_bad_rows: SkipOption = False,
    new_key: NewKeyOption = False,
    new_gateway: NewGatewayOption = False,
    report: ReportOption = None,
    region: RegionOption = None,
    gateway: GatewayOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    timeout: TimeoutOption = None,
    max_span: MaxSpanOption = None,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    """Fill a store with the records of a range."""
    start_and_end = parse_range(source, start, end, tz)
    wanted = _wanted(
        source, to, settle, skip_bad_rows=skip_bad_rows, new_key=new_key, new_gateway=new_gateway, report=report
    )
    options = CommonOptions(region, gateway, concurrency, rate, timeout, parse_span(max_span))
    return room.run(wanted, room.backfilling(*start_and_end), options)


def sync(
    *,
    source: SourceArgument,
    to: TargetOption,
    settle: SettleOption = "24h",
    skip_bad_rows: SkipOption = False,
    new_key: NewKeyOption = False,
    new_gateway: NewGatewayOption = False,
    report: ReportOption = None,
    region: RegionOption = None,
    gateway: GatewayOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    timeout: TimeoutOption = None,
    max_span: MaxSpanOption = None,
) -> ExitCode:
    """Bring a store up to the present."""
    wanted = _wanted(
        source, to, settle, skip_bad_rows=skip_bad_rows, new_key=new_key, new_gateway=new_gateway, report=report
    )
    return room.run(
        wanted, room.syncing, CommonOptions(region, gateway, concurrency, rate, timeout, parse_span(max_span))
    )


def _wanted(
    source: Source,
    to: str,
    settle: str,
    *,
    skip_bad_rows: bool,
    new_key: bool,
    new_gateway: bool,
    report: str | None,
) -> room.Wanted:
    return room.Wanted(
        source=source.value,
        to=parse_target(to),
        settle=parse_duration("--settle", settle),
        skips_bad_rows=skip_bad_rows,
        new_key=new_key,
        new_gateway=new_gateway,
        report=report,
    )

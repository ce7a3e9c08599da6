"""The command that compares a store with what the gateway tells now."""

from typing import Annotated

import typer

from nxcdr_async.cli import verify as room
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    CommonOptions,
    ConcurrencyOption,
    GatewayOption,
    MaxSpanOption,
    NewGatewayOption,
    NewKeyOption,
    RateOption,
    RegionOption,
    ReportOption,
    SettleOption,
    SkipOption,
    Source,
    TargetOption,
    TimeoutOption,
    parse_duration,
    parse_span,
    parse_target,
)
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.ingest.api import SAMPLE


def verify(
    *,
    to: TargetOption,
    source: Annotated[
        Source | None, typer.Option("--source", metavar="SOURCE", help="Only calls, did or flash; else all stored.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option("--sample", metavar="N", min=1, help="Windows of each source; 20 if not given.")
    ] = None,
    read_all: Annotated[bool, typer.Option("--all", help="Read all sealed windows, however long it takes.")] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="Repeat the choice of an earlier run.")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Store what is missing or different; nothing is deleted.")] = False,
    settle: SettleOption = "24h",
    new_key: NewKeyOption = False,
    new_gateway: NewGatewayOption = False,
    report: ReportOption = None,
    skip_bad_rows: SkipOption = False,
    region: RegionOption = None,
    gateway: GatewayOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    timeout: TimeoutOption = None,
    max_span: MaxSpanOption = None,
) -> ExitCode:
    """Compare a store with what the gateway tells now."""
    if read_all and sample is not None:
        raise ConfigurationError("--sample and --all exclude each other: give one of them")
    wanted = room.Wanted(
        to=parse_target(to),
        source=None if source is None else source.value,
        sample=None if read_all else sample or SAMPLE,
        seed=seed,
        fix=fix,
        settle=parse_duration("--settle", settle),
        new_key=new_key,
        new_gateway=new_gateway,
        skips_bad_rows=skip_bad_rows,
        report=report,
    )
    return room.run(wanted, CommonOptions(region, gateway, concurrency, rate, timeout, parse_span(max_span)))

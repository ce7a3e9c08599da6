"""The command that checks what everything else needs."""

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    CommonOptions,
    ConcurrencyOption,
    GatewayOption,
    RateOption,
    RegionOption,
    TimeoutOption,
)


def doctor(
    *,
    region: RegionOption = None,
    gateway: GatewayOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    timeout: TimeoutOption = None,
) -> ExitCode:
    """Check settings, line, credentials and clock, and say what to do."""
    options = CommonOptions(region, gateway, concurrency, rate, timeout)
    from nxcdr_async.cli.doctor import examine, show_findings  # noqa: PLC0415 - imports rich

    return show_findings(examine(options))

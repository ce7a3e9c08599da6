"""`nxcdr sync`: a store is brought up to the present, once or again and again."""

import re
from datetime import date
from typing import Annotated

import typer

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    RangeOptions,
    SettleOption,
    ShownZoneOption,
    SkipOption,
    SourceChoice,
    StoreOptions,
    TargetOption,
    parse_day,
    parse_duration,
    parse_moment,
    parse_target,
    parse_zone,
)
from nxcdr_async.cli.report import ReportPlace
from nxcdr_async.cli.rounds import SyncPlan, sync_every, sync_stored
from nxcdr_async.cli.store_run import fill_store, run_options
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.ingest import api
from nxcdr_async.records.models import SourceName

DETAILS = """
Reads again where late rows may have turned up, fills holes and goes on to now. Run it every hour or day; or have it
run by itself, with --every, until SIGTERM or Ctrl-C: then it ends with code 0. Without a source it takes all that
the store holds.
"""


def sync(
    *,
    source: Annotated[
        SourceChoice | None, typer.Argument(metavar="[SOURCE]", help="calls, did or flash; else all stored.")
    ] = None,
    to: TargetOption,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Begin the store then, if it has not begun: a date; a day for did."
        ),
    ] = None,
    every: Annotated[
        str | None, typer.Option("--every", metavar="DURATION", help="Go on in rounds so far apart: 5m, 1h.")
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            metavar="PORT",
            min=0,
            max=65535,
            help="With --every: /metrics for Prometheus, and /healthz; 0 takes a free port.",
        ),
    ] = None,
    metrics_host: Annotated[
        str | None, typer.Option("--metrics-host", metavar="ADDRESS", help="Where to listen; else on all addresses.")
    ] = None,
    settle: SettleOption = "24h",
    skip_bad_rows: SkipOption = False,
    store: StoreOptions,
    gateway: RangeOptions,
    tz: ShownZoneOption = "UTC",
) -> ExitCode:
    store.choose_manner()
    begins = _first_moment(source, since, tz)
    seconds = _seconds_between_rounds(every)
    name: SourceName | None = None if source is None else source.value
    if seconds is None and (metrics_port is not None or metrics_host is not None):
        raise ConfigurationError("--metrics-port tells of rounds: give --every too, such as --every 5m")
    if metrics_port is None and metrics_host is not None:
        raise ConfigurationError("--metrics-host needs a port: give --metrics-port too")
    if seconds is None and name is not None:
        return fill_store(
            lambda session, options: api.sync(session, name, since=begins, **options),
            name,
            to,
            settle=settle,
            skip_bad_rows=skip_bad_rows,
            store=store,
            gateway=gateway,
            tz=tz,
        )
    place = parse_target(to)
    plan = SyncPlan(
        place,
        name,
        begins,
        run_options(place, settle=settle, skip_bad_rows=skip_bad_rows, store=store),
        gateway,
        None if store.report is None else ReportPlace.checked(store.report, place),
        parse_zone(tz),
    )
    if seconds is None:
        return sync_stored(plan)
    if metrics_port is None:
        return sync_every(plan, seconds, None)
    from nxcdr_async.cli.monitoring import MetricsPlace, check_prometheus  # noqa: PLC0415 - imports a web server

    check_prometheus()
    return sync_every(plan, seconds, MetricsPlace(metrics_port, metrics_host))


def _first_moment(source: SourceChoice | None, since: str | None, zone: str) -> date | None:
    if since is None:
        return None
    if source is None:
        raise ConfigurationError("--since begins a store with one source: name it, as in nxcdr sync calls --since …")
    if source is SourceChoice.DID:
        return parse_day("--since", since)
    return parse_moment("--since", since, zone)


def _seconds_between_rounds(every: str | None) -> float | None:
    if every is None:
        return None
    if re.fullmatch(r"\s*[\d.]+\s*", every):
        raise ConfigurationError(f"--every {every!r} has no unit: write {every.strip()}m for minutes, h for hours")
    seconds = parse_duration("--every", every).total_seconds()
    if seconds < 1:
        raise ConfigurationError(f"--every {every!r} is too short: give 1s or more")
    return seconds

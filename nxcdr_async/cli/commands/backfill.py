"""`nxcdr backfill`: a store is filled with the records of a range."""

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    LastOption,
    RangeEndOption,
    RangeOptions,
    RangeStartOption,
    RangeWords,
    SettleOption,
    SkipOption,
    SourceArgument,
    StoreOptions,
    TargetOption,
    ZoneOption,
)
from nxcdr_async.cli.store_run import fill_store
from nxcdr_async.ingest import api

DETAILS = """
It may be killed at any moment: the same command goes on where it was, and every row is there once. Ends with code
3 if something is known to be missing.
"""


def backfill(
    *,
    source: SourceArgument,
    start: RangeStartOption = None,
    end: RangeEndOption = None,
    last: LastOption = None,
    to: TargetOption,
    settle: SettleOption = "24h",
    skip_bad_rows: SkipOption = False,
    store: StoreOptions,
    gateway: RangeOptions,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    first, until = RangeWords(start, end, last, tz).of(source)
    return fill_store(
        lambda session, options: api.backfill(session, source.value, first, until, **options),
        source.value,
        to,
        settle=settle,
        skip_bad_rows=skip_bad_rows,
        store=store,
        gateway=gateway,
        tz=tz,
    )

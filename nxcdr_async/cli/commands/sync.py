"""`nxcdr sync`: a store is brought up to the present."""

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import RangeOptions, SettleOption, SkipOption, SourceArgument, StoreOptions, TargetOption
from nxcdr_async.cli.store_run import fill_store
from nxcdr_async.ingest import api

DETAILS = """
Reads again where late rows may have turned up, fills holes and goes on to now. Run it every hour or day.
"""


def sync(
    *,
    source: SourceArgument,
    to: TargetOption,
    settle: SettleOption = "24h",
    skip_bad_rows: SkipOption = False,
    store: StoreOptions,
    gateway: RangeOptions,
) -> ExitCode:
    return fill_store(
        lambda session, options: api.sync(session, source.value, **options),
        source.value,
        to,
        settle=settle,
        skip_bad_rows=skip_bad_rows,
        store=store,
        gateway=gateway,
    )

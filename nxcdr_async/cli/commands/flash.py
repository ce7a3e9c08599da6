"""`nxcdr flash`: flash calls as JSON lines."""

from nxcdr_async.cli import streaming
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import EndOption, RangeOptions, SkipOption, StartOption, ZoneOption, parse_moment

DETAILS = """
Ends with code 3 at a second that holds more calls than the vendor's list can tell.
"""


def flash(
    *,
    start: StartOption,
    end: EndOption,
    skip_bad_rows: SkipOption = False,
    gateway: RangeOptions,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    first, last = parse_moment("--start", start, tz), parse_moment("--end", end, tz)
    bad_rows = streaming.BadRows(are_skipped=skip_bad_rows)
    return streaming.write_pages(
        gateway.arguments_for("flash"),
        lambda session: session.flash_calls(first, last, **bad_rows.options),
        streaming.ProgressRange(first, last, lambda call: call.gmt_create),
        bad_rows,
    )

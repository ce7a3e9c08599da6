"""`nxcdr flash`: flash calls as JSON lines."""

from nxcdr_async.cli import streaming
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.following import FollowGroup, write_followed
from nxcdr_async.cli.options import (
    EndOption,
    LastOption,
    RangeOptions,
    RangeWords,
    SkipOption,
    StartOption,
    ZoneOption,
    parse_zone,
)

DETAILS = """
Ends with code 3 at a second that holds more calls than the vendor's list can tell.
"""


def flash(
    *,
    start: StartOption = None,
    end: EndOption = None,
    last: LastOption = None,
    skip_bad_rows: SkipOption = False,
    following: FollowGroup,
    gateway: RangeOptions,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    following.check_range(start, end, last)
    bad_rows = streaming.BadRows(are_skipped=skip_bad_rows)
    if following.follow:
        return write_followed(
            gateway.arguments_for("flash"),
            lambda session, options: session.follow("flash", **options),
            following,
            tz,
            bad_rows,
        )
    first, before = RangeWords(start, end, last, tz).moments()
    return streaming.write_pages(
        gateway.arguments_for("flash"),
        lambda session: session.flash_calls(first, before, **bad_rows.options),
        streaming.ProgressRange(first, before, lambda call: call.gmt_create, parse_zone(tz)),
        bad_rows,
    )

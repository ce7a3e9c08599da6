"""What a session and a paginator count while they work."""

from typing import Literal

from attrs import define

ClockSource = Literal["date", "timestamps", "machine"]
"""What tells a gateway's time: its `Date`, no more than the timestamps it accepts, or only this machine's clock."""


@define(frozen=True)
class SessionStats:
    """A session's counts at one moment.

    Attributes:
        requests: requests sent, retries included.
        retries: requests sent again after a fault.
        throttled: replies that asked for less (429, 503, 99, flash codes 3 and 6).
        clock_refusals: replies that refused a timestamp (1004).
        in_flight: requests under way now, including those that wait for a gateway's clock to be measured.
        peak_in_flight: the most that were under way at once.
        concurrency_limit: the most that may be under way now at the gateway asked last, before any request the
            region's; sessions of one account share it.
        rate_limit: requests a second that may start there now; None while nothing bounds them.
        clock_skew: seconds the clock of the gateway that answered last is believed to be ahead of ours; None before
            the first reply, and while nothing tells.
        clock_source: what tells it: the "date" of its replies; no more than the "timestamps" it accepted, to within a
            minute, as its replies have no `Date` or another clock's; or only this "machine", whose clock is used.
        gives_up_in: seconds after which requests are given up at the latest, as the gateway asked last answers nothing;
            None while it answers.
    """

    requests: int
    retries: int
    throttled: int
    clock_refusals: int
    in_flight: int
    peak_in_flight: int
    concurrency_limit: int
    rate_limit: float | None
    clock_skew: float | None
    clock_source: ClockSource = "machine"
    gives_up_in: float | None = None


@define
class PaginatorStats:
    """A paginator's counts, up to date while it runs.

    Attributes:
        pages: pages asked for.
        windows: parts of the range that were read to their end.
        splits: parts that turned out too full and were cut further.
        rereads: parts that were read again, page after page, as rows moved while they were read.
        records: records handed out.
        duplicates: rows left out because their call was there already.
        bad_rows: rows skipped because they could not be a record (`on_bad_row="skip"`).
        out_of_order: records handed out after a later one, if the gateway filters by another time than the start.
        legs: calls handed out beside another one with their call id, shortly before or after it: a call id may stand in
            several rows, such as the legs of a transfer.
    """

    pages: int = 0
    windows: int = 0
    splits: int = 0
    rereads: int = 0
    records: int = 0
    duplicates: int = 0
    bad_rows: int = 0
    out_of_order: int = 0
    legs: int = 0

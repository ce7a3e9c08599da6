"""What a backfill tells while it runs and when it is done."""

from datetime import datetime
from typing import Literal

from attrs import define

SourceName = Literal["calls", "did", "flash"]
"""What can be read into a sink: calls of the call center, calls over DID numbers, flash calls."""


@define(frozen=True)
class Gap:
    """Something that is known to be missing in a sink.

    Attributes:
        kind: "saturated second": more flash calls than the vendor's list can tell. "bad rows": rows that cannot be
            records, left out on request.
        start: from when (UTC).
        end: until when (UTC).
        rows: how many rows are missing, None where nobody can know.
    """

    kind: Literal["saturated second", "bad rows"]
    start: datetime
    end: datetime
    rows: int | None


@define(frozen=True)
class BackfillProgress:
    """How far a backfill is; `on_progress` gets one whenever there is news.

    Attributes:
        source: what is read.
        windows: windows stored by this run.
        windows_expected: windows it is going to store, by what is known so far.
        share: the part of the range that is stored, 0 to 1.
        rows: records stored, new or not.
        rows_read: records read, some of them still to be stored.
        seconds: since it began.
        rows_per_second: records read a second, of late.
        seconds_left: until it is done, None before anything is known.
        requests: requests sent, retries included.
        in_flight: requests under way.
        limit: requests that may be under way at once now.
        throttled: replies that asked for less.
        retries: requests sent again.
        reached: up to where this run has stored all (UTC), None before its first window.
        complete_until: up to where the sink is complete and no late rows are to be expected (UTC), None if nowhere.
    """

    source: SourceName
    windows: int
    windows_expected: int
    share: float
    rows: int
    rows_read: int
    seconds: float
    rows_per_second: float
    seconds_left: float | None
    requests: int
    in_flight: int
    limit: int
    throttled: int
    retries: int
    reached: datetime | None
    complete_until: datetime | None


@define(frozen=True)
class BackfillReport:
    """What a backfill or a sync did.

    Attributes:
        source: what was read.
        sink: where it is stored, without a secret.
        start: where the range begins (UTC).
        end: where it ends (UTC): as asked for, but not after the present.
        rows_new: records that were not in the sink.
        rows_changed: records that were, and are known better now.
        rows_unchanged: records that were just so.
        windows: windows stored.
        windows_before: windows of the range that were stored by earlier runs and not read again.
        windows_open: windows of the range that may still get late rows, for `sync` to read again.
        requests: requests sent, retries included.
        waste: requests beyond those that full pages of these records would take: windows end in short pages, some pages
            are asked for twice as a proof.
        retries: requests that met a fault, and were sent again.
        throttled: replies that asked for less.
        gaps: what is known to be missing in the range, found by this run or an earlier one.
        complete_until: up to where the sink is complete and no late rows are to be expected (UTC), None if nowhere.
        seconds: how long it took.
    """

    source: SourceName
    sink: str
    start: datetime
    end: datetime
    rows_new: int
    rows_changed: int
    rows_unchanged: int
    windows: int
    windows_before: int
    windows_open: int
    requests: int
    waste: int
    retries: int
    throttled: int
    gaps: tuple[Gap, ...]
    complete_until: datetime | None
    seconds: float

    @property
    def rows(self) -> int:
        """Records read."""
        return self.rows_new + self.rows_changed + self.rows_unchanged

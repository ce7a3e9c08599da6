"""What a backfill tells while it runs and when it is done."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Self

from attrs import define, field

from nxcdr_async.records.models import SourceName
from nxcdr_async.stats import ClockSource

GapKind = Literal["saturated second", "saturated day", "refused range", "bad rows", "never read"]
"""More calls than the gateway shows of a second, or of a day; further back than it tells; rows left out on request; a
hole between what was read."""


@define(frozen=True)
class Gap:
    """Something that is known to be missing in a sink.

    Attributes:
        kind: "saturated second": more calls than the gateway shows; "saturated day" likewise, of DID calls. "refused
            range": further back than the gateway tells. "bad rows": rows that cannot be records, left out on request.
            "never read": between two windows that were read; only of a `SourceStatus`.
        start: from when (UTC).
        end: until when (UTC).
        rows: how many rows are missing, None where nobody can know.
    """

    kind: GapKind
    start: datetime
    end: datetime
    rows: int | None


@define(frozen=True)
class BackfillProgress:
    """How far a backfill or a verification is; `on_progress` gets one whenever there is news.

    Attributes:
        source: what is read.
        windows: windows stored by this run, or compared.
        windows_expected: windows it is going to take in, by what is known so far.
        share: the part of what this run has to read that is stored, or compared, 0 to 1.
        rows: records stored, new or not, or compared.
        rows_read: records read, some of them still to be stored.
        seconds: since it began.
        rows_per_second: records read a second, of late.
        seconds_left: until it is done, None before anything is known.
        requests: requests sent, retries included.
        in_flight: requests under way.
        limit: requests that may be under way at once now.
        throttled: replies that asked for less.
        retries: requests sent again.
        reached: up to where this run has stored, or compared, all that it had to (UTC), None before its first window.
        complete_until: up to where the sink is complete and no late rows are to be expected (UTC), None if nowhere.
        rows_new: those of the records stored that were not in the sink; of a verification, that are missing there.
        rows_changed: those that were, and are known better now; of a verification, that are there with other values.
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
    rows_new: int = 0
    rows_changed: int = 0


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
        requests: requests that the session sent meanwhile, retries included: those of other runs of it, too.
        waste: requests beyond those that full pages of these records would take: windows end in short pages, some pages
            are asked for twice as a proof.
        retries: requests that met a fault, and were sent again.
        throttled: replies that asked for less.
        gaps: what is known to be missing in the range, found by this run or an earlier one.
        complete_until: up to where the sink is complete and no late rows are to be expected (UTC), None if nowhere.
        seconds: how long it took.
        started: when it began (UTC), by this machine's clock.
        finished: when it was done (UTC), likewise.
        clock_source: what told the gateway's time, by which windows are sealed: as in `SessionStats`.
        windows_lost: windows of earlier runs that lacked rows when this one began, as somebody took them away; those
            of them that lie in the range were read again.
        pruned_before: the moment before which rows were removed on purpose, and nothing was read (UTC); None if that
            does not concern the range.
        legs: calls read beside another one with their call id: as in `PaginatorStats`.
        rows_held: records of this source that the sink holds now in all windows that were read, by its ledger: without
            calls that were pushed and not yet read. Where old rows were pruned, a few too many.
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
    started: datetime
    finished: datetime
    clock_source: ClockSource = "date"
    legs: int = 0
    windows_lost: int = 0
    pruned_before: datetime | None = None
    rows_held: int = 0

    @property
    def rows(self) -> int:
        """Records read."""
        return self.rows_new + self.rows_changed + self.rows_unchanged


@define(frozen=True)
class PrunedSource:
    """What was removed of one source.

    Attributes:
        source: "calls", "did" or "flash".
        rows: how many rows were removed, or would be.
    """

    source: SourceName
    rows: int


@define(frozen=True)
class PruneReport:
    """What was removed from a store on purpose.

    Attributes:
        sink: where, without a secret.
        before: rows of times before this moment were removed (UTC).
        sources: each that the store holds, with what was removed.
        dry_run: whether nothing was removed, only counted.
    """

    sink: str
    before: datetime
    sources: tuple[PrunedSource, ...]
    dry_run: bool

    @property
    def rows(self) -> int:
        """All rows that were removed, or would be."""
        return sum(source.rows for source in self.sources)


DifferenceKind = Literal["missing", "different", "extra"]
"""A row of the gateway's that the sink does not have, a value that is another one, a row that only the sink has."""


@define(frozen=True)
class Difference:
    """Something in which a sink is not what the gateway tells now.

    Its values are call data, which its repr leaves out.

    Attributes:
        kind: "missing", "different" or "extra".
        key: of the row, None if it has none.
        time: of the row (UTC).
        column: whose value differs; None for a row as a whole.
        stored: the value in the sink.
        found: the value at the gateway.
    """

    kind: DifferenceKind
    key: str | int | None
    time: datetime
    column: str | None = None
    stored: Any = field(default=None, repr=False)
    found: Any = field(default=None, repr=False)


@define(frozen=True)
class Totals:
    """Totals of some rows.

    Attributes:
        rows: how many.
        cost: what all of them cost, exact, as the vendor counts it; those whose price is not known add nothing.
        talk_seconds: how long all of them lasted, as the vendor counts it; None of flash calls.
    """

    rows: int
    cost: Decimal
    talk_seconds: int | None

    def __add__(self, other: Self) -> Self:
        """Return the totals of both."""
        known = [seconds for seconds in (self.talk_seconds, other.talk_seconds) if seconds is not None]
        return type(self)(self.rows + other.rows, self.cost + other.cost, sum(known) if known else None)


@define(frozen=True)
class DayTotals:
    """Totals of a day, of what lies in windows that were read again.

    Attributes:
        day: the day, in the zone that was asked for; a row is of the day of its time.
        stored: of the rows of the sink, before anything was mended.
        found: of the rows of the gateway.
        is_whole: whether all of the day was read again, as far as it is in the range. Else there was nothing to compare
            in a part of it, as that was never read, is not sealed yet, or was pruned.
    """

    day: date
    stored: Totals
    found: Totals
    is_whole: bool

    @property
    def is_equal(self) -> bool:
        """Whether the sink has the same totals as the gateway."""
        return self.stored == self.found


@define(frozen=True)
class VerifiedSource:
    """What a verification found out about one source.

    Attributes:
        source: what was read again.
        windows_sealed: windows the sink holds, of the range if one was given, in which no late rows are to be expected.
        windows_checked: those of them that were read again.
        rows_compared: records of the gateway that were compared.
        missing: records that are not in the sink.
        different: records that are there with another value, or without one that is known.
        extra: rows of the sink that the gateway does not tell any more. They are never deleted.
        fixed: missing and different records that were mended.
        gaps: what is known to be missing in the windows that were checked.
        complete_until: up to where the sink is complete (UTC), None if nowhere.
        examples: some of the differences.
        days: the totals of each day, if these were asked for, in order of time.
    """

    source: SourceName
    windows_sealed: int
    windows_checked: int
    rows_compared: int
    missing: int
    different: int
    extra: int
    fixed: int
    gaps: tuple[Gap, ...]
    complete_until: datetime | None
    examples: tuple[Difference, ...]
    days: tuple[DayTotals, ...] = ()

    @property
    def unmended(self) -> int:
        """Differences that are still there."""
        return self.missing + self.different + self.extra - self.fixed


@define(frozen=True)
class VerifyReport:
    """What a verification found out.

    Attributes:
        sink: what was verified, without a secret.
        sources: each that was, with what was found.
        seed: chose the windows; the same seed chooses the same of the same windows. None if all were checked.
        requests: requests sent, retries included.
        seconds: how long it took.
        started: when it began (UTC), by this machine's clock.
        finished: when it was done (UTC), likewise.
    """

    sink: str
    sources: tuple[VerifiedSource, ...]
    seed: int | None
    requests: int
    seconds: float
    started: datetime
    finished: datetime

    @property
    def windows_checked(self) -> int:
        """Windows that were read again."""
        return sum(source.windows_checked for source in self.sources)

    @property
    def unmended(self) -> int:
        """Differences that are still there."""
        return sum(source.unmended for source in self.sources)


RunState = Literal["done", "gaps", "failed", "stopped", "running", "killed", "unfinished"]
"""How a run ended, or that it has not: it is at work, it was killed, or nobody can tell which of the two."""


@define(frozen=True)
class LastRun:
    """The run that filled a source of a store last.

    Attributes:
        command: "backfill" or "sync".
        outcome: "done"; "gaps": done, and something is known to be missing; "failed"; "stopped", as by Ctrl-C;
            "running"; "killed", also by a crash of its machine; "unfinished": one of these two.
        started: when it began (UTC), by the clock of its machine.
        finished: when it ended (UTC), likewise; None if it has not.
        rows_new: records that were not in the store; 0 until it has finished, as what follows.
        rows_changed: records that were, and are known better since.
        requests: requests that its session sent meanwhile.
        error: what ended it, None if nothing did.
    """

    command: str
    outcome: RunState
    started: datetime
    finished: datetime | None
    rows_new: int
    rows_changed: int
    requests: int
    error: str | None


@define(frozen=True)
class AgeCount:
    """How many rows turned up at some age, of those whose time of turning up was watched.

    Attributes:
        up_to: the greatest of these ages, counted from the time of the row; None for all that are older.
        rows: rows that were first seen then.
        changes: rows of which a value was then first seen to have changed.
    """

    up_to: timedelta | None
    rows: int
    changes: int


@define(frozen=True)
class SourceStatus:
    """How a source of a store is.

    Attributes:
        source: "calls", "did" or "flash".
        rows: how many rows it has.
        size: bytes that they take; None where the tables share a file.
        start: from when on it was read (UTC); None if nothing was, as if there are pushed calls only.
        read_until: up to when it was read (UTC); None likewise.
        complete_until: up to where it is complete and no late rows are to be expected (UTC), None if nowhere.
        windows: windows that were read.
        windows_open: those of them that may still get late rows.
        settle: how long the last run waited for late rows, by which it is complete; a day if none was noted.
        evidence: how late rows turned up so far, in order of age; empty if the ledger does not know yet.
        gaps: what is known to be missing, and what was never read between its windows.
        last_run: the run that filled it last; None if none was noted, as by earlier versions.
        gateway: the base URL that it was read from; None likewise.
        pruned_before: the moment before which rows were removed on purpose (UTC), None if nowhere.
    """

    source: SourceName
    rows: int
    size: int | None
    start: datetime | None
    read_until: datetime | None
    complete_until: datetime | None
    windows: int
    windows_open: int
    settle: timedelta
    evidence: tuple[AgeCount, ...]
    gaps: tuple[Gap, ...]
    last_run: LastRun | None
    gateway: str | None
    pruned_before: datetime | None


@define(frozen=True)
class StoreStatus:
    """How a store is.

    Attributes:
        sink: where it is, without a secret.
        size: bytes that all of it takes.
        in_use: whether a run, or whoever else locks it, is at work now; None if that cannot be told.
        sources: each that it holds.
    """

    sink: str
    size: int
    in_use: bool | None
    sources: tuple[SourceStatus, ...]

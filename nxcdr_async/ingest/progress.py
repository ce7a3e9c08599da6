"""Counts what a run does, and reports it to `on_progress`."""

from collections import deque
from collections.abc import Callable

from attrs import define, field

from nxcdr_async._util.moments import moment_if_any
from nxcdr_async.ingest.report import BackfillProgress
from nxcdr_async.ingest.table_writer import RowCounts
from nxcdr_async.records.models import SourceName
from nxcdr_async.stats import SessionStats
from nxcdr_async.windows import Window

OnProgress = Callable[[BackfillProgress], object]

SECONDS_BETWEEN = 0.2
"""Seconds between two reports at least, while rows come."""

_SECONDS_OF_LATE = 10.0


@define(eq=False)
class ProgressMeter:
    """Counts what a run does.

    Attributes:
        source: what is read.
        stats: returns the session's counts.
        steady: seconds that only ever grow.
        on_progress: gets the reports; None without.
        complete_until: up to where the sink is complete, epoch seconds.
        seconds_of_range: how much of the range this run has to read; None while that is not known.
        counts: what became of the records stored so far.
        windows: windows stored.
        legs: calls read beside another one with their id.
    """

    source: SourceName
    stats: Callable[[], SessionStats]
    steady: Callable[[], float]
    on_progress: OnProgress | None
    complete_until: int | None
    seconds_of_range: int | None = field(default=None, init=False)
    counts: RowCounts = field(factory=RowCounts, init=False)
    windows: int = field(default=0, init=False)
    legs: int = field(default=0, init=False)
    _rows_read: int = field(default=0, init=False)
    _seconds_stored: int = field(default=0, init=False)
    _reached: int | None = field(default=None, init=False)
    _began: float = field(init=False)
    _reported_at: float = field(init=False)
    _of_late: deque[tuple[float, int]] = field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self._began = self._reported_at = self.steady()

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return self.steady() - self._began

    def expect(self, seconds_of_range: int, complete_until: int | None) -> None:
        """Set what there is to read, and up to where the sink is complete, now that the gateway's time is known."""
        self.seconds_of_range, self.complete_until = seconds_of_range, complete_until

    def read(self, rows: int) -> None:
        """Count records that were read."""
        self._rows_read += rows
        if self.steady() - self._reported_at >= SECONDS_BETWEEN:
            self.report()

    def stored(self, window: Window, counts: RowCounts, complete_until: int | None) -> None:
        """Count a window that was stored."""
        self.windows += 1
        self._seconds_stored += window.seconds
        self._reached = window.end
        self.complete_until = complete_until
        self.counts += counts
        self.report()

    def report(self) -> None:
        """Report how far it is."""
        self._reported_at = self.steady()
        self._of_late.append((self._reported_at, self._rows_read))
        while self._reported_at - self._of_late[0][0] > _SECONDS_OF_LATE:
            self._of_late.popleft()
        if self.on_progress is not None:
            self.on_progress(self.progress())

    def report_end(self, ended: BaseException) -> None:
        """Report how far it came before an error ended it; if `on_progress` fails, that becomes a note on the error."""
        try:
            self.report()
        except Exception as failure:  # noqa: BLE001 - somebody else's code, and what ended the run has to be raised
            ended.add_note(f"on_progress failed, too: {failure}")

    def progress(self) -> BackfillProgress:
        """Return how far it is."""
        stats, seconds = self.stats(), self.seconds
        share = self._share()
        since, before = self._of_late[0] if len(self._of_late) > 1 else (self._began, 0)
        return BackfillProgress(
            source=self.source,
            windows=self.windows,
            windows_expected=round(self.windows / share) if share else 1,
            share=share,
            rows=self.counts.rows,
            rows_read=self._rows_read,
            seconds=seconds,
            rows_per_second=(self._rows_read - before) / max(self.steady() - since, 1e-6),
            seconds_left=seconds * (1 - share) / share if share else None,
            requests=stats.requests,
            in_flight=stats.in_flight,
            limit=stats.concurrency_limit,
            throttled=stats.throttled,
            retries=stats.retries,
            reached=moment_if_any(self._reached),
            complete_until=moment_if_any(self.complete_until),
            rows_new=self.counts.new,
            rows_changed=self.counts.changed,
        )

    def _share(self) -> float:
        if self.seconds_of_range is None:
            return 0.0
        return min(1.0, self._seconds_stored / self.seconds_of_range) if self.seconds_of_range else 1.0

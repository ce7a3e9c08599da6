"""What is known of the rounds of `nxcdr sync --every`: for metrics, and for whoever asks whether it is well. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async.ingest.report import BackfillProgress, BackfillReport
from nxcdr_async.ingest.schedule import RoundOutcome
from nxcdr_async.records.models import SourceName
from nxcdr_async.stats import SessionStats
from nxcdr_async.telemetry import names
from nxcdr_async.telemetry.names import Measurement


@define(eq=False)
class SourceWatch:
    """What is known of the rounds of one source.

    Attributes:
        news_at: when it last stored something, or came to an end well, in steady seconds; at first when it began.
        failures: rounds that failed, one after the other.
        last_success: when the last round came to its end (UTC), None before any did.
        complete_until: up to where the store is complete (UTC), None if nowhere.
    """

    news_at: float
    failures: int = field(default=0, init=False)
    last_success: datetime | None = field(default=None, init=False)
    complete_until: datetime | None = field(default=None, init=False)
    _rows: Counter[str] = field(factory=Counter, init=False)
    _rounds: Counter[RoundOutcome] = field(factory=Counter, init=False)
    _gaps: int | None = field(default=None, init=False)
    _seconds: float | None = field(default=None, init=False)
    _under_way: BackfillProgress | None = field(default=None, init=False)

    def note_progress(self, progress: BackfillProgress, *, now: float) -> None:
        """Note how far a round is, at a steady time."""
        before = self._under_way
        if before is None or progress.rows_read > before.rows_read or progress.windows > before.windows:
            self.news_at = now
        self._under_way = progress
        self.complete_until = progress.complete_until

    def note_end(self, outcome: RoundOutcome, report: BackfillReport | None, *, now: float, at: float) -> None:
        """Note that a round came to an end.

        Args:
            outcome: how.
            report: what it did; None if it did not come to its end.
            now: the steady time.
            at: the time, epoch seconds.
        """
        self._rounds[outcome] += 1
        self._rows, self._under_way = self._all_rows(), None
        if outcome == "failed":
            self.failures += 1
            return
        self.news_at = now  # also if another run had hold of the store: that one brings it up to date
        if report is not None:
            self.failures, self.last_success = 0, moment_at(at)
            self._gaps, self._seconds, self.complete_until = len(report.gaps), report.seconds, report.complete_until

    def measure(self, source: SourceName, *, at: float) -> Iterator[Measurement]:
        """Yield its figures at a time, epoch seconds."""
        attributes: dict[str, str] = {names.SOURCE: source}
        for change, rows in self._all_rows().items():
            yield Measurement(names.SYNC_ROWS, rows, {**attributes, names.CHANGE: change})
        for outcome, rounds in self._rounds.items():
            yield Measurement(names.SYNC_ROUNDS, rounds, {**attributes, names.OUTCOME: outcome})
        yield Measurement(names.SYNC_FAILURES, self.failures, attributes)
        complete = None if self.complete_until is None else self.complete_until.timestamp()
        figures = (
            (names.SYNC_GAPS, self._gaps),
            (names.SYNC_DURATION, self._seconds),
            (names.SYNC_LAG, None if complete is None else at - complete),
            (names.SYNC_COMPLETE_UNTIL, complete),
            (names.SYNC_LAST_SUCCESS, None if self.last_success is None else self.last_success.timestamp()),
        )
        for metric, value in figures:
            if value is not None:
                yield Measurement(metric, value, attributes)

    def _all_rows(self) -> Counter[str]:
        """Return the rows that were stored, those of a round under way among them."""
        rows = Counter({"new": 0, "changed": 0, "unchanged": 0})
        rows.update(self._rows)
        if (under_way := self._under_way) is not None:
            rows["new"] += under_way.rows_new
            rows["changed"] += under_way.rows_changed
            rows["unchanged"] += under_way.rows - under_way.rows_new - under_way.rows_changed
        return rows


@define(eq=False)
class SyncWatch:
    """What is known of the rounds of all sources of a store.

    Attributes:
        patience: seconds without news of a source after which something is wrong.
        sources: each of them, once it is known which there are.
        stats: returns the counts of the session that asks; None before there is one.
    """

    patience: float
    sources: dict[SourceName, SourceWatch] = field(factory=dict, init=False)
    stats: Callable[[], SessionStats] | None = field(default=None, init=False)

    def measure(self, *, at: float) -> Iterator[Measurement]:
        """Yield the figures of all sources at a time, epoch seconds."""
        for source, watch in self.sources.items():
            yield from watch.measure(source, at=at)

    def measure_requests(self) -> Iterator[Measurement]:
        """Yield what OpenTelemetry is told of each request as it is sent."""
        if self.stats is None:
            return
        stats = self.stats()
        yield Measurement(names.REQUESTS, stats.requests, {})
        yield Measurement(names.RETRIES, stats.retries, {})
        yield Measurement(names.THROTTLED, stats.throttled, {})
        yield Measurement(names.LIMIT, stats.concurrency_limit, {})

    def is_well(self, *, now: float) -> bool:
        """Return whether there is news of all sources, at a steady time."""
        return all(now - watch.news_at <= self.patience for watch in self.sources.values())

    def health(self, *, now: float) -> dict[str, Any]:
        """Return what whoever asks for its health gets to know, at a steady time."""
        return {
            "status": "ok" if self.is_well(now=now) else "no news for too long",
            "sources": {
                source: {
                    "seconds_without_news": round(now - watch.news_at, 3),
                    "failures": watch.failures,
                    "last_success": watch.last_success,
                    "complete_until": watch.complete_until,
                }
                for source, watch in self.sources.items()
            },
        }

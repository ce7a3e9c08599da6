"""What is known of rounds: figures and health."""

from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import evolve

from nxcdr_async.ingest.report import BackfillProgress, BackfillReport, Gap
from nxcdr_async.ingest.sync_watch import SourceWatch, SyncWatch
from nxcdr_async.telemetry import names
from nxcdr_async.telemetry.names import Metric

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT = NOON.timestamp()
PROGRESS = BackfillProgress(
    source="calls",
    windows=1,
    windows_expected=2,
    share=0.5,
    rows=10,
    rows_read=12,
    seconds=1.0,
    rows_per_second=12.0,
    seconds_left=1.0,
    requests=3,
    in_flight=1,
    limit=8,
    throttled=0,
    retries=0,
    reached=NOON,
    complete_until=NOON - timedelta(hours=1),
    rows_new=6,
    rows_changed=3,
)
REPORT = BackfillReport(
    source="calls",
    sink="c.sqlite",
    start=NOON,
    end=NOON,
    rows_new=6,
    rows_changed=3,
    rows_unchanged=1,
    windows=1,
    windows_before=0,
    windows_open=0,
    requests=3,
    waste=0,
    retries=0,
    throttled=0,
    gaps=(Gap("bad rows", NOON, NOON, 1),),
    complete_until=NOON - timedelta(hours=1),
    seconds=2.5,
    started=NOON,
    finished=NOON,
)


def figures(watch: SourceWatch, metric: Metric) -> Any:
    told = [measured for measured in watch.measure("calls", at=AT) if measured.metric == metric]
    values = {tuple(measured.attributes.values())[1:]: measured.value for measured in told}
    return values.get((), values or None)


def test_rows_are_counted_while_they_are_stored_and_once() -> None:
    watch = SourceWatch(0.0)
    watch.note_progress(PROGRESS, now=1.0)
    stored = {("new",): 6, ("changed",): 3, ("unchanged",): 1}
    assert figures(watch, names.SYNC_ROWS) == stored
    watch.note_end("gaps", REPORT, now=2.0, at=AT)
    assert figures(watch, names.SYNC_ROWS) == stored
    watch.note_progress(PROGRESS, now=3.0)
    watch.note_end("failed", None, now=4.0, at=AT)
    assert figures(watch, names.SYNC_ROWS) == {kind: 2 * rows for kind, rows in stored.items()}


def test_a_round_that_works_tells_how_the_store_is() -> None:
    watch = SourceWatch(0.0)
    watch.note_end("gaps", REPORT, now=1.0, at=AT)
    assert figures(watch, names.SYNC_LAG) == 3600
    assert figures(watch, names.SYNC_COMPLETE_UNTIL) == AT - 3600
    assert figures(watch, names.SYNC_LAST_SUCCESS) == AT
    assert figures(watch, names.SYNC_GAPS) == 1
    assert figures(watch, names.SYNC_DURATION) == 2.5
    assert figures(watch, names.SYNC_ROUNDS) == {("gaps",): 1}


def test_what_is_not_known_is_not_told() -> None:
    watch = SourceWatch(0.0)
    watch.note_end("failed", None, now=1.0, at=AT)
    assert figures(watch, names.SYNC_LAG) is figures(watch, names.SYNC_LAST_SUCCESS) is None
    assert figures(watch, names.SYNC_FAILURES) == 1


def test_failures_are_counted_until_a_round_works() -> None:
    watch = SourceWatch(0.0)
    watch.note_end("failed", None, now=1.0, at=AT)
    watch.note_end("failed", None, now=1.0, at=AT)
    watch.note_end("busy", None, now=1.0, at=AT)
    assert figures(watch, names.SYNC_FAILURES) == 2
    watch.note_end("done", REPORT, now=1.0, at=AT)
    assert figures(watch, names.SYNC_FAILURES) == 0


def watching(watch: SourceWatch) -> SyncWatch:
    whole = SyncWatch(patience=100.0)
    whole.sources = {"calls": watch}
    return whole


def test_it_is_well_as_long_as_there_is_news() -> None:
    watch = SourceWatch(0.0)
    whole = watching(watch)
    assert whole.is_well(now=100)
    assert not whole.is_well(now=101)
    watch.note_progress(PROGRESS, now=90.0)
    watch.note_progress(evolve(PROGRESS, seconds=50.0, requests=99), now=150.0)  # asked, and nothing came
    assert whole.is_well(now=190)
    assert not whole.is_well(now=191)
    watch.note_end("failed", None, now=200.0, at=AT)
    assert not whole.is_well(now=200)
    watch.note_end("busy", None, now=210.0, at=AT)
    assert whole.is_well(now=310)


def test_health_names_each_source() -> None:
    watch = SourceWatch(0.0)
    watch.note_end("done", REPORT, now=5.0, at=AT)
    health = watching(watch).health(now=7.5)
    assert health["status"] == "ok"
    assert health["sources"]["calls"]["seconds_without_news"] == 2.5
    assert health["sources"]["calls"]["last_success"] == NOON


def test_before_a_session_is_open_nothing_is_known_of_requests() -> None:
    assert list(SyncWatch(1.0).measure_requests()) == []
    assert list(SyncWatch(1.0).measure(at=AT)) == []

"""What a run counts, what it tells of it and when, with a clock that is moved by hand."""

import pytest
from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async.ingest.progress import SECONDS_BETWEEN, ProgressMeter
from nxcdr_async.ingest.report import BackfillProgress
from nxcdr_async.ingest.table_writer import RowCounts
from nxcdr_async.stats import SessionStats
from nxcdr_async.windows import Window

BEGIN = 1_767_225_600
RANGE = 1000
STATS = SessionStats(
    requests=9,
    retries=2,
    throttled=1,
    clock_refusals=0,
    in_flight=3,
    peak_in_flight=5,
    concurrency_limit=4,
    rate_limit=None,
    clock_skew=None,
)


@define
class Watch:
    """A meter, the news it told, and its clock."""

    now: float = 50.0
    told: list[BackfillProgress] = field(factory=list)
    meter: ProgressMeter = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.meter = ProgressMeter(
            source="calls",
            stats=lambda: STATS,
            steady=lambda: self.now,
            on_progress=self.told.append,
            complete_until=None,
        )
        self.meter.expect(RANGE, None)

    def store(self, seconds: int, taken: RowCounts, complete_until: int | None = None) -> None:
        self.meter.stored(Window(BEGIN, BEGIN + seconds), taken, complete_until)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_nothing_is_known_before_anything_is_stored(watch: Watch) -> None:
    progress = watch.meter.progress()
    assert (progress.share, progress.windows, progress.rows, progress.seconds) == (0, 0, 0, 0)
    assert (progress.seconds_left, progress.reached, progress.complete_until) == (None, None, None)
    assert progress.windows_expected == 1


def test_it_tells_of_the_requests_of_the_session(watch: Watch) -> None:
    progress = watch.meter.progress()
    assert (progress.requests, progress.retries, progress.throttled) == (9, 2, 1)
    assert (progress.in_flight, progress.limit) == (3, 4)


def test_windows_and_rows_are_added_up(watch: Watch) -> None:
    watch.store(100, RowCounts(1, 2, 3))
    watch.store(300, RowCounts(10, 20, 30), complete_until=BEGIN + 5)
    progress = watch.told[-1]
    assert watch.meter.counts == RowCounts(11, 22, 33)
    assert (progress.windows, progress.rows, progress.share) == (2, 66, 0.4)
    assert progress.reached == moment_at(BEGIN + 300)
    assert progress.complete_until == moment_at(BEGIN + 5)


def test_the_time_left_is_by_the_share_of_the_range_that_is_stored(watch: Watch) -> None:
    watch.now += 10
    watch.store(RANGE // 4, RowCounts(1, 0, 0))
    assert watch.told[-1].seconds == 10
    assert watch.told[-1].seconds_left == 30
    assert watch.told[-1].windows_expected == 4


def test_at_the_end_nothing_is_left(watch: Watch) -> None:
    watch.now += 10
    watch.store(RANGE, RowCounts(1, 0, 0))
    assert (watch.told[-1].share, watch.told[-1].seconds_left) == (1, 0)


def test_a_range_that_was_stored_before_is_done(watch: Watch) -> None:
    watch.meter.expect(0, BEGIN)
    assert watch.meter.progress().share == 1


def test_the_first_news_tells_up_to_where_the_sink_was_complete_before(watch: Watch) -> None:
    watch.meter.seconds_of_range, watch.meter.complete_until = None, BEGIN
    watch.meter.report()
    (first,) = watch.told
    assert (first.share, first.windows, first.reached, first.complete_until) == (0, 0, None, moment_at(BEGIN))


def test_there_is_news_of_each_window(watch: Watch) -> None:
    for number in range(1, 4):
        watch.store(1, RowCounts(1, 0, 0))
        assert len(watch.told) == number


def test_there_is_news_of_rows_only_so_often(watch: Watch) -> None:
    for _ in range(10):
        watch.meter.read(100)
    assert not watch.told
    watch.now += SECONDS_BETWEEN
    watch.meter.read(100)
    watch.meter.read(100)
    assert [progress.rows_read for progress in watch.told] == [1_100]


def test_the_speed_is_that_of_late(watch: Watch) -> None:
    for second in range(60):
        watch.now += 1
        watch.meter.read(10 if second < 30 else 1_000)
    assert watch.told[-1].rows_per_second == pytest.approx(1_000)
    for _ in range(60):
        watch.now += 1
        watch.meter.read(0)
    assert watch.told[-1].rows_per_second == 0


def test_the_speed_is_known_from_the_first_news_on(watch: Watch) -> None:
    watch.now += 2
    watch.meter.read(100)
    assert watch.told[-1].rows_per_second == pytest.approx(50)


def test_without_a_listener_it_counts_all_the_same(watch: Watch) -> None:
    watch.meter.on_progress = None
    watch.store(RANGE, RowCounts(1, 0, 0))
    assert not watch.told
    assert watch.meter.progress().share == 1


def test_a_listener_that_fails_at_the_end_does_not_hide_what_ended_the_run(watch: Watch) -> None:
    def fail(_: BackfillProgress) -> None:
        raise ValueError("of the listener")

    watch.meter.on_progress = fail
    ended = RuntimeError("of the run")
    watch.meter.report_end(ended)
    assert ended.__notes__ == ["on_progress failed, too: of the listener"]

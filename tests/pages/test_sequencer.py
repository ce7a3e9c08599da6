from datetime import UTC, datetime, timedelta
from itertools import pairwise

from attrs import define
from hypothesis import given, strategies as st

from nxcdr_async.pages import Sequencer

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


@define(frozen=True)
class Call:
    id: int | None
    ms: int
    lasts: int = 0

    @property
    def start(self) -> datetime:
        return MIDNIGHT + timedelta(milliseconds=self.ms)

    @property
    def finish(self) -> datetime:
        return self.start + timedelta(milliseconds=self.lasts)


def sequencer() -> Sequencer[Call]:
    return Sequencer(lambda call: call.start, lambda call: call.id)


def at(seconds: float) -> datetime:
    return MIDNIGHT + timedelta(seconds=seconds)


CALLS = st.lists(st.integers(0, 60_000), max_size=80).map(
    lambda times: [Call(number, ms) for number, ms in enumerate(times)]
)
CUTS = st.sets(st.integers(1, 60), max_size=20).map(lambda cuts: sorted({0, 61, *cuts}))


@given(CALLS, CUTS, st.randoms(use_true_random=False))
def test_every_id_is_released_once_and_in_order_for_any_cut_into_overlapping_windows(
    calls: list[Call], cuts: list[int], random: st.DrawFn
) -> None:
    line = sequencer()
    released: list[Call] = []
    given_in = 0
    for start, end in pairwise(cuts):
        # Both ends counted in, and a second early: what a gateway may answer at most.
        rows = [call for call in calls if (start - 1) * 1000 <= call.ms <= end * 1000]
        random.shuffle(rows)  # type: ignore[attr-defined]
        given_in += len(rows)
        released += line.push(rows, start=at(start), end=at(end))
    released += line.flush()
    assert released == sorted(calls, key=lambda call: (call.ms, call.id))
    assert line.duplicates == given_in - len(calls)
    assert line.out_of_order == 0


@given(CALLS, CUTS)
def test_nothing_is_released_that_a_later_window_may_still_precede(calls: list[Call], cuts: list[int]) -> None:
    line = sequencer()
    for start, end in pairwise(cuts):
        rows = [call for call in calls if start * 1000 <= call.ms < end * 1000]
        assert all(call.start < at(end - 1) for call in line.push(rows, start=at(start), end=at(end)))


def test_calls_of_the_same_moment_go_by_id() -> None:
    line = sequencer()
    released = line.push([Call(number, 5) for number in (3, 1, 2)], start=at(0), end=at(10))
    assert [call.id for call in released] == [1, 2, 3]


def test_a_row_given_twice_in_one_window_is_released_once() -> None:
    line = sequencer()
    assert line.push([Call(1, 5), Call(1, 5), Call(2, 6)], start=at(0), end=at(10)) == [Call(1, 5), Call(2, 6)]
    assert line.duplicates == 1


def test_records_without_an_id_always_count() -> None:
    line = sequencer()
    rows = [Call(None, 5), Call(None, 5), Call(3, 5)]
    assert line.push(rows, start=at(0), end=at(10)) == rows
    assert line.duplicates == 0


def test_an_id_that_was_released_stays_known_for_the_next_windows() -> None:
    line = sequencer()
    line.push([Call(1, 500)], start=at(0), end=at(10))
    assert line.push([], start=at(10), end=at(11)) == []
    assert line.push([Call(1, 500)], start=at(11), end=at(12)) == []
    assert line.flush() == []


def test_the_last_second_of_a_window_waits_for_the_next() -> None:
    line = sequencer()
    assert line.push([Call(1, 8_999), Call(2, 9_000)], start=at(0), end=at(10)) == [Call(1, 8_999)]
    assert line.push([], start=at(10), end=at(20)) == [Call(2, 9_000)]


def test_one_call_from_before_its_window_has_all_further_ones_held_back_for_an_hour() -> None:
    line = sequencer()
    assert line.push([Call(1, 50_000), Call(2, 110_000)], start=at(101), end=at(200)) == []
    assert line.push([Call(3, 60_000)], start=at(200), end=at(3651)) == []
    assert line.push([], start=at(3651), end=at(3652)) == [Call(1, 50_000)]
    assert line.flush() == [Call(3, 60_000), Call(2, 110_000)]
    assert line.out_of_order == 0


def test_a_call_that_comes_after_a_later_one_is_released_and_counted() -> None:
    line = sequencer()
    line.push([Call(1, 90_000)], start=at(0), end=at(100))
    late = [Call(2, 20_000), Call(3, 30_000)]
    assert line.push(late, start=at(100), end=at(200)) + line.flush() == late
    assert line.out_of_order == 2


def by_end_sequencer() -> Sequencer[Call]:
    return Sequencer(lambda call: call.start, lambda call: call.id, lambda call: call.finish)


def test_while_a_range_may_be_about_ends_calls_are_held_back_for_an_hour() -> None:
    line = by_end_sequencer()
    assert line.push([Call(1, 100, lasts=100)], start=at(0), end=at(3601)) == []
    assert line.push([], start=at(3601), end=at(3602)) == [Call(1, 100, lasts=100)]


def test_a_call_that_ends_after_its_window_shows_that_a_range_is_about_starts() -> None:
    line = by_end_sequencer()
    call = Call(1, 100, lasts=12_000)
    assert line.push([call], start=at(0), end=at(10)) == [call]
    assert line.push([Call(2, 15_000)], start=at(10), end=at(20)) == [Call(2, 15_000)]


LONG_CALLS = st.lists(st.tuples(st.integers(0, 9_000_000), st.integers(0, 3_590_000)), max_size=60).map(
    lambda times: [Call(number, ms, lasts) for number, (ms, lasts) in enumerate(times)]
)


@given(LONG_CALLS, st.sets(st.integers(1, 13_000), max_size=30).map(lambda cuts: sorted({0, 13_000, *cuts})))
def test_order_holds_even_where_a_gateway_goes_by_the_end_of_calls(calls: list[Call], cuts: list[int]) -> None:
    line = by_end_sequencer()
    released: list[Call] = []
    for start, end in pairwise(cuts):
        rows = [call for call in calls if at(start - 1) <= call.finish <= at(end)]
        released += line.push(rows, start=at(start), end=at(end))
    released += line.flush()
    assert released == sorted(calls, key=lambda call: (call.ms, call.id))
    assert line.out_of_order == 0


def test_memory_stays_bounded_however_long_the_range_is() -> None:
    line = sequencer()
    for window in range(2_000):
        line.push([Call(window, window * 10_000 + 9_500)], start=at(window * 10), end=at(window * 10 + 10))
    assert len(line._held) <= 2
    assert sum(map(len, line._seen)) <= 4


def test_a_record_at_the_end_of_time_is_released_too() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    records: Sequencer[tuple[datetime, str]] = Sequencer(lambda record: record[0], lambda record: record[1])
    records.push([(last, "a")], start=last - timedelta(days=1), end=last)
    assert records.flush() == [(last, "a")]

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

from attrs import define
from hypothesis import given, strategies as st

from nxcdr_async import make_converter
from nxcdr_async.paging.page_reader import RowStructurer
from nxcdr_async.paging.sequencer import Sequencer
from nxcdr_async.protocol.endpoints import CALLS as CALLS_API
from nxcdr_async.protocol.responses import Row
from nxcdr_async.protocol.wire_rows import PageDecoder
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = 1_767_225_600  # 2026-01-01 00:00 UTC


@define(frozen=True)
class Call:
    identity: int | None
    ms: int
    lasts: int = 0

    @property
    def start_ms(self) -> int:
        return START * 1000 + self.ms

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.lasts


def sequencer() -> Sequencer:
    return Sequencer()


def window(start: int, end: int) -> Window:
    """Return a window by its seconds after midnight."""
    return Window(START + start, START + end)


CALLS = st.lists(st.integers(0, 60_000), max_size=80).map(
    lambda times: [Call(number, ms) for number, ms in enumerate(times)]
)
CUTS = st.sets(st.integers(1, 60), max_size=20).map(lambda cuts: sorted({0, 61, *cuts}))


@given(CALLS, CUTS, st.randoms(use_true_random=False))
def test_every_id_is_released_once_and_in_order_for_any_cut_into_overlapping_windows(
    calls: list[Call], cuts: list[int], random: Random
) -> None:
    line = sequencer()
    released: list[Call] = []
    given_in = 0
    for start, end in pairwise(cuts):
        # Both ends counted in, and a second early: what a gateway may answer at most.
        rows = [call for call in calls if (start - 1) * 1000 <= call.ms <= end * 1000]
        random.shuffle(rows)
        given_in += len(rows)
        released += line.push(rows, window(start, end))
    released += line.flush()
    assert released == sorted(calls, key=lambda call: (call.ms, call.identity))
    assert line.duplicates == given_in - len(calls)
    assert line.out_of_order == 0


@given(CALLS, CUTS)
def test_nothing_is_released_that_a_later_window_may_still_precede(calls: list[Call], cuts: list[int]) -> None:
    line = sequencer()
    for start, end in pairwise(cuts):
        rows = [call for call in calls if start * 1000 <= call.ms < end * 1000]
        assert all(call.ms < (end - 1) * 1000 for call in line.push(rows, window(start, end)))


def test_calls_of_the_same_moment_go_by_id() -> None:
    line = sequencer()
    released = line.push([Call(number, 5) for number in (3, 1, 2)], window(0, 10))
    assert [call.identity for call in released] == [1, 2, 3]


def test_legs_of_a_call_are_all_released() -> None:
    line = sequencer()
    legs = [Call(1, 5), Call(1, 5), Call(1, 2_000)]
    assert line.push(legs, window(0, 10)) == legs
    assert (line.duplicates, line.legs) == (0, 2)


def test_legs_in_two_windows_are_released_once_each() -> None:
    line = sequencer()
    both = [Call(1, 9_900), Call(1, 9_900)]
    line.push(both, window(0, 10))
    assert line.push([*both, Call(1, 11_500)], window(10, 20)) == [*both, Call(1, 11_500)]
    assert (line.duplicates, line.legs) == (2, 2)


def test_a_start_that_moves_by_less_than_a_second_is_the_same_call() -> None:
    line = sequencer()
    line.push([Call(1, 9_300)], window(0, 10))
    assert line.push([Call(1, 10_100)], window(10, 20)) == [Call(1, 9_300)]
    assert line.duplicates == 1


def test_records_without_an_id_always_count() -> None:
    line = sequencer()
    rows = [Call(None, 5), Call(None, 5), Call(3, 5)]
    assert line.push(rows, window(0, 10)) == rows
    assert line.duplicates == 0


def test_an_id_that_was_released_stays_known_for_the_next_windows() -> None:
    line = sequencer()
    line.push([Call(1, 500)], window(0, 10))
    assert line.push([], window(10, 11)) == []
    assert line.push([Call(1, 500)], window(11, 12)) == []
    assert line.flush() == []


def test_the_last_second_of_a_window_waits_for_the_next() -> None:
    line = sequencer()
    assert line.push([Call(1, 8_999), Call(2, 9_000)], window(0, 10)) == [Call(1, 8_999)]
    assert line.push([], window(10, 20)) == [Call(2, 9_000)]


def test_one_call_from_before_its_window_has_all_further_ones_held_back_for_an_hour() -> None:
    line = sequencer()
    assert line.push([Call(1, 50_000), Call(2, 110_000)], window(101, 200)) == []
    assert line.push([Call(3, 60_000)], window(200, 3651)) == []
    assert line.push([], window(3651, 3652)) == [Call(1, 50_000)]
    assert line.flush() == [Call(3, 60_000), Call(2, 110_000)]
    assert line.out_of_order == 0


def test_a_call_that_comes_after_a_later_one_is_released_and_counted() -> None:
    line = sequencer()
    line.push([Call(1, 90_000)], window(0, 100))
    late = [Call(2, 20_000), Call(3, 30_000)]
    assert line.push(late, window(100, 200)) + line.flush() == late
    assert line.out_of_order == 2


def by_end_sequencer() -> Sequencer:
    return Sequencer(lambda call: call.end_ms)


def test_while_a_range_may_be_about_ends_calls_are_held_back_for_an_hour() -> None:
    line = by_end_sequencer()
    assert line.push([Call(1, 100, lasts=100)], window(0, 3601)) == []
    assert line.push([], window(3601, 3602)) == [Call(1, 100, lasts=100)]


def test_a_call_that_ends_after_its_window_shows_that_a_range_is_about_starts() -> None:
    line = by_end_sequencer()
    call = Call(1, 100, lasts=12_000)
    assert line.push([call], window(0, 10)) == [call]
    assert line.push([Call(2, 15_000)], window(10, 20)) == [Call(2, 15_000)]


LONG_CALLS = st.lists(st.tuples(st.integers(0, 9_000_000), st.integers(0, 3_590_000)), max_size=60).map(
    lambda times: [Call(number, ms, lasts) for number, (ms, lasts) in enumerate(times)]
)


@given(LONG_CALLS, st.sets(st.integers(1, 13_000), max_size=30).map(lambda cuts: sorted({0, 13_000, *cuts})))
def test_order_holds_even_where_a_gateway_goes_by_the_end_of_calls(calls: list[Call], cuts: list[int]) -> None:
    line = by_end_sequencer()
    released: list[Call] = []
    for start, end in pairwise(cuts):
        rows = [call for call in calls if start - 1 <= (call.ms + call.lasts) / 1000 <= end]
        released += line.push(rows, window(start, end))
    released += line.flush()
    assert released == sorted(calls, key=lambda call: (call.ms, call.identity))
    assert line.out_of_order == 0


def test_memory_stays_bounded_however_long_the_range_is() -> None:
    line = sequencer()
    for number in range(2_000):
        line.push([Call(number, number * 10_000 + 9_500)], window(number * 10, number * 10 + 10))
    assert len(line._pending) <= 2
    assert sum(len(window.starts) for window in line._seen) <= 4


def test_a_record_at_the_end_of_time_is_released_too() -> None:
    end = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
    last = datetime.max.replace(tzinfo=UTC)
    record = Row((last - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1), "a", last)
    line = sequencer()
    line.push([record], Window(end - 86_400, end))
    assert line.flush() == [record]


MIXED = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["milliseconds", "text", "text of half a one"])), max_size=30
)


@given(MIXED, st.randoms(use_true_random=False))
def test_rows_of_any_kind_sort_together_by_time_and_id(calls: list[tuple[int, str]], random: Random) -> None:
    told = []
    for number, (ms, kind) in enumerate(calls):
        start = EPOCH + timedelta(seconds=START, milliseconds=ms, microseconds=500 * (kind == "text of half a one"))
        wire = START * 1000 + ms if kind == "milliseconds" else start.isoformat()
        told.append((start, {"callId": f"{number:02}", "startTime": wire}))
    random.shuffle(told)
    page = PageDecoder(CALLS_API).page(json.dumps({"code": 0, "data": [row for _, row in told]}).encode())
    assert page is not None
    found: list[Row] = []
    RowStructurer(CALLS_API, make_converter(), None, PaginatorStats()).add(page, found, "")
    released = sequencer().push(found, window(0, 10))
    assert [(row.values.start_time, row.values.call_id) for row in released] == sorted(
        (start, row["callId"]) for start, row in told
    )

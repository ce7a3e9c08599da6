"""What has to be asked to prove that the end of an answer is the end of the data."""

from hypothesis import given, strategies as st

from nxcdr_async.paging.end_check import WindowPart, halves_of, rest_of
from nxcdr_async.windows import Window

WINDOW = Window(1_000, 2_000)
times = st.lists(st.integers(1_000_000, 1_999_999).map(lambda moment: moment / 1000), min_size=4, max_size=60)


def test_the_rest_of_an_ascending_answer_begins_with_its_last_second() -> None:
    assert rest_of(WINDOW, [1_010.5, 1_020, 1_500.9]) == Window(1_500, 2_000)


def test_the_rest_of_a_descending_answer_ends_with_its_last_second() -> None:
    assert rest_of(WINDOW, [1_500.9, 1_020, 1_010.5]) == Window(1_000, 1_011)


def test_an_answer_in_no_order_has_no_rest() -> None:
    assert rest_of(WINDOW, [1_500, 1_020, 1_510]) is None


def test_a_rest_that_is_all_of_the_window_proves_nothing() -> None:
    assert rest_of(WINDOW, [1_000.2, 1_000.3]) is None


def test_a_call_outside_of_the_window_keeps_the_rest_inside() -> None:
    assert rest_of(WINDOW, [1_010, 2_000.0]) == Window(1_999, 2_000)
    assert rest_of(WINDOW, [1_010, 999.5]) == Window(1_000, 1_001)


@given(times, st.booleans(), st.booleans())
def test_parts_hold_as_many_calls_as_they_say(starts: list[float], start_counts: bool, end_counts: bool) -> None:
    for part in halves_of(WINDOW, starts):
        first, last = part.window.bounds
        inside = [
            start
            for start in starts
            if (start >= first if start_counts else start > first) and (start <= last if end_counts else start < last)
        ]
        assert part.fewest <= len(inside) <= part.most


@given(times)
def test_parts_cover_the_window(starts: list[float]) -> None:
    early, late = halves_of(WINDOW, starts)
    assert (early.window.start, early.window.end, late.window.end) == (1_000, late.window.start, 2_000)


def test_a_part_is_cut_where_no_call_starts() -> None:
    starts = [1_001.0 + number for number in range(50)] + [1_100.0 + number for number in range(50)]
    assert [(part.fewest, part.most) for part in halves_of(WINDOW, starts)] == [(50, 50), (50, 50)]


def test_a_part_ends_on_the_page_where_its_calls_do() -> None:
    part = WindowPart(WINDOW, 250, 252)
    assert part.page_number(100) == 3
    assert [part.ends_with(rows, 100) for rows in (49, 50, 52, 53, 100)] == [False, True, True, False, False]


def test_a_part_of_full_pages_ends_with_an_empty_one() -> None:
    part = WindowPart(WINDOW, 200, 200)
    assert part.page_number(100) == 3
    assert part.ends_with(0, 100)
    assert not part.ends_with(1, 100)

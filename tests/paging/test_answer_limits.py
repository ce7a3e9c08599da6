"""How far a gateway's answers reach: learned from what they show and what they refuse."""

from hypothesis import given, strategies as st

from nxcdr_async.paging.answer_limits import NARROWEST, AnswerLimits
from nxcdr_async.windows import Window

HERE, THERE = Window(0, 10), Window(10, 20)


def test_without_a_limit_nothing_is_too_wide() -> None:
    assert not AnswerLimits().is_too_wide(10**9)


def test_a_window_leaves_room_for_its_early_second() -> None:
    limits = AnswerLimits(86_400)
    assert limits.is_too_wide(86_400)
    assert not limits.is_too_wide(86_399)


def test_a_refused_width_is_halved() -> None:
    limits = AnswerLimits()
    limits.note_refused_width(100_000)
    assert limits.max_span == 50_000


def test_a_wider_refusal_widens_nothing() -> None:
    limits = AnswerLimits(10_000)
    limits.note_refused_width(100_000)
    assert limits.max_span == 10_000


@given(st.lists(st.integers(1, 10**9), min_size=1))
def test_no_width_is_halved_below_the_narrowest(widths: list[int]) -> None:
    limits = AnswerLimits()
    for width in widths:
        limits.note_refused_width(width)
    assert limits.max_span is not None
    assert limits.max_span >= NARROWEST


@given(st.lists(st.integers(0, 10**9), min_size=1))
def test_the_border_only_moves_forward(borders: list[int]) -> None:
    limits = AnswerLimits()
    for border in borders:
        limits.note_refused_before(border)
    assert limits.retained_since == max(borders)


def test_a_full_end_is_always_doubtful() -> None:
    limits = AnswerLimits()
    limits.note_end(THERE, 5_000)
    assert limits.needs_end_check(HERE, 200, is_full=True, page_size=100)


def test_a_short_end_is_doubtful_until_a_deeper_one_was_seen() -> None:
    limits = AnswerLimits()
    assert limits.needs_end_check(HERE, 250, is_full=False, page_size=100)
    limits.note_end(THERE, 251)
    assert not limits.needs_end_check(HERE, 250, is_full=False, page_size=100)


def test_two_windows_that_end_at_one_depth_are_doubtful() -> None:
    limits = AnswerLimits()
    limits.note_end(THERE, 9_000)
    limits.note_end(THERE, 250)
    assert limits.needs_end_check(HERE, 250, is_full=False, page_size=100)
    assert not limits.needs_end_check(THERE, 250, is_full=False, page_size=100)


def test_less_than_a_page_is_never_doubtful() -> None:
    assert not AnswerLimits().needs_end_check(HERE, 50, is_full=True, page_size=100)


def test_a_cap_lowers_the_rows_of_a_window() -> None:
    limits = AnswerLimits()
    assert limits.most_rows(4_000) == 4_000
    limits.note_cap(2_000)
    assert limits.most_rows(4_000) == 1_400
    assert limits.most_rows(1_000) == 1_000


def test_a_cap_moves_down_only() -> None:
    limits = AnswerLimits()
    for rows in (2_000, 5_000, 1_000):
        limits.note_cap(rows)
    assert limits.depth_cap == 1_000


def test_an_answer_beyond_the_cap_shows_that_it_was_a_mistake() -> None:
    limits = AnswerLimits()
    limits.note_cap(200)
    limits.note_complete(200)
    assert limits.is_cut_at(200)
    limits.note_complete(300)
    assert not limits.is_cut_at(10_000)

import itertools
import math

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.paging.density import HOURS_A_WEEK, WEEK, Density
from nxcdr_async.windows import HOUR, Window

DAY = 86_400
START = 1_767_225_600  # a Thursday, 2026-01-01 00:00 UTC


@st.composite
def windows(draw: st.DrawFn, longest: int = 60 * DAY) -> Window:
    start = draw(st.integers(START, START + 14 * DAY))
    return Window(start, start + draw(st.integers(1, longest)))


@st.composite
def densities(draw: st.DrawFn) -> Density:
    """Give what was learned of some windows, each with calls somewhere in it."""
    density = Density()
    for window in draw(st.lists(windows(longest=10 * DAY), min_size=1, max_size=4)):
        moments = st.integers(window.start, window.end - 1).map(float)
        density.learn(window, draw(st.lists(moments, min_size=1, max_size=50)))
    return density


def test_density_is_the_calls_a_second_of_what_was_read() -> None:
    density = Density()
    assert density.mean == 0
    density.learn(Window(START, START + 100), [float(START)] * 50)
    density.learn(Window(START + 100, START + 200), [])
    assert density.mean == pytest.approx(0.25)


@given(windows(longest=400 * DAY), st.integers(0, 50))
def test_density_counts_every_second_of_a_window_once(window: Window, calls: int) -> None:
    density = Density()
    density.learn(window, [float(window.start)] * calls)
    assert sum(density.seconds) == pytest.approx(window.seconds)
    assert sum(density.calls) == calls


@given(densities(), st.integers(START, START + 30 * DAY), st.floats(0.01, 100_000))
def test_when_is_the_inverse_of_expected(density: Density, start: int, calls: float) -> None:
    moment = density.when(start, calls)
    assert moment >= start
    before, after = Window(start, max(start + 1, math.floor(moment))), Window(start, math.ceil(moment) + 1)
    if moment >= start + 1:
        assert density.expected(before) <= calls * (1 + 1e-6) + 1e-6
    assert density.expected(after) >= calls * (1 - 1e-6) - 1e-6


@given(densities(), windows())
def test_what_is_expected_of_a_window_has_come_by_its_end(density: Density, window: Window) -> None:
    assert density.when(window.start, density.expected(window)) == pytest.approx(window.end, abs=1)


def test_no_moment_comes_by_which_calls_are_to_be_expected_before_any_were_seen() -> None:
    density = Density()
    assert density.when(START, 1) == math.inf
    density.learn(Window(START, START + DAY), [])
    assert density.when(START, 1) == math.inf
    assert density.expected(Window(START, START + DAY)) == 0


@given(densities(), windows(), st.data())
def test_what_is_expected_of_parts_adds_up(density: Density, window: Window, data: st.DataObject) -> None:
    parts = window.parts(data.draw(st.integers(1, 50)))
    whole = density.expected(window)
    assert sum(map(density.expected, parts)) == pytest.approx(whole, rel=1e-6, abs=1e-4)


@given(densities(), windows(longest=3 * DAY), st.integers(1, 100))
def test_every_week_is_expected_to_be_the_same(density: Density, window: Window, weeks: int) -> None:
    later = Window(window.start + weeks * WEEK, window.end + weeks * WEEK)
    assert density.expected(later) == pytest.approx(density.expected(window), rel=1e-5, abs=1e-4)


@given(densities(), windows(longest=3 * DAY))
def test_what_is_expected_is_the_rate_of_each_hour_times_how_long_it_lasts(density: Density, window: Window) -> None:
    rates = density.rates()
    edges = sorted({window.start, window.end, *range((window.start // HOUR + 1) * HOUR, window.end, HOUR)})
    by_hand = sum(rates[start // HOUR % HOURS_A_WEEK] * (end - start) for start, end in itertools.pairwise(edges))
    assert density.expected(window) == pytest.approx(by_hand, rel=1e-6, abs=1e-4)


def test_a_new_window_changes_what_is_expected() -> None:
    density = Density()
    density.learn(Window(START, START + HOUR), [float(START)] * 10)
    before = density.expected(Window(START, START + HOUR))
    density.learn(Window(START, START + HOUR), [float(START)] * 1_000)
    assert density.expected(Window(START, START + HOUR)) > 10 * before


def test_an_hour_nobody_looked_at_is_taken_for_the_same_hour_of_other_days() -> None:
    density = Density()
    for hour in range(24):
        start = START + hour * HOUR
        density.learn(Window(start, start + HOUR), [float(start)] * (900 if hour == 10 else 9))
    of_next_day = [density.expected(Window(start, start + HOUR)) for start in range(START + DAY, START + 2 * DAY, HOUR)]
    assert of_next_day[10] > 500
    assert all(expected < 50 for hour, expected in enumerate(of_next_day) if hour != 10)


def test_an_hour_of_the_day_nobody_looked_at_is_taken_for_the_mean_of_all() -> None:
    density = Density()
    density.learn(Window(START, START + HOUR), [float(START)] * 360)
    assert density.expected(Window(START + 5 * HOUR, START + 6 * HOUR)) == pytest.approx(360)


@given(st.lists(st.integers(START - 5 * DAY, START + 5 * DAY).map(lambda second: second + 0.5), max_size=200))
def test_each_call_counts_for_its_own_hour_whatever_their_order(starts: list[float]) -> None:
    density = Density()
    density.learn(Window(START, START + DAY), starts)
    by_hand = [0.0] * HOURS_A_WEEK
    for start in starts:
        by_hand[int(start) // HOUR % HOURS_A_WEEK] += 1
    assert density.calls == by_hand

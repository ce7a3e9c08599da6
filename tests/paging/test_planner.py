from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.density import Density
from nxcdr_async.paging.planner import MOST_PARTS, TOO_FULL, SeenCalls, WindowPlanner
from nxcdr_async.windows import Window
from tests.examples import examples

DAY = 86_400
START = 1_767_225_600  # a Thursday, 2026-01-01 00:00 UTC


@st.composite
def windows(draw: st.DrawFn, longest: int = 60 * DAY) -> Window:
    start = draw(st.integers(START, START + 14 * DAY))
    return Window(start, start + draw(st.integers(1, longest)))


@st.composite
def starts_in(draw: st.DrawFn, window: Window) -> list[float]:
    """Start times as a gateway may give them: in any order, mostly but not only inside of a window."""
    low = draw(st.integers(window.start - 5000, window.end))
    high = draw(st.integers(low, window.end + 5))
    times = draw(st.lists(st.integers(low * 1000, high * 1000).map(lambda ms: ms / 1000), max_size=300))
    return draw(st.sampled_from([times, sorted(times), sorted(times, reverse=True)]))


def seen(starts: list[float]) -> SeenCalls:
    found = SeenCalls()
    add(found, starts)
    return found


def add(found: SeenCalls, starts: list[float]) -> None:
    if starts:
        found.add(len(starts), min(starts), max(starts))


def tiles(parts: list[Window], whole: Window) -> bool:
    edges = [whole.start, *(part.start for part in parts[1:]), whole.end]
    return all(part == Window(*pair) for part, pair in zip(parts, pairwise(edges), strict=True))


@given(
    windows(),
    st.integers(1, 2000),
    st.lists(st.tuples(st.booleans(), st.data()), max_size=8),
)
@examples(150)
def test_a_plan_tiles_its_range_whatever_it_learns(
    whole: Window, most_rows: int, steps: list[tuple[bool, st.DataObject]]
) -> None:
    plan = WindowPlanner(whole, most_rows=most_rows, most_at_once=max(1, most_rows // 5))
    assert plan.next() == whole
    first = steps[0][1].draw(starts_in(whole)) if steps else []
    cut = plan.split(whole, first, plan.estimate(whole, seen(first)) or 1.0)
    if whole.seconds == 1:
        assert cut == [whole]
        assert plan.next() is None
        return
    assert cut == []
    given_out: list[Window] = []
    for is_split, data in steps:
        window = plan.next()
        if window is None:
            break
        given_out.append(window)
        starts = data.draw(starts_in(window))
        if is_split:
            assert tiles(plan.split(window, starts, max(1.0, plan.estimate(window, seen(starts)))), window)
        else:
            plan.learn(window, starts)
    # The rest in one go: as if no call came any more, so that it does not take for ever.
    plan.most_rows = 10**12
    while (window := plan.next()) is not None:
        given_out.append(window)
    assert tiles(given_out, whole)


def test_the_whole_range_is_asked_for_first_and_alone() -> None:
    plan = WindowPlanner(Window(START, START + DAY), most_rows=1000, most_at_once=200)
    assert plan.next() == plan.whole
    assert plan.next() is None


@given(windows(), st.data())
def test_a_split_range_is_not_given_out_whole_again(whole: Window, data: st.DataObject) -> None:
    plan = WindowPlanner(whole, most_rows=1000, most_at_once=200)
    plan.next()
    starts = data.draw(starts_in(whole))
    plan.split(whole, starts, max(1.0, plan.estimate(whole, seen(starts))))
    assert plan.next() != whole


def test_a_burst_in_a_corner_does_not_have_the_range_read_whole_again() -> None:
    # Out of order, and all in the last 5 seconds, which are an hour of the clock of their own.
    whole = Window(START + 55, START + 3605)
    starts = [whole.end - 5 + (number * 7 % 50) / 10 for number in range(300)]
    plan = WindowPlanner(whole, most_rows=1000, most_at_once=200)
    plan.next()
    assert plan.is_worth_splitting(whole, seen(starts))
    plan.split(whole, starts, 300.0)
    assert plan.next() != whole


def test_windows_are_cut_to_hold_as_many_calls_as_wanted() -> None:
    whole = Window(START, START + 30 * DAY)
    plan = WindowPlanner(whole, most_rows=1000, most_at_once=200)
    plan.next()
    starts = [START + number * 1.0 for number in range(300)]  # one call a second
    plan.split(whole, starts, plan.estimate(whole, seen(starts)))
    window = plan.next()
    assert window is not None
    assert 900 <= window.seconds <= 1100


def test_all_windows_hold_the_same_number_of_calls() -> None:
    whole = Window(START, START + 4500)
    plan = WindowPlanner(whole, most_rows=1000, most_at_once=200)
    plan.next()
    starts = [START + number * 1.0 for number in range(300)]
    plan.split(whole, starts, plan.estimate(whole, seen(starts)))
    widths = []
    while (window := plan.next()) is not None:
        widths.append(window.seconds)
    assert widths == pytest.approx([900] * 5, abs=20)
    assert sum(widths) == 4500


def test_a_busy_hour_gets_narrower_windows_than_a_quiet_one() -> None:
    density = Density()
    for hour in range(24):
        window = Window(START + hour * 3600, START + (hour + 1) * 3600)
        calls = 3600 if hour == 10 else 36
        density.learn(window, [window.start + number * 3600 / calls for number in range(calls)])
    plan = WindowPlanner(Window(START + 7 * DAY, START + 8 * DAY), most_rows=500, most_at_once=500, density=density)
    plan.split(plan.whole, [], 5000.0)
    cut = []
    while (window := plan.next()) is not None:
        cut.append(window)
    busy = [
        window for window in cut if window.start // 3600 == window.end // 3600 == (plan.whole.start + 36000) // 3600
    ]
    assert len(busy) >= 4
    assert len(cut) <= 14


@given(windows(), st.data())
def test_a_window_is_thought_to_hold_at_least_what_was_seen_of_it(window: Window, data: st.DataObject) -> None:
    starts = data.draw(starts_in(window))
    plan = WindowPlanner(window, most_rows=1000, most_at_once=200)
    assert plan.estimate(window, seen(starts)) >= len(starts)


def test_calls_in_order_of_time_tell_how_full_a_window_is() -> None:
    window = Window(START, START + 1000)
    plan = WindowPlanner(window, most_rows=1000, most_at_once=200)
    rising = [START + number / 10 for number in range(101)]
    assert plan.estimate(window, seen(rising)) == pytest.approx(10_100)
    assert plan.estimate(window, seen(rising[::-1])) == pytest.approx(10_100)
    assert plan.estimate(window, seen([rising[0], rising[-1], *rising[1:-1]])) == pytest.approx(10_100)


def test_one_second_is_never_too_full_as_it_cannot_be_split() -> None:
    plan = WindowPlanner(Window(START, START + 10), most_rows=10, most_at_once=2)
    second = Window(START, START + 1)
    assert not plan.is_too_full(second, 1e9)
    assert not plan.is_worth_splitting(second, seen([float(START)] * 10_000))
    only = WindowPlanner(second, most_rows=10, most_at_once=2)
    assert not only.is_worth_splitting(second, seen([float(START)] * 10_000))


@given(windows(), st.floats(1, 1e9))
def test_a_full_window_is_split_into_two_to_thirty_two(window: Window, rows: float) -> None:
    plan = WindowPlanner(Window(window.start, window.end + 10), most_rows=1000, most_at_once=200)
    parts = plan.split(window, [], rows)
    assert tiles(parts, window)
    assert min(2, window.seconds) <= len(parts) <= MOST_PARTS


def test_calls_that_lie_all_over_a_window_tell_that_just_as_many_are_there() -> None:
    window = Window(START, START + 1000)
    plan = WindowPlanner(window, most_rows=1000, most_at_once=200)
    all_over = seen([START + 5.0, START + 990.0, *(START + number * 10.0 for number in range(99))])
    assert plan.is_unordered(window, all_over)
    assert plan.estimate(window, all_over) < 110
    assert not plan.is_unordered(window, seen([START + number * 1.0 for number in range(300)]))
    assert not plan.is_unordered(window, seen([START + 999.0 - number for number in range(300)]))


def test_nothing_seen_estimates_nothing() -> None:
    window = Window(START, START + 1000)
    assert WindowPlanner(window, most_rows=1000, most_at_once=200).estimate(window, SeenCalls()) == 0


@given(windows(), st.data())
def test_what_was_seen_at_once_or_bit_by_bit_is_the_same(window: Window, data: st.DataObject) -> None:
    starts = data.draw(starts_in(window))
    cut = data.draw(st.integers(0, len(starts)))
    bit_by_bit = SeenCalls()
    for part in (starts[:cut], starts[cut:]):
        add(bit_by_bit, part)
    at_once = seen(starts)
    assert (bit_by_bit.count, bit_by_bit.earliest, bit_by_bit.latest) == (
        at_once.count,
        at_once.earliest,
        at_once.latest,
    )


def evenly_dense(per_second: float) -> Density:
    density = Density()
    for day in range(7):
        start = START - 7 * DAY + day * DAY
        count = int(per_second * DAY)
        density.learn(Window(start, start + DAY), [start + number * DAY / count for number in range(count)])
    return density


@pytest.mark.parametrize("is_descending", [False, True])
def test_a_forecast_is_what_was_seen_and_what_the_rest_should_hold(is_descending: bool) -> None:
    window = Window(START, START + 10_000)
    plan = WindowPlanner(Window(START, START + DAY), most_rows=1000, most_at_once=1000, density=evenly_dense(0.1))
    assert plan.forecast(window, SeenCalls()) == pytest.approx(1_000, rel=0.01)
    first = [START + number * 10.0 for number in range(100)]
    starts = [2 * START + 10_000 - start for start in first] if is_descending else first
    assert plan.forecast(window, seen(starts)) == pytest.approx(1_000, rel=0.02)


def test_a_start_that_is_denser_than_expected_raises_the_forecast_for_the_rest() -> None:
    window = Window(START, START + 10_000)
    plan = WindowPlanner(Window(START, START + DAY), most_rows=1000, most_at_once=1000, density=evenly_dense(0.1))
    dense = seen([START + number * 1.0 for number in range(1000)])
    # Between what the density says of the rest, and what this start does.
    assert 1_900 < plan.forecast(window, dense) < 10_000


@given(windows(), st.data())
def test_a_forecast_is_never_less_than_what_was_seen(window: Window, data: st.DataObject) -> None:
    plan = WindowPlanner(Window(START, START + 90 * DAY), most_rows=1000, most_at_once=200)
    plan.learn(Window(START, START + DAY), data.draw(starts_in(Window(START, START + DAY))))
    found = seen(data.draw(starts_in(window)))
    assert plan.forecast(window, found) >= found.count


def test_a_range_is_worth_splitting_if_it_seems_to_hold_more_than_can_be_read_at_once() -> None:
    whole = Window(START, START + 10_000)
    plan = WindowPlanner(whole, most_rows=100, most_at_once=300)

    def first_page(of: Window, rows: int) -> SeenCalls:
        return seen([of.start + number * of.seconds / rows for number in range(50)])

    assert not plan.is_worth_splitting(whole, first_page(whole, 280))
    assert plan.is_worth_splitting(whole, first_page(whole, 320))
    part = Window(START, START + 5_000)
    assert not plan.is_worth_splitting(part, first_page(part, 10_000))


@pytest.mark.parametrize("width", [5_000, 10_000])
def test_any_window_is_too_full_at_many_times_the_calls_it_should_hold(width: int) -> None:
    plan = WindowPlanner(Window(START, START + 10_000), most_rows=100, most_at_once=300)
    window = Window(START, START + width)
    assert not plan.is_too_full(window, TOO_FULL * 100)
    assert plan.is_too_full(window, TOO_FULL * 100 + 1)


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0.1, 1000)), max_size=40))
def test_confidence_stays_between_its_bounds_whatever_comes(learned: list[tuple[int, float]]) -> None:
    plan = WindowPlanner(Window(START, START + DAY), most_rows=1000, most_at_once=200)
    window = Window(START, START + 1000)
    for came, forecast in learned:
        plan.learn(window, [float(START)] * came, forecast=forecast, seen=10)
        assert 0.3 <= plan.confidence <= 0.95


def test_forecasts_that_come_true_are_relied_on_and_others_are_not() -> None:
    window = Window(START, START + 1000)
    right = WindowPlanner(Window(START, START + DAY), most_rows=1000, most_at_once=200)
    wrong = WindowPlanner(Window(START, START + DAY), most_rows=1000, most_at_once=200)
    for number in range(8):
        right.learn(window, [float(START)] * 500, forecast=500, seen=100)
        wrong.learn(window, [float(START)] * (500 if number % 2 else 100), forecast=500, seen=100)
    assert right.confidence == 0.95
    assert wrong.confidence == 0.3


def test_two_forecasts_are_too_few_to_learn_from() -> None:
    plan = WindowPlanner(Window(START, START + DAY), most_rows=1000, most_at_once=200)
    before = plan.confidence
    for _ in range(2):
        plan.learn(Window(START, START + 1000), [], forecast=500, seen=100)
    assert plan.confidence == before


@given(windows(), st.integers(DAY, 40 * DAY), st.integers(1, 5_000))
def test_no_window_is_wider_than_may_be_asked_for(whole: Window, seconds: int, most_rows: int) -> None:
    plan = WindowPlanner(whole, most_rows=most_rows, most_at_once=most_rows, limits=AnswerLimits(seconds))
    cut = []
    while (window := plan.next()) is not None:
        cut.append(window)
        plan.learn(window, [])
    assert tiles(cut, whole)
    assert not any(plan.limits.is_too_wide(window.seconds) for window in cut)


def test_a_range_that_is_too_wide_waits_for_what_its_first_window_shows() -> None:
    plan = WindowPlanner(Window(START, START + 9 * DAY), most_rows=100, most_at_once=500, limits=AnswerLimits(DAY))
    first = plan.next()
    assert first is not None
    assert plan.is_first(first)
    assert plan.next() is None
    plan.learn(first, [])
    assert plan.next() is not None


def test_a_window_is_cut_to_hold_less_than_a_cap() -> None:
    limits = AnswerLimits()
    limits.note_cap(200)
    plan = WindowPlanner(Window(START, START + DAY), most_rows=4_000, most_at_once=10_000, limits=limits)
    assert plan.is_too_full(plan.whole, 201.0)
    assert not plan.is_too_full(plan.whole, 200.0)
    assert plan.is_worth_splitting(plan.whole, seen([START + 10.0 * number for number in range(100)]))

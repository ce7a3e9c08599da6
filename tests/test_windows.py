import math
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from nxcdr_async import ConfigurationError
from nxcdr_async.windows import MOST_PARTS, Density, Window, WindowPlan, in_time_order, window_of

DAY = 86_400
EARLIEST, LATEST = datetime(1990, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - hypothesis wants naive bounds
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


def tiles(parts: list[Window], whole: Window) -> bool:
    edges = [whole.start, *(part.start for part in parts[1:]), whole.end]
    return all(part == Window(*pair) for part, pair in zip(parts, pairwise(edges), strict=True))


@given(windows(), st.integers(-3, 5000))
def test_parts_tile_a_window_exactly(window: Window, count: int) -> None:
    parts = window.parts(count)
    assert tiles(parts, window)
    assert len(parts) == max(1, min(count, window.seconds))


@given(windows(), st.integers(1, 50))
def test_parts_are_of_about_the_same_width_and_none_is_empty(window: Window, count: int) -> None:
    widths = [part.seconds for part in window.parts(count)]
    assert min(widths) >= 1
    assert max(widths) - min(widths) <= 1


def test_a_window_is_asked_for_with_a_second_of_overlap() -> None:
    assert Window(100, 200).bounds == (99, 200)


@given(
    windows(),
    st.integers(1, 2000),
    st.lists(st.tuples(st.integers(1, 64), st.booleans(), st.data()), max_size=8),
    st.integers(1, 64),
)
@settings(deadline=None, max_examples=150)
def test_a_plan_tiles_its_range_whatever_it_learns_and_however_many_read(
    whole: Window, most_rows: int, steps: list[tuple[int, bool, st.DataObject]], readers: int
) -> None:
    plan = WindowPlan(whole, most_rows=most_rows, fewest_rows=max(1, most_rows // 5))
    assert plan.next(readers=readers) == whole
    first = steps[0][2].draw(starts_in(whole)) if steps else []
    cut = plan.split(whole, first, plan.estimate(whole, first) or 1.0)
    if whole.seconds == 1:
        assert cut == [whole]
        assert plan.next(readers=readers) is None
        return
    assert cut == []
    given_out: list[Window] = []
    for some, is_split, data in steps:
        window = plan.next(readers=some)
        if window is None:
            break
        given_out.append(window)
        starts = data.draw(starts_in(window))
        if is_split:
            assert tiles(plan.split(window, starts, max(1.0, plan.estimate(window, starts))), window)
        else:
            plan.density.learn(window, starts)
    # The rest in one go: as if no call came any more, so that it does not take for ever.
    plan.most_rows = plan.fewest_rows = 10**12
    while (window := plan.next(readers=readers)) is not None:
        given_out.append(window)
    assert tiles(given_out, whole)


def test_the_whole_range_is_asked_for_first_and_alone() -> None:
    plan = WindowPlan(Window(START, START + DAY), most_rows=1000, fewest_rows=200)
    assert plan.next(readers=8) == plan.whole
    assert plan.next(readers=8) is None


@given(windows(), st.data(), st.integers(1, 64))
@settings(deadline=None)
def test_a_split_range_is_not_given_out_whole_again(whole: Window, data: st.DataObject, readers: int) -> None:
    plan = WindowPlan(whole, most_rows=1000, fewest_rows=200)
    plan.next(readers=readers)
    starts = data.draw(starts_in(whole))
    plan.split(whole, starts, max(1.0, plan.estimate(whole, starts)))
    assert plan.next(readers=readers) != whole


def test_a_burst_in_a_corner_does_not_have_the_range_read_whole_again() -> None:
    # Out of order, and all in the last 5 seconds, which are an hour of the clock of their own.
    whole = Window(START + 55, START + 3605)
    starts = [whole.end - 5 + (number * 7 % 50) / 10 for number in range(300)]
    plan = WindowPlan(whole, most_rows=1000, fewest_rows=200)
    plan.next(readers=8)
    assert plan.is_too_full(whole, starts)
    plan.split(whole, starts, 300.0)
    assert plan.next(readers=8) != whole


def test_windows_are_cut_to_hold_as_many_calls_as_wanted() -> None:
    whole = Window(START, START + 30 * DAY)
    plan = WindowPlan(whole, most_rows=1000, fewest_rows=200)
    plan.next(readers=1)
    starts = [START + number * 1.0 for number in range(300)]  # one call a second
    plan.split(whole, starts, plan.estimate(whole, starts))
    window = plan.next(readers=1)
    assert window is not None
    assert 900 <= window.seconds <= 1100


def test_windows_get_smaller_towards_the_end_so_that_all_readers_stay_busy() -> None:
    whole = Window(START, START + 4000)
    plan = WindowPlan(whole, most_rows=1000, fewest_rows=200)
    plan.next(readers=4)
    starts = [START + number * 1.0 for number in range(300)]
    plan.split(whole, starts, plan.estimate(whole, starts))
    widths = []
    while (window := plan.next(readers=4)) is not None:
        widths.append(window.seconds)
    assert len(widths) >= 8
    assert widths[0] == max(widths)


def test_a_busy_hour_gets_narrower_windows_than_a_quiet_one() -> None:
    density = Density()
    for hour in range(24):
        window = Window(START + hour * 3600, START + (hour + 1) * 3600)
        calls = 3600 if hour == 10 else 36
        density.learn(window, [window.start + number * 3600 / calls for number in range(calls)])
    plan = WindowPlan(Window(START + 7 * DAY, START + 8 * DAY), most_rows=500, fewest_rows=500, density=density)
    plan.split(plan.whole, [], 5000.0)
    cut = []
    while (window := plan.next(readers=8)) is not None:
        cut.append(window)
    busy = [
        window for window in cut if window.start // 3600 == window.end // 3600 == (plan.whole.start + 36000) // 3600
    ]
    assert len(busy) >= 4
    assert len(cut) <= 14


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


@given(windows(), st.data())
def test_a_window_is_thought_to_hold_at_least_what_was_seen_of_it(window: Window, data: st.DataObject) -> None:
    starts = data.draw(starts_in(window))
    plan = WindowPlan(window, most_rows=1000, fewest_rows=200)
    assert plan.estimate(window, starts) >= len(starts)


def test_calls_in_order_of_time_tell_how_full_a_window_is() -> None:
    window = Window(START, START + 1000)
    plan = WindowPlan(window, most_rows=1000, fewest_rows=200)
    rising = [START + number / 10 for number in range(101)]
    assert plan.estimate(window, rising) == pytest.approx(10_100)
    assert plan.estimate(window, rising[::-1]) == pytest.approx(10_100)
    assert plan.estimate(window, [rising[0], rising[-1], *rising[1:-1]]) == 101


def test_one_second_is_never_too_full_as_it_cannot_be_split() -> None:
    plan = WindowPlan(Window(START, START + 10), most_rows=10, fewest_rows=2)
    assert not plan.is_too_full(Window(START, START + 1), [float(START)] * 10_000)


@given(windows(), st.floats(1, 1e9))
def test_a_full_window_is_split_into_two_to_thirty_two(window: Window, rows: float) -> None:
    plan = WindowPlan(Window(window.start, window.end + 10), most_rows=1000, fewest_rows=200)
    parts = plan.split(window, [], rows)
    assert tiles(parts, window)
    assert min(2, window.seconds) <= len(parts) <= MOST_PARTS


@given(st.lists(st.integers(0, 5).map(float), max_size=5))
def test_times_are_in_order_if_they_only_rise_or_only_fall(starts: list[float]) -> None:
    expected = len(starts) > 1 and starts in (sorted(starts), sorted(starts, reverse=True))
    assert in_time_order(starts) is expected


@given(
    st.datetimes(EARLIEST, LATEST),
    st.timedeltas(timedelta(microseconds=1), timedelta(days=400)),
    st.integers(-12, 14),
)
def test_the_window_of_a_range_is_the_whole_seconds_that_cover_it(
    naive: datetime, width: timedelta, offset: int
) -> None:
    start = naive.replace(tzinfo=timezone(timedelta(hours=offset)))
    end = start + width
    window = window_of(start, end)
    assert window.start == math.floor(start.timestamp()) <= start.timestamp()
    assert window.end == math.ceil(end.timestamp()) >= end.timestamp()
    assert window.seconds >= 1


@pytest.mark.parametrize("name", ["start", "end"])
def test_a_naive_time_is_refused_with_the_way_to_mend_it(name: str) -> None:
    times = {"start": datetime(2026, 1, 1, tzinfo=UTC), "end": datetime(2026, 1, 2, tzinfo=UTC)}
    times[name] = times[name].replace(tzinfo=None)
    with pytest.raises(ConfigurationError, match=rf"{name} has no time zone.*{name}\.replace\(tzinfo=datetime\.UTC\)"):
        window_of(**times)


@pytest.mark.parametrize("wrong", ["2026-01-01", 1_767_225_600, None])
def test_what_is_no_datetime_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="start must be a datetime with a zone"):
        window_of(wrong, datetime(2026, 1, 2, tzinfo=UTC))  # type: ignore[arg-type]


@pytest.mark.parametrize("later", [timedelta(0), timedelta(seconds=-1)])
def test_an_end_that_is_not_after_the_start_is_refused(later: timedelta) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ConfigurationError, match="must be after start"):
        window_of(start, start + later)

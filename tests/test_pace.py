import math
import random

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.limits.rate import FIRST_STEP, LOWEST_PACE, PACE_KEPT, Pace


def refuse(pace: Pace, now: float, *, rate: float = 50.0, taken: float = 49.0) -> bool:
    return pace.refused(now, now, rate=rate, taken=taken, pause=0.0)


def refuse_some(pace: Pace, now: float, *, rate: float = 50.0, taken: float = 49.0) -> None:
    """Refuse as many as have to have a reason."""
    while not refuse(pace, now, rate=rate, taken=taken):
        assert pace._share < 0.1


def answer(pace: Pace, now: float, count: int, *, was_paced: bool = True) -> float:
    """Have so many good replies come; return the time after them."""
    for _ in range(count):
        now += 0.02
        pace.taken(now, now, was_paced=was_paced)
    return now


def found_pace() -> tuple[Pace, float]:
    """Return a pace that was found and judged to be of use, and the time."""
    pace = Pace()
    refuse_some(pace, 1.0)
    now = 1.0
    while pace._trial is not None:
        now = answer(pace, now, 1, was_paced=False)
    return pace, now


def test_there_is_no_pace_before_a_refusal() -> None:
    pace = Pace()
    answer(pace, 0.0, 1_000)
    assert math.isinf(pace.value)


def test_refusals_set_the_pace_just_below_what_was_taken() -> None:
    pace = Pace()
    refuse_some(pace, 1.0)
    assert pace.value == 50 * PACE_KEPT


def test_a_single_refusal_among_many_replies_sets_no_pace() -> None:
    pace = Pace()
    for number in range(10):
        answer(pace, number * 10.0, 100, was_paced=False)
        assert not refuse(pace, number * 10.0 + 9)
    assert math.isinf(pace.value)


def test_a_refusal_where_requests_were_taken_more_quickly_leaves_the_pace_alone() -> None:
    pace = Pace()
    assert not refuse(pace, 1.0, rate=50, taken=60)
    assert math.isinf(pace.value)


def test_below_one_a_second_it_falls_faster_but_not_below_what_was_taken() -> None:
    pace, other = Pace(), Pace()
    refuse_some(pace, 1.0, rate=0.8, taken=0.1)
    refuse_some(other, 1.0, rate=0.8, taken=0.7)
    assert pace.value == pytest.approx(0.8 * 0.7)
    assert other.value == pytest.approx(0.7 * PACE_KEPT)


def test_a_pace_that_ends_the_refusals_is_kept() -> None:
    pace, _ = found_pace()
    assert pace.value == 50 * PACE_KEPT


def test_a_pace_that_does_not_end_the_refusals_is_given_up() -> None:
    pace, now, chance = Pace(), 0.0, random.Random(1)
    refuse_some(pace, now)
    for _ in range(400):
        now += 0.02
        if chance.random() < 0.1:
            refuse(pace, now)
        else:
            pace.taken(now, now, was_paced=False)
    assert math.isinf(pace.value)


def test_a_pace_that_was_given_up_is_not_stepped_back_to() -> None:
    pace, now, chance = Pace(), 0.0, random.Random(1)
    refuse_some(pace, now)
    while not math.isinf(pace.value):
        now += 0.02
        if chance.random() < 0.3:
            refuse(pace, now)
        else:
            pace.taken(now, now, was_paced=True)
    assert not refuse(pace, now + 1)


def test_a_refusal_without_a_rate_before_it_lowers_nothing() -> None:
    pace = Pace()
    refuse_some(pace, 1.0)
    assert not pace.refused(1.1, 1.1, rate=None, taken=0.0, pause=0.0)
    assert pace.value == 50 * PACE_KEPT


def test_requests_sent_before_the_pace_was_lowered_do_not_lower_it_again() -> None:
    pace, now = found_pace()
    now = answer(pace, now, 200)
    refuse(pace, now)
    lowered = pace.value
    assert pace.refused(now - 0.01, now + 0.1, rate=20.0, taken=19.0, pause=0.0)
    assert pace.value == lowered


def test_more_is_tried_after_a_while_in_growing_steps() -> None:
    pace, now = found_pace()
    before = pace.value
    steps: list[float] = []
    while len(steps) < 4:
        last = pace.value
        now = answer(pace, now, 1)
        if pace.value != last:
            steps.append(pace.value / last - 1)
    assert pace.value > before
    assert steps == pytest.approx([FIRST_STEP * 2**number for number in range(4)])


def test_a_try_that_is_refused_goes_back_to_the_pace_before_it() -> None:
    pace, now = found_pace()
    before = pace.value
    while pace.value == before:
        now = answer(pace, now, 1)
    assert refuse(pace, now + 0.1, rate=50, taken=49)
    assert pace.value == before


def test_a_pace_that_nobody_waits_for_is_not_raised() -> None:
    pace, now = found_pace()
    before = pace.value
    for number in range(1_000):
        pace.taken(now + number, now + number, was_paced=False)
    assert pace.value == before


@given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 5.0), st.floats(0.0, 1e5)), max_size=200))
def test_a_pace_never_falls_below_the_lowest_whatever_happens(events: list[tuple[bool, float, float]]) -> None:
    pace, now = Pace(), 0.0
    for is_good, apart, rate in events:
        now += apart
        if is_good:
            pace.taken(now, now, was_paced=True)
        else:
            refuse(pace, now, rate=rate, taken=rate / 2)
        assert pace.value >= LOWEST_PACE

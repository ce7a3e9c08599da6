import math
import random

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.limits.rate import (
    EXCESS_TO_CHECK,
    FIRST_STEP,
    LOWEST_RATE,
    RATE_KEPT,
    THROTTLED_TO_CONFIRM,
    AdaptiveRate,
)


def refuse(adaptive_rate: AdaptiveRate, now: float, *, rate: float = 50.0, highest_rate: float = 49.0) -> bool:
    return adaptive_rate.on_throttled(now, now, rate=rate, highest_rate=highest_rate, pause=0.0)


def refuse_some(adaptive_rate: AdaptiveRate, now: float, *, rate: float = 50.0, highest_rate: float = 49.0) -> None:
    """Refuse as many as have to have a reason."""
    while not refuse(adaptive_rate, now, rate=rate, highest_rate=highest_rate):
        assert adaptive_rate._throttled_share < 0.1


def answer(
    adaptive_rate: AdaptiveRate, now: float, count: int, *, waited_for_rate: bool = True, rate: float = 0.0
) -> float:
    """Have so many good replies come; return the time after them."""
    for _ in range(count):
        now += 0.02
        adaptive_rate.on_success(now, now, rate=rate, waited_for_rate=waited_for_rate)
    return now


def checked_rate() -> tuple[AdaptiveRate, float]:
    """Return a rate that was found and judged to be of use, as it begins to be checked, and the time."""
    adaptive_rate, now = AdaptiveRate(), 1.0
    refuse_some(adaptive_rate, now)
    while adaptive_rate.value == 50 * RATE_KEPT:
        now = answer(adaptive_rate, now, 1, waited_for_rate=False)
    return adaptive_rate, now


def found_rate() -> tuple[AdaptiveRate, float]:
    """Return a rate that was found, judged to be of use, and confirmed by a check, and the time."""
    adaptive_rate, now = checked_rate()
    for _ in range(THROTTLED_TO_CONFIRM):
        now += 0.02
        assert refuse(adaptive_rate, now)
    return adaptive_rate, now


def test_there_is_no_rate_before_a_refusal() -> None:
    adaptive_rate = AdaptiveRate()
    answer(adaptive_rate, 0.0, 1_000)
    assert math.isinf(adaptive_rate.value)


def test_refusals_set_the_rate_just_below_what_was_taken() -> None:
    adaptive_rate = AdaptiveRate()
    refuse_some(adaptive_rate, 1.0)
    assert adaptive_rate.value == 50 * RATE_KEPT


def test_a_single_refusal_among_many_replies_sets_no_rate() -> None:
    adaptive_rate = AdaptiveRate()
    for number in range(10):
        answer(adaptive_rate, number * 10.0, 100, waited_for_rate=False)
        assert not refuse(adaptive_rate, number * 10.0 + 9)
    assert math.isinf(adaptive_rate.value)


def test_a_refusal_where_requests_were_taken_more_quickly_leaves_the_rate_alone() -> None:
    adaptive_rate = AdaptiveRate()
    assert not refuse(adaptive_rate, 1.0, rate=50, highest_rate=60)
    assert math.isinf(adaptive_rate.value)


def test_below_one_a_second_it_falls_faster_but_not_below_what_was_taken() -> None:
    adaptive_rate, other = AdaptiveRate(), AdaptiveRate()
    refuse_some(adaptive_rate, 1.0, rate=0.8, highest_rate=0.1)
    refuse_some(other, 1.0, rate=0.8, highest_rate=0.7)
    assert adaptive_rate.value == pytest.approx(0.8 * 0.7)
    assert other.value == pytest.approx(0.7 * RATE_KEPT)


def test_a_rate_that_ends_the_refusals_is_kept() -> None:
    adaptive_rate, _ = found_rate()
    assert adaptive_rate.value == 50 * RATE_KEPT


def test_a_rate_is_checked_by_exceeding_it() -> None:
    adaptive_rate, _ = checked_rate()
    assert adaptive_rate.value == pytest.approx(50 * RATE_KEPT * EXCESS_TO_CHECK)


def test_a_rate_that_can_be_exceeded_is_dropped_within_a_second() -> None:
    adaptive_rate, now = checked_rate()
    answer(adaptive_rate, now, int(1.1 / 0.02), rate=60)
    assert math.isinf(adaptive_rate.value)


def test_a_rate_that_nobody_needs_stays_on_check() -> None:
    adaptive_rate, now = checked_rate()
    answer(adaptive_rate, now, 500, waited_for_rate=False)
    assert not math.isinf(adaptive_rate.value)


def test_a_rate_that_was_not_exceeded_stays_on_check() -> None:
    adaptive_rate, now = checked_rate()
    answer(adaptive_rate, now, 500, rate=40)
    assert not math.isinf(adaptive_rate.value)


def test_a_rate_that_was_dropped_is_not_taken_again_at_once() -> None:
    adaptive_rate, now = checked_rate()
    now = answer(adaptive_rate, now, 100, rate=60)
    for _ in range(2):
        refuse(adaptive_rate, now + 0.1)
    assert math.isinf(adaptive_rate.value)


def test_refusals_at_rates_that_were_accepted_later_set_no_rate() -> None:
    adaptive_rate = AdaptiveRate()
    for number in range(20):
        rate = 20.0 * 1.2**number
        assert not refuse(adaptive_rate, number / 10, rate=rate, highest_rate=rate)
        adaptive_rate.on_success(number / 10, number / 10 + 0.05, rate=rate * 1.2, waited_for_rate=False)
    assert math.isinf(adaptive_rate.value)


def test_a_rate_that_does_not_end_the_refusals_is_given_up() -> None:
    adaptive_rate, now, chance = AdaptiveRate(), 0.0, random.Random(1)
    refuse_some(adaptive_rate, now)
    for _ in range(400):
        now += 0.02
        if chance.random() < 0.1:
            refuse(adaptive_rate, now)
        else:
            adaptive_rate.on_success(now, now, rate=0.0, waited_for_rate=False)
    assert math.isinf(adaptive_rate.value)


def test_a_rate_that_was_given_up_is_not_stepped_back_to() -> None:
    adaptive_rate, now, chance = AdaptiveRate(), 0.0, random.Random(1)
    refuse_some(adaptive_rate, now)
    while not math.isinf(adaptive_rate.value):
        now += 0.02
        if chance.random() < 0.3:
            refuse(adaptive_rate, now)
        else:
            adaptive_rate.on_success(now, now, rate=0.0, waited_for_rate=True)
    assert not refuse(adaptive_rate, now + 1)


def test_a_refusal_without_a_rate_before_it_lowers_nothing() -> None:
    adaptive_rate = AdaptiveRate()
    refuse_some(adaptive_rate, 1.0)
    assert not adaptive_rate.on_throttled(1.1, 1.1, rate=None, highest_rate=0.0, pause=0.0)
    assert adaptive_rate.value == 50 * RATE_KEPT


def test_requests_sent_before_the_rate_was_lowered_do_not_lower_it_again() -> None:
    adaptive_rate, now = found_rate()
    now = answer(adaptive_rate, now, 200)
    refuse(adaptive_rate, now)
    lowered = adaptive_rate.value
    assert adaptive_rate.on_throttled(now - 0.01, now + 0.1, rate=20.0, highest_rate=19.0, pause=0.0)
    assert adaptive_rate.value == lowered


def test_more_is_tried_after_a_while_in_growing_steps() -> None:
    adaptive_rate, now = found_rate()
    before = adaptive_rate.value
    steps: list[float] = []
    while len(steps) < 4:
        last = adaptive_rate.value
        now = answer(adaptive_rate, now, 1)
        if adaptive_rate.value != last:
            steps.append(adaptive_rate.value / last - 1)
    assert adaptive_rate.value > before
    assert steps == pytest.approx([FIRST_STEP * 2**number for number in range(4)])


def test_a_try_that_is_refused_goes_back_to_the_rate_before_it() -> None:
    adaptive_rate, now = found_rate()
    before = adaptive_rate.value
    while adaptive_rate.value == before:
        now = answer(adaptive_rate, now, 1)
    assert refuse(adaptive_rate, now + 0.1, rate=50, highest_rate=49)
    assert adaptive_rate.value == before


def test_a_rate_that_nobody_waits_for_is_not_raised() -> None:
    adaptive_rate, now = found_rate()
    before = adaptive_rate.value
    for number in range(1_000):
        adaptive_rate.on_success(now + number, now + number, rate=0.0, waited_for_rate=False)
    assert adaptive_rate.value == before


@given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 5.0), st.floats(0.0, 1e5)), max_size=200))
def test_a_rate_never_falls_below_the_lowest_whatever_happens(events: list[tuple[bool, float, float]]) -> None:
    adaptive_rate, now = AdaptiveRate(), 0.0
    for is_good, apart, rate in events:
        now += apart
        if is_good:
            adaptive_rate.on_success(now, now, rate=0.0, waited_for_rate=True)
        else:
            refuse(adaptive_rate, now, rate=rate, highest_rate=rate / 2)
        assert adaptive_rate.value >= LOWEST_RATE

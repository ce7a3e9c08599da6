import math

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.limits.concurrency import FIRST_LIMIT, HIGHEST_LIMIT, SHRINK, Allowance, Start


def starts(allowance: Allowance, count: int, *, at: float = 0.0, apart: float = 0.001) -> list[Start]:
    """Have so many requests start that are in flight together."""
    return [allowance.start(at + number * apart, in_flight=number + 1, was_paced=False) for number in range(count)]


def take_all(allowance: Allowance, started: list[Start], now: float) -> None:
    for start in started:
        allowance.taken(start, now, in_flight=len(started))


def test_good_replies_raise_the_limit_while_at_least_half_of_it_is_in_use() -> None:
    allowance = Allowance()
    take_all(allowance, starts(allowance, FIRST_LIMIT // 2), 1.0)
    assert allowance.limit > FIRST_LIMIT


def test_a_limit_that_is_not_half_in_use_stays() -> None:
    allowance = Allowance()
    for number in range(100):
        take_all(allowance, starts(allowance, FIRST_LIMIT // 2 - 1, at=number), number + 0.5)
    assert allowance.limit == FIRST_LIMIT


def test_a_refusal_with_more_in_flight_than_were_taken_leaves_room_for_the_others() -> None:
    allowance = Allowance()
    started = starts(allowance, 8)
    allowance.refused(started[5], 0.1)
    assert (allowance.limit, allowance.refused_at) == (5, 6)
    assert math.isinf(allowance.pace)


def test_refusals_with_as_many_in_flight_as_were_taken_set_a_pace() -> None:
    allowance = Allowance()
    for number in range(100):
        take_all(allowance, starts(allowance, 1, at=number / 50), (number + 1) / 50)
    limit = allowance.limit
    for _ in range(2):
        allowance.refused(allowance.start(1.9999, in_flight=1, was_paced=False), 2.0)
    assert allowance.pace == pytest.approx(50 * 0.97)
    assert allowance.limit >= limit * SHRINK


def test_many_that_start_at_once_after_a_pause_are_no_rate() -> None:
    allowance = Allowance()
    take_all(allowance, starts(allowance, 3), 1.0)
    for start in starts(allowance, 3, at=60.0):
        allowance.refused(start, 60.1)
    assert math.isinf(allowance.pace)


def test_after_a_pause_that_the_gateway_asked_for_what_starts_at_once_is_its_rate() -> None:
    allowance = Allowance()
    take_all(allowance, starts(allowance, 8), 0.1)
    allowance.refused(allowance.start(0.2, in_flight=1, was_paced=False), 0.2, pause=30.0)
    for number in range(10):
        take_all(allowance, starts(allowance, 1, at=30.2 + number / 50), 30.3 + number / 50)
    allowance.refused(allowance.start(30.5, in_flight=1, was_paced=False), 30.5, pause=30.0)
    assert allowance.pace == pytest.approx(10 * 0.97)


def test_what_was_refused_an_hour_ago_tells_nothing_now() -> None:
    allowance = Allowance()
    for start in starts(allowance, 8):
        allowance.refused(start, 0.1)
    allowance.refused(allowance.start(3_600.0, in_flight=8, was_paced=False), 3_600.1)
    assert allowance._at_once._refused[7] < 0.001


def test_a_refusal_that_nothing_explains_cuts_the_limit() -> None:
    allowance = Allowance()
    for number in range(100):
        take_all(allowance, starts(allowance, 4, at=number / 10), number / 10 + 0.05)
    limit = allowance.limit
    allowance.refused(allowance.start(30.0, in_flight=1, was_paced=False), 30.1)
    assert allowance.limit == pytest.approx(limit * SHRINK)
    assert math.isinf(allowance.pace)


def test_a_reply_that_did_not_come_in_time_cuts_the_limit_once_for_all_that_were_in_flight() -> None:
    allowance = Allowance()
    started = starts(allowance, 8)
    for start in started:
        allowance.strained(start, 30.0)
    assert allowance.limit == pytest.approx(FIRST_LIMIT * SHRINK)
    allowance.strained(allowance.start(31.0, in_flight=1, was_paced=False), 61.0)
    assert allowance.limit == pytest.approx(FIRST_LIMIT * SHRINK * SHRINK)


def test_the_limit_grows_to_just_below_where_it_was_refused_and_waits_there() -> None:
    allowance = Allowance()
    allowance.refused(starts(allowance, 8)[5], 0.1)
    for number in range(15):
        take_all(allowance, starts(allowance, int(allowance.limit), at=1 + number / 100), 1 + number / 100)
    assert int(allowance.limit) == 5


def test_where_it_was_refused_is_tried_again_after_a_while_and_passed_if_a_round_of_replies_is_good() -> None:
    allowance = Allowance()
    allowance.refused(starts(allowance, 8)[5], 0.1)
    now = 0.0
    while allowance.refused_at is not None:
        now += 0.1
        assert now < 20
        take_all(allowance, starts(allowance, int(allowance.limit), at=now), now + 0.05)
    assert allowance.limit >= 6


def test_sessions_that_ask_for_a_fixed_number_together_start_with_it() -> None:
    allowance = Allowance()
    allowance.expect(200)
    assert allowance.limit == allowance.highest == 200


def test_what_was_refused_before_is_not_forgotten_for_a_session_that_joins() -> None:
    allowance = Allowance()
    allowance.refused(starts(allowance, 8)[3], 0.1)
    allowance.expect(200)
    assert allowance.limit == 3


def test_what_is_remembered_does_not_grow_with_the_number_of_requests() -> None:
    allowance = Allowance()
    for number in range(20_000):
        take_all(allowance, starts(allowance, 1, at=number / 10), number / 10 + 0.05)
    assert len(allowance._starts._times) < 500


@given(st.lists(st.tuples(st.sampled_from(["good", "refused", "late"]), st.floats(0.0, 10.0)), max_size=200))
def test_the_limit_stays_between_one_and_the_highest_whatever_happens(events: list[tuple[str, float]]) -> None:
    allowance, now = Allowance(), 0.0
    for kind, apart in events:
        in_flight = int(allowance.limit)
        started = allowance.start(now, in_flight=in_flight, was_paced=False)
        now += apart
        if kind == "good":
            allowance.taken(started, now, in_flight=in_flight)
        elif kind == "refused":
            allowance.refused(started, now)
        else:
            allowance.strained(started, now)
        assert 1 <= allowance.limit <= HIGHEST_LIMIT
        assert allowance.pace > 0

import math

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.limits.concurrency import FIRST_LIMIT, HIGHEST_LIMIT, SHRINK, AdaptiveConcurrency, RequestStart


def starts(
    concurrency: AdaptiveConcurrency, count: int, *, at: float = 0.0, apart: float = 0.001
) -> list[RequestStart]:
    """Have so many requests start that are in flight together."""
    return [
        concurrency.start(at + number * apart, in_flight=number + 1, waited_for_rate=False) for number in range(count)
    ]


def take_all(concurrency: AdaptiveConcurrency, started: list[RequestStart], now: float) -> None:
    for start in started:
        concurrency.on_success(start, now, in_flight=len(started))


def refuse_from(concurrency: AdaptiveConcurrency, in_flight: int) -> None:
    """Refuse all of eight requests that start with so many in flight or more, the last one first."""
    for start in reversed(starts(concurrency, 8)[in_flight - 1 :]):
        concurrency.on_throttled(start, 0.1)


def test_a_single_refusal_may_be_chance_and_lowers_the_limit_by_little() -> None:
    concurrency = AdaptiveConcurrency()
    concurrency.on_throttled(starts(concurrency, 8)[7], 0.1)
    assert (concurrency.limit, concurrency.throttled_at) == (7, None)


def test_a_refusal_that_asks_for_a_pause_is_no_chance() -> None:
    concurrency = AdaptiveConcurrency()
    concurrency.on_throttled(starts(concurrency, 8)[5], 0.1, pause=3.0)
    assert (concurrency.limit, concurrency.throttled_at) == (5, 6)


def test_a_second_refusal_in_the_same_place_is_no_chance_however_late_it_comes() -> None:
    concurrency = AdaptiveConcurrency()
    concurrency.on_throttled(starts(concurrency, 8)[7], 0.1)
    take_all(concurrency, starts(concurrency, 7, at=30.0), 30.1)
    concurrency.on_throttled(starts(concurrency, 8, at=60.0)[7], 60.1)
    assert concurrency.throttled_at == 8


def test_good_replies_raise_the_limit_while_at_least_half_of_it_is_in_use() -> None:
    concurrency = AdaptiveConcurrency()
    take_all(concurrency, starts(concurrency, FIRST_LIMIT // 2), 1.0)
    assert concurrency.limit > FIRST_LIMIT


def test_a_limit_that_is_not_half_in_use_stays() -> None:
    concurrency = AdaptiveConcurrency()
    for number in range(100):
        take_all(concurrency, starts(concurrency, FIRST_LIMIT // 2 - 1, at=number), number + 0.5)
    assert concurrency.limit == FIRST_LIMIT


def test_a_refusal_with_more_in_flight_than_were_taken_leaves_room_for_the_others() -> None:
    concurrency = AdaptiveConcurrency()
    started = starts(concurrency, 8)
    for start in (started[6], started[5]):
        concurrency.on_throttled(start, 0.1)
    assert (concurrency.limit, concurrency.throttled_at) == (5, 6)
    assert math.isinf(concurrency.rate)


def test_refusals_with_as_many_in_flight_as_were_taken_set_a_rate() -> None:
    concurrency = AdaptiveConcurrency()
    for number in range(100):
        take_all(concurrency, starts(concurrency, 1, at=number / 50), (number + 1) / 50)
    limit = concurrency.limit
    for _ in range(2):
        concurrency.on_throttled(concurrency.start(1.9999, in_flight=1, waited_for_rate=False), 2.0)
    assert concurrency.rate == pytest.approx(50 * 0.97)
    assert concurrency.limit >= limit * SHRINK


def test_many_that_start_at_once_after_a_pause_are_no_rate() -> None:
    concurrency = AdaptiveConcurrency()
    take_all(concurrency, starts(concurrency, 3), 1.0)
    for start in starts(concurrency, 3, at=60.0):
        concurrency.on_throttled(start, 60.1)
    assert math.isinf(concurrency.rate)


def test_after_a_pause_that_the_gateway_asked_for_what_starts_at_once_is_its_rate() -> None:
    concurrency = AdaptiveConcurrency()
    take_all(concurrency, starts(concurrency, 8), 0.1)
    concurrency.on_throttled(concurrency.start(0.2, in_flight=1, waited_for_rate=False), 0.2, pause=30.0)
    for number in range(10):
        take_all(concurrency, starts(concurrency, 1, at=30.2 + number / 50), 30.3 + number / 50)
    concurrency.on_throttled(concurrency.start(30.5, in_flight=1, waited_for_rate=False), 30.5, pause=30.0)
    assert concurrency.rate == pytest.approx(10 * 0.97)


def test_what_was_refused_an_hour_ago_tells_nothing_now() -> None:
    concurrency = AdaptiveConcurrency()
    for start in starts(concurrency, 8):
        concurrency.on_throttled(start, 0.1)
    concurrency.on_throttled(concurrency.start(3_600.0, in_flight=8, waited_for_rate=False), 3_600.1)
    assert concurrency._by_in_flight._throttled[7] < 0.001


def test_a_refusal_that_nothing_explains_cuts_the_limit() -> None:
    concurrency = AdaptiveConcurrency()
    for number in range(100):
        take_all(concurrency, starts(concurrency, 4, at=number / 10), number / 10 + 0.05)
    limit = concurrency.limit
    concurrency.on_throttled(concurrency.start(30.0, in_flight=1, waited_for_rate=False), 30.1)
    assert concurrency.limit == pytest.approx(limit * SHRINK)
    assert math.isinf(concurrency.rate)


def test_a_reply_that_did_not_come_in_time_cuts_the_limit_once_for_all_that_were_in_flight() -> None:
    concurrency = AdaptiveConcurrency()
    started = starts(concurrency, 8)
    for start in started:
        concurrency.on_timeout(start, 30.0)
    assert concurrency.limit == pytest.approx(FIRST_LIMIT * SHRINK)
    concurrency.on_timeout(concurrency.start(31.0, in_flight=1, waited_for_rate=False), 61.0)
    assert concurrency.limit == pytest.approx(FIRST_LIMIT * SHRINK * SHRINK)


def test_the_limit_grows_to_just_below_where_it_was_refused_and_waits_there() -> None:
    concurrency = AdaptiveConcurrency()
    refuse_from(concurrency, 6)
    for number in range(15):
        take_all(concurrency, starts(concurrency, int(concurrency.limit), at=1 + number / 100), 1 + number / 100)
    assert int(concurrency.limit) == 5


def test_where_it_was_refused_is_tried_again_after_a_while_and_passed_if_a_round_of_replies_is_good() -> None:
    concurrency = AdaptiveConcurrency()
    refuse_from(concurrency, 6)
    now = 0.0
    while concurrency.throttled_at is not None:
        now += 0.1
        assert now < 20
        take_all(concurrency, starts(concurrency, int(concurrency.limit), at=now), now + 0.05)
    assert concurrency.limit >= 6


def test_sessions_that_ask_for_a_fixed_number_together_start_with_it() -> None:
    concurrency = AdaptiveConcurrency()
    concurrency.allow_at_least(200)
    assert concurrency.limit == concurrency.highest == 200


def test_what_was_refused_before_is_not_forgotten_for_a_session_that_joins() -> None:
    concurrency = AdaptiveConcurrency()
    refuse_from(concurrency, 4)
    concurrency.allow_at_least(200)
    assert concurrency.limit == 3


def test_what_is_remembered_does_not_grow_with_the_number_of_requests() -> None:
    concurrency = AdaptiveConcurrency()
    for number in range(20_000):
        take_all(concurrency, starts(concurrency, 1, at=number / 10), number / 10 + 0.05)
    assert len(concurrency._starts._times) < 500


@given(st.lists(st.tuples(st.sampled_from(["good", "refused", "late"]), st.floats(0.0, 10.0)), max_size=200))
def test_the_limit_stays_between_one_and_the_highest_whatever_happens(events: list[tuple[str, float]]) -> None:
    concurrency, now = AdaptiveConcurrency(), 0.0
    for kind, apart in events:
        in_flight = int(concurrency.limit)
        started = concurrency.start(now, in_flight=in_flight, waited_for_rate=False)
        now += apart
        if kind == "good":
            concurrency.on_success(started, now, in_flight=in_flight)
        elif kind == "refused":
            concurrency.on_throttled(started, now)
        else:
            concurrency.on_timeout(started, now)
        assert 1 <= concurrency.limit <= HIGHEST_LIMIT
        assert concurrency.rate > 0

import math
import time
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from itertools import cycle, groupby, islice

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.transport.clock_skew import (
    APART,
    CORRECT_ABOVE,
    LONGEST_UNHEARD,
    PROVEN_WITHIN,
    SAFE_WITHIN,
    ClockEstimate,
    Freshness,
    Interval,
    Moment,
)

NOON = 1_700_000_000.0
TINY = 1e-5  # what floats of today's epoch seconds cannot tell apart


def date_of(moment: float) -> str:
    return formatdate(math.floor(moment), usegmt=True)


def reply(clock: ClockEstimate, *, skew: float, sent: float = NOON, trip: float = 0.1, at: float = 0.5) -> None:
    """Let the clock see a reply of a gateway so far ahead, which wrote its Date at a part of the round trip."""
    clock.observe(sent=sent, received=sent + trip, date=date_of(sent + trip * at + skew))


def ask(clock: ClockEstimate, *, truth: float, date: float | None, at: float = NOON, trip: float = 0.1) -> bool:
    """Ask a gateway whose clock is so far ahead, and whose Date says that it is otherwise; tell if it was accepted."""
    correction = clock.correction
    if date is not None:
        reply(clock, skew=date, sent=at, trip=trip)
    is_accepted = abs(truth + trip / 2 - correction) <= WINDOW
    learn = clock.accepted if is_accepted else clock.refused
    learn(correction, sent=at, received=at + trip)
    return is_accepted


def ask_often(clock: ClockEstimate, dates: Iterable[float | None], *, truth: float = 0.0, each: float = 1.0) -> int:
    """Ask once for each Date that is told; return how many timestamps were refused."""
    return sum(not ask(clock, truth=truth, date=date, at=NOON + each * number) for number, date in enumerate(dates))


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


WINDOW = 60.0  # how far a timestamp may be from the gateway's clock

OBSERVATIONS = st.lists(
    st.tuples(
        st.floats(0, 0.999).map(lambda fraction: NOON + fraction),
        st.integers(0, 10_000),
        st.floats(0, 30),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=20,
)


@given(st.floats(-100_000, 100_000), OBSERVATIONS)
def test_the_bounds_contain_the_true_skew_for_any_consistent_replies(
    skew: float, observations: list[tuple[float, int, float, float]]
) -> None:
    clock = ClockEstimate()
    for start, later, trip, at in observations:
        reply(clock, skew=skew, sent=start + later, trip=trip, at=at)
        assert clock._date is not None
        assert clock._date.least - TINY <= skew <= clock._date.most + TINY


@given(st.floats(-100_000, 100_000), OBSERVATIONS)
def test_quick_replies_measure_the_skew_within_about_a_second(
    skew: float, observations: list[tuple[float, int, float, float]]
) -> None:
    clock = ClockEstimate()
    for start, later, _, at in observations:
        reply(clock, skew=skew, sent=start + later, trip=0.05, at=at)
    assert clock.skew is not None
    assert abs(clock.skew - skew) <= 1.06


@given(st.floats(3600, 100_000) | st.floats(-100_000, -3600), OBSERVATIONS)
def test_the_correction_returns_to_zero_when_the_skew_goes(
    skew: float, observations: list[tuple[float, int, float, float]]
) -> None:
    clock = ClockEstimate()
    for start, later, trip, at in observations:
        reply(clock, skew=skew, sent=start + later, trip=trip, at=at)
    assert abs(clock.correction) > CORRECT_ABOVE
    reply(clock, skew=0.0, sent=NOON + 20_000)
    assert clock.correction == 0
    assert clock.skew == 0


def test_before_the_first_reply_nothing_is_known_and_nothing_corrected() -> None:
    assert ClockEstimate().skew is None
    assert ClockEstimate().correction == 0


@pytest.mark.parametrize("skew", [-2.0, -0.4, 0.0, 0.9, 2.0])
def test_a_skew_of_a_few_seconds_is_left_alone(skew: float) -> None:
    clock = ClockEstimate()
    reply(clock, skew=skew)
    assert clock.correction == 0


@pytest.mark.parametrize("skew", [-3600.0, -61.0, 61.0, 90.0])
def test_a_large_skew_is_corrected(skew: float) -> None:
    clock = ClockEstimate()
    reply(clock, skew=skew)
    assert clock.correction == pytest.approx(skew, abs=1.1)


def test_several_replies_narrow_each_other() -> None:
    clock = ClockEstimate()
    for step in range(10):
        reply(clock, skew=61.35, sent=NOON + step * 1.1, trip=0.01)
    assert clock.skew == pytest.approx(61.35, abs=0.1)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Tue, 99 Foo 2024 99:99:99 GMT", "0", "1700000000"])
def test_a_reply_without_a_readable_date_teaches_nothing(date: str | None) -> None:
    clock = ClockEstimate()
    clock.observe(sent=NOON, received=NOON + 0.1, date=date)
    assert clock.skew is None


def test_a_reply_out_of_a_cache_teaches_nothing() -> None:
    clock = ClockEstimate()
    clock.observe(sent=NOON, received=NOON + 0.1, date=date_of(NOON - 900), age="900")
    assert clock.skew is None


def test_a_reply_received_before_it_was_sent_for_teaches_nothing() -> None:
    clock = ClockEstimate()
    clock.observe(sent=NOON, received=NOON - 1, date=date_of(NOON))
    assert clock.skew is None


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000", ""])
@pytest.mark.usefixtures("far_from_utc")
def test_a_date_without_a_zone_is_utc_wherever_this_machine_stands(zone: str) -> None:
    clock = ClockEstimate()
    date = formatdate(NOON, usegmt=True).replace("GMT", zone).strip()
    clock.observe(sent=NOON, received=NOON + 0.1, date=date)
    assert clock.skew == 0


@given(st.text())
def test_no_date_raises(date: str) -> None:
    ClockEstimate().observe(sent=NOON, received=NOON, date=date)


def test_a_date_that_was_followed_and_refused_is_no_longer_followed() -> None:
    clock = ClockEstimate()
    reply(clock, skew=500)
    assert ask_often(clock, [500.0] * 5) == 1
    assert clock.correction == 0
    assert (clock.skew, clock.source) == (0, "timestamps")


def test_a_refusal_that_shows_another_clock_is_no_reason_for_distrust() -> None:
    clock = ClockEstimate()
    reply(clock, skew=500)
    assert not ask(clock, truth=-200, date=-200)
    assert clock.correction == pytest.approx(-200, abs=1.1)


def test_a_date_that_contradicts_the_first_accepted_timestamp_is_never_followed() -> None:
    clock = ClockEstimate()
    assert ask_often(clock, [172_800.0] * 9) == 0
    assert (clock.skew, clock.source, clock.is_settled) == (0, "timestamps", True)


def test_without_a_date_an_accepted_timestamp_tells_the_clock() -> None:
    clock = ClockEstimate()
    assert (clock.skew, clock.source) == (None, "machine")
    assert ask_often(clock, [None]) == 0
    assert (clock.skew, clock.source) == (0, "timestamps")


def test_another_answer_may_come_from_a_machine_with_another_clock() -> None:
    clock = ClockEstimate()
    assert not ask(clock, truth=500, date=500)
    assert clock.may_be_accepted
    assert not ask(clock, truth=0, date=0, at=NOON + 1)
    assert clock.may_be_accepted
    assert ask(clock, truth=0, date=0, at=NOON + 2)


def test_where_all_clocks_were_refused_nothing_else_may_be_accepted() -> None:
    clock = ClockEstimate()
    assert ask_often(clock, [500.0] * 2, truth=9_000) == 2
    assert not clock.may_be_accepted


def test_a_correction_that_was_accepted_is_tried_again_after_a_refusal_for_no_reason() -> None:
    clock = ClockEstimate()
    reply(clock, skew=500)
    assert ask(clock, truth=500, date=500)
    clock.refused(clock.correction, sent=NOON + 1, received=NOON + 1.1)
    assert clock.may_be_accepted
    assert not clock.is_settled
    assert clock.correction == pytest.approx(500, abs=1.1)


def test_what_was_signed_before_the_last_news_is_no_news() -> None:
    clock = ClockEstimate()
    assert ask(clock, truth=0, date=0)
    clock.observe(sent=NOON + 1, received=NOON + 1.1, date=date_of(NOON + 3601))
    clock.refused(0.0, sent=NOON + 1, received=NOON + 1.1)
    assert ask(clock, truth=3600, date=3600, at=NOON + 2)
    clock.refused(0.0, sent=NOON + 1.05, received=NOON + 2.2)
    clock.accepted(0.0, sent=NOON + 1.05, received=NOON + 2.2)
    assert clock.is_settled
    assert clock.correction == pytest.approx(3600, abs=1.1)


@given(
    truth=st.floats(-40, 40),
    dates=st.lists(st.floats(-200_000, 200_000) | st.floats(-100, 100) | st.none(), min_size=1, max_size=60),
    each=st.floats(0.1, 100),
)
def test_whatever_the_dates_say_the_believed_time_is_within_a_minute_of_an_accepted_timestamp(
    truth: float, dates: list[float | None], each: float
) -> None:
    clock = ClockEstimate()
    for number, date in enumerate(dates):
        stamped = clock.correction
        is_accepted = ask(clock, truth=truth, date=date, at=NOON + each * number)
        assert clock.skew is not None
        if is_accepted:
            assert abs(clock.skew - stamped) <= PROVEN_WITHIN
        assert abs(clock.skew - truth) <= 2 * PROVEN_WITHIN + 1
        assert clock.bounds.least <= clock.skew <= clock.bounds.most


@given(truth=st.floats(-40, 40), dates=st.lists(st.floats(-200_000, 200_000), min_size=1, max_size=5))
def test_relays_with_clocks_of_their_own_mislead_hardly_more_than_once_each(truth: float, dates: list[float]) -> None:
    assert ask_often(ClockEstimate(), islice(cycle(dates), 200), truth=truth) <= 2 + len(dates)


@given(truth=st.floats(-40, 40), drift=st.floats(-1e4, 1e4))
def test_a_date_that_drifts_costs_few_refusals(truth: float, drift: float) -> None:
    clock = ClockEstimate()
    assert ask_often(clock, (truth + drift * second for second in range(1000)), truth=truth) <= 2
    assert clock.skew is not None
    assert abs(clock.skew - truth) <= PROVEN_WITHIN + 1


def test_a_date_that_moved_is_tried_by_a_timestamp_that_tells_the_two_apart() -> None:
    clock = ClockEstimate()
    assert ask(clock, truth=0, date=0)
    reply(clock, skew=90, sent=NOON + 1)
    assert not clock.is_settled
    assert abs(clock.correction - 90) < WINDOW
    assert clock.correction > 2 * WINDOW


def test_a_timestamp_goes_no_further_than_is_safe_from_those_accepted() -> None:
    clock = ClockEstimate()
    assert ask(clock, truth=0, date=0)
    reply(clock, skew=58, sent=NOON + 1)
    assert clock.skew == pytest.approx(58, abs=1.1)
    assert clock.correction == SAFE_WITHIN


def test_a_machine_that_slept_is_tried_by_its_own_clock_where_no_date_is_told() -> None:
    clock = ClockEstimate()
    assert ask(clock, truth=0, date=None)
    clock.ours = 3600.0
    assert not ask(clock, truth=3600, date=None, at=NOON + 1)
    assert not ask(clock, truth=3600, date=None, at=NOON + 2)
    assert ask(clock, truth=3600, date=None, at=NOON + 3)
    assert clock.skew == 3600


def test_a_date_that_nothing_proves_bounds_the_time_together_with_the_machines_clock() -> None:
    clock = ClockEstimate()
    reply(clock, skew=7200)
    assert clock.bounds == Interval(0, clock.skew or 0)
    assert clock.bounds.most == pytest.approx(7200, abs=1.1)


def test_dates_that_disagree_with_each_other_tell_nothing() -> None:
    clock = ClockEstimate()
    for number, skew in enumerate([7200.0, 0.0, 7200.0]):
        reply(clock, skew=skew, sent=NOON + number)
    assert clock.bounds == Interval(0, 0)


def moment(steady: float, asleep: float = 0.0) -> Moment:
    return Moment(steady=NOON + steady, wall=NOON + steady + asleep)


def test_what_was_never_learned_does_not_hold() -> None:
    assert Freshness().is_over(moment(0))


@given(st.floats(0, LONGEST_UNHEARD - 1), st.floats(-APART + 1, APART - 1))
def test_what_was_learned_a_while_ago_holds(passed: float, asleep: float) -> None:
    known = Freshness(moment(0))
    assert not known.is_over(moment(passed, asleep))


@given(st.floats(LONGEST_UNHEARD + 1, 1e9), st.floats(-1e6, 1e6))
def test_what_was_learned_long_ago_does_not_hold(passed: float, asleep: float) -> None:
    assert Freshness(moment(0)).is_over(moment(passed, asleep))


@given(st.floats(0, 1e3), st.floats(APART + 1, 1e6) | st.floats(-1e6, -APART - 1))
def test_what_was_learned_before_the_machine_slept_or_was_set_does_not_hold(passed: float, asleep: float) -> None:
    known = Freshness(moment(0))
    assert known.is_over(moment(passed, asleep))
    known.renew(moment(passed, asleep))
    assert not known.is_over(moment(passed + 1, asleep))


DRIFTS = st.floats(-10 / 60, 10 / 60)
SKEWS = st.floats(-86_400, 86_400)


def trips(way: float, idle: float) -> st.SearchStrategy[list[tuple[float, float, float]]]:
    """Return the seconds there, back, and until the next request."""
    return st.lists(st.tuples(st.floats(0, way), st.floats(0, way), st.floats(0, idle)), min_size=100, max_size=400)


def verdicts(drift: float, skew: float, asked: list[tuple[float, float, float]]) -> list[bool]:
    """Return which timestamps a gateway accepts whose clock drifts; what is refused is asked again at once."""
    clock, now, accepted = ClockEstimate(), NOON, []
    for there, back, idle in asked:
        stamp = now + clock.correction
        arrived = now + there
        told = arrived + skew + drift * (arrived - NOON)
        received = arrived + back
        clock.observe(sent=now, received=received, date=date_of(told))
        accepted.append(abs(told - stamp) <= WINDOW)
        learn = clock.accepted if accepted[-1] else clock.refused
        learn(stamp - now, sent=now, received=received)
        now = received + (idle if accepted[-1] else 0)
    return accepted


@given(drift=DRIFTS, skew=SKEWS, asked=trips(5, LONGEST_UNHEARD / 2), rounds=st.integers(1, 4))
def test_a_gateway_that_drifts_for_hours_refuses_no_more_than_its_first_request(
    drift: float, skew: float, asked: list[tuple[float, float, float]], rounds: int
) -> None:
    assert verdicts(drift, skew, asked * rounds).count(False) <= 2


@given(drift=DRIFTS, skew=SKEWS, asked=trips(10, LONGEST_UNHEARD), rounds=st.integers(1, 4))
def test_a_gateway_that_drifts_and_is_asked_seldom_over_a_slow_line_refuses_three_in_a_row_at_most(
    drift: float, skew: float, asked: list[tuple[float, float, float]], rounds: int
) -> None:
    runs = [len(list(run)) for was_accepted, run in groupby(verdicts(drift, skew, asked * rounds)) if not was_accepted]
    assert max(runs, default=0) <= 3

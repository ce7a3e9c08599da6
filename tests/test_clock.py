import math
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.clock import APART, CORRECT_ABOVE, LONGEST_UNHEARD, ClockEstimate, Freshness, Moment

NOON = 1_700_000_000.0
TINY = 1e-5  # what floats of today's epoch seconds cannot tell apart


def date_of(moment: float) -> str:
    return formatdate(math.floor(moment), usegmt=True)


def reply(clock: ClockEstimate, *, skew: float, sent: float = NOON, trip: float = 0.1, at: float = 0.5) -> None:
    """Let the clock see a reply of a gateway so far ahead, which wrote its Date at a part of the round trip."""
    clock.observe(sent=sent, received=sent + trip, date=date_of(sent + trip * at + skew))


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
        assert clock.earliest is not None
        assert clock.latest is not None
        assert clock.earliest - TINY <= skew <= clock.latest + TINY


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


def test_a_clock_is_not_trusted_once_what_it_says_was_refused() -> None:
    clock = ClockEstimate()
    reply(clock, skew=500)
    used = clock.correction
    clock.refused(used)
    assert clock.correction == 0
    assert clock.skew == pytest.approx(500, abs=1.1)


def test_a_refusal_that_shows_another_clock_is_no_reason_for_distrust() -> None:
    clock = ClockEstimate()
    reply(clock, skew=500)
    used = clock.correction
    reply(clock, skew=-200, sent=NOON + 10)
    clock.refused(used)
    assert clock.correction == pytest.approx(-200, abs=1.1)


def test_an_uncorrected_timestamp_that_is_refused_is_no_reason_for_distrust() -> None:
    clock = ClockEstimate()
    reply(clock, skew=500)
    clock.refused(0.0)
    assert clock.trusted


def test_it_remembers_which_correction_was_accepted() -> None:
    clock = ClockEstimate()
    assert not clock.was_accepted(0.0)
    clock.accepted(100.0)
    assert clock.was_accepted(101.0)
    assert not clock.was_accepted(0.0)


def test_another_answer_may_come_from_a_machine_with_another_clock() -> None:
    clock = ClockEstimate()
    reply(clock, skew=500)
    clock.refused(0.0)
    assert clock.may_be_accepted
    clock.refused(clock.correction)
    assert not clock.may_be_accepted


def test_a_correction_that_was_accepted_may_be_accepted_again() -> None:
    clock = ClockEstimate()
    reply(clock, skew=500)
    clock.accepted(clock.correction)
    clock.refused(clock.correction)
    assert clock.may_be_accepted


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


TRIPS = st.lists(
    st.tuples(st.floats(0, 10), st.floats(0, 10), st.floats(0, LONGEST_UNHEARD)), min_size=100, max_size=400
)


@given(
    drift=st.floats(-10 / 60, 10 / 60),
    skew=st.floats(-86_400, 86_400),
    trips=TRIPS,
    rounds=st.integers(1, 4),
)
def test_a_gateway_that_drifts_for_hours_refuses_no_more_than_its_first_request(
    drift: float, skew: float, trips: list[tuple[float, float, float]], rounds: int
) -> None:
    clock, now, refused = ClockEstimate(), NOON, 0
    for there, back, idle in trips * rounds:
        stamp = now + clock.correction
        arrived = now + there
        told = arrived + skew + drift * (arrived - NOON)
        received = arrived + back
        clock.observe(sent=now, received=received, date=date_of(told))
        if abs(told - stamp) > WINDOW:
            refused += 1
            clock.refused(stamp - now)
        else:
            clock.accepted(stamp - now)
        now = received + idle
    assert refused <= 2

import math
import time
from email.utils import formatdate

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import (
    AuthenticationError,
    CertificateError,
    ClockSkewError,
    ConfigurationError,
    GatewayError,
    IncompleteError,
    InvalidRequestError,
    MalformedReplyError,
    NxcdrError,
    ProxyError,
    RecordError,
    ServerError,
    ThrottledError,
    TimedOutError,
    TransportError,
)
from nxcdr_async.protocol.responses import read_retry_after
from nxcdr_async.transport.gateway import GatewayState
from nxcdr_async.transport.retry import (
    BUDGET_RESERVE,
    FIRST_DELAY,
    LONGEST_DELAY,
    LONGEST_OUTAGE,
    LONGEST_PAUSED,
    LONGEST_RETRY_AFTER,
    MOST_ATTEMPTS,
    MOST_ATTEMPTS_THROTTLED,
    MOST_ATTEMPTS_UNHEARD,
    MOST_ATTEMPTS_WHOLE,
    MOST_CLOCK_REFUSALS,
    Attempts,
    RetryQuota,
    asks_for_less,
    delay_before,
    is_due_at_once,
    is_worth_retrying,
    should_retry,
)

NOW = 1_700_000_000.0
ATTEMPTS = st.integers(2, 100)
CHANCES = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    "error",
    [
        TransportError("x"),
        TimedOutError("x"),
        MalformedReplyError("x"),
        ThrottledError("x"),
        ThrottledError("x", retry_after=LONGEST_RETRY_AFTER),
        ServerError("x", code=88),
        ServerError("x", code=99),
        ServerError("x", http_status=503, retry_after=5),
        ProxyError("x", proxy="http://proxy.example"),
        *(ProxyError("x", proxy="http://proxy.example", http_status=status) for status in (408, 429, 502, 503, 504)),
    ],
)
def test_what_may_pass_is_worth_another_attempt(error: NxcdrError) -> None:
    assert is_worth_retrying(error)


@pytest.mark.parametrize(
    "error",
    [
        CertificateError("x"),
        *(ProxyError("x", proxy="http://proxy.example", http_status=status) for status in (400, 401, 403, 405, 407)),
        AuthenticationError("x", code=1003),
        ClockSkewError("x", code=1004),
        InvalidRequestError("x", code=41000),
        GatewayError("x", code=4),
        ConfigurationError("x"),
        IncompleteError("x"),
        RecordError("x", row={}, path=""),
        ThrottledError("x", retry_after=LONGEST_RETRY_AFTER + 1),
        ServerError("x", retry_after=math.inf),
    ],
)
def test_what_would_not_pass_is_not_asked_again(error: NxcdrError) -> None:
    assert not is_worth_retrying(error)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (ThrottledError("x"), True),
        (ServerError("x", code=99), True),
        (ServerError("x", http_status=503), True),
        (ServerError("x", code=88), False),
        (ServerError("x", http_status=500), False),
        (TransportError("x"), False),
        (TimedOutError("x"), False),
        (MalformedReplyError("x"), False),
        (AuthenticationError("x", http_status=403), False),
    ],
)
def test_only_a_refusal_of_one_too_many_asks_for_less(error: NxcdrError, *, is_one: bool) -> None:
    assert asks_for_less(error) is is_one


@given(ATTEMPTS, CHANCES)
def test_a_delay_stays_under_its_doubling_ceiling(attempt: int, chance: float) -> None:
    delay = delay_before(attempt, chance=chance)
    assert 0 <= delay <= min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 2))


@given(ATTEMPTS, CHANCES)
def test_chance_spreads_a_delay_over_all_of_its_range(attempt: int, chance: float) -> None:
    ceiling = delay_before(attempt, chance=1.0)
    assert delay_before(attempt, chance=chance) == pytest.approx(ceiling * chance)


@given(ATTEMPTS, CHANCES)
def test_without_budget_the_longest_ceiling_applies(attempt: int, chance: float) -> None:
    assert delay_before(attempt, chance=chance, within_budget=False) == LONGEST_DELAY * chance


def test_the_ceilings_double_up_to_the_longest() -> None:
    ceilings = [delay_before(attempt, chance=1.0) for attempt in range(2, 11)]
    assert ceilings == [0.25, 0.5, 1, 2, 4, 8, 16, 20, 20]


def test_a_budget_is_spent_by_retries_and_earned_by_replies() -> None:
    budget = RetryQuota()
    assert all(budget.spend() for _ in range(int(BUDGET_RESERVE)))
    assert not budget.spend()
    budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()


@given(st.lists(st.booleans(), max_size=500))
def test_a_budget_never_allows_more_than_its_reserve_and_half_the_replies(events: list[bool]) -> None:
    budget = RetryQuota()
    spent = earned = 0
    for is_reply in events:
        if is_reply:
            budget.earn()
            earned += 1
        else:
            spent += budget.spend()
        assert 0 <= budget.left <= BUDGET_RESERVE
        assert spent <= BUDGET_RESERVE + earned / 2


@pytest.mark.parametrize(("value", "seconds"), [("0", 0), (" 120 ", 120), ("1.5", 1.5), ("9" * 400, math.inf)])
def test_retry_after_is_read_in_seconds(value: str, seconds: float) -> None:
    assert read_retry_after(value, now=NOW) == seconds


@given(st.integers(-10_000, 10_000))
def test_retry_after_is_read_as_a_date_and_is_never_negative(later: int) -> None:
    assert read_retry_after(formatdate(NOW + later, usegmt=True), now=NOW) == max(0, later)


def test_a_retry_after_date_without_a_zone_is_utc_wherever_this_machine_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        found = read_retry_after(formatdate(NOW + 30), now=NOW)
    time.tzset()
    assert found == 30


@pytest.mark.parametrize("value", [None, "", "soon", "-5", "1.2.3", "٣", "NaN", "inf", "Tue, 99 Foo"])
def test_an_unreadable_retry_after_says_nothing(value: str | None) -> None:
    assert read_retry_after(value, now=NOW) is None


@given(st.text() | st.text("0123456789 :,+-JanFebMoTueGMT"), st.floats(0, 4e9))
def test_no_retry_after_raises(value: str, now: float) -> None:
    found = read_retry_after(value, now=now)
    assert found is None or found >= 0


NEVER = float("-inf")


def failing_since(moment: float) -> Attempts:
    attempts = Attempts()
    attempts.note(TransportError("x"), moment)
    return attempts


def test_a_question_that_has_not_failed_yet_meets_no_outage() -> None:
    assert not Attempts().circuit_open(NOW, alive=NEVER, paused_until=NEVER, timeout=30)


@given(st.floats(0, 1_000), st.floats(0, 1_000))
def test_an_outage_is_a_long_time_without_any_answer(failing: float, unanswered: float) -> None:
    is_outage = failing_since(NOW - failing).circuit_open(NOW, alive=NOW - unanswered, paused_until=NEVER, timeout=30)
    assert is_outage is (NOW - max(NOW - failing, NOW - unanswered) > LONGEST_OUTAGE)


def test_a_pause_that_the_gateway_asked_for_is_no_outage() -> None:
    attempts = failing_since(NOW - 5 * LONGEST_OUTAGE)
    assert not attempts.circuit_open(NOW, alive=NEVER, paused_until=NOW + 60, timeout=30)


def test_an_outage_is_longer_than_two_long_timeouts() -> None:
    attempts = failing_since(NOW - 5 * LONGEST_OUTAGE)
    assert not attempts.circuit_open(NOW, alive=NEVER, paused_until=NEVER, timeout=3 * LONGEST_OUTAGE)
    assert attempts.circuit_open(NOW, alive=NEVER, paused_until=NEVER, timeout=2 * LONGEST_OUTAGE)


def test_a_question_remembers_its_first_failure_and_tells_how_often_it_was_asked() -> None:
    attempts = failing_since(NOW)
    attempts.count += 1
    last = TransportError("y")
    attempts.note(last, NOW + 5)
    assert (attempts.failing_since, attempts.last_fault, last.attempts) == (NOW, last, 2)


def test_pauses_that_are_asked_for_again_and_again_end_too() -> None:
    attempts = failing_since(NOW - LONGEST_PAUSED - 1)
    assert attempts.circuit_open(NOW, alive=NEVER, paused_until=NOW + 60, timeout=30)
    assert not attempts.circuit_open(NOW, alive=NOW - 1, paused_until=NOW + 60, timeout=30)


@pytest.mark.parametrize(
    ("fault", "most"),
    [
        (ThrottledError("x"), MOST_ATTEMPTS_THROTTLED),
        (ServerError("x", http_status=503), MOST_ATTEMPTS_THROTTLED),
        (ServerError("x", code=99), MOST_ATTEMPTS_THROTTLED),
        (ServerError("x", http_status=502), MOST_ATTEMPTS),
        (TransportError("x"), MOST_ATTEMPTS),
        (MalformedReplyError("x"), MOST_ATTEMPTS),
        (MalformedReplyError("x", is_whole=True), MOST_ATTEMPTS_WHOLE),
    ],
)
def test_a_gateway_that_only_asks_for_less_is_given_more_attempts(fault: NxcdrError, most: int) -> None:
    attempts = failing_since(NOW)
    attempts.count = most - 1
    assert not attempts.are_over(fault, is_heard=True)
    attempts.count = most
    assert attempts.are_over(fault, is_heard=True)


def test_a_gateway_that_was_never_heard_is_given_few_attempts_whatever_it_says() -> None:
    attempts = failing_since(NOW)
    attempts.count = MOST_ATTEMPTS_UNHEARD
    assert attempts.are_over(ThrottledError("x"), is_heard=False)


def refused_timestamps(times: int) -> Attempts:
    """Return the attempts at a question whose every timestamp was refused."""
    attempts = Attempts()
    for _ in range(times):
        attempts.note(ClockSkewError("x"), NOW)
        attempts.count += 1
    return attempts


def test_the_first_refusal_of_a_timestamp_is_tried_again_at_once() -> None:
    refused = ClockSkewError("x")
    assert is_due_at_once(refused, refused_timestamps(1))
    assert not is_due_at_once(refused, refused_timestamps(2))
    assert not is_due_at_once(ServerError("x"), refused_timestamps(1))


@pytest.mark.parametrize(
    ("times", "may_be_accepted", "is_retried"),
    [
        (1, False, True),
        (MOST_CLOCK_REFUSALS - 1, False, True),
        (MOST_CLOCK_REFUSALS, False, False),
        (MOST_CLOCK_REFUSALS, True, True),
        (MOST_ATTEMPTS, True, False),
    ],
)
def test_refused_timestamps_are_tried_again_while_one_may_be_right(
    times: int, *, may_be_accepted: bool, is_retried: bool
) -> None:
    attempts = refused_timestamps(times)
    told = should_retry(ClockSkewError("x"), attempts, is_heard=True, may_be_accepted=may_be_accepted)
    assert told is is_retried


def test_an_outage_ends_what_would_be_tried_again() -> None:
    fault = ServerError("x")
    assert should_retry(fault, Attempts(), is_heard=True, may_be_accepted=True)
    fault.is_outage = True
    assert not should_retry(fault, Attempts(), is_heard=True, may_be_accepted=True)


def test_a_refusal_for_good_is_not_tried_again() -> None:
    assert not should_retry(InvalidRequestError("x"), Attempts(), is_heard=True, may_be_accepted=True)


def test_a_gateway_that_answers_nothing_is_given_up_at_a_known_time() -> None:
    gateway = GatewayState("https://gateway.example")
    assert gateway.seconds_to_outage(NOW, timeout=30) is None
    gateway.answered = NOW - 50
    gateway.note_failure(NOW - 20, timeout=30)
    assert gateway.seconds_to_outage(NOW, timeout=30) == LONGEST_OUTAGE - 20
    gateway.paused_until = NOW + 60
    assert gateway.seconds_to_outage(NOW, timeout=30) == LONGEST_OUTAGE + 60
    gateway.paused_until = NOW + 3_000
    assert gateway.seconds_to_outage(NOW, timeout=30) == LONGEST_PAUSED - 20
    gateway.answered = NOW
    assert gateway.seconds_to_outage(NOW, timeout=30) is None

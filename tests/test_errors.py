"""The error tree: its shape, its words, and that errors survive a journey."""

import copy
import pickle
from datetime import UTC, datetime

import pytest

import nxcdr_async
from nxcdr_async import (
    AuthenticationError,
    ClockSkewError,
    GatewayError,
    NxcdrError,
    RecordError,
    SaturatedDayError,
    SaturatedSecondError,
    ServerError,
    ThrottledError,
    TimedOutError,
    TransportError,
)

SECOND = datetime(2026, 1, 1, tzinfo=UTC)
ERRORS: list[NxcdrError] = [
    GatewayError("refused", code=7, request_id="r", http_status=200, hint="look it up"),
    ThrottledError("slower", retry_after=3.0, http_status=429),
    ServerError("down", code=99),
    RecordError("is missing", row={"callId": "a"}, path="startTime"),
    SaturatedDayError("full", day=SECOND.date()),
    SaturatedSecondError("full", second=SECOND),
    TransportError("no whole reply from host: it closed the connection"),
]
PAGE = "page 3 of calls 2026-01-01T00:00:00+00:00 to 2026-01-02T00:00:00+00:00"


def test_every_error_is_of_the_one_tree() -> None:
    errors = [getattr(nxcdr_async, name) for name in nxcdr_async.__all__ if name.endswith("Error")]
    assert all(issubclass(error, NxcdrError) for error in errors)
    assert issubclass(ClockSkewError, AuthenticationError)
    assert issubclass(TimedOutError, TransportError)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_and_copying(error: NxcdrError) -> None:
    error = copy.copy(error)
    error.complete_until, error.asked_for, error.attempts, error.request_id = SECOND, PAGE, 12, "r"
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)


def test_a_gateway_error_says_what_who_and_what_to_do() -> None:
    assert str(ERRORS[0]) == "refused (code 7, HTTP 200, request r) — look it up"


def test_an_error_past_all_attempts_says_what_was_asked_for_and_how_often() -> None:
    refused = ServerError("系统异常", code=99, request_id="r", http_status=200, hint="ask the vendor")
    broken = TransportError("no whole reply from host: it closed the connection")
    for error in (refused, broken):
        error.asked_for, error.attempts = PAGE, 12
    assert str(refused) == f"{PAGE}: 系统异常 (code 99, HTTP 200, request r, 12 attempts) — ask the vendor"
    assert str(broken) == f"{PAGE}: no whole reply from host: it closed the connection (12 attempts)"


def test_an_error_that_is_about_no_request_says_its_message_alone() -> None:
    error = NxcdrError("used wrongly")
    assert str(error) == "used wrongly"
    assert (error.asked_for, error.attempts, error.request_id) == (None, 0, None)


def test_a_record_error_names_the_row_and_the_fault() -> None:
    assert str(ERRORS[3]) == "row 'a', startTime: is missing"

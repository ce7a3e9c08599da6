from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import ConfigurationError, Direction
from nxcdr_async.sources.calls import CallQuery
from nxcdr_async.sources.did import DidQuery
from nxcdr_async.sources.order import order_parameters
from nxcdr_async.sources.units import checked_days
from nxcdr_async.windows import Window

WINDOW = Window(1688140800, 1690819200)
DAY = date(2022, 8, 23)


def asked(**filters: Any) -> dict[str, Any]:
    return dict(CallQuery(**filters).page(WINDOW, 3, 100))


def test_a_question_without_filters_is_a_range_and_a_page() -> None:
    assert asked() == {"startTime": 1688140799, "endTime": 1690819200, "size": 100, "page": 3}


def test_times_are_asked_for_in_whole_seconds() -> None:
    question = asked()
    assert type(question["startTime"]) is type(question["endTime"]) is int
    assert question["endTime"] < 10**10


@pytest.mark.parametrize(
    ("direction", "number"), [(Direction.INBOUND, 1), (Direction.OUTBOUND, 2), (Direction.AICC, 3)]
)
def test_a_request_counts_directions_one_higher_than_a_reply(direction: Direction, number: int) -> None:
    assert asked(direction=direction)["direction"] == number


@pytest.mark.parametrize(("answered", "number"), [(False, 1), (True, 2)])
def test_answered_is_sent_as_the_vendors_number(answered: bool, number: int) -> None:
    sent = asked(answered=answered)["answered"]
    assert sent == number
    assert type(sent) is int


def test_each_filter_has_the_vendors_name() -> None:
    sent = asked(agent="NX0001", caller="1", callee="2", call_id="c/d@e", order_id="o")
    assert {key: sent[key] for key in ("name", "caller", "callee", "callId", "orderId")} == {
        "name": "NX0001",
        "caller": "1",
        "callee": "2",
        "callId": "c/d@e",
        "orderId": "o",
    }


@pytest.mark.parametrize("name", ["agent", "caller", "callee", "call_id", "order_id"])
@pytest.mark.parametrize("wrong", ["", 5, b"x", True])
def test_a_filter_that_is_no_text_is_refused_by_its_name(name: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is"):
        CallQuery(**{name: wrong})


@pytest.mark.parametrize("wrong", [0, 1, "true", Direction.INBOUND])
def test_an_answered_that_is_neither_true_nor_false_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="answered is"):
        CallQuery(answered=wrong)


@pytest.mark.parametrize("wrong", [0, 1, "INBOUND", True, Direction(7)])
def test_a_direction_the_vendor_does_not_take_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"direction is .*Direction\.AICC"):
        CallQuery(direction=wrong)
    with pytest.raises(ConfigurationError, match="direction is"):
        DidQuery(direction=wrong)


def test_did_calls_are_never_robot_calls() -> None:
    with pytest.raises(ConfigurationError, match=r"Direction\.INBOUND, Direction\.OUTBOUND, or None"):
        DidQuery(direction=Direction.AICC)


def test_a_did_question_is_one_day_and_a_page() -> None:
    assert DidQuery().page(DAY, 2, 999) == {"date": "2022-08-23", "pageSize": 999, "page": 2}


@pytest.mark.parametrize(("direction", "number"), [(Direction.INBOUND, 0), (Direction.OUTBOUND, 1)])
def test_a_did_question_counts_directions_as_a_reply(direction: Direction, number: int) -> None:
    sent = DidQuery(direction=direction, did_number="1", call_number="2").page(DAY, 1, 999)
    assert (sent["type"], sent["didNumber"], sent["callNumber"]) == (number, "1", "2")
    assert type(sent["type"]) is int


@given(st.dates(date(1000, 1, 1)), st.integers(1, 10**6))
def test_a_day_is_written_as_the_vendor_writes_it(day: date, number: int) -> None:
    sent = DidQuery().page(day, number, 999)
    assert sent["date"] == f"{day.year:04}-{day.month:02}-{day.day:02}"
    assert sent["page"] == number


def test_an_order_is_asked_for_with_its_team() -> None:
    assert order_parameters("12333333XXX", 144) == {"tenantId": 144, "orderId": "12333333XXX"}


@pytest.mark.parametrize(("order_id", "tenant_id"), [(None, 1), ("", 1), (5, 1), ("a", "1"), ("a", True), ("a", None)])
def test_an_order_without_id_or_team_is_refused(order_id: Any, tenant_id: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"order_id is .*: give the id of the order|tenant_id is"):
        order_parameters(order_id, tenant_id)


def test_one_day_is_a_range_of_itself() -> None:
    assert checked_days(DAY, None) == checked_days(DAY, DAY) == (DAY, DAY)


@pytest.mark.parametrize("wrong", [datetime(2022, 8, 23, tzinfo=UTC), "2022-08-23", None, 20220823])
def test_what_is_no_day_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"first_day must be a datetime\.date"):
        checked_days(wrong, None)
    if wrong is not None:
        with pytest.raises(ConfigurationError, match=r"last_day must be a datetime\.date"):
            checked_days(DAY, wrong)


def test_days_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"last_day \(2022-08-22\) must not be before first_day"):
        checked_days(DAY, date(2022, 8, 22))


def test_half_a_character_in_a_filter_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no valid text"):
        CallQuery(caller="\ud800")

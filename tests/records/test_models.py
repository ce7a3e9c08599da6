import copy
import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given, strategies as st

from nxcdr_async import CallRecord, DidCallRecord, Direction, FlashCallRecord, HangupCategory, HangupParty
from nxcdr_async.records.models import vendor_fields, vendor_key

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
UNKNOWN_NUMBERS = st.integers(-(10**6), 10**6).filter(lambda number: number not in {0, 1, 2})


@given(UNKNOWN_NUMBERS)
def test_a_direction_nobody_knows_yet_survives(number: int) -> None:
    direction = Direction(number)
    assert direction.name == f"UNKNOWN_{number}"
    assert direction == direction.value == number
    assert direction not in list(Direction)


@given(UNKNOWN_NUMBERS, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_an_unknown_direction_can_be_pickled_and_copied(number: int, protocol: int) -> None:
    direction = Direction(number)
    for twin in (
        pickle.loads(pickle.dumps(direction, protocol)),
        copy.copy(direction),
        copy.deepcopy(direction),
        copy.deepcopy([direction])[0],
    ):
        assert type(twin) is Direction
        assert (twin, twin.name, hash(twin)) == (direction, direction.name, hash(direction))


@pytest.mark.parametrize("value", [True, "0", None, 1.5, []])
def test_what_is_no_whole_number_is_no_direction(value: object) -> None:
    if value is True:
        assert Direction(value) is Direction.OUTBOUND  # 1 == True in all of Python
        return
    with pytest.raises(ValueError, match="is not a valid Direction"):
        Direction(value)


def test_the_known_directions_are_those_of_a_reply() -> None:
    assert [(known.name, known.value) for known in Direction] == [("INBOUND", 0), ("OUTBOUND", 1), ("AICC", 2)]


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        CallRecord(call_id="a", start_time=NOON).call_id = "b"  # type: ignore[misc]


def test_records_can_be_kept_in_a_set_whatever_their_extra_holds() -> None:
    first = CallRecord(call_id="a", start_time=NOON, extra={"list": [1]})
    assert len({first, copy.deepcopy(first)}) == 1


@pytest.mark.parametrize(
    "record",
    [
        CallRecord(call_id="a", start_time=NOON, direction=Direction(9), total_customer_price=Decimal("0E-8")),
        DidCallRecord(start_time=NOON, extra={"new": [1, {"deep": None}]}),
        FlashCallRecord(id=1, gmt_create=NOON),
    ],
)
def test_a_record_can_be_pickled_and_copied(record: object) -> None:
    assert pickle.loads(pickle.dumps(record)) == copy.deepcopy(record) == record


@given(st.integers(0, 10**9))
def test_the_wait_in_the_queue_is_the_difference_of_the_queues_own_times(milliseconds: int) -> None:
    waited = timedelta(milliseconds=milliseconds)
    call = CallRecord(
        call_id="a", start_time=NOON, in_queue_time=NOON, out_queue_time=NOON + waited, queue_duration=999
    )
    assert call.queue_wait == waited


@pytest.mark.parametrize(
    ("entered", "left"),
    [(None, None), (NOON, None), (None, NOON), (NOON, NOON - timedelta(milliseconds=1))],
)
def test_without_two_times_in_order_there_is_no_wait(entered: datetime | None, left: datetime | None) -> None:
    call = CallRecord(call_id="a", start_time=NOON, in_queue_time=entered, out_queue_time=left, queue_duration=5139)
    assert call.queue_wait is None


@pytest.mark.parametrize("hangup_by", [None, 0, 1, 2])
def test_who_hung_up_is_told_by_the_code_whatever_hangup_by_says(hangup_by: int | None) -> None:
    call = CallRecord(call_id="a", start_time=NOON, hangup_code=1001, hangup_by=hangup_by)
    assert call.hangup_party is HangupParty.AGENT
    assert call.hangup is not None
    assert call.hangup.category is HangupCategory.ENDED


def test_without_a_code_nobody_is_known_to_have_hung_up() -> None:
    call = CallRecord(call_id="a", start_time=NOON, hangup_by=1)
    assert call.hangup is None
    assert call.hangup_party is HangupParty.UNKNOWN


@pytest.mark.parametrize(
    ("attribute", "key"),
    [("call_id", "callId"), ("agent_nick_name", "agentNickName"), ("id", "id"), ("callback_at", "callbackAt")],
)
def test_an_attribute_is_the_vendors_key_in_snake_case(attribute: str, key: str) -> None:
    assert vendor_key(attribute) == key


@pytest.mark.parametrize(
    ("record_class", "documented"),
    [
        (
            CallRecord,
            (
                "agentName agentNickName answered answerTime callDuration callee caller callId orderId direction "
                "dtmfKeys endTime hangupBy hangupCode callStatus hangupReason inQueueTime leaveMsgUrl other intent "
                "outQueueTime queueDuration recordUrl ringDuration ringTime startTime taskId totalCustomerPrice"
            ),
        ),
        (
            DidCallRecord,
            (
                "number callNumber callType countryName callDuration feeType feeDurationMinute callPriceUnit callPrice "
                "endDirection endReason endReasonName callerIp calleeIp startTime endTime id"
            ),
        ),
        (
            FlashCallRecord,
            (
                "id customerId appId msisdn callingNumber token requestId ip price gmtCreate gmtModified callStartAt "
                "callEndAt callbackAt callStatus"
            ),
        ),
    ],
)
def test_every_documented_key_has_an_attribute(record_class: type, documented: str) -> None:
    newer = {"lineIp", "mediaIp", "termSipCode", "hangupCause", "mos"} if record_class is CallRecord else set()
    assert set(vendor_fields(record_class)) == set(documented.split()) | newer

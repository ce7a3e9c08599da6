import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pytest
from hypothesis import given, strategies as st

from nxcdr_async import CallRecord, DidCallRecord, Direction, FlashCallRecord, HangupParty, RecordError, make_converter
from nxcdr_async.records.converter import UTC_PLUS_8, structure_row, to_local
from nxcdr_async.records.models import vendor_fields

EARLIEST, LATEST = datetime(1971, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001 - hypothesis wants naive bounds
SAMPLES = Path(__file__).parents[1] / "samples"
CONVERTER = make_converter()
CALL = {"callId": "a", "startTime": 1690442492841}
FLASH = {"id": 1, "gmtCreate": "2021-04-27 17:02:22"}
DID = {"startTime": "2022-10-01 11:04:57"}

MISSED = CallRecord(
    call_id="63b09b9a163616c6c009cb326",
    start_time=datetime(2023, 7, 27, 7, 21, 32, 841000, UTC),
    end_time=datetime(2023, 7, 27, 7, 21, 38, 901000, UTC),
    ring_time=datetime(2023, 7, 27, 7, 21, 32, tzinfo=UTC),
    in_queue_time=datetime(2023, 7, 27, 7, 21, 32, 861000, UTC),
    out_queue_time=datetime(2023, 7, 27, 7, 21, 38, tzinfo=UTC),
    direction=Direction.INBOUND,
    answered=False,
    caller="85215236100",
    callee="85235757580",
    call_duration=0,
    ring_duration=6,
    queue_duration=5139,
    hangup_by=0,
    hangup_code=1103,
    hangup_reason="用户排队放弃",
    call_status="呼入未接",
    total_customer_price=Decimal("0.035"),
)
TAKEN = CallRecord(
    call_id="6605fcd9563616c6c009c6240",
    start_time=datetime(2023, 7, 27, 2, 0, 37, 704000, UTC),
    end_time=datetime(2023, 7, 27, 2, 0, 48, 124000, UTC),
    answer_time=datetime(2023, 7, 27, 2, 0, 44, tzinfo=UTC),
    ring_time=datetime(2023, 7, 27, 2, 0, 37, tzinfo=UTC),
    in_queue_time=datetime(2023, 7, 27, 2, 0, 37, 744000, UTC),
    out_queue_time=datetime(2023, 7, 27, 2, 0, 44, tzinfo=UTC),
    direction=Direction.INBOUND,
    answered=True,
    caller="85238531117",
    callee="85235757568",
    agent_name="NX094450006938",
    agent_nick_name="示例坐席",
    call_duration=5,
    ring_duration=7,
    queue_duration=6,
    hangup_by=1,
    hangup_code=1001,
    hangup_reason="坐席挂断",
    call_status="正常结束",
    record_url="https://*********.mp3",
    total_customer_price=Decimal("0.035"),
)
IN_ENGLISH = [
    attrs.evolve(MISSED, hangup_reason="User abandoned while in queue", call_status="Missed Call"),
    attrs.evolve(TAKEN, agent_nick_name="Example Agent", hangup_reason="Agent hang-up", call_status="Normal"),
]
OVER_DID = DidCallRecord(
    id=1,
    start_time=datetime(2022, 10, 1, 3, 4, 57, tzinfo=UTC),
    end_time=datetime(2022, 10, 1, 3, 6, 1, tzinfo=UTC),
    call_number="123456789",
    call_type=Direction.INBOUND,
    country_name="Thailand",
    call_duration=64,
    fee_type=0,
    fee_duration_minute=Decimal(2),
    call_price_unit=Decimal("0.055"),
    call_price=Decimal("0.11"),
    end_direction=0,
    end_reason="-7",
    end_reason_name="Caller Hang-up",
    caller_ip="127.0.0.1",
    callee_ip="127.0.0.1",
)
FLASHED = [
    FlashCallRecord(
        id=number,
        gmt_create=datetime(2021, 4, 27, 9, 2, second, tzinfo=UTC),
        customer_id=1,
        app_id=1,
        msisdn="182182182",
        calling_number=calling,
        token=calling[-4:],
        request_id=request_id,
        price=Decimal("0.0"),
        call_status=0,
    )
    for number, second, calling, request_id in (
        (4, 22, "2150928925", "3097f48a0c6e465586e9f7cc5a922b90"),
        (5, 44, "2150928927", "7674dc8e75774c09a470c3b0b0aa6a5d"),
    )
]


def sample(name: str, *path: str) -> Any:
    found = msgspec.json.Decoder(float_hook=Decimal).decode((SAMPLES / name).read_bytes())
    for key in path:
        found = found[key]
    return found


def structured(row: Any, record_class: type[Any] = CallRecord) -> Any:
    return structure_row(CONVERTER, row, record_class)


def call(**changes: Any) -> CallRecord:
    return CONVERTER.structure({**CALL, **changes}, CallRecord)


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("cdr_page.json", ["data"], [MISSED, TAKEN]),
        ("order.json", ["data"], IN_ENGLISH),
        ("did_cdr.json", ["data", "list"], [OVER_DID]),
        ("flash_list.json", ["cdrs"], FLASHED),
    ],
)
def test_the_documented_replies_become_exactly_these_records(name: str, path: list[str], expected: list[Any]) -> None:
    records = [structured(row, type(expected[0])) for row in sample(name, *path)]
    assert records == expected
    for record, twin in zip(records, expected, strict=True):
        assert repr(record) == repr(twin)  # types, zones and the digits of money too


def test_the_sample_calls_waited_as_long_as_their_queue_times_say() -> None:
    waits = [structured(row).queue_wait for row in sample("cdr_page.json", "data")]
    assert waits == [timedelta(seconds=5.139), timedelta(seconds=6.256)]


def test_the_sample_calls_were_ended_by_whom_their_code_says_although_hangup_by_disagrees() -> None:
    missed, taken = (structured(row) for row in sample("cdr_page.json", "data"))
    assert (missed.hangup_by, missed.hangup_party) == (0, HangupParty.USER)
    assert (taken.hangup_by, taken.hangup_party) == (1, HangupParty.AGENT)


def test_a_row_read_through_a_float_gives_the_same_record() -> None:
    rows = json.loads((SAMPLES / "cdr_page.json").read_text(encoding="utf-8"))["data"]
    assert [structured(row) for row in rows] == [MISSED, TAKEN]


@pytest.mark.parametrize("nothing", [None, "", 0, "0"])
def test_a_time_of_nothing_is_none(nothing: Any) -> None:
    assert call(answerTime=nothing).answer_time is None


@pytest.mark.parametrize("key", sorted(set(vendor_fields(CallRecord)) - {"callId", "startTime"}))
@pytest.mark.parametrize("nothing", [None, ""])
def test_any_other_field_without_a_value_is_none(key: str, nothing: Any) -> None:
    assert call(**{key: nothing}) == call()


def test_a_zero_that_is_no_time_stays_zero() -> None:
    found = call(callDuration=0, hangupBy=0, direction=0, totalCustomerPrice=0, answered=False)
    assert (found.call_duration, found.hangup_by, found.direction) == (0, 0, Direction.INBOUND)
    assert (found.total_customer_price, found.answered) == (Decimal(0), False)


def test_a_row_with_nothing_but_its_id_and_start_is_a_record() -> None:
    assert CONVERTER.structure(CALL, CallRecord) == CallRecord(call_id="a", start_time=MISSED.start_time)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("callId", "0gQAAC8W/SgEC/Waas@103.251.203.149"),
        ("callee", "NX09445G000025@43.134.225.234:5060"),
        ("agentName", "someone@example.com"),
        ("taskId", "1234567890123456789"),
        ("caller", " 8521523"),
        ("other", '{"json": "in text"}'),
    ],
)
def test_odd_but_real_texts_are_kept_as_they_are(key: str, value: str) -> None:
    assert CONVERTER.unstructure(call(**{key: value}))[key] == value


def test_a_number_where_text_belongs_is_read_as_its_digits() -> None:
    assert call(callId=12345, taskId=1234567890123456789, caller=852).task_id == "1234567890123456789"


@pytest.mark.parametrize(
    ("value", "truth"), [(True, True), (False, False), (1, True), (0, False), ("true", True), ("0", False)]
)
def test_answered_is_read_in_each_form(value: Any, *, truth: bool) -> None:
    assert call(answered=value).answered is truth


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_money_is_exact_for_any_decimal_text(amount: Decimal) -> None:
    if abs(amount.adjusted()) > 40:
        return
    in_text = call(totalCustomerPrice=str(amount)).total_customer_price
    assert str(in_text) == str(amount)
    if abs(amount) < 10**15 and "E" not in str(amount):
        body = f'{{"callId":"a","startTime":1690442492841,"totalCustomerPrice":{amount}}}'
        row = msgspec.json.Decoder(float_hook=Decimal).decode(body)
        assert str(CONVERTER.structure(row, CallRecord).total_customer_price) == str(amount)


@pytest.mark.parametrize("text", ["0E-8", "0.20280000", "0.035", "12", "-0.5", "1E+3"])
def test_money_keeps_its_digits_through_a_round_trip(text: str) -> None:
    row = CONVERTER.unstructure(call(totalCustomerPrice=text))
    assert row["totalCustomerPrice"] == text
    assert str(CONVERTER.structure(row, CallRecord).total_customer_price) == text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30))
def test_money_that_came_as_a_float_is_what_was_written(amount: float) -> None:
    if amount and abs(amount) < 1e-30:
        return
    assert str(call(totalCustomerPrice=amount).total_customer_price) == str(Decimal(str(amount)))


def test_a_direction_nobody_knows_yet_survives_a_round_trip() -> None:
    found = call(direction=7)
    assert found.direction is not None
    assert found.direction.name == "UNKNOWN_7"
    assert CONVERTER.unstructure(found)["direction"] == 7


@given(
    st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.booleans(), max_size=3), max_size=5)
)
def test_keys_nobody_knows_yet_are_kept_and_survive_a_round_trip(unknown: dict[str, Any]) -> None:
    unknown = {key: value for key, value in unknown.items() if key not in vendor_fields(CallRecord)}
    found = call(**unknown)
    assert found.extra == unknown
    again = CONVERTER.structure(CONVERTER.unstructure(found), CallRecord)
    assert again == found
    assert again.extra == unknown


@pytest.mark.parametrize("key", ["extra", "call_id", "agent_name", "queueWait"])
def test_a_key_that_looks_like_an_attribute_of_ours_is_unknown_too(key: str) -> None:
    found = call(**{key: "x"})
    assert found.extra == {key: "x"}
    assert found.call_id == "a"


def test_the_row_given_in_is_left_as_it_was() -> None:
    row = {**CALL, "new": [1]}
    found = CONVERTER.structure(row, CallRecord)
    assert row == {**CALL, "new": [1]}
    assert found.extra is not row


def test_local_times_are_read_as_utc_plus_8_unless_told_otherwise() -> None:
    assert structured(DID, DidCallRecord).start_time == datetime(2022, 10, 1, 3, 4, 57, tzinfo=UTC)
    elsewhere = make_converter(ZoneInfo("America/Santiago"))
    assert elsewhere.structure(DID, DidCallRecord).start_time == datetime(2022, 10, 1, 14, 4, 57, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2022-10-01T03:04:57Z", "2022-10-01 11:04:57+08:00", " 2022-10-01 11:04:57 "])
def test_a_time_with_an_offset_keeps_it(text: str) -> None:
    assert structured({"startTime": text}, DidCallRecord).start_time == OVER_DID.start_time


def test_every_time_of_every_record_is_in_utc() -> None:
    for record in (MISSED, TAKEN, structured(DID, DidCallRecord), structured(FLASH, FlashCallRecord)):
        times = [value for value in attrs.astuple(record, recurse=False) if isinstance(value, datetime)]
        assert times
        assert all(moment.tzinfo is UTC for moment in times)


IN_SECONDS = datetime(2023, 7, 27, 7, 21, 32, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "moment"),
    [
        (1_690_442_492, IN_SECONDS),
        ("1690442492", IN_SECONDS),
        (1_690_442_492.0, IN_SECONDS),
        (Decimal("1690442492.841"), IN_SECONDS.replace(microsecond=841_000)),
        (1_690_442_492_841, IN_SECONDS.replace(microsecond=841_000)),
        (1690442492.841521, IN_SECONDS.replace(microsecond=841_521)),
        ("1690442492.841521", IN_SECONDS.replace(microsecond=841_521)),
        (Decimal("1690442492.8415219"), IN_SECONDS.replace(microsecond=841_521)),
        (Decimal("1690442492841.5"), IN_SECONDS.replace(microsecond=841_500)),
        ("1690442492841.0", IN_SECONDS.replace(microsecond=841_000)),
        (10**8, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (10**11, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
    ],
    ids=str,
)
def test_seconds_and_milliseconds_are_told_apart_by_their_size(told: Any, moment: datetime) -> None:
    assert structured({**CALL, "startTime": told, "answerTime": told}).start_time == moment
    assert structured({**CALL, "startTime": told, "answerTime": told}).answer_time == moment
    assert structured({**DID, "startTime": told}, DidCallRecord).start_time == moment
    assert structured({**FLASH, "gmtCreate": told}, FlashCallRecord).gmt_create == moment


@pytest.mark.parametrize("told", [1, 86_400, "20260101", -1, 10**8 - 1, 7.5], ids=str)
def test_a_number_too_small_for_a_time_is_never_taken_for_1970(told: Any) -> None:
    for key in ("startTime", "endTime"):
        with pytest.raises(RecordError, match="too small for a time"):
            structured({**CALL, key: told})


@given(
    st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC)),
    st.sampled_from([UTC_PLUS_8, UTC, timezone(timedelta(hours=-3, minutes=-30))]),
)
def test_a_local_time_of_a_request_is_the_moment_it_was_made_from(moment: datetime, zone: timezone) -> None:
    text = to_local(moment, zone)
    assert make_converter(zone).structure({"startTime": text}, DidCallRecord).start_time == moment


def test_a_local_time_of_a_request_is_written_as_the_vendor_writes_it() -> None:
    assert to_local(datetime(2021, 4, 27, 9, 2, 22, tzinfo=UTC), UTC_PLUS_8) == "2021-04-27 17:02:22"


TEXTS = st.none() | st.just("") | st.text(st.characters(exclude_categories=["Cs"]))
EPOCHS = st.none() | st.just(0) | st.just("") | (SOME_EPOCH := st.integers(10**8, 4 * 10**12)) | SOME_EPOCH.map(str)
LOCALS = st.none() | st.just("") | st.datetimes(EARLIEST, LATEST).map(lambda moment: moment.isoformat(" ", "seconds"))
NUMBERS = st.none() | st.integers(-(10**12), 10**12) | st.integers(0, 9999).map(str)
AMOUNTS = (
    st.none()
    | st.just("0E-8")
    | st.integers(-100, 10**6)
    | st.decimals(0, 10**6, places=8)
    | st.decimals(0, 10**6, places=8).map(str)
)
TRUTHS = st.sampled_from([None, True, False, 0, 1, "true", "false"])
KINDS: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: NUMBERS,
    bool: TRUTHS,
    Decimal: AMOUNTS,
    Direction: st.none() | st.integers(-1, 9),
}


def rows_of(record_class: type[Any], times: st.SearchStrategy[Any], required: dict[str, Any]) -> st.SearchStrategy[Any]:
    optional = {
        key: next((KINDS[kind] for kind in KINDS if attribute.type in (kind, kind | None)), times)
        for key, attribute in vendor_fields(record_class).items()
        if key not in required
    }
    unknown = st.dictionaries(st.text(min_size=1).map(lambda text: f"x{text}"), st.integers() | st.text(), max_size=3)
    known = st.fixed_dictionaries(required, optional=optional)
    return st.builds(lambda first, second: {**second, **first}, known, unknown)


A_TIME = st.datetimes(EARLIEST, LATEST).map(lambda moment: moment.isoformat(" ", "seconds"))
ROWS = st.one_of(
    st.tuples(
        st.just(CallRecord),
        rows_of(CallRecord, EPOCHS, {"callId": st.text(min_size=1), "startTime": SOME_EPOCH}),
    ),
    st.tuples(st.just(DidCallRecord), rows_of(DidCallRecord, LOCALS, {"startTime": A_TIME})),
    st.tuples(st.just(FlashCallRecord), rows_of(FlashCallRecord, LOCALS, {"id": st.integers(), "gmtCreate": A_TIME})),
)


@given(ROWS, st.sampled_from([UTC_PLUS_8, UTC, ZoneInfo("America/Santiago")]))
def test_any_row_comes_back_as_the_same_record(kind_and_row: tuple[type[Any], dict[str, Any]], zone: Any) -> None:
    record_class, row = kind_and_row
    converter = make_converter(zone)
    record = structure_row(converter, row, record_class)
    written = converter.unstructure(record)
    json.dumps(written, default=lambda _: pytest.fail("not JSON"))
    assert converter.structure(written, record_class) == record
    assert written.keys() >= vendor_fields(record_class).keys()


@pytest.mark.parametrize(
    ("record_class", "row", "path", "record_id", "reason"),
    [
        (CallRecord, {"startTime": 1690442492841}, "callId", None, "is missing"),
        (CallRecord, {"callId": None, "startTime": 1690442492841}, "callId", None, "null"),
        (CallRecord, {"callId": "", "startTime": 1690442492841}, "callId", None, "is empty"),
        (CallRecord, {"callId": True, "startTime": 1690442492841}, "callId", "True", "true or false"),
        (CallRecord, {"callId": "a"}, "startTime", "a", "is missing"),
        (CallRecord, {"callId": "a", "startTime": 0}, "startTime", "a", "is 0, not a time"),
        (CallRecord, {"callId": "a", "startTime": ""}, "startTime", "a", "''"),
        (CallRecord, {"callId": "a", "startTime": None}, "startTime", "a", "null"),
        (CallRecord, {"callId": "a", "startTime": "soon"}, "startTime", "a", "'soon', not a time"),
        (CallRecord, {"callId": "a", "startTime": 10**18}, "startTime", "a", "out of any sensible range"),
        (CallRecord, {**CALL, "endTime": [1]}, "endTime", "a", "an array"),
        (CallRecord, {**CALL, "answered": "perhaps"}, "answered", "a", "neither true nor false"),
        (CallRecord, {**CALL, "answered": 2}, "answered", "a", "neither true nor false"),
        (CallRecord, {**CALL, "direction": "in"}, "direction", "a", "'in', not a number"),
        (CallRecord, {**CALL, "callDuration": 1.5}, "callDuration", "a", "not a whole number"),
        (CallRecord, {**CALL, "hangupCode": {}}, "hangupCode", "a", "an object"),
        (CallRecord, {**CALL, "caller": 1.5}, "caller", "a", "not text"),
        (CallRecord, {**CALL, "other": {"a": 1}}, "other", "a", "an object, not text"),
        (CallRecord, {**CALL, "totalCustomerPrice": "free"}, "totalCustomerPrice", "a", "'free', not a number"),
        (CallRecord, {**CALL, "totalCustomerPrice": True}, "totalCustomerPrice", "a", "not a number"),
        (CallRecord, {**CALL, "totalCustomerPrice": "NaN"}, "totalCustomerPrice", "a", "out of any sensible range"),
        (CallRecord, {**CALL, "totalCustomerPrice": "1E999"}, "totalCustomerPrice", "a", "out of any sensible range"),
        (CallRecord, {**CALL, "totalCustomerPrice": float("inf")}, "totalCustomerPrice", "a", "out of any sensible"),
        (CallRecord, [], "", None, "an array, not an object"),
        (CallRecord, None, "", None, "null, not an object"),
        (CallRecord, "row", "", None, "'row', not an object"),
        (DidCallRecord, {"id": 5}, "startTime", "5", "is missing"),
        (DidCallRecord, {"id": 5, "startTime": "2022-13-01"}, "startTime", "5", "not a time"),
        (DidCallRecord, {"id": "x", **DID}, "id", "x", "not a number"),
        (DidCallRecord, {"startTime": "0001-01-01 00:00:00"}, "startTime", None, "out of range"),
        (FlashCallRecord, {"gmtCreate": "2021-04-27 17:02:22"}, "id", None, "is missing"),
        (FlashCallRecord, {**FLASH, "gmtCreate": None}, "gmtCreate", "1", "null"),
    ],
)
def test_a_bad_row_is_told_with_its_id_and_the_key_at_fault(
    record_class: type, row: Any, path: str, record_id: str | None, reason: str
) -> None:
    with pytest.raises(RecordError) as bad:
        structured(row, record_class)
    assert (bad.value.row, bad.value.path, bad.value.record_id) == (row, path, record_id)
    assert bad.value.row is row
    assert reason in str(bad.value)
    assert path in str(bad.value)
    assert bad.value.__cause__ is bad.value.__context__ is None


def test_a_long_wrong_value_is_not_quoted_whole() -> None:
    with pytest.raises(RecordError) as bad:
        structured({**CALL, "startTime": "x" * 10_000})
    assert len(str(bad.value)) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from([CallRecord, DidCallRecord, FlashCallRecord]).flatmap(
        lambda cls: st.tuples(st.just(cls), st.dictionaries(st.sampled_from(sorted(vendor_fields(cls))), JSON) | JSON)
    )
)
def test_any_row_becomes_a_record_or_a_record_error(kind_and_row: tuple[type[Any], Any]) -> None:
    record_class, row = kind_and_row
    try:
        outcome = structured(row, record_class)
    except RecordError as bad:
        outcome = bad
    if isinstance(outcome, RecordError):
        assert str(outcome)
        assert outcome.path == "" or outcome.path in vendor_fields(record_class)
    else:
        assert isinstance(outcome, record_class)


def raising(error: Exception) -> Callable[[Any, Any], Any]:
    def hook(_value: Any, _kind: Any) -> Any:
        raise error

    return hook


@pytest.mark.parametrize("is_used_before", [False, True])
@pytest.mark.parametrize(
    ("kind", "hook", "attribute", "expected"),
    [
        (Decimal, lambda value, _: Decimal(str(value)) * 2, "total_customer_price", Decimal("0.070")),
        (str, lambda value, _: f"<{value}>", "caller", "<85215236100>"),
        (int, lambda value, _: -value, "call_duration", 0),
        (bool, lambda value, _: not value, "answered", True),
        (datetime, lambda _value, _: datetime(2000, 1, 1, tzinfo=UTC), "start_time", datetime(2000, 1, 1, tzinfo=UTC)),
        (Direction, lambda _value, _: Direction.AICC, "direction", Direction.AICC),
    ],
)
def test_a_hook_of_the_users_own_is_honoured(
    kind: Any, hook: Callable[[Any, Any], Any], attribute: str, expected: Any, *, is_used_before: bool
) -> None:
    converter = make_converter()
    row = sample("cdr_page.json", "data")[0]
    if is_used_before:
        assert structure_row(converter, row, CallRecord) == MISSED
    converter.register_structure_hook(kind, hook)
    assert getattr(structure_row(converter, row, CallRecord), attribute) == expected


@pytest.mark.parametrize("is_used_before", [False, True])
def test_a_users_hook_for_a_whole_record_is_honoured(*, is_used_before: bool) -> None:
    converter = make_converter()
    if is_used_before:
        structure_row(converter, CALL, CallRecord)
        converter.unstructure(MISSED)
    converter.register_structure_hook(CallRecord, lambda _row, _: TAKEN)
    converter.register_unstructure_hook(CallRecord, lambda record: record.call_id)
    assert structure_row(converter, CALL, CallRecord) is TAKEN
    assert converter.unstructure(MISSED) == MISSED.call_id


@pytest.mark.parametrize("is_used_before", [False, True])
def test_a_users_way_of_writing_money_is_honoured(*, is_used_before: bool) -> None:
    converter = make_converter()
    if is_used_before:
        converter.unstructure(MISSED)
    converter.register_unstructure_hook(Decimal, float)
    assert converter.unstructure(MISSED)["totalCustomerPrice"] == 0.035


def test_a_hook_on_one_converter_changes_no_other() -> None:
    make_converter().register_structure_hook(str, lambda _value, _: "changed")
    assert structure_row(make_converter(), CALL, CallRecord).call_id == "a"


@pytest.mark.parametrize("error", [KeyError(), KeyError("other"), ValueError("no"), ZeroDivisionError(), OSError("x")])
@pytest.mark.parametrize("kind", [str, CallRecord])
def test_a_hook_that_raises_makes_the_row_a_bad_one(error: Exception, kind: type) -> None:
    converter = make_converter()
    converter.register_structure_hook(kind, raising(error))
    with pytest.raises(RecordError) as bad:
        structure_row(converter, CALL, CallRecord)
    assert bad.value.path == ("callId" if kind is str else "")
    assert bad.value.record_id == "a"
    assert "is missing" not in str(bad.value)

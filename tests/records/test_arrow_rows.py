"""Records to rows of tables, whole columns at a time."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from nxcdr_async import CallRecord, DidCallRecord, Direction, FlashCallRecord, RecordError
from nxcdr_async.paging.page_reader import RowStructurer
from nxcdr_async.protocol.endpoints import CALLS as CALLS_API
from nxcdr_async.protocol.responses import Row
from nxcdr_async.protocol.wire_rows import PageDecoder
from nxcdr_async.records.arrow import CALLS, DID_CALLS, EXTRA, FLASH_CALLS, Table, rows_of
from nxcdr_async.records.columns import records_from
from nxcdr_async.records.converter import make_converter
from nxcdr_async.records.models import vendor_fields
from nxcdr_async.stats import PaginatorStats
from tests.examples import examples
from tests.sinks.table_rows import table_of

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
START_MS = 1_767_225_600_123

numbers = st.sampled_from([None, "", 0, 1, -1, 3, 2**63 - 1, -(2**63)])
moments = st.sampled_from([None, "", "0", 0, START_MS // 1000, 10**11, START_MS, 253_402_300_799_999])
texts = st.sampled_from([None, "", "0", " 55", "牛😀", 5, 2**70, "NX@43.134.225.234:5060"])
# Numbers as they stand in JSON, money among them as text and as number.
prices = st.sampled_from(["null", '"0E-8"', "0E-8", "0.20280000", '"0.20280000"', '"1"', "1", "-0.5", '""', "1e2"])
truths = st.sampled_from([None, "", True, False, "true", 1, 0, "0"])
directions = st.sampled_from([None, "", 0, 1, 2, 7, -1, "1"])
unknown = st.dictionaries(
    st.sampled_from(["newKey", "Other", "a b", "ключ", '"', "é\n"]),
    st.sampled_from([None, 1, "x", {"deep": [1, None, {"er": True}]}, False, "", []]),
    max_size=3,
)

_STRATEGIES = {
    str | None: texts,
    int | None: numbers,
    bool | None: truths,
    datetime | None: moments,
    Direction | None: directions,
}


@st.composite
def call_rows(draw: st.DrawFn) -> bytes:
    """Make a row of cdr/page as JSON, some of its keys left out."""
    values = {"callId": json.dumps(draw(st.text(min_size=1, max_size=5))), "startTime": f"{START_MS}"}
    for key, attribute in vendor_fields(CallRecord).items():
        if key in values or draw(st.booleans()):
            continue
        is_money = attribute.type == Decimal | None
        values[key] = draw(prices) if is_money else json.dumps(draw(_STRATEGIES[attribute.type]))
    values |= {json.dumps(key)[1:-1]: json.dumps(value) for key, value in draw(unknown).items()}
    return b"{%s}" % ",".join(f'"{key}":{value}' for key, value in values.items()).encode()


def read(*rows: bytes) -> list[CallRecord]:
    """Return the records of a reply with these rows."""
    page = PageDecoder(CALLS_API).page(b'{"code":0,"data":[%s]}' % b",".join(rows))
    assert page is not None
    found: list[Row] = []
    RowStructurer(CALLS_API, make_converter(), None, PaginatorStats()).add(page, found, "")
    return records_from([row.values for row in found])


def slowly(table: Table, records: list[Any]) -> list[dict[str, Any]]:
    """Return what rows of these records should hold, read off their attributes."""
    rows = []
    for record in records:
        row = {name: getattr(record, name) for name in table.columns}
        known = {key: value for key, value in row[EXTRA].items() if value is not None}
        for name, value in row.items():
            if isinstance(value, Direction):
                row[name] = value.name.lower()
        rows.append({**row, EXTRA: known or None})
    return rows


def shown(rows: pa.Table) -> list[dict[str, Any]]:
    found = rows.to_pylist()
    return [{**row, EXTRA: row[EXTRA] and json.loads(row[EXTRA])} for row in found]


@examples(200)
@given(st.lists(call_rows(), max_size=4))
def test_rows_hold_what_their_records_hold(rows: list[bytes]) -> None:
    found = rows_of(CALLS, read(*rows))
    assert found.schema == CALLS.schema
    assert shown(found) == slowly(CALLS, read(*rows))


@given(st.lists(call_rows(), min_size=1, max_size=4))
def test_records_made_by_hand_and_read_ones_may_come_together(rows: list[bytes]) -> None:
    by_hand = [CallRecord(call_id="by hand", start_time=MOMENT, direction=Direction(9), extra={"a": None, "b": 1})]
    records = [*read(*rows), *by_hand]
    assert shown(rows_of(CALLS, records)) == slowly(CALLS, [*read(*rows), *by_hand])


zones = st.sampled_from([UTC, timezone(timedelta(hours=-3, minutes=30)), ZoneInfo("Asia/Hong_Kong")])


@given(st.lists(st.none() | st.datetimes(timezones=zones), max_size=5))
def test_a_time_of_any_zone_is_kept_to_the_microsecond(times: list[datetime | None]) -> None:
    found = rows_of(CALLS, [call(end_time=time) for time in times])["end_time"]
    assert found == pa.chunked_array([pa.array(times, pa.timestamp("us", tz="UTC"))])


def test_a_time_without_a_zone_is_one_of_utc() -> None:
    (found,) = rows_of(CALLS, [call(end_time=MOMENT.replace(tzinfo=None))])["end_time"].to_pylist()
    assert found == MOMENT


@pytest.mark.parametrize(
    ("table", "record"),
    [
        (CALLS, CallRecord(call_id="a", start_time=MOMENT)),
        (DID_CALLS, DidCallRecord(start_time=MOMENT, call_type=Direction.OUTBOUND, call_price=Decimal("0.1"))),
        (FLASH_CALLS, FlashCallRecord(id=1, gmt_create=MOMENT, msisdn=" 55", extra={"x": Decimal("1.10")})),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_records_of_each_kind_become_rows(table: Table, record: Any) -> None:
    assert shown(rows_of(table, [record])) == [
        {**row, EXTRA: row[EXTRA] and {"x": 1.1}} for row in slowly(table, [record])
    ]


def test_a_direction_is_written_as_its_name() -> None:
    records = [CallRecord(call_id=f"{way}", start_time=MOMENT, direction=Direction(way)) for way in (0, 1, 2, 7)]
    assert rows_of(CALLS, records)["direction"].to_pylist() == ["inbound", "outbound", "aicc", "unknown_7"]


def test_no_records_are_no_rows() -> None:
    assert rows_of(CALLS, []) == CALLS.empty()


def call(**values: Any) -> CallRecord:
    return CallRecord(**{"call_id": "a", "start_time": MOMENT, **values})


def typed(json_of_values: str) -> CallRecord:
    (record,) = read(b'{"callId":"a","startTime":1767225600123,%s}' % json_of_values.encode())
    return record


unstorable = pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: typed('"callDuration":9223372036854775808'), "callDuration"),
        (lambda: typed('"hangupCode":-9223372036854775809'), "hangupCode"),
        (lambda: typed('"totalCustomerPrice":1e30'), "totalCustomerPrice"),
        (lambda: typed('"totalCustomerPrice":"0.0000000000000000001"'), "totalCustomerPrice"),
        (lambda: typed('"mos":99999999999999999999999999999'), "mos"),
        (lambda: call(call_duration=2**63), "callDuration"),
        (lambda: call(total_customer_price=Decimal("NaN")), "totalCustomerPrice"),
        (lambda: call(total_customer_price=Decimal("Infinity")), "totalCustomerPrice"),
        (lambda: call(caller="\ud800"), "caller"),
        (lambda: call(call_id="\ud800"), "callId"),
        (lambda: call(caller=5), "caller"),
        (lambda: call(answered="yes"), "answered"),
        (lambda: call(end_time="tomorrow"), "endTime"),
        (lambda: call(extra={"a": object()}), "extra"),
        (lambda: call(extra={"a": "\ud800"}), "extra"),
    ],
)


@unstorable
def test_what_no_table_can_hold_is_a_bad_row_with_its_id_and_path(make: Callable[[], CallRecord], path: str) -> None:
    record = make()
    with pytest.raises(RecordError) as caught:
        rows_of(CALLS, [call(call_id="good"), record])
    assert caught.value.path == path
    assert isinstance(caught.value.row, dict)
    assert caught.value.row["callId"] == record.call_id
    assert "cannot be stored" in str(caught.value)


@unstorable
def test_what_no_table_can_hold_goes_to_the_callback_and_the_rest_is_kept(
    make: Callable[[], CallRecord], path: str
) -> None:
    bad: list[RecordError] = []
    rows = rows_of(CALLS, [call(call_id="before"), make(), call(call_id="after")], bad.append)
    assert rows["call_id"].to_pylist() == ["before", "after"]
    assert [error.path for error in bad] == [path]


@given(st.lists(st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 0, None]), max_size=6))
def test_just_the_rows_that_fit_are_kept(durations: list[int | None]) -> None:
    bad: list[RecordError] = []
    rows = rows_of(CALLS, [call(call_duration=duration) for duration in durations], bad.append)
    fitting = [duration for duration in durations if duration is None or -(2**63) <= duration < 2**63]
    assert rows["call_duration"].to_pylist() == fitting
    assert len(bad) == len(durations) - len(fitting)


def test_an_error_of_the_callback_comes_out() -> None:
    def refuse(_: RecordError) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rows_of(CALLS, [call(call_duration=2**63)], refuse)


@given(st.decimals(min_value=-(10**19), max_value=10**19, places=18))
def test_amounts_of_eighteen_places_are_kept_exactly(amount: Decimal) -> None:
    rows = rows_of(CALLS, [call(total_customer_price=amount)])
    assert rows == table_of(CALLS, [{"call_id": "a", "start_time": MOMENT, "total_customer_price": amount}])


def test_numbers_of_any_size_are_kept_among_the_keys_nobody_knows() -> None:
    rows = rows_of(CALLS, [call(extra={"big": 2**70, "exact": Decimal("0.1234567890123456789")})])
    assert rows[EXTRA].to_pylist() == [f'{{"big":{2**70},"exact":0.1234567890123456789}}']

"""Records to JSON lines: exact, and the same for every reader."""

import json
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal

from nxcdr_async import CallRecord, CdrSession, Direction, FlashCallRecord, json_lines, make_converter
from nxcdr_async.testing import Gateway

START = datetime(2026, 1, 1, 8, 30, tzinfo=UTC)


def test_each_record_is_a_line() -> None:
    lines = json_lines([CallRecord(call_id="a", start_time=START), CallRecord(call_id="b", start_time=START)])
    assert lines.endswith(b"\n")
    assert [json.loads(line)["call_id"] for line in lines.splitlines()] == ["a", "b"]


def test_no_records_are_no_lines() -> None:
    assert json_lines([]) == b""


def test_values_are_written_exactly_and_for_any_reader() -> None:
    call = CallRecord(
        call_id="0gQAAC8W/Waas@103.251.203.149",
        start_time=START,
        in_queue_time=START,
        out_queue_time=START.replace(second=6),
        direction=Direction.INBOUND,
        hangup_code=11042,
        total_customer_price=Decimal("0E-8"),
        extra={"牛": [1]},
    )
    row = json.loads(json_lines([call]))
    assert row["start_time"] == "2026-01-01T08:30:00Z"
    assert (row["direction"], row["total_customer_price"], row["extra"]) == ("inbound", "0.00000000", {"牛": [1]})
    assert (row["queue_wait"], row["hangup_meaning"]) == (6.0, "queue timeout, no agent online")


def test_other_records_have_what_is_theirs() -> None:
    row = json.loads(json_lines([FlashCallRecord(id=7, gmt_create=START)]))
    assert row["id"] == 7
    assert "queue_wait" not in row


def test_records_of_several_kinds_keep_their_order() -> None:
    call, flash = CallRecord(call_id="a", start_time=START), FlashCallRecord(id=7, gmt_create=START)
    assert json_lines([call, flash, call]) == json_lines([call]) + json_lines([flash]) + json_lines([call])


async def test_calls_as_they_come_are_written_as_those_that_were_made_whole(gateway: Gateway) -> None:
    gateway.add_call(orderId="", direction=7, totalCustomerPrice="0E-8", answerTime="0", intent=19, brandNew=[1])
    gateway.add_call(queueDuration="", answered="", hangupCode=None, mos=4.5)
    async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as session:
        calls = await session.calls(gateway.first_call, gateway.last_call).collect()
    structure = make_converter().structure
    whole = {row["callId"]: structure(row, CallRecord) for row in gateway.history.calls()}
    assert json_lines(calls) == json_lines([whole[call.call_id] for call in calls])
    assert len(calls) == len(whole)


async def test_a_value_that_was_changed_is_written_as_it_is_now(gateway: Gateway) -> None:
    async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as session:
        call, *_ = await session.calls(gateway.first_call, gateway.last_call).collect()
    call.extra["note"] = "mine"
    assert json.loads(json_lines([call]))["extra"] == {"note": "mine"}


def test_only_some_records_are_rows_at_the_same_time() -> None:
    records = [CallRecord(call_id=str(number), start_time=START) for number in range(20_000)]
    tracemalloc.start()
    try:
        lines = json_lines(record for record in records)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [json.loads(line)["call_id"] for line in lines.splitlines()] == [record.call_id for record in records]
    assert peak < 1.5 * len(lines)

"""Replies that no document foresees, from a real server, to each API: all that is there, or an error that says so."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from nxcdr_async import (
    AuthenticationError,
    GatewayError,
    IncompleteError,
    InvalidRequestError,
    MalformedReplyError,
    NxcdrError,
    RecordError,
    ServerError,
    ThrottledError,
)
from tests.strange.server import APIS, FIRST, Answer, enveloped, known_by, read_from, reply_of, row_of

LISTED = ("calls", "did", "flash")
CALLS = ("calls", "order")
DEEP = 100_000
DIGITS = "1" * 5_000

each_api = pytest.mark.parametrize("api", APIS)


async def outcome(api: str, answer: Answer, **how: Any) -> list[str] | type[NxcdrError]:
    """Return the ids that are read from a server that always answers this, or the kind of error."""
    try:
        return sorted(known_by(record) for record in await read_from(lambda *_: answer, api, **how))
    except NxcdrError as error:
        return type(error)


def ids(api: str, *numbers: int) -> list[str]:
    return [known_by_row(row_of(api, number)) for number in numbers]


def known_by_row(row: Mapping[str, Any]) -> str:
    return str(row.get("callId", row.get("id")))


def written(row: Mapping[str, Any], members: str = "") -> str:
    """Return a row in JSON, with more members as they are given."""
    text = json.dumps(row)
    return f"{text[:-1]}, {members}}}" if members else text


def with_rows(api: str, *rows: str) -> Answer:
    return Answer(enveloped(api, f"[{', '.join(rows)}]", total=str(len(rows))))


@each_api
@pytest.mark.parametrize("code", ["0", '"0"', '"00"', '" 0"', '"+0"', "-0"])
async def test_a_code_of_zero_is_success_however_it_is_written(api: str, code: str) -> None:
    body = enveloped(api, json.dumps([row_of(api, 0)]), code=code, total="1")
    assert await outcome(api, Answer(body)) == ids(api, 0)


@each_api
@pytest.mark.parametrize(
    "code", ["0.0", "true", "false", "null", '""', '"0.0"', '"zero"', "{}", "[]", "[0]", "1e400", DIGITS, f'"{DIGITS}"']
)
async def test_a_code_that_is_no_number_is_no_reply(api: str, code: str) -> None:
    assert await outcome(api, Answer(enveloped(api, "[]", code=code, total="0"))) is MalformedReplyError


@each_api
@pytest.mark.parametrize("code", ["88", '"88"', "99", '" 99"', "1003", "424242", '"-7"'])
async def test_any_other_code_is_a_refusal(api: str, code: str) -> None:
    found = await outcome(api, Answer(enveloped(api, json.dumps([row_of(api, 0)]), code=code, total="1")))
    assert isinstance(found, type)
    assert issubclass(found, GatewayError)


@each_api
@pytest.mark.parametrize("rows", ["null", "{}", "[]"])
async def test_no_rows_are_no_records_however_they_are_written(api: str, rows: str) -> None:
    assert await outcome(api, Answer(enveloped(api, rows, total="0"))) == []


@each_api
@pytest.mark.parametrize("rows", ['""', "0", "false", "true", "7", '"rows"', "1.5", '{"0": {}}'])
async def test_something_else_where_rows_belong_is_no_reply(api: str, rows: str) -> None:
    assert await outcome(api, Answer(enveloped(api, rows, total="0"))) is MalformedReplyError


@pytest.mark.parametrize("data", ['""', "0", "false", "7", '"rows"'])
async def test_something_else_where_the_pages_of_a_day_belong_is_no_reply(data: str) -> None:
    assert await outcome("did", Answer(f'{{"code": 0, "data": {data}}}'.encode())) is MalformedReplyError


@each_api
async def test_a_success_without_any_rows_key_has_no_records(api: str) -> None:
    assert await outcome(api, Answer(b'{"code": 0}')) == []


@each_api
@pytest.mark.parametrize("row", ["null", "5", '"row"', "[]", "[[]]", "true", "{}", "1.5", "1e400"])
async def test_a_row_of_a_wrong_type_is_an_error_or_skipped(api: str, row: str) -> None:
    answer = with_rows(api, written(row_of(api, 0)), row, written(row_of(api, 2)))
    assert await outcome(api, answer) is RecordError
    assert await outcome(api, answer, on_bad_row="skip") == ids(api, 0, 2)


KNOWN_KEYS = {"calls": "callDuration", "order": "ringDuration", "did": "callDuration", "flash": "customerId"}


@each_api
@pytest.mark.parametrize("value", ["1e400", "-1e999999999", '"NaN"', "0.5", "{}", "[]", "true", '"many"', '"\\ud83d"'])
async def test_a_value_of_a_wrong_type_is_an_error_or_skipped(api: str, value: str) -> None:
    odd = written(row_of(api, 1), f'"{KNOWN_KEYS[api]}": {value}')
    answer = with_rows(api, written(row_of(api, 0)), odd, written(row_of(api, 2)))
    assert await outcome(api, answer) is RecordError
    assert await outcome(api, answer, on_bad_row="skip") == ids(api, 0, 2)


@each_api
@pytest.mark.parametrize("value", ["1e400", "-1e999999999", '{"a": [1e400]}', '"\\ud83d"', "1" * 4_000, '""', "null"])
async def test_any_value_of_a_key_nobody_knows_costs_nothing(api: str, value: str) -> None:
    assert await outcome(api, with_rows(api, written(row_of(api, 0), f'"new": {value}'))) == ids(api, 0)


@each_api
@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", DIGITS, "01", "'x'", "0x10", '"\xff"', "undefined", '"a"b"', "[1}", "{"]
)
async def test_a_row_that_is_not_json_is_an_error_or_skipped(api: str, value: str) -> None:
    for key in (KNOWN_KEYS[api], "new"):
        odd = written(row_of(api, 1), f'"{key}": {value}')
        answer = with_rows(api, written(row_of(api, 0)), odd, written(row_of(api, 2)))
        spoiled = Answer(answer.body.replace("\xff".encode(), b"\xff"))
        assert await outcome(api, spoiled) is RecordError
        assert await outcome(api, spoiled, on_bad_row="skip") == ids(api, 0, 2)


@each_api
@pytest.mark.parametrize("value", ['"\x00"', '"a\tb"', '"a\nb\x1f"'])
async def test_raw_control_characters_cost_nothing(api: str, value: str) -> None:
    assert await outcome(api, with_rows(api, written(row_of(api, 0), f'"new": {value}'))) == ids(api, 0)


@each_api
@pytest.mark.parametrize("brackets", ["[]", "{}"])
@pytest.mark.parametrize("where", ["reply", "envelope", "rows", "known", "new"])
async def test_endless_nesting_is_no_reply_or_no_row(api: str, where: str, brackets: str) -> None:
    opening = "[" if brackets == "[]" else '{"a":'
    nest = opening * DEEP + "1" + brackets[1] * DEEP
    row = row_of(api, 0)
    bodies = {
        "reply": nest.encode(),
        "envelope": f'{{"code": 0, "deep": {nest}}}'.encode(),
        "rows": enveloped(api, nest, total="1"),
        "known": with_rows(api, written(row, f'"{KNOWN_KEYS[api]}": {nest}')).body,
        "new": with_rows(api, written(row, f'"new": {nest}')).body,
    }
    expected = RecordError if where in {"known", "new"} else MalformedReplyError
    assert await outcome(api, Answer(bodies[where])) is expected


@each_api
async def test_of_a_key_that_comes_twice_the_last_counts(api: str) -> None:
    twice = written(row_of(api, 3), ", ".join(f'"{key}": {json.dumps(value)}' for key, value in row_of(api, 0).items()))
    assert await outcome(api, with_rows(api, twice)) == ids(api, 0)


def packed(api: str, encoding: str) -> Answer:
    return Answer(enveloped(api, json.dumps([row_of(api, 0)]), total="1").decode().encode(encoding))


@each_api
async def test_a_byte_order_mark_costs_nothing(api: str) -> None:
    assert await outcome(api, packed(api, "utf-8-sig")) == ids(api, 0)


@each_api
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
async def test_other_spellings_of_unicode_are_read_undeclared(api: str, encoding: str) -> None:
    assert await outcome(api, packed(api, encoding)) == ids(api, 0)


@each_api
async def test_another_encoding_that_is_not_declared_is_no_reply(api: str) -> None:
    assert await outcome(api, packed(api, "cp037")) is MalformedReplyError


@each_api
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, InvalidRequestError),
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, InvalidRequestError),
        (418, InvalidRequestError),
        (429, ThrottledError),
        (500, ServerError),
        (599, ServerError),
    ],
)
async def test_a_success_under_a_status_of_failure_is_a_failure(api: str, status: int, kind: type[NxcdrError]) -> None:
    answer = reply_of(api, [row_of(api, 0)])
    assert await outcome(api, Answer(answer.body, status)) is kind


@pytest.mark.parametrize("total", ["1e400", "-5", '"many"', "true", "1.5", "null", DIGITS, str(10**13)])
async def test_a_total_that_is_no_count_is_not_believed(total: str) -> None:
    rows = json.dumps([row_of("did", 0)])

    def script(_: str, parameters: Mapping[str, Any]) -> Answer:
        return Answer(enveloped("did", rows if parameters["page"] == 1 else "[]", total=total))

    if total == DIGITS:
        with pytest.raises(MalformedReplyError):
            await read_from(script, "did")
    else:
        assert [known_by(call) for call in await read_from(script, "did")] == ids("did", 0)


@pytest.mark.first_of
@pytest.mark.parametrize(
    ("total", "pages"),
    [
        *((total, "1") for total in ("0", "2", "1000", str(10**12))),
        *(("2", pages) for pages in ("0", "1e400", "-1", "99999999999")),
    ],
)
async def test_a_total_that_lies_is_an_error(total: str, pages: str) -> None:
    body = enveloped("did", json.dumps([row_of("did", 0)]), total=total, pages=pages)

    def script(_: str, parameters: Mapping[str, Any]) -> Answer:
        return Answer(body if parameters["page"] == 1 else enveloped("did", "[]", total=total, pages=pages))

    with pytest.raises(IncompleteError, match="tells of"):
        await read_from(script, "did")


FAR = {
    "calls": {"startTime": 253_402_300_799_999, "endTime": 253_402_300_799_999},
    "did": {"startTime": "9999-12-30 23:59:59"},
    "flash": {"gmtCreate": "9999-12-30 23:59:59"},
}


@pytest.mark.parametrize("api", LISTED)
async def test_calls_at_the_end_of_time_are_not_of_this_range(api: str) -> None:
    assert await outcome(api, reply_of(api, [row_of(api, 0, **FAR[api])])) is IncompleteError


@pytest.mark.parametrize(
    ("api", "key", "value"),
    [
        *(("calls", "startTime", value) for value in (0, "", "soon", 10**15, -(10**15), 2**63, [])),
        *(("order", "startTime", value) for value in (0, "", "soon", 10**15, -(10**15), 2**63, {})),
        *(("did", "startTime", value) for value in ("", "9999-99-99 00:00:00", 10**16, None)),
        *(("flash", "gmtCreate", value) for value in ("", "yesterday", -(10**16), False)),
    ],
)
async def test_a_time_that_is_none_is_an_error(api: str, key: str, value: Any) -> None:
    assert await outcome(api, reply_of(api, [row_of(api, 0, **{key: value})])) is RecordError


@pytest.mark.parametrize("value", ["9999-12-31 23:59:59", "0001-01-01 00:00:00", "0001-01-01 00:00:00+14:00"])
@pytest.mark.parametrize(("api", "key"), [("did", "startTime"), ("flash", "gmtCreate")])
async def test_a_local_time_at_the_edges_of_the_calendar_is_an_error(api: str, key: str, value: str) -> None:
    assert await outcome(api, reply_of(api, [row_of(api, 0, **{key: value})])) in {RecordError, IncompleteError}


async def test_a_start_before_the_epoch_is_none() -> None:
    assert await outcome("calls", reply_of("calls", [row_of("calls", 0, startTime=-FIRST)])) is RecordError


@pytest.mark.parametrize("api", CALLS)
@pytest.mark.parametrize("value", [None, "", True, {}, [], 1.5])
async def test_a_call_without_an_id_is_an_error(api: str, value: Any) -> None:
    assert await outcome(api, reply_of(api, [row_of(api, 0, callId=value)])) is RecordError


@each_api
async def test_rows_of_one_id_are_legs_of_a_call_or_one_row(api: str) -> None:
    key, value = ("price", 5) if api == "flash" else ("callDuration", 5)
    first, second = row_of(api, 0, **{key: value}), row_of(api, 0, **{key: 7})
    found = await outcome(api, reply_of(api, [first, second]))
    # The id of a flash or DID call is that of its row; and the total of a day tells of two.
    wanted = {"did": IncompleteError, "flash": ids(api, 0)}
    assert found == wanted.get(api, ids(api, 0, 0))

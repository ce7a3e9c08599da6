import json
from decimal import Decimal
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from nxcdr_async import (
    AuthenticationError,
    ClockSkewError,
    GatewayError,
    InvalidRequestError,
    MalformedReplyError,
    NxcdrError,
    ServerError,
    ThrottledError,
)
from nxcdr_async._util.redaction import LONGEST_LINE, Redactor
from nxcdr_async.protocol.codes import CODES
from nxcdr_async.protocol.endpoints import CALLS, DID, ENDPOINTS, FLASH, FLASH_CALL, ORDER, Endpoint
from nxcdr_async.protocol.responses import Page, Response, parse_page
from nxcdr_async.records.converter import UnreadableRow

SAMPLES = Path(__file__).parent.parent / "samples"
NOW = 1_700_000_000.0
SECRETS = ("TopSecret42", "Flash+Secret/4=")
LISTS = [endpoint for endpoint in ENDPOINTS if not endpoint.is_single]


def read(
    body: bytes | str | dict[str, Any], endpoint: Endpoint[Any] = CALLS, status: int = 200, **headers: str
) -> Page:
    content = json.dumps(body) if isinstance(body, dict) else body
    return parse_page(
        Response(status, headers, content.encode() if isinstance(content, str) else content),
        rows_at=endpoint.rows_at,
        is_single=endpoint.is_single,
        codes=endpoint.codes,
        now=NOW,
        redactor=Redactor(SECRETS),
    )


def refusal(
    body: bytes | str | dict[str, Any], endpoint: Endpoint[Any] = CALLS, status: int = 200, **headers: str
) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        read(body, endpoint, status, **headers)
    return refused.value


@pytest.mark.parametrize(
    ("name", "endpoint", "rows"),
    [("cdr_page.json", CALLS, 2), ("order.json", ORDER, 2), ("did_cdr.json", DID, 1), ("flash_list.json", FLASH, 2)],
)
def test_the_documented_replies_give_their_rows(name: str, endpoint: Endpoint[Any], rows: int) -> None:
    page = read((SAMPLES / name).read_bytes(), endpoint)
    assert len(page.rows) == rows
    assert not page.is_vague


def test_only_did_tells_how_many_rows_there_are() -> None:
    page = read((SAMPLES / "did_cdr.json").read_bytes(), DID)
    assert (page.total_rows, page.total_pages) == (1, 1)
    page = read((SAMPLES / "cdr_page.json").read_bytes())
    assert (page.total_rows, page.total_pages) == (None, None)


def test_numbers_with_a_fraction_never_pass_through_a_float() -> None:
    page = read('{"code":0,"data":[{"totalCustomerPrice":0.20280000000000000001}]}')
    assert page.rows == [{"totalCustomerPrice": Decimal("0.20280000000000000001")}]


def test_the_documented_call_failure_is_an_invalid_request() -> None:
    error = refusal((SAMPLES / "cdr_page_failure.json").read_bytes())
    assert type(error) is InvalidRequestError
    assert (error.code, error.message, error.http_status) == (41000, "End date cannot be empty", 200)
    assert error.request_id == "FFDD1791E22F4D9DBA967C245C58E544"
    assert "FFDD1791E22F4D9DBA967C245C58E544" in str(error)


def test_the_documented_did_failure_is_an_invalid_request() -> None:
    error = refusal((SAMPLES / "did_cdr_failure.json").read_bytes(), DID)
    assert type(error) is InvalidRequestError
    assert (error.code, error.message, error.request_id) == (1002, "Parameter error", None)


COMMON_CODES = [
    (1001, AuthenticationError),
    (1002, InvalidRequestError),
    (1003, AuthenticationError),
    (1004, ClockSkewError),
    (1005, AuthenticationError),
    (88, ServerError),
    (99, ServerError),
    (-1, ServerError),
    (41000, InvalidRequestError),
]


@pytest.mark.parametrize("data", [{"data": {}}, {"data": None}, {"data": []}, {}])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(("code", "kind"), COMMON_CODES)
def test_each_common_code_is_its_error(
    code: int, kind: type[GatewayError], endpoint: Endpoint[Any], data: dict[str, Any]
) -> None:
    for written in (code, str(code)):
        error = refusal({"code": written, "msg": "拒绝", **data}, endpoint)
        assert type(error) is kind
        assert (error.code, error.message) == (code, "拒绝")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, AuthenticationError),
        (2, AuthenticationError),
        (3, ThrottledError),
        (4, GatewayError),
        (5, InvalidRequestError),
        (6, ThrottledError),
        (7, InvalidRequestError),
        (8, GatewayError),
    ],
)
def test_each_flash_code_is_its_error_for_the_flash_list_only(code: int, kind: type[GatewayError]) -> None:
    assert type(refusal({"code": str(code)}, FLASH)) is kind
    assert type(refusal({"code": code}, CALLS)) is GatewayError


@pytest.mark.parametrize("code", [12345, 7, -3, 10**30])
def test_a_code_nobody_has_documented_is_a_gateway_error_with_its_number(code: int) -> None:
    error = refusal({"code": code, "msg": "new"})
    assert type(error) is GatewayError
    assert error.code == code


@pytest.mark.parametrize("key", ["msg", "message", "info"])
def test_the_explanation_is_found_under_each_of_its_names(key: str) -> None:
    assert refusal({"code": 88, key: "why"}).message == "why"


@pytest.mark.parametrize("key", ["reqId", "requestId"])
def test_the_request_id_is_found_under_each_of_its_names(key: str) -> None:
    assert refusal({"code": 88, key: "r-1"}).request_id == "r-1"


@pytest.mark.parametrize("told", [{}, {"msg": None}, {"msg": ""}, {"msg": 5}, {"msg": {"deep": 1}}])
def test_a_refusal_without_a_reason_says_so(told: dict[str, Any]) -> None:
    assert refusal({"code": 88, **told}).message == "the gateway refused without a reason"


@pytest.mark.parametrize("data", ['"data":null', '"data":{}', '"msg":"success"'])
@pytest.mark.parametrize("code", ["0", '"0"'])
def test_success_without_rows_is_vague(code: str, data: str) -> None:
    assert read(f'{{"code":{code},{data}}}') == Page([], is_vague=True)


def test_an_empty_list_of_rows_is_not_vague() -> None:
    assert read({"code": 0, "data": []}) == Page([])
    assert read({"code": "0", "cdrs": []}, FLASH) == Page([])


def test_a_did_day_that_tells_of_no_rows_is_not_vague() -> None:
    assert read({"code": 0, "data": {"totalRow": 0, "list": None}}, DID) == Page([], total_rows=0)


@pytest.mark.parametrize("data", [None, {}, {"list": None}, {"list": {}}])
def test_a_did_day_that_tells_nothing_is_vague(data: Any) -> None:
    assert read({"code": 0, "data": data}, DID).is_vague


@pytest.mark.parametrize("total", ["1", None, True, -1, 1.5, []])
def test_a_total_that_is_no_count_is_not_believed(total: Any) -> None:
    assert read({"code": 0, "data": {"totalRow": total, "list": [{}]}}, DID).total_rows is None


@pytest.mark.parametrize("data", ["text", 5, True, {"a": 1}])
def test_rows_that_are_no_list_are_malformed(data: Any) -> None:
    with pytest.raises(MalformedReplyError, match="where a list of rows belongs"):
        read({"code": 0, "data": data})


@pytest.mark.parametrize("data", ["text", 5, [1]])
def test_did_data_that_is_no_object_is_malformed(data: Any) -> None:
    with pytest.raises(MalformedReplyError, match="where an object with 'list' belongs"):
        read({"code": 0, "data": data}, DID)


@pytest.mark.parametrize("code", [None, True, "", "abc", [], {}, 0.5, "1" * 5000])
def test_a_reply_without_a_readable_code_is_malformed(code: Any) -> None:
    with pytest.raises(MalformedReplyError, match="no result code"):
        read({"code": code, "data": []})


def test_a_web_page_says_that_it_is_one() -> None:
    with pytest.raises(MalformedReplyError, match="web page, not JSON"):
        read((SAMPLES / "maintenance.html").read_bytes())


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_says_that_it_is_empty(body: bytes) -> None:
    with pytest.raises(MalformedReplyError, match="is empty"):
        read(body)


WHOLE = (SAMPLES / "cdr_page.json").read_bytes().strip()


@given(st.integers(1, len(WHOLE) - 1))
def test_a_reply_cut_off_anywhere_is_malformed(length: int) -> None:
    with pytest.raises(MalformedReplyError):
        read(WHOLE[:length])


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"code":0,"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"code":NaN,"data":[]}',
        b'{"code":Infinity,"data":[{}]}',
        b'{"code":0,"data":[],"n":' + b"1" * 5000 + b"}",
        b'{"code":0,"msg":"\xff","data":[]}',
        b'{"code":0,"msg":"a"b","data":[{}]}',
        b"[]",
        b"null",
        b"0",
        b'"text"',
        b"\x1f\x8b\x08\x00",
        b"\x00",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_body_that_is_no_sane_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedReplyError):
        read(body)


def test_a_reply_that_is_cut_off_says_so_and_where() -> None:
    with pytest.raises(MalformedReplyError, match="was cut off: it ends after 100 bytes") as cut:
        read(WHOLE[:100])
    assert not cut.value.is_whole


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"code":NaN,"data":[]}', r"no JSON object: invalid character \(byte 8\)"),
        (b'{"code":0,"msg":"\xff"}', r"no JSON object: its byte 17, 0xff, is no text in its charset"),
        ("[]", "no JSON object: it is another value"),
    ],
    ids=range(3),
)
def test_a_whole_reply_that_is_bad_says_why_and_where(body: bytes | str, reason: str) -> None:
    with pytest.raises(MalformedReplyError, match=reason) as bad:
        read(body)
    assert bad.value.is_whole


NESTED: dict[str, Any] = {CALLS.name: "data", ORDER.name: "data", FLASH.name: "cdrs"}


def enveloped(endpoint: Endpoint[Any], *rows: str) -> str:
    listed = f"[{','.join(rows)}]"
    inner = (
        f'"data":{{"totalRow":{len(rows)},"list":{listed}}}'
        if endpoint is DID
        else f'"{NESTED.get(endpoint.name)}":{listed}'
    )
    return f'{{"code":0,{inner},"msg":"ok"}}'


@pytest.mark.parametrize("endpoint", LISTS)
@pytest.mark.parametrize("broken", ['"mos":NaN', '"mos":-Infinity', '"mos":"\udcff"', '"mos":"5" x"', '"mos":[1}'])
def test_a_broken_row_costs_no_other_row(endpoint: Endpoint[Any], broken: str) -> None:
    key = endpoint.id_key
    rows = [f'{{"{key}":1}}', f'{{"{key}":2,{broken}}}', f'{{"{key}":3}}', f'{{"{key}":4,{broken}}}', f'{{"{key}":5}}']
    body = enveloped(endpoint, *rows).encode("utf-8", "surrogateescape")
    page = read(body, endpoint)
    assert page.rows[::2] == [{key: 1}, {key: 3}, {key: 5}]
    assert all(isinstance(row, UnreadableRow) for row in page.rows[1::2])
    assert [endpoint.row_key(row) for row in page.rows] == ["1", "2", "3", "4", "5"]


def test_a_broken_row_without_an_id_is_known_by_all_of_it() -> None:
    body = '{"code":0,"data":[{"mos":NaN},{"mos":-NaN},{"mos":NaN}]}'
    assert [CALLS.row_key(row) for row in read(body).rows] == ['{"mos":NaN}', '{"mos":-NaN}', '{"mos":NaN}']


def test_a_refusal_beside_a_broken_row_stays_a_refusal() -> None:
    assert refusal('{"code":99,"data":[{"mos":NaN}]}').code == 99


def test_a_declared_charset_is_read() -> None:
    body = WHOLE.decode().encode("gbk", "ignore")
    page = read(body, **{"content-type": "application/json;charset=GBK"})
    assert page.rows == read(body.decode("gbk").encode()).rows


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"code":0,"data":[]}'])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, InvalidRequestError),
        (302, InvalidRequestError),
        (308, InvalidRequestError),
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, InvalidRequestError),
        (405, InvalidRequestError),
        (429, ThrottledError),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
    ],
)
def test_a_status_without_a_code_decides(status: int, kind: type[GatewayError], body: bytes) -> None:
    error = refusal(body, status=status)
    assert type(error) is kind
    assert error.http_status == status
    assert not error.code


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500, 503])
@pytest.mark.parametrize(("code", "kind"), COMMON_CODES)
def test_a_documented_code_decides_whatever_the_status(code: int, kind: type[GatewayError], status: int) -> None:
    error = refusal({"code": code}, status=status)
    assert type(error) is kind
    assert (error.code, error.http_status) == (code, status)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(302, InvalidRequestError), (401, AuthenticationError), (404, InvalidRequestError), (502, ServerError)],
)
def test_a_code_that_only_repeats_the_status_is_read_as_the_status(status: int, kind: type[GatewayError]) -> None:
    assert type(refusal({"code": status, "message": "x"}, status=status)) is kind


def test_a_redirect_says_that_it_is_never_followed() -> None:
    error = refusal(b"", status=302, location="https://elsewhere.example/?secretkey=TopSecret42")
    assert "never followed" in str(error)
    assert "elsewhere" not in str(error)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"code":99}', b'{"code":3}'])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), (formatdate(NOW + 90, usegmt=True), 90), (formatdate(NOW - 5, usegmt=True), 0), ("soon", None)],
)
def test_a_throttled_reply_tells_how_long_to_wait(value: str, seconds: float | None, body: bytes) -> None:
    error = refusal(body, FLASH, 429, **{"retry-after": value})
    assert isinstance(error, ThrottledError)
    assert error.retry_after == seconds


def test_a_server_that_is_down_may_tell_how_long_too() -> None:
    error = refusal(b"", status=503, **{"retry-after": "30"})
    assert isinstance(error, ServerError)
    assert error.retry_after == 30
    assert refusal({"code": 99}, **{"retry-after": "30"}).retry_after == 30  # type: ignore[attr-defined]


def test_429_is_throttling_whatever_the_code() -> None:
    assert type(refusal({"code": 1003}, status=429)) is ThrottledError


@pytest.mark.parametrize("secret", [*SECRETS, "Flash%2BSecret%2F4%3D"])
@pytest.mark.parametrize("key", ["msg", "message", "info", "reqId", "requestId", "code"])
@pytest.mark.parametrize("status", [200, 404, 429, 503])
def test_a_secret_that_is_sent_back_stays_out_of_the_error(secret: str, key: str, status: int) -> None:
    with pytest.raises(NxcdrError) as refused:
        read({"code": 88, key: f"bad key {secret}\n{secret}", "data": secret}, status=status)
    shown = f"{refused.value!s} {refused.value!r} {refused.value.args} {vars(refused.value)}"
    assert secret not in shown
    assert refused.value.__cause__ is refused.value.__context__ is None


def test_a_secret_inside_of_another_is_hidden_whole() -> None:
    with pytest.raises(ServerError) as refused:
        parse_page(
            Response(200, {}, b'{"code":88,"msg":"abcdef"}'),
            rows_at=("data",),
            codes=CODES,
            now=NOW,
            redactor=Redactor(("abc", "abcdef")),
        )
    assert refused.value.message == "…"


def test_a_row_that_stands_alone_is_the_only_one() -> None:
    page = read(b'{"code":"0","cdr":{"id":4}}', FLASH_CALL)
    assert (page.rows, page.is_vague) == ([{"id": 4}], False)


@pytest.mark.parametrize("nothing", ['{"code":0}', '{"code":0,"cdr":null}', '{"code":0,"cdr":{}}'])
def test_no_row_where_one_may_stand_is_vague(nothing: str) -> None:
    page = read(nothing.encode(), FLASH_CALL)
    assert (page.rows, page.is_vague) == ([], True)


def test_a_row_in_place_of_a_list_is_no_page() -> None:
    with pytest.raises(MalformedReplyError, match="a list of rows belongs"):
        read(b'{"code":"0","cdrs":{"id":4}}', FLASH)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
@example("\x1b[31mred\x00\r\n", "\u202e\u2028\x9b")
def test_an_error_is_one_printable_line_of_sane_length(told: str, request_id: str) -> None:
    error = refusal({"code": 88, "msg": told, "reqId": request_id})
    assert str(error).isprintable()
    assert len(str(error)) < 3 * LONGEST_LINE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "code": st.integers() | st.sampled_from([0, "0", 1004, 88, 99, "3"]) | JSON,
        "data": st.fixed_dictionaries({}, optional={"list": JSON, "totalRow": JSON, "totalPage": JSON}) | JSON,
        "cdrs": JSON,
        "cdr": JSON,
        "msg": JSON,
        "message": JSON,
        "reqId": JSON,
    },
)
BODIES = (
    st.binary()
    | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
    | ENVELOPES.map(lambda envelope: json.dumps(envelope).encode())
    | st.text('{}[]":,0123456789eE.-+codeatnul \\', min_size=1).map(lambda text: b'{"code":0,"data":' + text.encode())
)


@given(
    BODIES,
    st.integers(100, 599) | st.sampled_from([200, 302, 429, 503]),
    st.dictionaries(st.sampled_from(["retry-after", "date", "content-type"]), st.text()),
    st.sampled_from(ENDPOINTS),
)
def test_no_reply_raises_anything_but_our_own_errors(
    body: bytes, status: int, headers: dict[str, str], endpoint: Endpoint[Any]
) -> None:
    outcome: Page | NxcdrError
    try:
        outcome = read(body, endpoint, status, **headers)
    except NxcdrError as error:
        outcome = error
    if isinstance(outcome, Page):
        assert isinstance(outcome.rows, list)
        assert status < 300
    else:
        assert isinstance(outcome, GatewayError | MalformedReplyError)
        assert str(outcome)


def test_a_reply_never_shows_its_body_in_a_repr() -> None:
    assert repr(Response(200, {"a": "TopSecret42"}, b"TopSecret42")) == "Response(status=200)"


def test_a_byte_order_mark_before_the_json_is_no_fault() -> None:
    assert read(b'\xef\xbb\xbf{"code": 0, "data": []}') == Page([])


def test_a_did_day_without_rows_may_be_an_empty_list() -> None:
    assert read({"code": 0, "data": []}, DID) == Page([])


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (rb"x\ud83d", "x\ufffd"),
        (rb"\ude00x", "\ufffdx"),
        (rb"\ud83d\ude00 \ud83d!", "\U0001f600 \ufffd!"),
        (rb"\\ud83d \ud83d", "\\ud83d \ufffd"),
    ],
)
def test_half_an_emoji_costs_no_page(written: bytes, told: str) -> None:
    assert read(b'{"code": 0, "data": [{"agentNickName": "' + written + b'"}]}').rows == [{"agentNickName": told}]


def test_a_number_that_nothing_can_hold_stays_text_for_its_row_alone_to_be_refused() -> None:
    assert read(b'{"code": 0, "data": [1e9999999999999999999]}').rows == ["1e9999999999999999999"]


@pytest.mark.parametrize("name", ["x-request-id", "x-correlation-id"])
@pytest.mark.parametrize(("body", "status"), [("", 200), ("<html>", 502), ('{"code": 0, "data": 5}', 200), ("{", 200)])
def test_a_reply_that_cannot_be_read_is_known_by_the_id_in_its_headers(body: str, status: int, name: str) -> None:
    with pytest.raises(NxcdrError) as caught:
        read(body, CALLS, status, **{name: "abc"})
    assert caught.value.request_id == "abc"
    assert "request abc" in str(caught.value)


def test_the_id_in_the_body_goes_before_that_in_the_headers() -> None:
    assert refusal({"code": 88, "reqId": "inner"}, **{"x-request-id": "outer"}).request_id == "inner"
    with pytest.raises(MalformedReplyError) as caught:
        read({"code": 0, "requestId": "inner", "data": 5}, **{"x-request-id": "outer"})
    assert caught.value.request_id == "inner"


def test_an_id_with_a_secret_or_an_escape_sequence_is_made_fit_to_show() -> None:
    error = refusal({"code": 88}, **{"x-request-id": "a TopSecret42 \x1b[2J"})
    assert error.request_id == "a …  [2J"

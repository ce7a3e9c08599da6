import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given, strategies as st

from nxcdr_async import Credentials, FlashApp, sign
from nxcdr_async.protocol.auth import Request, flash_request, signed_request
from nxcdr_async.protocol.endpoints import CALLS, DID, FLASH, ORDER, Endpoint

CREDENTIALS = Credentials("AK1", "TopSecret42")
APP = FlashApp("app", "Flash+Secret/4=&?#")
TS = 1_700_000_000_123
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TIMES = {"start": "2021-04-27 17:00:00", "end": "2021-04-27 18:00:00"}


def signed_call(parameters: dict[str, Any], credentials: Credentials, *, ts: int) -> Request:
    assert CALLS.signing is not None
    return signed_request(CALLS.path, parameters, credentials, CALLS.signing, ts=ts)


@given(st.dictionaries(TEXT, TEXT | st.integers(-(2**60), 2**60) | st.none()), st.sampled_from([CALLS, ORDER, DID]))
def test_the_signature_covers_the_exact_bytes_that_are_sent(
    parameters: dict[str, Any], endpoint: Endpoint[Any]
) -> None:
    assert endpoint.signing is not None
    request = signed_request(endpoint.path, parameters, CREDENTIALS, endpoint.signing, ts=TS)
    assert json.loads(request.body) == parameters
    assert request.headers["sign"] == sign(
        CREDENTIALS, action=endpoint.signing.action, biz_type=endpoint.signing.biz_type, ts=TS, body=request.body
    )


def test_a_signed_request_has_exactly_the_documented_headers() -> None:
    request = signed_call({"page": 1}, CREDENTIALS, ts=TS)
    assert (request.method, request.url, request.body) == ("POST", "/saas/cc/openapi/cdr/page", b'{"page":1}')
    assert {name: value for name, value in request.headers.items() if name != "sign"} == {
        "accessKey": "AK1",
        "ts": str(TS),
        "bizType": "8",
        "action": "cc",
        "Content-Type": "application/json",
    }


def test_another_algorithm_is_named_in_a_header() -> None:
    request = signed_call({}, Credentials("AK1", "S", "sha256"), ts=TS)
    assert request.headers["algorithm"] == "sha256"
    assert len(request.headers["sign"]) == 64


def test_text_that_is_not_ascii_is_sent_as_utf_8() -> None:
    assert signed_call({"name": "牛小信"}, CREDENTIALS, ts=TS).body == '{"name":"牛小信"}'.encode()


def test_the_access_secret_is_never_sent() -> None:
    request = signed_call({"page": 1}, CREDENTIALS, ts=TS)
    assert CREDENTIALS.access_secret not in f"{request.url}{dict(request.headers)}{request.body!r}"


def test_a_flash_request_has_its_secret_under_both_names() -> None:
    request = flash_request(FLASH.path, TIMES, APP)
    path, query = urlsplit(request.url).path, parse_qsl(urlsplit(request.secret_url).query)
    assert (request.method, path, request.body, dict(request.headers)) == ("GET", "/otp/call/list", b"", {})
    assert query == [
        *TIMES.items(),
        ("appkey", "app"),
        ("secretkey", APP.secretkey),
        ("appsecret", APP.secretkey),
    ]


def test_others_see_a_word_in_the_place_of_the_flash_secret() -> None:
    request = flash_request(FLASH.path, TIMES, APP)
    shown = parse_qsl(urlsplit(request.url).query)
    assert shown == [*TIMES.items(), ("appkey", "app"), ("secretkey", "REDACTED"), ("appsecret", "REDACTED")]


def test_a_space_of_a_query_is_quoted_as_in_the_vendors_example() -> None:
    assert "start=2021-04-27%2017%3A00%3A00&end=" in flash_request(FLASH.path, TIMES, APP).url


def test_a_request_never_shows_its_secrets_in_a_repr() -> None:
    for request in (flash_request(FLASH.path, TIMES, APP), signed_call({"page": 1}, CREDENTIALS, ts=TS)):
        assert repr(request) == f"Request(method={request.method!r})"


def test_a_request_cannot_be_changed_once_it_is_signed() -> None:
    with pytest.raises(FrozenInstanceError):
        signed_call({}, CREDENTIALS, ts=TS).body = b""  # type: ignore[misc]

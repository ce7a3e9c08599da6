import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given, strategies as st

from nxcdr_async import ConfigurationError, Credentials, FlashApp, sign
from nxcdr_async.config import KeyPairs
from nxcdr_async.protocol.auth import HeaderSignature, Request
from nxcdr_async.protocol.endpoints import CALLS, DID, FLASH, ORDER, Endpoint

CREDENTIALS = Credentials("AK1", "TopSecret42")
APP = FlashApp("app", "Flash+Secret/4=&?#")
TS = 1_700_000_000_123
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TIMES = {"start": "2021-04-27 17:00:00", "end": "2021-04-27 18:00:00"}


def signed_call(parameters: dict[str, Any], credentials: Credentials, *, ts: int) -> Request:
    return CALLS.auth.request(CALLS.path, parameters, KeyPairs(credentials), ts=ts)


def flash_request(parameters: dict[str, Any]) -> Request:
    return FLASH.auth.request(FLASH.path, parameters, KeyPairs(flash_app=APP), ts=TS)


@given(st.dictionaries(TEXT, TEXT | st.integers(-(2**60), 2**60) | st.none()), st.sampled_from([CALLS, ORDER, DID]))
def test_the_signature_covers_the_exact_bytes_that_are_sent(
    parameters: dict[str, Any], endpoint: Endpoint[Any]
) -> None:
    auth = endpoint.auth
    assert isinstance(auth, HeaderSignature)
    request = auth.request(endpoint.path, parameters, KeyPairs(CREDENTIALS), ts=TS)
    assert json.loads(request.body) == parameters
    assert request.headers["sign"] == sign(
        CREDENTIALS, action=auth.action, biz_type=auth.biz_type, ts=TS, body=request.body
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
    request = flash_request(TIMES)
    path, query = urlsplit(request.url).path, parse_qsl(urlsplit(request.secret_url).query)
    assert (request.method, path, request.body, dict(request.headers)) == ("GET", "/otp/call/list", b"", {})
    assert query == [
        *TIMES.items(),
        ("appkey", "app"),
        ("secretkey", APP.secretkey),
        ("appsecret", APP.secretkey),
    ]


def test_others_see_a_word_in_the_place_of_the_flash_secret() -> None:
    request = flash_request(TIMES)
    shown = parse_qsl(urlsplit(request.url).query)
    assert shown == [*TIMES.items(), ("appkey", "app"), ("secretkey", "REDACTED"), ("appsecret", "REDACTED")]


def test_a_space_of_a_query_is_quoted_as_in_the_vendors_example() -> None:
    assert "start=2021-04-27%2017%3A00%3A00&end=" in flash_request(TIMES).url


def test_a_request_never_shows_its_secrets_in_a_repr() -> None:
    for request in (flash_request(TIMES), signed_call({"page": 1}, CREDENTIALS, ts=TS)):
        assert repr(request) == f"Request(method={request.method!r})"


def test_a_request_cannot_be_changed_once_it_is_signed() -> None:
    with pytest.raises(FrozenInstanceError):
        signed_call({}, CREDENTIALS, ts=TS).body = b""  # type: ignore[misc]


def test_a_request_needs_the_pair_that_its_api_takes() -> None:
    signed, flash = KeyPairs(CREDENTIALS), KeyPairs(flash_app=APP)
    assert (CALLS.auth.public_key(signed), CALLS.auth.need_key(signed)) == ("AK1", "AK1")
    assert (FLASH.auth.public_key(flash), FLASH.auth.need_key(flash)) == ("app", "app")
    assert (CALLS.auth.public_key(flash), FLASH.auth.public_key(signed)) == (None, None)
    with pytest.raises(ConfigurationError, match="no credentials"):
        CALLS.auth.need_key(flash)
    with pytest.raises(ConfigurationError, match="no flash-call application"):
        FLASH.auth.request(FLASH.path, TIMES, signed, ts=TS)


def test_only_a_signature_tells_its_time() -> None:
    assert [endpoint.auth.is_timestamped for endpoint in (CALLS, ORDER, DID, FLASH)] == [True, True, True, False]

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import Credentials
from nxcdr_async.protocol.auth import HeaderSignature
from nxcdr_async.protocol.signed_headers import SignedHeaders

PUBLISHED = Credentials("fme2na3kdi3ki", "abciiiko2k3")
FOR = HeaderSignature("1", "send")
TS = 1655710885431
BODY = '{"name":"牛小信","id":10001}'.encode()
GOOD = {
    "accessKey": "fme2na3kdi3ki",
    "ts": str(TS),
    "bizType": "1",
    "action": "send",
    "sign": "87c3560d3331ae23f1021e2025722354",
}


def fault_of(headers: dict[str, str], *, now_ms: int = TS) -> int | None:
    found = SignedHeaders.found_by(headers.get).fault(FOR, {PUBLISHED.access_key}, now_ms=now_ms)
    return None if found is None else found.code


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        ('{"name":"牛小信","id":10001}', "87c3560d3331ae23f1021e2025722354"),
        ('{"id":10001,"name":"牛小信"}', "7750759da06333f20d0640be09355e34"),
        ('{"id": 10001, "name": "牛小信"}', "d0c24a9886c629330d7f3f2056c65bc2"),
    ],
)
def test_the_published_vectors_are_verified(body: str, signature: str) -> None:
    signed = SignedHeaders.found_by((GOOD | {"sign": signature}).get)
    assert signed.fault(FOR, {PUBLISHED.access_key}, now_ms=TS) is None
    assert signed.is_signed_by(PUBLISHED, body.encode())
    assert not signed.is_signed_by(Credentials(PUBLISHED.access_key, "other"), body.encode())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sign": ""}, 1001),
        ({"bizType": "8"}, 1002),
        ({"algorithm": ""}, 1002),
        ({"ts": "9" * 5_000}, 1002),  # longer than what Python reads as a number
        ({"ts": "١٢"}, 1002),
        ({"accessKey": "other"}, 1005),
    ],
)
def test_a_fault_has_the_vendors_code(changes: dict[str, str], code: int) -> None:
    assert fault_of(GOOD | changes) == code


@pytest.mark.parametrize(("skew", "code"), [(-60_001, 1004), (-60_000, None), (60_000, None), (60_001, 1004)])
def test_the_window_is_a_minute_to_either_side(skew: int, code: int | None) -> None:
    assert fault_of(GOOD, now_ms=TS + skew) == code


@given(st.text())
def test_no_other_text_is_the_signature(text: str) -> None:
    signed = SignedHeaders.found_by((GOOD | {"sign": text}).get)
    assert signed.is_signed_by(PUBLISHED, BODY) == (text == GOOD["sign"])


def test_an_odd_byte_that_a_server_let_in_is_no_signature_and_no_crash() -> None:
    for odd in ("\udcff", "\ud800", "é"):
        assert not SignedHeaders.found_by((GOOD | {"sign": odd}).get).is_signed_by(PUBLISHED, BODY)

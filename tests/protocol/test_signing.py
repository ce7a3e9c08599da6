import hashlib
from typing import Literal

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import Credentials, sign

PUBLISHED = Credentials("fme2na3kdi3ki", "abciiiko2k3")
HEADER_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        ('{"name":"牛小信","id":10001}', "87c3560d3331ae23f1021e2025722354"),
        ('{"id":10001,"name":"牛小信"}', "7750759da06333f20d0640be09355e34"),
        ('{"id": 10001, "name": "牛小信"}', "d0c24a9886c629330d7f3f2056c65bc2"),
    ],
)
def test_the_published_vectors_come_out(body: str, signature: str) -> None:
    assert sign(PUBLISHED, action="send", biz_type=1, ts=1655710885431, body=body) == signature
    assert sign(PUBLISHED, action="send", biz_type="1", ts="1655710885431", body=body.encode()) == signature


def test_sha256_signs_the_same_text() -> None:
    raw = 'accessKey=AK&action=cc&bizType=8&ts=1700000000000&body={"page":1}&accessSecret=S'
    signature = sign(Credentials("AK", "S", "sha256"), action="cc", biz_type=8, ts=1700000000000, body='{"page":1}')
    assert signature == hashlib.sha256(raw.encode()).hexdigest()


def test_an_empty_body_takes_no_part() -> None:
    raw = "accessKey=AK&action=cc&bizType=8&ts=1&accessSecret=S"
    for body in ("", b""):
        assert (
            sign(Credentials("AK", "S"), action="cc", biz_type=8, ts=1, body=body)
            == hashlib.md5(raw.encode()).hexdigest()
        )


@given(
    key=HEADER_TEXT,
    secret=HEADER_TEXT,
    algorithm=st.sampled_from(["md5", "sha256"]),
    action=HEADER_TEXT,
    biz_type=st.integers(0, 99),
    ts=st.integers(0, 10**13),
    body=st.binary(min_size=1),
)
def test_any_body_is_signed_byte_for_byte(
    key: str,
    secret: str,
    algorithm: Literal["md5", "sha256"],
    action: str,
    biz_type: int,
    ts: int,
    body: bytes,
) -> None:
    digest = hashlib.new(algorithm)
    for part in ("accessKey=", key, "&action=", action, "&bizType=", str(biz_type), "&ts=", str(ts), "&body="):
        digest.update(part.encode())
    digest.update(body)
    digest.update(b"&accessSecret=" + secret.encode())
    signed = sign(Credentials(key, secret, algorithm), action=action, biz_type=biz_type, ts=ts, body=body)
    assert signed == digest.hexdigest()
    assert signed == signed.lower()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_is_signed_as_utf_8(body: str) -> None:
    in_text, in_bytes = (
        sign(PUBLISHED, action="cc", biz_type=8, ts=1, body=content) for content in (body, body.encode())
    )
    assert in_text == in_bytes

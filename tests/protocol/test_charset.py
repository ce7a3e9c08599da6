import json

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.protocol.charset import declared_charset, in_utf8

NAME = "客服一号"


def body_of(text: str) -> str:
    return json.dumps({"code": 0, "data": [{"callId": "a", "agentName": text}]}, ensure_ascii=False)


def header(charset: str) -> str:
    return f"application/json;charset={charset}"


@pytest.mark.parametrize(
    "charset", ["GBK", "gb2312", "GB18030", '"gbk"', "big5", "shift_jis", "utf-16", "utf-16-le", "UTF-32"]
)
def test_a_declared_charset_is_read(charset: str) -> None:
    plain = charset.strip('"')
    assert in_utf8(body_of("客服").encode(plain), header(charset)).decode() == body_of("客服")


@pytest.mark.parametrize(("charset", "text"), [("latin-1", "José"), ("windows-1252", "José…"), ("koi8-r", "Мария")])
def test_a_declared_charset_of_one_byte_is_read(charset: str, text: str) -> None:
    assert in_utf8(body_of(text).encode(charset), header(charset)).decode() == body_of(text)


def test_who_declares_gb2312_may_send_all_of_gb18030() -> None:
    assert in_utf8(body_of("龘€𠀀").encode("gb18030"), header("gb2312")).decode() == body_of("龘€𠀀")


@pytest.mark.parametrize(
    "charset", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("content_type", [None, "application/json", header("utf-8"), header("gbk"), header("latin-1")])
def test_what_the_first_bytes_show_counts_most(charset: str, content_type: str | None) -> None:
    assert in_utf8(body_of(NAME).encode(charset), content_type).decode() == body_of(NAME)


@pytest.mark.parametrize("charset", ["latin-1", "us-ascii", "windows-1252", "gbk", "big5", "shift_jis"])
def test_a_header_that_lies_of_utf8_is_not_believed(charset: str) -> None:
    body = body_of(NAME).encode()
    assert in_utf8(body, header(charset)) == body


@pytest.mark.parametrize("charset", ["latin-1", "windows-1252"])
def test_two_bytes_that_are_a_letter_are_no_two_letters(charset: str) -> None:
    body = body_of("José").encode()
    assert in_utf8(body, header(charset)) == body


def test_two_bytes_that_may_be_one_chinese_character_are_what_the_header_says() -> None:
    body = body_of("谩").encode("gbk")
    assert body.decode() == body_of("á")  # the same bytes
    assert in_utf8(body, header("gbk")).decode() == body_of("谩")


@pytest.mark.parametrize("charset", ["klingon", "rot13", "base64", "idna", "unicode_escape", "utf-7", "", "x" * 5000])
def test_a_charset_that_is_none_is_as_good_as_undeclared(charset: str) -> None:
    body = body_of(NAME).encode()
    assert declared_charset(header(charset)) == "utf-8"
    assert in_utf8(body, header(charset)) == body


@pytest.mark.parametrize("charset", ["gbk", "big5", "ascii"])
def test_a_byte_of_no_character_is_none_of_utf8_either(charset: str) -> None:
    body = body_of("ab").encode().replace(b"ab", b"a\xffb")
    found = in_utf8(body, header(charset))
    with pytest.raises(UnicodeDecodeError):
        found.decode()
    assert found.startswith(body[:40])
    assert found.endswith(b'b"}]}')


@given(
    st.binary(max_size=60), st.sampled_from(["gbk", "big5", "latin-1", "utf-16", "utf-32", "ascii", "utf-8", "koi8-r"])
)
def test_bytes_of_any_kind_stay_bytes(body: bytes, charset: str) -> None:
    assert isinstance(in_utf8(body, header(charset)), bytes)

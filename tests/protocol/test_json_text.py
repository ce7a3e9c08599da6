import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.protocol.charset import in_utf8
from nxcdr_async.protocol.json_text import UNDECODABLE, decode_body, fault_in, read_row
from nxcdr_async.records.converter import UnreadableRow


def unreadable(raw: bytes) -> UnreadableRow:
    row = read_row(raw)
    assert isinstance(row, UnreadableRow)
    return row


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_raw_control_characters_mean_themselves(texts: list[str]) -> None:
    written = (text.replace("\\", r"\\").replace('"', r"\"") for text in texts)
    assert decode_body("[{}]".format(",".join(f'"{text}"' for text in written)).encode()) == texts


@pytest.mark.parametrize("code", range(0x20))
def test_each_control_character_is_read(code: int) -> None:
    assert decode_body(b'\n{"a\x09": "x%cy",\t"n": 1}' % code) == {"a\t": f"x{chr(code)}y", "n": 1}


def test_half_an_emoji_is_one_character() -> None:
    assert decode_body(rb'["\ud83d", "\ud83d\ude00", "\\ud83d"]') == ["\ufffd", "\U0001f600", "\\ud83d"]


@pytest.mark.parametrize(
    "text",
    [
        b'"\\\t"',
        b'"\\q"',
        b'"\xff"',
        b'"\xed\xa0\xbd"',
        b"NaN",
        b"'a'",
        b"01",
        b"1.",
        b"[1,]",
        b"\t\x00",
        b'"a',
        b"1" * 5000,
        b"[" * 5000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_has_no_one_meaning_is_not_read(text: bytes) -> None:
    with pytest.raises(UNDECODABLE):
        decode_body(text)
    assert fault_in(text)


@pytest.mark.parametrize(
    ("member", "value", "reason"),
    [
        (b'"mos": NaN', "NaN", "is NaN, which is no value in JSON"),
        (b'"mos": -Infinity', "-Infinity", "is -Infinity, which is no value in JSON"),
        (b'"mos": ' + b"x" * 50, "x" * 50, f"is {'x' * 40}…, which is no value in JSON"),
        (b'"mos": ' + b"1" * 5000, "1" * 5000, "cannot be read: a number in it has too many digits"),
        (b'"mos": "a\xffb"', "a\\xffb", "cannot be read: its byte 2, 0xff, is no text in its charset"),
        (b'"mos": "a\\qb"', "a\\qb", "cannot be read: invalid escape character in string (byte 4)"),
    ],
    ids=range(6),
)
def test_a_value_that_cannot_be_read_is_named_beside_those_that_can(member: bytes, value: str, reason: str) -> None:
    row = unreadable(b'{"callId": "a", "x": {"callId": "b", "y": [NaN]}, %b, "price": 0.10}' % member)
    assert row.values == {"callId": "a", "mos": value, "price": Decimal("0.10")}
    assert (row.path, row.reason) == ("mos", reason)


def test_a_byte_of_another_charset_is_told_as_it_came() -> None:
    row = unreadable(in_utf8(b'{"a": "\xc4\xe3\xff"}', "application/json;charset=gbk"))
    assert row.reason == "cannot be read: its byte 4, 0xff, is no text in its charset"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{"callId": "a", "mos": 1,}', {"callId": "a", "mos": 1}),
        (b'{"callId": "a", "x": [NaN]}', {"callId": "a"}),
        (b'{"callId": "a", "agentName": "5" screen"}', {"callId": "a", "agentName": "5"}),
        (b'{callId: "a"}', {}),
        (b"NaN", {}),
    ],
    ids=range(5),
)
def test_a_fault_between_values_is_one_of_the_row(raw: bytes, told: dict[str, Any]) -> None:
    row = unreadable(raw)
    assert (row.values, row.path) == (told, "")
    assert row.reason.startswith("is not JSON: ")


@given(st.binary(max_size=80))
def test_bytes_of_any_kind_are_a_row_or_none(raw: bytes) -> None:
    row = read_row(raw)
    if isinstance(row, UnreadableRow):
        assert row.raw == raw
        assert row == read_row(raw)
        json.dumps(row.values, default=str)


@pytest.mark.parametrize("text", [b'\\"', b'"', b'\\"\t', b"\\ud83d"], ids=range(4))
def test_a_long_string_that_never_ends_takes_no_longer_than_it_is_long(text: bytes) -> None:
    row = unreadable(b'{"callId": "a", "x": "' + text * 200_001)
    assert row.values["callId"] == "a"

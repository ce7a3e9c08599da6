"""Rows spoiled on purpose, and bodies in other charsets. Pure."""

import json
from typing import Any
from zlib import crc32

import msgspec
from attrs import evolve

from nxcdr_async.testing.emulator.replies import EmulatedReply, encode
from nxcdr_async.testing.emulator.switches import RowFaultKind, Switches

_ALL = 2**32
_UTF_8 = "utf-8"
_REMARKS: dict[RowFaultKind, bytes] = {
    "tab": b'"left\tright"',
    "bad-utf8": b'"half a \xe7\x89"',
    "nan": b"NaN",
    "broken": b'"a 5" screen"',
}
"""The value of the key `remark` of a spoiled row."""


def row_fault(row: dict[str, Any], switches: Switches) -> RowFaultKind | None:
    """Return the fault of a row, None if it has none; the same each time."""
    kinds = switches.row_faults
    if not kinds or not switches.row_fault_rate:
        return None
    identity = row.get("callId", row.get("id"))
    number = crc32(encode(row if identity is None else identity))
    return kinds[number % len(kinds)] if number < switches.row_fault_rate * _ALL else None


def with_row_faults(data: Any, switches: Switches) -> Any:
    """Return the data of a reply, with its rows changed by their faults."""
    if isinstance(data, dict):
        return {key: with_row_faults(value, switches) for key, value in data.items()}
    return [_spoiled(row, switches) for row in data] if isinstance(data, list) else data


def in_charset(reply: EmulatedReply, switches: Switches) -> EmulatedReply:
    """Return a reply, which is in UTF-8, in the charset of the switches."""
    charset, declared = switches.charset, switches.declared_charset or switches.charset
    if charset.lower() == declared.lower() == _UTF_8:
        return reply
    content_type = f"{reply.content_type.partition(';')[0]};charset={declared}"
    text = reply.body.decode(_UTF_8, "surrogateescape")
    written = {ord(char): _written(char, charset) for char in set(text)}
    # Bytes that are no text stay as they are where the charset allows it.
    errors = "surrogatepass" if charset.lower().startswith(("utf-16", "utf-32")) else "surrogateescape"
    return evolve(reply, body=text.translate(written).encode(charset, errors), content_type=content_type)


def _spoiled(row: dict[str, Any], switches: Switches) -> dict[str, Any] | msgspec.Raw:
    fault = row_fault(row, switches)
    if fault is None:
        return row
    return msgspec.Raw(encode(row)[:-1] + b',"remark":' + _REMARKS[fault] + b"}")


def _written(char: str, charset: str) -> str:
    """Return a character as it is written in a charset: escaped, if the charset lacks it."""
    if "\ud800" <= char <= "\udfff":
        return char
    try:
        char.encode(charset)
    except UnicodeEncodeError:
        return json.dumps(char)[1:-1]
    return char

"""Decoding JSON to dicts and lists with exact numbers, and rows that are no JSON as far as they can be read. Pure.

It mends what servers write against the rules of JSON where it can only mean one thing, and reads the members of a
broken row one by one; `json_rows` is the tokenizer that finds where the rows of a body begin and end.
"""

import re
from typing import Any

import msgspec

from nxcdr_async._util.json import decode_plain
from nxcdr_async.records.converter import UnreadableRow

UNDECODABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What decoding raises; the errors of Unicode are ValueErrors."""

_LONGEST_VALUE = 40
"""Characters of a value in a message."""

_LONE_SURROGATE = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})",
)
"""An escaped backslash, a pair of surrogates, or, as the group, half a pair."""

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_OPEN_STRING = rb'"(?:[^"\\]++|\\.)*+"?+'
"""A string, or one that never ends; a search for its end from each of its quotes would take for ever."""

_TO_DIRTY_STRING = re.compile(
    rb'(?P<clean>(?:[^"]++|"(?:[^"\\\x00-\x1f]++|\\.)*+")*+)(?P<dirty>' + _OPEN_STRING + rb")?+", re.DOTALL
)
"""All before the next string with control characters, and that string."""

_CONTROL = re.compile(rb"\\.|([\x00-\x1f])", re.DOTALL)
"""An escaped character, or, as the group, a control character."""

_MEMBER = re.compile(
    rb"(?P<key>"
    + _STRING
    + rb")\s*+:\s*+(?P<value>"
    + _STRING
    + rb'|[^\s"\[\]{},]++)?|'
    + _OPEN_STRING
    + rb"|[\[\]{}]",
    re.DOTALL,
)
"""A key with its value, which is not there if it is an object or a list; any other string; or a bracket."""

_TOO_MANY_DIGITS = "a number in it has too many digits"
_IN_WORDS = {
    "Input data was truncated": "a string, object or list in it does not end",
    "Integer value out of range": _TOO_MANY_DIGITS,
}
"""Our words for some messages of the decoder."""

_FIRST_ESCAPED, _LAST_ESCAPED = (half.encode("utf-8", "surrogatepass") for half in ("\udc80", "\udcff"))
"""Half pairs of surrogates that `charset` puts in place of bytes that are no text."""

_DIGITS = re.compile(rb"-?\d+")


def decode_body(text: bytes) -> Any:
    """Decode JSON to dicts and lists, also where a string breaks the rules in a way that can mean one thing only.

    That is control characters in strings, and texts cut off in the middle of an emoji.

    Raises:
        Exception: one of `UNDECODABLE`: it is no JSON.
    """
    try:
        return decode_plain(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = _mended(text)
        if mended == text:
            raise
        return decode_plain(mended)


def read_row(raw: bytes) -> Any:
    """Decode a row, as an `UnreadableRow` if it is no JSON."""
    try:
        return decode_body(raw)
    except UNDECODABLE:
        return _unreadable(raw)


def fault_in(text: bytes) -> str | None:
    """Describe why JSON cannot be decoded, and where; None if it can."""
    try:
        decode_body(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # msgspec 0.23 has the first for bytes that are no text
        message = str(error).partition(" - at ")[0]
        return _utf8_fault_in(text) or _IN_WORDS.get(message) or message.removeprefix("JSON is malformed: ")
    except RecursionError:
        return "it is nested too deeply"
    except ValueError:
        return _TOO_MANY_DIGITS
    return None


def _mended(text: bytes) -> bytes:
    whole = _LONE_SURROGATE.sub(lambda found: rb"\ufffd" if found[1] else found[0], text)
    return _TO_DIRTY_STRING.sub(_escaped, whole)


def _escaped(found: re.Match[bytes]) -> bytes:
    return found["clean"] + _CONTROL.sub(_escape, found["dirty"] or b"")


def _escape(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[1]) if found[1] else found[0]


def _utf8_fault_in(text: bytes) -> str | None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return f"its byte {error.start}, 0x{_as_it_came(text, error.start):02x}, is no text in its charset"
    return None


def _as_it_came(text: bytes, place: int) -> int:
    """Return a byte that is no text; one of another charset than UTF-8 was replaced by half a pair of surrogates."""
    found = text[place : place + 3]
    is_half_pair = _FIRST_ESCAPED <= found <= _LAST_ESCAPED and len(found) == len(_FIRST_ESCAPED)
    return ord(found.decode("utf-8", "surrogatepass")) & 0xFF if is_half_pair else text[place]


def _unreadable(raw: bytes) -> UnreadableRow:
    values: dict[str, Any] = {}
    path, reason = "", f"is not JSON: {fault_in(raw)}"
    for key, value in _members(raw):
        name = _text_of(key)
        try:
            values[name] = decode_body(value)
        except UNDECODABLE:
            values[name] = _text_of(value)
            if not path:
                path, reason = name, _reason(value)
    return UnreadableRow(raw, values, path, reason)


def _members(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Return the keys and plain values of an object, as far as they can be found."""
    found, depth = [], 0
    for token in _MEMBER.finditer(raw):
        if token[0] in (b"{", b"["):
            depth += 1
        elif token[0] in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and token["value"]:
            found.append((token["key"], token["value"]))
    return found


def _text_of(value: bytes) -> str:
    """Return a string or any other value as text, its unreadable bytes as Python writes them."""
    try:
        return str(decode_body(value)) if value.startswith(b'"') else value.decode()
    except UNDECODABLE:
        return value.strip(b'"').decode(errors="backslashreplace")


def _reason(value: bytes) -> str:
    if value.startswith(b'"') or _DIGITS.fullmatch(value):
        return f"cannot be read: {fault_in(value)}"
    text = _text_of(value)
    return f"is {text if len(text) <= _LONGEST_VALUE else f'{text[:_LONGEST_VALUE]}…'}, which is no value in JSON"

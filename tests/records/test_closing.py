"""Streams of JSON lines that say at their end that they are whole."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import (
    CallRecord,
    ConfigurationError,
    FlashCallRecord,
    IncompleteError,
    LineReader,
    closing_line,
    json_lines,
)

START = datetime(2026, 1, 1, 8, 30, tzinfo=UTC)
CALLS = [CallRecord(call_id=f"{number}", start_time=START, extra={"complete": True}) for number in range(3)]
WHOLE = json_lines(CALLS) + closing_line(3)


def read(lines: Iterable[bytes | str]) -> list[dict[str, Any]]:
    reader = LineReader()
    records = [record for line in lines if (record := reader.read(line)) is not None]
    reader.end()
    assert reader.records == len(records)
    return records


def test_whole_lines_are_read_as_they_were_written() -> None:
    assert [record["call_id"] for record in read(WHOLE.splitlines())] == ["0", "1", "2"]
    assert read(WHOLE.decode().splitlines(keepends=True)) == read([*WHOLE.splitlines(), b"", "\n"])


def test_no_records_are_whole_too_if_they_say_so() -> None:
    assert read([closing_line(0)]) == []
    with pytest.raises(IncompleteError, match="broke off after 0 records"):
        read([])


@given(st.integers(0, len(WHOLE) - 1))
def test_lines_that_are_cut_off_anywhere_are_noticed(length: int) -> None:
    if length == len(WHOLE) - 1:
        assert len(read(WHOLE[:length].splitlines())) == 3
        return
    with pytest.raises(IncompleteError):
        read(WHOLE[:length].splitlines())


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (json_lines(CALLS), "broke off after 3 records"),
        (json_lines(CALLS)[:-5], "cut off"),
        (json_lines(CALLS[:2]) + closing_line(3), "2 records came"),
        (WHOLE + json_lines(CALLS[:1]), "behind the closing line"),
        (WHOLE + closing_line(3), "behind the closing line"),
        (b'{"complete": false, "records": 0}', "says otherwise"),
        (json_lines(CALLS[:1]) + b'{"complete":true,"records":true}', "says otherwise"),
        (json_lines(CALLS[:1]) + b'{"complete":true,"records":1.0}', "says otherwise"),
        (b"5\n", "no JSON object"),
        (b"\xff\n", "no JSON object"),
    ],
)
def test_what_is_not_whole_is_told_with_what_is_wrong(lines: bytes, told: str) -> None:
    with pytest.raises(IncompleteError, match=told):
        read(lines.splitlines())


def test_text_that_is_no_unicode_is_told_as_what_is_not_whole() -> None:
    with pytest.raises(IncompleteError, match="no JSON object"):
        read(['{"call_id":"\ud800"}'])


def test_a_line_that_was_refused_is_not_forgotten_at_the_end() -> None:
    reader = LineReader()
    for line in (closing_line(0), json_lines(CALLS[:1])):
        with suppress(IncompleteError):
            reader.read(line)
    with pytest.raises(IncompleteError, match="behind the closing line"):
        reader.end()


@pytest.mark.parametrize(
    "end", [chr(code) for code in range(0x3000) if len(f"a{chr(code)}b".splitlines()) > 1], ids=ascii
)
def test_a_value_with_a_line_end_of_any_kind_is_on_one_line_of_text(end: str) -> None:
    call = CallRecord(call_id=f"a{end}b", start_time=START, extra={end: [end]})
    (record,) = read((json_lines([call]) + closing_line(1)).decode().splitlines())
    assert (record["call_id"], record["extra"]) == (call.call_id, call.extra)


def test_no_line_of_a_record_looks_like_a_closing_one() -> None:
    for record in (*CALLS, FlashCallRecord(id=7, gmt_create=START)):
        assert LineReader().read(json_lines([record])) is not None


@pytest.mark.parametrize("wrong", [-1, 1.5, "3", None, True])
def test_a_count_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="records is"):
        closing_line(wrong)

"""Cells that a spreadsheet neither runs nor changes."""

import re

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from nxcdr_async.backfill.sinks.cells import safe_cells, texts_of

TRIGGERS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
BLANKS = " \u00a0\u3000"
DIGITS = "0123456789"

any_text = st.text(st.characters(codec="utf-8"), max_size=20)
risky_text = st.text(st.sampled_from("'=+-@\t\r\n \uff1d\uff0b\uff0d\uff20\u3000019.eE;a"), max_size=20)
texts = st.none() | any_text | risky_text


def is_safe(text: str) -> bool:
    """Tell whether a spreadsheet shows a text as it is: the rule, said plainly for one text."""
    begins = text.lstrip(BLANKS)[:1]
    if text.startswith("'") or (begins and begins in TRIGGERS):
        return False
    if text and set(text) <= set(DIGITS):
        return len(text) <= 15 and (text == "0" or not text.startswith("0"))
    mantissa, letter, power = text.partition("e") if "e" in text else text.partition("E")
    is_power = letter and power and set(power) <= set(DIGITS) and re.fullmatch(r"[0-9]+(\.[0-9]*)?", mantissa)
    return not is_power


def safe(*values: str | None) -> list[str | None]:
    return safe_cells(pa.chunked_array([pa.array(values, pa.string())])).to_pylist()


@given(st.lists(texts))
def test_texts_are_read_back_as_they_were(values: list[str | None]) -> None:
    column = pa.chunked_array([pa.array(values, pa.string())])
    assert texts_of(safe_cells(column)).to_pylist() == values


@given(st.lists(texts))
def test_only_what_is_not_safe_gets_an_apostrophe(values: list[str | None]) -> None:
    expected = [value if value is None or is_safe(value) else f"'{value}" for value in values]
    assert safe(*values) == expected


@given(st.lists(texts))
def test_no_cell_begins_a_formula(values: list[str | None]) -> None:
    begins = {cell.lstrip(BLANKS)[:1] for cell in safe(*values) if cell}
    assert not begins & set(TRIGGERS)


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+8613800138000",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r",
        "\n=1",
        " =1",
        "\u3000\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff201",
        "0123",
        "00",
        "1234567890123456",
        "12e45",
        "1.5E3",
        "'=1",
        "'quoted",
    ],
)
def test_text_that_would_run_or_change_gets_an_apostrophe(text: str) -> None:
    assert safe(text) == [f"'{text}"]


@pytest.mark.parametrize("text", ["", " ", "a=1", "13800138000", "0", "123456789012345", "1a", "1ea", "a1e5", "{}"])
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert safe(text) == [text]

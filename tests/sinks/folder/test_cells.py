"""Cells that a spreadsheet neither runs nor changes, and that readers take for the text they are."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st
from pyarrow import csv

from nxcdr_async.records.arrow import CALLS
from nxcdr_async.sinks.folder.csv import CSV, safe_cells, texts_of
from tests.examples import examples
from tests.sinks.folder.any_rows import written_by

TRIGGERS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
BLANKS = " \u00a0\u3000"
DIGITS = "0123456789"

GUARDED = [
    # What begins a formula, after blanks, too.
    "=1+1", "+8613800138000", "-1", "@SUM(A1)", "\t=1", "\r", "\n=1", " =1", "\u3000\uff1d1", "\uff0b1", "\uff0d1",
    "\uff201",
    # Numbers that would lose zeros, digits or blanks, or that are others in other countries.
    "0123", "00", " 0123", "0123 ", " 5511999999999", "00.5", "1.50", "1.5", ".5", "5.", "1,5", "1,234", "1.234.567",
    "1 234", "1'234", "1_000", "1234567890123456", "123456789012345.6", "1234567.890123456", "192.168.100.200",
    "10%", "$5", "5 €", "(5)", "\uff11\uff12", "\u0663",
    # Powers of ten, and numbers of other bases.
    "12e45", "1.5E3", "1e+5", "1E-5", "1e5 ", "1d5", "0x1F", "0b11", "0o17",
    # Dates and times.
    "1/3", "1-2", "1.2.", "1/3/2026", "2026-01-02", "2026-01", "01.02.26", "MAR1", "mar 1", "1-Mar", "1 March 2026",
    "Mar 1, 2026", "SEPT2", "DEC-20", "2 ene", "1 mai 2026", "3月1日", "2026年1月2日", "1:30", "10:00:00", "1:30 PM",
    "1 p", "上午10:00", "2026-01-02 03:04:05", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05+08:00",
    # Truth, nothing, and what is no number.
    "TRUE", "true", "False", "t", "F", "yes", "NO", "WAHR", "Verdadero", "NA", "N/A", "<NA>", "null", "NULL", "None",
    "nan", "NaN", "inf", "Infinity", "1.#IND", "#N/A", "#N/A N/A", "#REF!", "#NAME?", "#DIV/0!",
    # What has an apostrophe.
    "'=1", "'quoted", "'",
]  # fmt: skip
BARE = [
    "", " ", "a=1", "13800138000", "0", "123456789012345", "1a", "1ea", "a1e5", "{}", '{"a":1}', "[1]", "10.0.0.1",
    "192.168.1.254", "550e8400-e29b-41d4-a716-446655440000", "19667437434202610252@202.157.139.109", "agent 1", "1#2*",
    "March", "Marta 1", "Maya", "May", "no answer", "nobody", "truely", "None of them", "ext. 5", "5 Inc", "$", "(",
    "#1", "#sales", "it's", "6 o'clock", "é", "牛小信", "月",
]  # fmt: skip

any_text = st.text(st.characters(codec="utf-8"), max_size=20)
risky_text = st.text(
    st.sampled_from("'=+-@\t\r\n \uff1d\uff0b\uff0d\uff20\u3000019.,:/_%$eExXtTfFnNaAi;é月"), max_size=9
)
texts = st.none() | any_text | risky_text | st.sampled_from(GUARDED + BARE)


def safe(*values: str | None) -> list[str | None]:
    return safe_cells(pa.chunked_array([pa.array(values, pa.string())])).to_pylist()


def is_whole_number(text: str) -> bool:
    return bool(text) and set(text) <= set(DIGITS)


def written(folder: Path, text: str) -> str:
    """Write a file whose column `caller` holds nothing but a text, as readers guess a type by the first rows."""
    rows = [{"call_id": f"a{n}", "start_time": datetime(2026, 1, 1, tzinfo=UTC), "caller": text} for n in range(3)]
    path = folder / "cells.csv"
    path.write_bytes(written_by(CSV, pa.Table.from_pylist(rows, schema=CALLS.schema)))
    return str(path)


READERS = {
    "pandas": lambda path: pd.read_csv(path, encoding="utf-8-sig")["caller"].iloc[0],
    "DuckDB": lambda path: duckdb.sql(f"SELECT caller FROM '{path}'").fetchall()[0][0],
    "polars": lambda path: pl.read_csv(path, try_parse_dates=True)["caller"][0],
    "Arrow": lambda path: csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True))["caller"][
        0
    ].as_py(),
}


@given(st.lists(texts))
def test_texts_are_read_back_as_they_were(values: list[str | None]) -> None:
    column = pa.chunked_array([pa.array(values, pa.string())])
    assert texts_of(safe_cells(column)).to_pylist() == values


@given(st.lists(texts))
def test_no_cell_begins_a_formula(values: list[str | None]) -> None:
    begins = {cell.lstrip(BLANKS)[:1] for cell in safe(*values) if cell}
    assert not begins & set(TRIGGERS)


@pytest.mark.parametrize("text", GUARDED)
def test_text_that_would_run_or_change_gets_an_apostrophe(text: str) -> None:
    assert safe(text) == [f"'{text}"]


@pytest.mark.parametrize("text", BARE)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert safe(text) == [text]


@pytest.mark.first_of("text", "read")
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("text", [text for text in GUARDED if not set(text) & set("\r\n")])
def test_readers_that_guess_types_read_guarded_text_as_text(text: str, read: Any, tmp_path: Path) -> None:
    assert read(written(tmp_path, text)) == f"'{text}"


@examples(60)
@given(text=st.text(st.sampled_from("019.,:/-+_%$eExXtTfFnNaAiuls #()'"), min_size=1, max_size=6))
@pytest.mark.parametrize("name", ["DuckDB", "Arrow"])
def test_readers_find_no_other_type_in_any_text_but_whole_numbers(
    text: str, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = READERS[name](written(tmp_path_factory.getbasetemp(), text))
    assert found == (int(text) if is_whole_number(safe(text)[0]) else safe(text)[0])

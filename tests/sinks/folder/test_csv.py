"""CSV: exact for us, safe in spreadsheets, and what other programs read."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from nxcdr_async.records.arrow import CALLS, TABLES, Table
from nxcdr_async.sinks.folder.csv import CSV
from tests.examples import examples
from tests.sinks.folder.any_rows import any_rows, written_by

TIME = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)


def rows(*values: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(values), schema=CALLS.schema)


def cells(**values: Any) -> dict[str, str]:
    """Return the cells of a row as they stand in the file."""
    written = written_by(CSV, rows({"call_id": "a", "start_time": TIME, **values})).decode("utf-8-sig")
    header, line = written.removesuffix("\n").split("\n")
    return dict(zip(header.replace('"', "").split(","), line.split(","), strict=True))


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
@examples(25)
@given(data=st.data())
def test_rows_are_read_back_as_they_were(table: Table, data: st.DataObject) -> None:
    drawn = data.draw(any_rows(table))
    assert CSV.decode(written_by(CSV, drawn), table.schema) == drawn


def test_a_file_tells_spreadsheets_that_it_is_utf_8() -> None:
    assert written_by(CSV, rows()).startswith(b"\xef\xbb\xbf")


def test_text_stands_in_quotes_and_null_is_empty() -> None:
    written = cells(caller="13800138000", callee="", agent_name=None)
    assert (written["caller"], written["callee"], written["agent_name"]) == ('"13800138000"', '""', "")


def test_a_formula_is_defused_and_a_phone_number_stays_text() -> None:
    written = cells(caller="+8613800138000", callee="0123", agent_name="=cmd|'/c calc'!A1")
    assert written["caller"] == "'+8613800138000"
    assert written["callee"] == "'0123"
    assert written["agent_name"] == "'=cmd|'/c calc'!A1"


def test_numbers_times_and_booleans_are_plain() -> None:
    written = cells(call_duration=-5, total_customer_price=Decimal(0), answered=False)
    assert (written["call_duration"], written["answered"]) == ("-5", "false")
    assert written["total_customer_price"].strip('"') == "0"
    assert written["start_time"].strip('"') == "2026-01-02T03:04:05.678000Z"


@pytest.mark.parametrize("written", [b"", b'"call_id"\n"1"\n', b"nonsense"])
def test_other_files_are_refused(written: bytes) -> None:
    with pytest.raises((ValueError, pa.ArrowException)):
        CSV.decode(written, CALLS.schema)


def test_a_line_longer_than_a_megabyte_is_read_back() -> None:
    long = rows({"call_id": "a", "start_time": TIME, "other": "x\n" * 2_000_000})
    assert CSV.decode(written_by(CSV, long), CALLS.schema) == long


def test_duckdb_reads_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        values = {"call_id": name, "start_time": TIME, "caller": "a\n,b", "total_customer_price": Decimal("1.5")}
        (tmp_path / f"{name}.csv").write_bytes(written_by(CSV, rows(values)))
    found = duckdb.sql(
        f"SELECT call_id, caller, total_customer_price + 1, epoch_us(start_time) FROM '{tmp_path}/*.csv' ORDER BY 1"
    ).fetchall()
    microseconds = int(TIME.timestamp() * 1_000_000)
    assert found == [("a", "a\n,b", 2.5, microseconds), ("b", "a\n,b", 2.5, microseconds)]

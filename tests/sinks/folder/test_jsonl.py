"""JSON lines: exact, and what other programs read."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from nxcdr_async.records.arrow import CALLS, TABLES, Table
from nxcdr_async.sinks.folder.jsonl import JSON_LINES
from nxcdr_async.sinks.values import ROWS_A_PIECE
from tests.examples import examples
from tests.sinks.folder.any_rows import any_rows, written_by

TIME = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)


def rows(*values: dict[str, Any], table: Table = CALLS) -> pa.Table:
    return pa.Table.from_pylist(list(values), schema=table.schema)


def lines(written: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.decode().split("\n")[:-1]]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
@examples(25)
@given(data=st.data())
def test_rows_are_read_back_as_they_were(table: Table, data: st.DataObject) -> None:
    drawn = data.draw(any_rows(table))
    assert JSON_LINES.decode(written_by(JSON_LINES, drawn), table.schema) == drawn


@given(data=st.data())
def test_each_line_is_what_json_writes_of_its_row(data: st.DataObject) -> None:
    drawn = data.draw(any_rows(CALLS)).drop_columns(["extra"])
    plain = [column for column in drawn.schema if pa.types.is_string(column.type) or pa.types.is_boolean(column.type)]
    expected = drawn.select([column.name for column in plain]).to_pylist()
    found = lines(written_by(JSON_LINES, drawn))
    assert [{name: line[name] for name in row} for line, row in zip(found, expected, strict=True)] == expected


def test_values_have_the_types_of_json_and_are_exact() -> None:
    price = Decimal("0.2028")
    full = rows(
        {"call_id": "a", "start_time": TIME, "answered": True, "total_customer_price": price, "extra": '{"x":1}'}
    )
    (line,) = lines(written_by(JSON_LINES, full))
    assert line["start_time"] == "2026-01-02T03:04:05.678000Z"
    assert line["answered"] is True
    assert line["total_customer_price"] == "0.2028"
    assert line["extra"] == {"x": 1}
    assert line["caller"] is None
    assert list(line) == CALLS.columns


def test_many_rows_are_written_a_piece_at_a_time() -> None:
    many = rows(*({"call_id": str(number), "start_time": TIME} for number in range(ROWS_A_PIECE + 1)))
    pieces = [bytes(piece) for piece in JSON_LINES.encode(many)]
    assert [piece.count(b"\n") for piece in pieces] == [ROWS_A_PIECE, 1]
    assert JSON_LINES.decode(b"".join(pieces), CALLS.schema) == many


@pytest.mark.parametrize("line", [b"{}", b'{"other":1}', b"nonsense", b"[]"])
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        JSON_LINES.decode(line, CALLS.schema)


def test_duckdb_reads_them(tmp_path: Any) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_bytes(written_by(JSON_LINES, rows({"call_id": "1", "start_time": TIME, "caller": 'a"b'})))
    found = duckdb.sql(f"SELECT call_id, caller, epoch_us(start_time) FROM read_json('{file}')").fetchall()
    assert found == [("1", 'a"b', int(TIME.timestamp() * 1_000_000))]

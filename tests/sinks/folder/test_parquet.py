"""Parquet: exact types, and what other programs read."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from nxcdr_async.records.arrow import CALLS, DID_CALLS, TABLES, Table
from nxcdr_async.sinks.folder.parquet import PARQUET
from tests.examples import examples
from tests.sinks.folder.any_rows import any_rows, written_by

TIME = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
ROWS = pa.Table.from_pylist(
    [{"call_id": "a", "start_time": TIME, "total_customer_price": Decimal("0.2028"), "extra": '{"x":1}'}],
    schema=CALLS.schema,
)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
@examples(25)
@given(data=st.data())
def test_rows_are_read_back_as_they_were(table: Table, data: st.DataObject) -> None:
    drawn = data.draw(any_rows(table))
    assert PARQUET.decode(written_by(PARQUET, drawn), table.schema) == drawn


def test_columns_are_compressed_by_zstd() -> None:
    metadata = pq.ParquetFile(pa.BufferReader(written_by(PARQUET, ROWS))).metadata
    assert {metadata.row_group(0).column(place).compression for place in range(metadata.num_columns)} == {"ZSTD"}


def test_other_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="other columns"):
        PARQUET.decode(written_by(PARQUET, ROWS), DID_CALLS.schema)


def test_a_damaged_file_is_refused() -> None:
    written = written_by(PARQUET, ROWS)
    for length in (0, 10, len(written) - 10):
        with pytest.raises((pa.ArrowException, OSError)):
            PARQUET.decode(written[:length], CALLS.schema)


def test_duckdb_reads_them_with_their_types(tmp_path: Path) -> None:
    file = tmp_path / "calls.parquet"
    file.write_bytes(written_by(PARQUET, ROWS))
    (found,) = duckdb.sql(
        f"SELECT typeof(start_time), typeof(total_customer_price), total_customer_price, extra FROM '{file}'"
    ).fetchall()
    assert found == ("TIMESTAMP WITH TIME ZONE", "DECIMAL(38,18)", Decimal("0.2028"), '{"x":1}')

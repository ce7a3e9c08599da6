"""The tables of records: a column for each value, with its type."""

import pyarrow as pa
import pytest
from attrs import fields

from nxcdr_async.ingest.api import SOURCES
from nxcdr_async.records.arrow import CALLS, DID_CALLS, EXTRA, FLASH_CALLS, TABLES, Table, table_for
from nxcdr_async.records.models import Direction

all_tables = pytest.mark.parametrize("table", [CALLS, DID_CALLS, FLASH_CALLS], ids=lambda table: table.name)


def test_each_source_has_a_table() -> None:
    assert {source: TABLES[source].name for source in SOURCES} == {
        "calls": "calls",
        "did": "did_calls",
        "flash": "flash_calls",
    }


@all_tables
def test_a_record_class_has_its_table(table: Table) -> None:
    assert table_for(table.record_class) is table


@all_tables
def test_the_columns_are_the_attributes_of_the_record(table: Table) -> None:
    assert table.columns == [attribute.name for attribute in fields(table.record_class)]
    assert table.columns[-1] == EXTRA


@all_tables
def test_rows_are_told_apart_by_the_id_and_found_by_a_time(table: Table) -> None:
    assert table.key in ("call_id", "id")
    assert table.kind(table.time) == pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("table", "column", "kind"),
    [
        (CALLS, "call_id", pa.string()),
        (CALLS, "start_time", pa.timestamp("us", tz="UTC")),
        (CALLS, "end_time", pa.timestamp("us", tz="UTC")),
        (CALLS, "answered", pa.bool_()),
        (CALLS, "call_duration", pa.int64()),
        (CALLS, "direction", pa.string()),
        (CALLS, "total_customer_price", pa.decimal128(38, 18)),
        (CALLS, "extra", pa.string()),
        (DID_CALLS, "id", pa.int64()),
        (DID_CALLS, "call_type", pa.string()),
        (FLASH_CALLS, "msisdn", pa.string()),
    ],
)
def test_a_column_has_the_type_of_its_values(table: Table, column: str, kind: pa.DataType) -> None:
    assert table.kind(column) == kind


@all_tables
def test_each_column_of_directions_is_text(table: Table) -> None:
    ways = [attribute.name for attribute in fields(table.record_class) if attribute.type == Direction | None]
    assert all(table.kind(name) == pa.string() for name in ways)


@all_tables
def test_an_empty_table_has_the_columns(table: Table) -> None:
    assert table.empty().schema == table.schema
    assert table.empty().num_rows == 0

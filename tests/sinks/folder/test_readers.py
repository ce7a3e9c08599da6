"""Folders as others read them: whole, by table, and while they are written."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from attrs import evolve

from nxcdr_async.records.arrow import CALLS, DID_CALLS, FLASH_CALLS, TABLES, Table
from nxcdr_async.sinks.files import Chunk
from nxcdr_async.sinks.folder.csv import CSV
from nxcdr_async.sinks.folder.files import FileFormat
from nxcdr_async.sinks.folder.jsonl import JSON_LINES
from nxcdr_async.sinks.folder.parquet import PARQUET
from nxcdr_async.sinks.folder.sink import FolderSink
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.protocol import Origin
from nxcdr_async.windows import Window
from tests.sinks.table_rows import plain_rows

BEGIN = 1_767_225_600
ORIGIN = Origin("account", "UTC+08:00")

Read = Callable[[str, str], list[Any]]
"""Returns the values of a column of all that is in a folder."""


def by_duckdb(call: str) -> Read:
    return lambda folder, column: [
        value for (value,) in duckdb.sql(f"SELECT {column} FROM {call.format(folder)}").fetchall()
    ]


def by_polars(scan: Callable[[str], pl.LazyFrame], pattern: str = "{}") -> Read:
    return lambda folder, column: scan(pattern.format(folder)).collect()[column].to_list()


def by_arrow(form: str, partitioning: str | None = None) -> Read:
    return lambda folder, column: (
        ds.dataset(folder, format=form, partitioning=partitioning).to_table([column])[column].to_pylist()
    )


READERS: dict[str, tuple[FileFormat, Read]] = {
    "pandas": (PARQUET, lambda folder, column: list(pd.read_parquet(folder)[column])),
    "polars of Parquet": (PARQUET, by_polars(pl.scan_parquet)),
    "polars of Parquet by pattern": (PARQUET, by_polars(pl.scan_parquet, "{}/**/*.parquet")),
    "polars of CSV": (CSV, by_polars(pl.scan_csv)),
    "polars of JSON lines": (JSON_LINES, by_polars(pl.scan_ndjson)),
    "DuckDB of Parquet": (PARQUET, by_duckdb("read_parquet('{}/**/*.parquet')")),
    "DuckDB of Parquet by hive": (PARQUET, by_duckdb("read_parquet('{}/**/*.parquet', hive_partitioning = true)")),
    "DuckDB of CSV": (CSV, by_duckdb("read_csv('{}/*')")),
    "DuckDB of JSON lines": (JSON_LINES, by_duckdb("read_json('{}/*')")),
    "Arrow of Parquet": (PARQUET, by_arrow("parquet")),
    "Arrow of Parquet by hive": (PARQUET, by_arrow("parquet", "hive")),
    "Arrow of CSV": (CSV, by_arrow("csv")),
    "Arrow of JSON lines": (JSON_LINES, by_arrow("json")),
}
every_reader = pytest.mark.parametrize("reader", READERS)


def change(minute: int) -> LedgerChange:
    start = BEGIN + 60 * minute
    return LedgerChange(LedgerEntry(Window(start, start + 60), start), (), None)


def write(sink: FolderSink, table: Table, minute: int) -> None:
    """Store two rows in the window of a minute."""
    sink.write(table, plain_rows(table, BEGIN + 60 * minute, 2), change(minute))


def keys(*minutes: int) -> list[str]:
    return [f"{BEGIN + 60 * minute + second}" for minute in minutes for second in range(2)]


def found(reader: str, folder: Path, table: Table) -> list[str]:
    _, read = READERS[reader]
    return sorted(map(str, read(str(folder), table.key)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def filled(folder: Path, form: FileFormat, *tables: Table) -> None:
    sink = FolderSink(folder, form)
    sink.open()
    for table in tables:
        sink.create(table, ORIGIN)
        for minute in range(3):
            write(sink, table, minute)
    sink.close()


@pytest.mark.first_of("reader")
@every_reader
@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_the_folder_of_a_table_is_read_whole_and_holds_no_other(folder: Path, reader: str, table: Table) -> None:
    filled(folder, READERS[reader][0], CALLS, DID_CALLS, FLASH_CALLS)
    assert found(reader, folder / table.name, table) == keys(0, 1, 2)


# polars takes no folder with files of two kinds, such as the ledger; DuckDB is given a pattern.
FROM_ABOVE = [name for name, (form, _) in READERS.items() if form is PARQUET and name != "polars of Parquet"]


@pytest.mark.parametrize("reader", FROM_ABOVE)
def test_a_store_of_one_source_is_read_from_above_too(folder: Path, reader: str) -> None:
    filled(folder, PARQUET, CALLS)
    assert found(reader, folder, CALLS) == keys(0, 1, 2)


@every_reader
def test_while_a_file_is_written_nothing_of_it_is_seen(folder: Path, reader: str) -> None:
    form, seen = READERS[reader][0], list[list[str]]()

    def watched(rows: pa.Table) -> Iterator[Chunk]:
        for piece in form.encode(rows):
            yield memoryview(piece)[:1]
            if is_watched:
                seen.append(found(reader, folder / CALLS.name, CALLS))
            yield memoryview(piece)[1:]

    is_watched = False
    sink = FolderSink(folder, evolve(form, encode=watched))
    sink.open()
    sink.create(CALLS, ORIGIN)
    write(sink, CALLS, 0)
    is_watched = True
    write(sink, CALLS, 1)  # a further file
    sink.write(CALLS, plain_rows(CALLS, BEGIN, 2, prefix=""), change(0))  # one in the place of another
    sink.close()
    assert seen[0] == keys(0)
    assert seen[-1] == keys(0, 1)
    assert {len(rows) for rows in seen} == {2, 4}

"""A folder of CSV files for spreadsheets and for everything else.

Text stands in quotes and nothing between commas is null; times are ISO 8601 in UTC. A mark at the beginning of each
file tells spreadsheets that it is UTF-8, and an apostrophe before some text keeps them from running or changing it.
"""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
from pyarrow import csv

from nxcdr_async.backfill.sinks.cells import safe_cells, texts_of
from nxcdr_async.backfill.sinks.durable import Piece
from nxcdr_async.backfill.sinks.folder import FolderSink
from nxcdr_async.backfill.sinks.folder_files import Format
from nxcdr_async.backfill.sinks.text import plain_amounts, plain_times

_MARK = "\ufeff".encode()
_QUOTED = csv.WriteOptions(quoting_style="needed")


def _encode(rows: pa.Table) -> Iterator[Piece]:
    written = pa.BufferOutputStream()
    # In one piece: of a table that begins with an empty one, Arrow writes what lies in memory.
    cells = pa.table([_cells(column) for column in rows.columns], rows.column_names).combine_chunks()
    csv.write_csv(cells, written, _QUOTED)
    yield _MARK
    yield memoryview(written.getvalue())


def _cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return plain_times(column)
    if pa.types.is_decimal(column.type):
        return plain_amounts(column)
    return safe_cells(column) if pa.types.is_string(column.type) else column


def _decode(written: bytes, schema: pa.Schema) -> pa.Table:
    cells = csv.read_csv(
        pa.BufferReader(written),
        # In one piece, as a line may be longer than any piece.
        csv.ReadOptions(block_size=len(written) + 1),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types={column.name: _cell_type(column.type) for column in schema},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    if cells.column_names != schema.names:
        raise ValueError("it has other columns")
    return pa.table([_column(cells[column.name], column.type) for column in schema], schema=schema)


def _cell_type(kind: pa.DataType) -> pa.DataType:
    return kind if pa.types.is_integer(kind) or pa.types.is_boolean(kind) else pa.string()


def _column(cells: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return texts_of(cells) if pa.types.is_string(kind) else cells.cast(kind)


CSV = Format(".csv", _encode, _decode)

CsvSink = partial(FolderSink, format=CSV)
"""Makes a folder of CSV files a sink; takes its path."""

"""A folder of CSV files for spreadsheets and for everything else.

Nothing between commas is null, and an empty text is two quotes; times are ISO 8601 in UTC. A mark at the beginning of
each file tells spreadsheets that it is UTF-8; an apostrophe before some text keeps them from running or changing it.
"""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from nxcdr_async.sinks.durable import Piece
from nxcdr_async.sinks.folder.cells import safe_cells, texts_of
from nxcdr_async.sinks.folder.files import Format
from nxcdr_async.sinks.folder.sink import FolderSink
from nxcdr_async.sinks.values import bytes_of, parts_of, plain_amounts, plain_times

_MARK = "\ufeff".encode()
# The last, as a cell that begins and ends with an apostrophe seems to stand in quotes of that kind.
_NEEDS_QUOTES = "[\"\\r\\n,]|'[\\p{Zs}\\t]*$"


def _encode(rows: pa.Table) -> Iterator[Piece]:
    yield _MARK + ",".join(f'"{name}"' for name in rows.column_names).encode() + b"\n"
    for part in parts_of(rows):
        cells = [pc.fill_null(_cells(column), "") for column in part.columns]
        yield bytes_of(pc.binary_join_element_wise(pc.binary_join_element_wise(*cells, ","), "\n", ""))


def _cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return plain_times(column)
    if pa.types.is_decimal(column.type):
        return plain_amounts(column)
    return _quoted(column, safe_cells(column)) if pa.types.is_string(column.type) else column.cast(pa.string())


def _quoted(texts: pa.ChunkedArray, cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts, of which safe cells were made, in quotes, but for cells with an apostrophe that need none.

    Within quotes DuckDB takes that apostrophe for what escapes the next character, and what is left for a number.
    """
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(cells, '"', '""'), '"', "")
    is_marked = pc.not_equal(texts, cells)
    return pc.if_else(pc.and_not(is_marked, pc.match_substring_regex(cells, _NEEDS_QUOTES)), cells, quoted)


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

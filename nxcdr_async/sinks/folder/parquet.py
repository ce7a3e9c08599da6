"""A folder of Parquet files: times in UTC to the microsecond, amounts as decimals, `extra` as JSON text."""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from nxcdr_async.sinks.durable import Piece
from nxcdr_async.sinks.folder.files import Format
from nxcdr_async.sinks.folder.sink import FolderSink

ROWS_A_GROUP = 100_000
"""Rows a reader takes in at once: all that most windows have."""


def _encode(rows: pa.Table) -> Iterator[Piece]:
    written = pa.BufferOutputStream()
    pq.write_table(rows, written, compression="zstd", row_group_size=ROWS_A_GROUP)
    yield memoryview(written.getvalue())


def _decode(written: bytes, schema: pa.Schema) -> pa.Table:
    rows = pq.ParquetFile(pa.BufferReader(written)).read()
    if not rows.schema.equals(schema):
        raise ValueError("it has other columns")
    return rows


PARQUET = Format(".parquet", _encode, _decode)

ParquetSink = partial(FolderSink, format=PARQUET)
"""Makes a folder of Parquet files a sink; takes its path."""

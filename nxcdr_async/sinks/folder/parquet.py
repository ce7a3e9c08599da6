"""A folder of Parquet files: times in UTC to the microsecond, amounts as decimals, `extra` as JSON text."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nxcdr_async.sinks.files import Chunk
from nxcdr_async.sinks.folder.files import FileFormat
from nxcdr_async.sinks.folder.sink import FolderSink

ROWS_A_GROUP = 100_000
"""Rows that are read at once: all that most windows have."""


def _encode(rows: pa.Table) -> Iterator[Chunk]:
    written = pa.BufferOutputStream()
    pq.write_table(rows, written, compression="zstd", row_group_size=ROWS_A_GROUP)
    yield memoryview(written.getvalue())


def _decode(written: bytes, schema: pa.Schema) -> pa.Table:
    rows = pq.ParquetFile(pa.BufferReader(written)).read()
    if not rows.schema.equals(schema):
        raise ValueError("it has other columns")
    return rows


def _count_rows(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


PARQUET = FileFormat(".parquet", _encode, _decode, _count_rows)

ParquetSink = partial(FolderSink, format=PARQUET)
"""Makes a folder of Parquet files a sink; takes its path."""

"""Rows as CSV that PostgreSQL's COPY reads and writes: null is bare, an empty text is quoted. Pure."""

import re
from codecs import BOM_UTF8
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from nxcdr_async.records.arrow import EXTRA, Table
from nxcdr_async.sinks.values import plain_amount, plain_amounts

REPLACEMENT = "\ufffd"
"""What stands for a NUL, which PostgreSQL cannot hold in text or JSON."""

_NUL = "\x00"
_NUL_IN_JSON = "\\u0000"
# After an even number of backslashes, which are escaped themselves.
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

_UNQUOTED = csv.WriteOptions(include_header=False, quoting_style="needed")
_WITH_BREAKS = csv.ParseOptions(newlines_in_values=True)
_SMALLEST_BLOCK = 1 << 16


def clean(rows: pa.Table) -> pa.Table:
    """Return rows with a replacement for each NUL."""
    columns = [_clean_column(name, rows[name]) for name in rows.column_names]
    return pa.Table.from_arrays(columns, schema=rows.schema)


def to_csv(rows: pa.Table) -> memoryview:
    """Return rows without a NUL as CSV; amounts without zeros at their end, which PostgreSQL would keep."""
    columns = [plain_amounts(column) if pa.types.is_decimal(column.type) else column for column in rows.columns]
    written = pa.BufferOutputStream()
    # In one piece: of a table that begins with an empty one, Arrow writes what lies in memory.
    csv.write_csv(pa.Table.from_arrays(columns, names=rows.column_names).combine_chunks(), written, _UNQUOTED)
    return memoryview(written.getvalue())


def from_csv(table: Table, text: bytes) -> pa.Table:
    """Return CSV, written by COPY with times in UTC, as rows of a table.

    Raises:
        pyarrow.ArrowInvalid: a value that is not of its column's type, such as a number with too many digits.
    """
    if not text:
        return table.empty()
    return csv.read_csv(
        # The reader takes off one mark of UTF-8, which else might be the first letter of a key.
        pa.BufferReader(BOM_UTF8 + text),
        # One block, as a row must not reach over more than two.
        csv.ReadOptions(column_names=table.columns, block_size=max(len(BOM_UTF8) + len(text), _SMALLEST_BLOCK)),
        _WITH_BREAKS,
        csv.ConvertOptions(
            column_types=table.schema,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def without_nul(value: Any) -> Any:
    """Return a text with a replacement for each NUL, any other value as it is."""
    return value.replace(_NUL, REPLACEMENT) if isinstance(value, str) else value


def as_read(table: Table, stored: pa.Table, read: pa.Table) -> pa.Table:
    """Spell what is stored as it was read, where PostgreSQL only writes it otherwise: JSON, and text with a NUL.

    Else rows would seem to have changed, and those without a key to be others, whenever they are read again.
    """
    if not stored.num_rows:
        return stored
    columns = [_as_read(name, stored[name], read[name]) for name in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _as_read(name: str, stored: pa.ChunkedArray, read: pa.ChunkedArray) -> pa.ChunkedArray:
    if name != EXTRA and not _has(read, _NUL):
        return stored
    meaning = _meaning if name == EXTRA else without_nul
    spellings = {meaning(value): value for value in read.drop_null().unique().to_pylist()}
    values = [None if value is None else spellings.get(meaning(value), value) for value in stored.to_pylist()]
    return pa.chunked_array([pa.array(values, stored.type)])


def _meaning(text: str) -> bytes:
    """Return JSON in one spelling."""
    return msgspec.json.encode(_decode(_clean_json(text)), order="sorted")


def _number(text: str) -> msgspec.Raw:
    return msgspec.Raw(plain_amount(Decimal(text)).encode())


_decode = msgspec.json.Decoder(float_hook=_number).decode


def _clean_column(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if name == EXTRA:
        if not _has(column, _NUL_IN_JSON):
            return column
        values = [None if value is None else _clean_json(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(values, column.type)])
    return pc.replace_substring(column, _NUL, REPLACEMENT) if _has(column, _NUL) else column


def _clean_json(text: str) -> str:
    return _ESCAPED_NUL.sub(rf"\g<1>{REPLACEMENT}", text)


def _has(column: pa.ChunkedArray, text: str) -> bool:
    if not pa.types.is_string(column.type):
        return False
    found: bool | None = pc.any(pc.match_substring(column, text)).as_py()
    return bool(found)

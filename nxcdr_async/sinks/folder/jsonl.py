"""A folder of files with a JSON object a line: times are ISO 8601 in UTC, amounts exact text, `extra` an object."""

from collections.abc import Iterator
from functools import cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from nxcdr_async.records.arrow import EXTRA
from nxcdr_async.sinks.files import Chunk
from nxcdr_async.sinks.folder.files import FileFormat
from nxcdr_async.sinks.folder.sink import FolderSink
from nxcdr_async.sinks.values import bytes_of, parts_of, plain_amounts, plain_times

# What JSON has to escape.
_UNSAFE = '["\\\\\x00-\x1f]'

_encode_text = msgspec.json.Encoder().encode


def _encode(rows: pa.Table) -> Iterator[Chunk]:
    yield from map(_lines, parts_of(rows))


def _lines(rows: pa.Table) -> Chunk:
    parts: list[Any] = []
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        opening = "{" if not parts else ","
        parts += [f'{opening}"{name}":', pc.fill_null(_values(name, column), "null")]
    return bytes_of(pc.binary_join_element_wise(*parts, "}\n", ""))


def _values(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values of a column as JSON."""
    if pa.types.is_timestamp(column.type):
        return _quoted(plain_times(column))
    if pa.types.is_decimal(column.type):
        return _quoted(plain_amounts(column))
    if not pa.types.is_string(column.type):
        return column.cast(pa.string())
    return column if name == EXTRA else _escaped(column)


def _quoted(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise('"', texts, '"', "")


def _escaped(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    unsafe = pc.match_substring_regex(texts, _UNSAFE)
    if not pc.any(unsafe).as_py():
        return _quoted(texts)
    escaped = [_encode_text(text).decode() for text in texts.filter(unsafe).to_pylist()]
    return pc.replace_with_mask(
        _quoted(texts).combine_chunks(), unsafe.combine_chunks(), pa.array(escaped, pa.string())
    )


def _decode(written: bytes, schema: pa.Schema) -> pa.Table:
    lines = _decoder(schema).decode_lines(written)
    return pa.table([_column(column, map(attrgetter(column.name), lines)) for column in schema], schema=schema)


@cache
def _decoder(schema: pa.Schema) -> msgspec.json.Decoder[Any]:
    types = [(column.name, _json_type(column)) for column in schema]
    return msgspec.json.Decoder(msgspec.defstruct("Line", types, forbid_unknown_fields=True))


def _json_type(column: pa.Field) -> Any:
    if column.name == EXTRA:
        return msgspec.Raw
    if pa.types.is_integer(column.type):
        return int | None
    return bool | None if pa.types.is_boolean(column.type) else str | None


def _column(column: pa.Field, values: Any) -> pa.Array:
    if column.name == EXTRA:
        texts = (bytes(value).decode() for value in values)
        return pa.array([None if text == "null" else text for text in texts], pa.string())
    if pa.types.is_timestamp(column.type) or pa.types.is_decimal(column.type):
        return pa.array(values, pa.string()).cast(column.type)
    return pa.array(values, column.type)


def _count_rows(path: Path) -> int:
    return path.read_bytes().count(b"\n")


JSON_LINES = FileFormat(".jsonl", _encode, _decode, _count_rows)

JsonLinesSink = partial(FolderSink, format=JSON_LINES)
"""Makes a folder of files with JSON lines a sink; takes its path."""

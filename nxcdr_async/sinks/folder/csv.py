"""A folder of CSV files for spreadsheets and for everything else.

Nothing between commas is null, and an empty text is two quotes; times are ISO 8601 in UTC. A mark at the beginning of
each file tells spreadsheets that it is UTF-8.

Text that spreadsheets, and readers who guess types, would run or take for no text gets an apostrophe in front, as does
text that has one there already: so it is read back as it was by taking one away. Whole numbers of up to 15 digits stay
bare, such as most phone numbers: whoever takes them for numbers still has all their digits.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from nxcdr_async.sinks.files import Chunk
from nxcdr_async.sinks.folder.files import FileFormat
from nxcdr_async.sinks.folder.sink import FolderSink
from nxcdr_async.sinks.values import bytes_of, parts_of, plain_amounts, plain_times

_MARK = "\ufeff".encode()
# The last, as a cell that begins and ends with an apostrophe seems to stand in quotes of that kind.
_NEEDS_QUOTES = "[\"\\r\\n,]|'[\\p{Zs}\\t]*$"

_APOSTROPHE = "'"

_BLANKS = "[\\p{Zs}\\t\\r\\n]*"

# After blanks, too; the last four are what East Asian spreadsheets take for the first four.
_FORMULA = "[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20]"

# Leading zeros, points, dashes, slashes and colons, percents and amounts of money: digits, of any script, and what
# stands around them in numbers, dates and times of some country, but for what is bare.
_DIGIT = "\\p{Nd}"
_IN_VALUES = "\\p{Nd}\\p{Sc}\\p{Zs}.,:;/\\-+%_'()\u2019\uff05\uff0e\uff0c\uff1a\uff0f"
_VALUE = f"[{_IN_VALUES}年月日号號時时点點分秒]*{_DIGIT}[{_IN_VALUES}年月日号號時时点點分秒]*"
_HALF_OF_DAY = f"{_VALUE}(?:[ap]\\.?m\\.?|\\p{{Zs}}[ap]|上午|下午)|(?:上午|下午){_VALUE}"
_MOMENT = "[0-9/.\\-]+t[0-9:.,]+(?:z|[+\\-][0-9:]+)?"
_POWER = f"[{_IN_VALUES}]*{_DIGIT}[{_IN_VALUES}]*[ed]{_BLANKS}[+\\-]?[0-9]+"
_OTHER_BASE = "0[xbo][0-9a-f_]+"

# Of English and of the languages of the vendor's customers; a number beside them makes a date.
_MONTH = (
    "(?:jan|feb|fev|mar|apr|abr|avr|may|mai|mei|jun|jul|aug|ago|agu|sep|sept|set|oct|okt|out|nov|dec|dez|dic|des|ene"
    "|january|february|march|april|june|july|august|september|october|november|december"
    "|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre"
    "|janeiro|fevereiro|março|maio|junho|julho|setembro|outubro|novembro|dezembro"
    "|januari|februari|maret|juni|juli|agustus|oktober|desember)"
)
_BESIDE = "[\\p{Zs}.,/\\-]*"
_DATE = f"{_MONTH}{_BESIDE}[0-9]+(?:{_BESIDE}[0-9:]+)*|[0-9]+{_BESIDE}{_MONTH}(?:{_BESIDE}[0-9:]+)*"

_WORD = (
    "true|false|t|f|yes|no|wahr|falsch|vrai|faux|verdadero|verdadeiro|falso|vero|benar|salah"
    "|na|n/a|<na>|nan|null|nil|none|inf|infinity|1\\.#(?:ind|qnan|inf)"
)
_FAULT = "#(?:n/?a(?: n/a)?|[a-z0-9/]+[!?]|getting_data)"  # as spreadsheets name what went wrong

_NO_TEXT = f"{_VALUE}|{_HALF_OF_DAY}|{_MOMENT}|{_POWER}|{_OTHER_BASE}|{_DATE}|{_WORD}|{_FAULT}"
_UNSAFE = f"^(?:'|{_BLANKS}{_FORMULA}|(?i:{_BLANKS}(?:{_NO_TEXT}){_BLANKS}$))"

_WHOLE_NUMBER = "^(?:0|[1-9][0-9]{0,14})$"
_ADDRESS = "^[0-9]{1,3}(?:\\.[0-9]{1,3}){3}$"  # of a computer; no value anywhere, but where it looks like thousands
_THOUSANDS = "^[0-9]{1,3}(?:\\.[0-9]{3})+$"


def _encode(rows: pa.Table) -> Iterator[Chunk]:
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


def safe_cells(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as spreadsheets show and readers take them unchanged, and none runs them."""
    is_bare = pc.or_(_match(texts, _WHOLE_NUMBER), pc.and_not(_match(texts, _ADDRESS), _match(texts, _THOUSANDS)))
    marked = pc.binary_join_element_wise(_APOSTROPHE, texts, "")
    return pc.if_else(pc.and_not(_match(texts, _UNSAFE), is_bare), marked, texts)


def _match(texts: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.match_substring_regex(texts, pattern)


def texts_of(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the texts that safe cells were made of."""
    return pc.if_else(pc.starts_with(cells, _APOSTROPHE), pc.utf8_slice_codeunits(cells, 1), cells)


def _count_rows(path: Path) -> int:
    # What lies between every second pair of quotes is outside of quotes, as a quote within them is written twice.
    lines = sum(part.count(b"\n") for part in path.read_bytes().split(b'"')[::2])
    return lines - 1


CSV = FileFormat(".csv", _encode, _decode, _count_rows)

CsvSink = partial(FolderSink, format=CSV)
"""Makes a folder of CSV files a sink; takes its path."""

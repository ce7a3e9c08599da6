"""Money in tables and data frames: narrow enough for Arrow to calculate with, and never rounded. Pure.

It is exact from the JSON on: `_util.json.read_number` makes it a `Decimal`.
"""

from collections.abc import Iterable

import pyarrow as pa

COUNTED_MONEY = (18, 8)
"""Digits in all, and after the point, of an amount in a table that programs calculate with.

Arrow gives a result all digits that it could ever need, 38 at most: with amounts of 18 digits there is room for the
product with a 64-bit integer, and with another amount. A sink calculates nothing, and keeps more digits.
"""


def narrowed(rows: pa.Table) -> pa.Table:
    """Return rows with each column of amounts as narrow as `COUNTED_MONEY`; a column with a wider amount stays."""
    return pa.table([_narrowed(column) for column in rows.columns], rows.column_names)


def _narrowed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_decimal(column.type):
        return column
    try:
        return column.cast(pa.decimal128(*COUNTED_MONEY))
    except pa.ArrowInvalid:  # it has digits that would be lost
        return column


def joined(parts: Iterable[pa.Table]) -> pa.Table:
    """Return narrowed parts as one table; a column that is wide in one of them becomes wide in all."""
    return pa.concat_tables(parts, promote_options="permissive")

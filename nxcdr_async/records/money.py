"""Money in tables and data frames: narrow enough to be counted with, and never rounded. Pure."""

from collections.abc import Iterable

import pyarrow as pa

COUNTED_MONEY = (18, 8)
"""Digits in all, and behind the point, of an amount in a table that programs count with.

The kernels of Arrow give a result all digits that it could ever need, 38 at the most: of amounts of 18 digits there is
room for the product with a 64-bit integer, and with another amount. A store counts nothing, and keeps more digits.
"""


def narrowed(rows: pa.Table) -> pa.Table:
    """Return rows with each column of amounts as narrow as `COUNTED_MONEY`; one with an amount that is wider stays."""
    return pa.table([_narrowed(column) for column in rows.columns], rows.column_names)


def _narrowed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_decimal(column.type):
        return column
    try:
        return column.cast(pa.decimal128(*COUNTED_MONEY))
    except pa.ArrowInvalid:  # it has digits that would be lost
        return column


def joined(parts: Iterable[pa.Table]) -> pa.Table:
    """Return narrowed parts as one table: where a column of one of them is wide, it is so in all of them."""
    return pa.concat_tables(parts, promote_options="permissive")

"""Values as text, the same in every sink that writes them so. Pure."""

from collections.abc import Iterator
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

ROWS_A_PIECE = 2_500
"""Rows that are made lines at once: few enough for other threads to get their turn."""


def parts_of(rows: pa.Table) -> Iterator[pa.Table]:
    """Yield rows, as many as are made lines at once, each column of them in one piece."""
    for start in range(0, rows.num_rows, ROWS_A_PIECE):
        yield rows.slice(start, ROWS_A_PIECE).combine_chunks()


def bytes_of(lines: pa.ChunkedArray) -> memoryview:
    """Return the bytes of lines, none of which is null."""
    in_one = lines.combine_chunks()
    # What Arrow keeps of all the texts of a column is one text after the other.
    return memoryview(in_one.buffers()[-1])[: pc.sum(pc.binary_length(in_one)).as_py()]


def plain_amount(amount: Decimal) -> str:
    """Return an amount with all its digits and no more, never as a power of ten.

    >>> plain_amount(Decimal("0.202800000000"))
    '0.2028'
    """
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain_amounts(amounts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return amounts, of a type with decimals, as `plain_amount` does, a column at once."""
    texts, is_zero = amounts.cast(pa.string()), pc.equal(amounts, pa.scalar(Decimal(0), amounts.type))
    plain = pc.if_else(is_zero, "0", pc.ascii_rtrim(pc.ascii_rtrim(texts, "0"), "."))
    # Arrow writes the smallest amounts as powers of ten.
    is_power = pc.and_not(pc.match_substring(texts, "E"), is_zero)
    powers = pa.array([plain_amount(amount) for amount in amounts.filter(is_power).to_pylist()], pa.string())
    return pc.replace_with_mask(plain.combine_chunks(), is_power.combine_chunks(), powers)


def plain_times(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times in UTC as ISO 8601 to the microsecond, a column at once."""
    local = times.cast(pa.timestamp("us")).cast(pa.string())
    return pc.binary_join_element_wise(pc.replace_substring(local, " ", "T"), "Z", "")

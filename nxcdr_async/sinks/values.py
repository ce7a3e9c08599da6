"""Values of rows, the same in every sink: as text, and by their times. Pure."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from nxcdr_async.records.arrow import Table
from nxcdr_async.windows import Window

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


MICROSECONDS = 1_000_000
"""In a second."""


def inside(table: Table, rows: pa.Table, window: Window) -> pa.ChunkedArray:
    """Tell of each row whether its time lies in a window."""
    kind = table.kind(table.time)
    start, end = (pa.scalar(edge * MICROSECONDS, pa.int64()).cast(kind) for edge in (window.start, window.end))
    times = rows[table.time]
    return pc.fill_null(pc.and_(pc.greater_equal(times, start), pc.less(times, end)), False)  # noqa: FBT003 - Arrow's way


def outside(table: Table, rows: pa.Table, windows: Iterable[Window]) -> pa.Table:
    """Return the rows whose times lie in none of some windows."""
    for window in windows:
        rows = rows.filter(pc.invert(inside(table, rows, window)))
    return rows


def earlier(table: Table, rows: pa.Table, before: int) -> pa.ChunkedArray:
    """Tell of each row whether its time lies before a moment; one without a time does not."""
    edge = pa.scalar(before * MICROSECONDS, pa.int64()).cast(table.kind(table.time))
    return pc.fill_null(pc.less(rows[table.time], edge), False)  # noqa: FBT003 - Arrow's way


def extent_of(table: Table, rows: pa.Table) -> Window | None:
    """Return the seconds in which the times of some rows lie; None without any."""
    edges = pc.min_max(rows[table.time].cast(pa.int64())).as_py()
    if edges["min"] is None:
        return None
    return Window(edges["min"] // MICROSECONDS, edges["max"] // MICROSECONDS + 1)


def seconds_of(rows: pa.Table, column: str) -> list[int | None]:
    """Return the whole seconds of times, epoch."""
    microseconds = rows[column].cast(pa.int64()).to_pylist()
    return [None if moment is None else moment // MICROSECONDS for moment in microseconds]


def not_among(values: pa.ChunkedArray, others: pa.Array) -> pa.Array:
    """Return the values that are not among others."""
    return values.filter(pc.invert(pc.is_in(values, value_set=others))).combine_chunks()

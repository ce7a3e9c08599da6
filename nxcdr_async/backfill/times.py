"""Epoch seconds, the times people read, and those of rows. Pure."""

from collections.abc import Iterable
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from nxcdr_async.export.tables import Table
from nxcdr_async.moments import moment_at
from nxcdr_async.windows import Window

MICROSECONDS = 1_000_000
"""In a second."""


def moment_if_any(seconds: int | None) -> datetime | None:
    """Return epoch seconds as a time in UTC, and None as None."""
    return None if seconds is None else moment_at(seconds)


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

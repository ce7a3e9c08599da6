"""Epoch seconds, the times people read, and those of rows. Pure."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from nxcdr_async.export.tables import Table
from nxcdr_async.windows import Window

MICROSECONDS = 1_000_000
"""In a second."""


def moment_of(seconds: int) -> datetime:
    """Return epoch seconds as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def moment_if_any(seconds: int | None) -> datetime | None:
    """Return epoch seconds as a time in UTC, and None as None."""
    return None if seconds is None else moment_of(seconds)


def inside(table: Table, rows: pa.Table, window: Window) -> pa.ChunkedArray:
    """Tell of each row whether its time lies in a window."""
    kind = table.kind(table.time)
    start, end = (pa.scalar(edge * MICROSECONDS, pa.int64()).cast(kind) for edge in (window.start, window.end))
    times = rows[table.time]
    return pc.fill_null(pc.and_(pc.greater_equal(times, start), pc.less(times, end)), False)  # noqa: FBT003 - Arrow's way


def seconds_of(rows: pa.Table, column: str) -> list[int | None]:
    """Return the whole seconds of times, epoch."""
    microseconds = rows[column].cast(pa.int64()).to_pylist()
    return [None if moment is None else moment // MICROSECONDS for moment in microseconds]

"""Which rows go into the file of which window. Pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nxcdr_async.records.arrow import Table
from nxcdr_async.sinks.folder.table_ledger import Extent
from nxcdr_async.sinks.values import MICROSECONDS, extent_of, inside
from nxcdr_async.windows import Window


def extent_of_rows(table: Table, rows: pa.Table) -> Extent | None:
    """Return the seconds of the first and the last of some rows; None without any."""
    extent = extent_of(table, rows)
    return None if extent is None else Extent(extent.start, extent.end - 1)


def have_keys_of(table: Table, rows: pa.Table, others: pa.Table) -> pa.ChunkedArray:
    """Tell of each row whether its key is among those of others."""
    return pc.is_in(rows[table.key], value_set=others[table.key].drop_null().combine_chunks())


def stand_elsewhere(table: Table, rows: pa.Table, window: Window, others: pa.Table) -> pa.Array:
    """Tell of each row whether it lies outside of its window, and stands among others, too, by key and time."""
    there = set(_keys_and_times(table, others))
    is_inside = inside(table, rows, window).to_pylist()
    pairs = zip(is_inside, _keys_and_times(table, rows), strict=True)
    return pa.array([not inside and row in there for inside, row in pairs], pa.bool_())


def with_keys_replaced(table: Table, stored: pa.Table, written: pa.Table, rows: pa.Table) -> pa.Table:
    """Put rows in place of all those with the keys of what is written."""
    return pa.concat_tables([stored.filter(pc.invert(have_keys_of(table, stored, written))), rows])


def by_file(table: Table, rows: pa.Table, files: Mapping[Window, pa.Table]) -> dict[Window | None, pa.Table]:
    """Part rows by the files that have the row of their key nearest in time; None has those whose key none has.

    Args:
        table: whose rows they are.
        rows: some rows.
        files: keys and times of the rows with these keys in some files, by the windows of these.
    """
    if not files:
        return {None: rows}
    stored: defaultdict[Any, list[tuple[int, Window]]] = defaultdict(list)
    for window, there in files.items():
        for key, microsecond in _keys_and_times(table, there):
            stored[key].append((microsecond, window))
    places: defaultdict[Window | None, list[int]] = defaultdict(list)
    for place, (key, microsecond) in enumerate(_keys_and_times(table, rows)):
        distances = ((abs(time - microsecond), window) for time, window in stored.get(key, ()))
        _, nearest = min(distances, default=(0, None))
        places[nearest].append(place)
    return {window: rows.take(its_places) for window, its_places in places.items()}


def _keys_and_times(table: Table, rows: pa.Table) -> Iterator[tuple[Any, int]]:
    return zip(rows[table.key].to_pylist(), rows[table.time].cast(pa.int64()).to_pylist(), strict=True)


def by_window(table: Table, rows: pa.Table, window: Window, others: Collection[Window]) -> dict[Window, pa.Table]:
    """Part new rows by the windows their times lie in.

    Args:
        table: whose rows they are.
        rows: some rows.
        window: the one that was read; it gets those, too, whose times lie in none.
        others: further windows; none overlaps another.
    """
    extent = extent_of_rows(table, rows)
    if extent is None:
        return {}
    if window.start <= extent.first and extent.last < window.end:
        return {window: rows}
    in_order = sorted([window, *others])
    places: defaultdict[Window, list[int]] = defaultdict(list)
    for place, microsecond in enumerate(rows[table.time].cast(pa.int64()).to_pylist()):
        places[_window_of(microsecond // MICROSECONDS, in_order) or window].append(place)
    return {each: rows.take(its_places) for each, its_places in places.items()}


def _window_of(second: int, in_order: list[Window]) -> Window | None:
    place = bisect_right(in_order, second, key=lambda window: window.start) - 1
    return in_order[place] if place >= 0 and second < in_order[place].end else None

"""Which rows that were read are those that a sink holds. Pure."""

import math
from collections import Counter, defaultdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define

from nxcdr_async.records.arrow import EXTRA, Table
from nxcdr_async.records.legs import APART_MS, pairs
from nxcdr_async.sinks.extra_keys import meaning_of
from nxcdr_async.sinks.values import MICROSECONDS
from nxcdr_async.windows import Window

UNLIKE = 1_000
"""How many values that are alike one that contradicts outweighs: more than a row has."""


@define(frozen=True)
class Matched:
    """Rows that were read, beside those stored with the same key.

    Attributes:
        rows: how many were read, each key once.
        new: those that are not stored.
        known: those with a key that are.
        stored: how these are stored, in the same order.
        others: further rows stored with a key.
    """

    rows: int
    new: pa.Table
    known: pa.Table
    stored: pa.Table
    others: pa.Table


def match(table: Table, stored: pa.Table, read: pa.Table, window: Window | None = None) -> Matched:
    """Tell which of the rows that were read are stored; rows without a key are the same if all their values are.

    Args:
        table: whose rows they are.
        stored: what the sink has under the keys of the rows read, and without a key at their times.
        read: rows that were read; of several with one key, the first counts where a key is unique.
        window: what was read whole. A row stored in it under a key that is not unique, and not told any more, has
            become another one told under that key.
    """
    with_key = pc.is_valid(read[table.key])
    keyed, keyless = read.filter(with_key), read.filter(pc.invert(with_key))
    if table.is_key_unique:
        keyed = _first_of_each(table, keyed)
    fresh_keyless = _not_there(stored.filter(pc.is_null(stored[table.key])), keyless)
    rows = keyed.num_rows + keyless.num_rows
    if not stored.num_rows:
        new = pa.concat_tables([keyed, keyless])
        return Matched(rows, new, known=table.empty(), stored=stored, others=stored)
    places = _places(table, stored, keyed, window)
    is_new = pc.is_null(places)
    there = places.drop_null()
    return Matched(
        rows=rows,
        new=pa.concat_tables([keyed.filter(is_new), fresh_keyless]),
        known=keyed.filter(pc.invert(is_new)),
        stored=stored.take(there),
        others=_others(table, stored, there),
    )


def _first_of_each(table: Table, rows: pa.Table) -> pa.Table:
    if pc.count_distinct(rows[table.key]).as_py() == rows.num_rows:
        return rows
    keys = rows[table.key].to_pylist()
    places = {key: place for place, key in reversed(list(enumerate(keys)))}
    return rows.take(sorted(places.values()))


def _others(table: Table, stored: pa.Table, places: pa.Array) -> pa.Table:
    """Return the rows stored with a key that stand at none of some places."""
    with_key = pc.is_valid(stored[table.key])
    if pc.sum(with_key).as_py() == len(places):
        return stored.slice(stored.num_rows)
    is_among = pc.is_in(pa.array(range(stored.num_rows), places.type), value_set=places)
    return stored.filter(pc.and_(with_key, pc.invert(is_among)))


def _places(table: Table, stored: pa.Table, read: pa.Table, window: Window | None) -> pa.Array:
    """Return the place among those stored of each row read; null for a new one."""
    places = pc.index_in(read[table.key], value_set=stored[table.key].combine_chunks()).combine_chunks()
    if table.is_key_unique:
        return places
    keys = _keys_in_doubt(table, stored, read, places)
    if not len(keys):
        return places
    found = places.to_pylist()
    known, came = (_rows_by_key(table, rows, keys) for rows in (stored, read))
    for key, rows in came.items():
        for row, place in zip(rows, _paired(known.get(key, []), rows, window), strict=True):
            found[row.place] = place
    return pa.array(found, places.type)


def _keys_in_doubt(table: Table, stored: pa.Table, read: pa.Table, places: pa.Array) -> pa.Array:
    """Return the keys that stand in several rows, or in rows whose times lie apart."""
    is_known = pc.is_valid(places)
    before, now = stored[table.time].take(places.drop_null()), read[table.time].filter(is_known)
    apart = pc.greater_equal(pc.abs(pc.subtract(now.cast(pa.int64()), before.cast(pa.int64()))), APART_MS * 1000)
    moved = read[table.key].filter(is_known).filter(apart)
    doubtful = [_repeated(rows[table.key]) for rows in (stored, read)]
    return pa.concat_arrays([moved.combine_chunks(), *doubtful])


def _repeated(keys: pa.ChunkedArray) -> pa.Array:
    if pc.count_distinct(keys).as_py() == len(keys):
        return keys.slice(0, 0).combine_chunks()
    counts = pc.value_counts(keys.drop_null())
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


@define(frozen=True)
class _Row:
    """A row under a key in doubt.

    Attributes:
        place: where it stands among the rows stored, or read.
        second: its time, epoch seconds.
        values: of all its columns.
    """

    place: int
    second: float
    values: tuple[Any, ...]

    def is_in(self, window: Window | None) -> bool:
        return window is not None and window.start <= self.second < window.end


def _rows_by_key(table: Table, rows: pa.Table, keys: pa.Array) -> dict[Any, list[_Row]]:
    places = pc.indices_nonzero(pc.is_in(rows[table.key], value_set=keys))
    few = rows.take(places)
    seconds = [microsecond / MICROSECONDS for microsecond in few[table.time].cast(pa.int64()).to_pylist()]
    found: defaultdict[Any, list[_Row]] = defaultdict(list)
    for key, row in zip(few[table.key].to_pylist(), map(_Row, places.to_pylist(), seconds, _values(few)), strict=True):
        found[key].append(row)
    return found


def _paired(known: list[_Row], came: list[_Row], window: Window | None) -> list[int | None]:
    """Return the place of the row stored for each row read under a key; None for a new one."""
    found = _alike(known, came, APART_MS)
    taken = {place for place in found if place is not None}
    left = [number for number, place in enumerate(found) if place is None]
    gone = [row for row in known if row.place not in taken and row.is_in(window)]
    for number, place in zip(left, _alike(gone, [came[number] for number in left], math.inf), strict=True):
        found[number] = place
    return found


def _alike(known: list[_Row], came: list[_Row], apart: float) -> list[int | None]:
    """Pair rows that lie nearer than so many milliseconds, those first that contradict each other least."""

    def likeness(place: int, number: int) -> int:
        pairs_of_values = zip(known[place].values, came[number].values, strict=True)
        return sum(1 if old == new else 0 if old is None or new is None else -UNLIKE for old, new in pairs_of_values)

    starts, begun = ([row.second * 1000 for row in rows] for rows in (came, known))
    return [None if place is None else known[place].place for place in pairs(begun, starts, likeness, apart)]


def _not_there(stored: pa.Table, read: pa.Table) -> pa.Table:
    """Leave out rows without a key that are stored, value for value, as often as they are."""
    if not stored.num_rows or not read.num_rows:
        return read
    there = Counter(_values(stored))
    fresh = []
    for place, values in enumerate(_values(read)):
        if there[values] > 0:
            there[values] -= 1
        else:
            fresh.append(place)
    return read.take(pa.array(fresh, pa.int64()))


def _values(rows: pa.Table) -> list[tuple[Any, ...]]:
    columns = {name: rows[name].to_pylist() for name in rows.column_names}
    columns[EXTRA] = [text and meaning_of(text) for text in columns[EXTRA]]
    return list(zip(*columns.values(), strict=True))

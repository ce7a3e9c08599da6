"""What a sink holds and what was read again, made one: nothing known is lost, and each key stands there once. Pure."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import reduce
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve

from nxcdr_async.backfill.sinks.text import plain_amount
from nxcdr_async.convert import are_sensible
from nxcdr_async.export.tables import EXTRA, Table
from nxcdr_async.wire.replies import read_number

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_encode_in_order = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


@define(frozen=True)
class Merged:
    """Rows to put into a sink, and what they are to it.

    Attributes:
        rows: those that are new or changed, whole.
        new: how many were not there.
        changed: how many were there, with another value or without one.
        unchanged: how many were there just so, or with more values than were read.
    """

    rows: pa.Table
    new: int
    changed: int
    unchanged: int


@define(frozen=True)
class Matched:
    """Rows that were read, beside those stored with the same key.

    Attributes:
        rows: how many were read, each key once.
        new: those that are not stored.
        known: those with a key that are.
        stored: how these are stored, in the same order.
    """

    rows: int
    new: pa.Table
    known: pa.Table
    stored: pa.Table


def match(table: Table, stored: pa.Table, read: pa.Table) -> Matched:
    """Tell which of the rows that were read are stored; rows without a key are the same if all their values are.

    Args:
        table: whose rows they are.
        stored: what the sink has under the keys of the rows read, and without a key at their times.
        read: rows that were read; of several with one key, the first counts.
    """
    with_key = pc.is_valid(read[table.key])
    keyed, keyless = _first_of_each(table, read.filter(with_key)), read.filter(pc.invert(with_key))
    fresh_keyless = _not_there(stored.filter(pc.is_null(stored[table.key])), keyless)
    rows = keyed.num_rows + keyless.num_rows
    if not stored.num_rows:
        return Matched(rows, new=pa.concat_tables([keyed, keyless]), known=table.empty(), stored=stored)
    place = pc.index_in(keyed[table.key], value_set=stored[table.key].combine_chunks())
    is_new = pc.is_null(place)
    return Matched(
        rows=rows,
        new=pa.concat_tables([keyed.filter(is_new), fresh_keyless]),
        known=keyed.filter(pc.invert(is_new)),
        stored=stored.take(place.drop_null()),
    )


def merge(table: Table, stored: pa.Table, read: pa.Table) -> Merged:
    """Put rows that were read over those stored with the same key; a known value is never replaced by null.

    Its arguments are those of `match`.
    """
    return _merged(table, match(table, stored, read))


def complete(table: Table, stored: pa.Table, told: pa.Table) -> Merged:
    """Put rows that were told beside those stored with the same key; they only fill in what is null there.

    Its arguments are those of `match`.
    """
    matched = match(table, stored, told)
    over_told = evolve(matched, known=matched.stored, stored=matched.known)
    whole = [column.values for column in merged_columns(table, over_told)]
    return _merged(table, evolve(matched, known=pa.Table.from_arrays(whole, schema=table.schema)))


def _merged(table: Table, matched: Matched) -> Merged:
    changed = _changed(table, matched)
    return Merged(
        rows=pa.concat_tables([matched.new, changed]),
        new=matched.new.num_rows,
        changed=changed.num_rows,
        unchanged=matched.rows - matched.new.num_rows - changed.num_rows,
    )


@define(frozen=True)
class MergedColumn:
    """A column of rows that are stored and were read again.

    Attributes:
        name: its name.
        values: all that is known.
        differs: where that is more or other than is stored.
    """

    name: str
    values: pa.ChunkedArray
    differs: pa.ChunkedArray


def merged_columns(table: Table, matched: Matched) -> Iterator[MergedColumn]:
    """Merge the rows that are stored and were read again, column by column."""
    for name in table.columns:
        stored, read = matched.stored[name], matched.known[name]
        values = pc.coalesce(_united(stored, read) if name == EXTRA else read, stored)
        yield MergedColumn(name, values, pc.fill_null(pc.not_equal(values, stored), pc.is_valid(values)))


def _first_of_each(table: Table, rows: pa.Table) -> pa.Table:
    if pc.count_distinct(rows[table.key]).as_py() == rows.num_rows:
        return rows
    keys = rows[table.key].to_pylist()
    places = {key: place for place, key in reversed(list(enumerate(keys)))}
    return rows.take(sorted(places.values()))


def _changed(table: Table, matched: Matched) -> pa.Table:
    """Return the rows that say more or other than is stored, with all that is known."""
    if not matched.known.num_rows:
        return matched.known
    columns = list(merged_columns(table, matched))
    differs = reduce(pc.or_, [column.differs for column in columns])
    return pa.Table.from_arrays([column.values for column in columns], schema=table.schema).filter(differs)


def _united(stored: pa.ChunkedArray, read: pa.ChunkedArray) -> pa.ChunkedArray:
    """Unite the objects of the keys nobody knows."""
    united = [
        new if old is None or new is None or old == new else _both(old, new)
        for old, new in zip(stored.to_pylist(), read.to_pylist(), strict=True)
    ]
    return pa.chunked_array([pa.array(united, read.type)])


def _both(old: str, new: str) -> str:
    united = _encode({**_decode(old), **_decode(new)}).decode()
    # A sink may keep the keys in another order, and spell values otherwise.
    return old if _meaning(united) == _meaning(old) else united


def _number(digits: str) -> Decimal | str:
    number = read_number(digits)
    # Written in full, but for what would take a gigabyte so.
    return Decimal(plain_amount(number)) if isinstance(number, Decimal) and are_sensible([number]) else digits


_decode_whole = msgspec.json.Decoder(float_hook=_number).decode


def _meaning(extra: str) -> bytes:
    """Return an object as all its spellings have it in common."""
    return _encode_in_order(_decode_whole(extra))


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
    columns[EXTRA] = [text and _meaning(text) for text in columns[EXTRA]]
    return list(zip(*columns.values(), strict=True))

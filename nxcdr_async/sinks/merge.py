"""What a sink holds and what was read again, made one: nothing known is lost, and each call stands there once. Pure."""

from collections.abc import Iterator
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve

from nxcdr_async.records.arrow import EXTRA, Table
from nxcdr_async.sinks.extra_keys import unite
from nxcdr_async.sinks.matching import Matched, match
from nxcdr_async.windows import Window


@define(frozen=True)
class Merged:
    """Rows to put into a sink, and what they are to it.

    Attributes:
        rows: those that are new or changed, whole, and the others stored with a key of theirs.
        new: how many were not there.
        changed: how many were there, with another value or without one.
        unchanged: how many were there just so, or with more values than were read.
    """

    rows: pa.Table
    new: int
    changed: int
    unchanged: int


def merge(table: Table, stored: pa.Table, read: pa.Table, window: Window | None = None) -> Merged:
    """Put rows that were read over those stored with the same key; a known value is never replaced by null.

    Its arguments are those of `match`.
    """
    return _merged(table, match(table, stored, read, window))


def fill_nulls(table: Table, stored: pa.Table, known: pa.Table) -> Merged:
    """Fill in what is null in stored rows from others known by the same key; those of no stored row are new.

    Its arguments are those of `match`.
    """
    matched = match(table, stored, known)
    stored_over_known = evolve(matched, known=matched.stored, stored=matched.known)
    whole = [column.values for column in merged_columns(table, stored_over_known)]
    return _merged(table, evolve(matched, known=pa.Table.from_arrays(whole, schema=table.schema)))


def _merged(table: Table, matched: Matched) -> Merged:
    columns = list(merged_columns(table, matched))
    differs = reduce(pc.or_, [column.differs for column in columns])
    changed = pa.Table.from_arrays([column.values for column in columns], schema=table.schema).filter(differs)
    written = pa.concat_tables([matched.new, changed])
    if written.num_rows and not table.is_key_unique:
        others = pa.concat_tables([matched.stored.filter(pc.invert(differs)), matched.others])
        keys = written[table.key].combine_chunks()
        written = pa.concat_tables([written, others.filter(pc.is_in(others[table.key], value_set=keys))])
    return Merged(
        rows=written,
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
        values = pc.coalesce(unite(stored, read) if name == EXTRA else read, stored)
        yield MergedColumn(name, values, pc.fill_null(pc.not_equal(values, stored), pc.is_valid(values)))

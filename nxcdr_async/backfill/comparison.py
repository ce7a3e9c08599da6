"""What a sink holds beside what the gateway tells now. Pure."""

from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define

from nxcdr_async.backfill.merge import Matched, MergedColumn, match, merged_columns
from nxcdr_async.backfill.report import Difference, DifferenceKind
from nxcdr_async.backfill.tables import Table
from nxcdr_async.windows import Window

_MICROSECONDS = 1_000_000


@define(frozen=True)
class Comparison:
    """How rows that were read compare with those that are stored.

    Attributes:
        rows: how many were read, each key once.
        missing: how many are not stored.
        different: how many are stored with another value, or without one that is known.
        examples: some of them.
    """

    rows: int
    missing: int
    different: int
    examples: list[Difference]

    @property
    def is_equal(self) -> bool:
        """Whether all that was read is stored just so, or with more values."""
        return not self.missing and not self.different


def compare(table: Table, stored: pa.Table, read: pa.Table, most_examples: int) -> Comparison:
    """Compare rows that were read with those stored; a null says nothing against a value that is known.

    Args:
        table: whose rows they are.
        stored: what the sink has under the keys of the rows read, and without a key at their times.
        read: rows that were read.
        most_examples: how many to tell one by one, at most.
    """
    matched = match(table, stored, read)
    columns = list(merged_columns(table, matched))
    different = pc.sum(reduce(pc.or_, [column.differs for column in columns])).as_py() or 0
    examples = told(table, "missing", matched.new, most_examples)
    if different:
        examples += _told_apart(table, matched, columns, most_examples)
    return Comparison(matched.rows, matched.new.num_rows, different, examples[:most_examples])


def absent(table: Table, rows: pa.Table, among: pa.Table) -> pa.Table:
    """Return the rows that are not among others: by their key, or by all their values if they have none."""
    return match(table, among, rows).new


def told(table: Table, kind: DifferenceKind, rows: pa.Table, most: int) -> list[Difference]:
    """Tell of some rows as a whole."""
    few = rows.slice(0, most)
    pairs = zip(few[table.key].to_pylist(), few[table.time].to_pylist(), strict=True)
    return [Difference(kind, key, time) for key, time in pairs]


def inside(table: Table, rows: pa.Table, window: Window) -> pa.ChunkedArray:
    """Tell of each row whether its time lies in a window."""
    kind = table.kind(table.time)
    start, end = (pa.scalar(edge * _MICROSECONDS, pa.int64()).cast(kind) for edge in (window.start, window.end))
    times = rows[table.time]
    return pc.fill_null(pc.and_(pc.greater_equal(times, start), pc.less(times, end)), False)  # noqa: FBT003 - Arrow's way


def seconds_of(rows: pa.Table, column: str) -> list[int | None]:
    """Return the whole seconds of times, epoch."""
    microseconds = rows[column].cast(pa.int64()).to_pylist()
    return [None if moment is None else moment // _MICROSECONDS for moment in microseconds]


def _told_apart(table: Table, matched: Matched, columns: list[MergedColumn], most: int) -> list[Difference]:
    """Tell of some values that differ, row by row."""
    places = [
        (place, number)
        for number, column in enumerate(columns)
        for place in pc.indices_nonzero(column.differs).slice(0, most).to_pylist()
    ]
    return [_difference(table, matched, place, columns[number].name) for place, number in sorted(places)[:most]]


def _difference(table: Table, matched: Matched, place: int, column: str) -> Difference:
    stored, read = matched.stored, matched.known
    return Difference(
        kind="different",
        key=read[table.key][place].as_py(),
        time=read[table.time][place].as_py(),
        column=column,
        stored=stored[column][place].as_py(),
        found=read[column][place].as_py(),
    )

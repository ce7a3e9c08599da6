"""What a sink holds beside what the gateway tells now. Pure."""

from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve

from nxcdr_async.backfill.matching import Matched, match
from nxcdr_async.backfill.merge import MergedColumn, merged_columns
from nxcdr_async.backfill.report import Difference, DifferenceKind
from nxcdr_async.export.tables import Table
from nxcdr_async.windows import Window


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

    def without(self, unheld: int) -> "Comparison":
        """Leave out so many rows that the sink cannot hold: missing ones first, else such as it has as they were."""
        missing = max(0, self.missing - max(0, unheld))
        different = max(0, self.different - max(0, unheld - self.missing))
        examples = self.examples if missing else [one for one in self.examples if one.kind != "missing"]
        return evolve(self, rows=self.rows - max(0, unheld), missing=missing, different=different, examples=examples)


def compare(
    table: Table, stored: pa.Table, read: pa.Table, most_examples: int, window: Window | None = None
) -> Comparison:
    """Compare rows that were read with those stored; a null says nothing against a value that is known.

    Args:
        table: whose rows they are.
        stored: what the sink has under the keys of the rows read, and without a key at their times.
        read: rows that were read.
        most_examples: how many to tell one by one, at most.
        window: what was read whole.
    """
    matched = match(table, stored, read, window)
    columns = list(merged_columns(table, matched))
    different = pc.sum(reduce(pc.or_, [column.differs for column in columns])).as_py() or 0
    examples = examples_of(table, "missing", matched.new, most_examples)
    if different:
        examples += _examples_of_values(table, matched, columns, most_examples)
    return Comparison(matched.rows, matched.new.num_rows, different, examples[:most_examples])


def absent(table: Table, rows: pa.Table, among: pa.Table, window: Window | None = None) -> pa.Table:
    """Return the stored rows that are not among those that were read, just so or changed; of a window, if all of it."""
    return match(table, among, rows, window).new


def examples_of(table: Table, kind: DifferenceKind, rows: pa.Table, most: int) -> list[Difference]:
    """Tell of some rows as a whole."""
    few = rows.slice(0, most)
    pairs = zip(few[table.key].to_pylist(), few[table.time].to_pylist(), strict=True)
    return [Difference(kind, key, time) for key, time in pairs]


def _examples_of_values(table: Table, matched: Matched, columns: list[MergedColumn], most: int) -> list[Difference]:
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

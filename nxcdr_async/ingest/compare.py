"""Compares what a sink holds with what the gateway answers now."""

import math
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve, field

from nxcdr_async.errors import RecordError
from nxcdr_async.ingest.report import Difference, DifferenceKind
from nxcdr_async.ingest.segmenter import Segment
from nxcdr_async.ingest.table_writer import ReadSummary, RowCounts, TableWriter
from nxcdr_async.ingest.totals import TotalsByDay
from nxcdr_async.records.arrow import Table
from nxcdr_async.records.models import vendor_key
from nxcdr_async.sinks.ledger import Ledger, LedgerEntry
from nxcdr_async.sinks.matching import Matched, match
from nxcdr_async.sinks.merge import MergedColumn, merged_columns
from nxcdr_async.sinks.values import inside, outside, seconds_of
from nxcdr_async.windows import Window, merged


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

    @property
    def counts(self) -> RowCounts:
        """How many would be new, changed and unchanged if they were stored."""
        return RowCounts(self.missing, self.different, self.rows - self.missing - self.different)

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
        most_examples: how many to list one by one, at most.
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


MOST_EXAMPLES = 20
"""Differences of a source that are listed one by one."""


@define(eq=False)
class Comparator:
    """Compares windows with what is stored.

    Attributes:
        writer: of the table where it is stored.
        mends: whether what is missing or different is stored.
        counts: what became of the records compared: new ones are missing, changed ones different.
        extra: rows that are stored and not at the gateway any more.
        fixed: records that were mended.
        examples: some of these.
        checked: what the ledger says of each window that was compared, with gaps that were met on the way.
        unmatched: for each window, rows stored there that it did not bring.
        totals: counts all by day; None without.
    """

    writer: TableWriter
    mends: bool
    counts: RowCounts = field(factory=RowCounts, init=False)
    extra: int = field(default=0, init=False)
    fixed: int = field(default=0, init=False)
    examples: list[Difference] = field(factory=list, init=False)
    checked: list[LedgerEntry] = field(factory=list, init=False)
    unmatched: list[pa.Table] = field(factory=list, init=False)
    totals: TotalsByDay | None = field(default=None, init=False)

    @property
    def table(self) -> Table:
        """Whose records they are."""
        return self.writer.table

    @property
    def settle(self) -> int:
        """Seconds a window stays open after its end."""
        return self.writer.settle

    @property
    def ledger(self) -> Ledger:
        """What was read and stored."""
        return self.writer.ledger

    def put(self, segment: Segment, summary: ReadSummary) -> RowCounts:
        """Compare the rows of a window, and mend what is stored if that is wanted.

        Raises:
            SinkError: it could not be compared or stored.
        """
        window, sink = segment.window, self.writer.sink
        segment = evolve(segment, rows=self.writer.without_pruned(segment.rows))
        settled = segment.rows.filter(self._is_settled(segment.rows, window))
        comparison = compare(self.table, sink.find(self.table, settled), settled, self._examples_left, window)
        stored = sink.scan(self.table, window)
        if self.totals is not None:
            self.totals.add(window, stored, segment.rows)
        in_window = outside(self.table, stored, summary.refused)
        unmatched = absent(self.table, in_window, segment.rows, window)
        (entry,) = self.ledger.within(window)
        # Whose neighbourhood a bad row is in is not known exactly, so that it may well be met in a window not read now.
        bad_rows = max(entry.bad_rows, summary.bad_rows)
        # What the gateway shows no more may well be stored: a gap of this verification then, and not of the store.
        still_refused = merged(
            part for then in entry.refused for now in summary.refused if (part := then.shared_with(now))
        )
        left_out: tuple[RecordError, ...] = ()
        noted_gaps = (entry.bad_rows, entry.saturated, entry.refused)
        has_other_gaps = (bad_rows, summary.saturated, still_refused) != noted_gaps
        if self.mends and (has_other_gaps or not comparison.is_equal):
            to_store = evolve(summary, refused=still_refused, known_bad_rows=entry.bad_rows)
            left_out = self.writer.put(segment, to_store).left_out
            comparison = comparison.without(sum(self._is_compared(bad, window) for bad in left_out))
            self.fixed += comparison.missing + comparison.different
            self.checked += [evolve(each, refused=summary.refused) for each in self.ledger.within(window)]
        else:
            # Of the rows known to be missing, those that are not bad themselves are rows that the sink cannot hold.
            comparison = comparison.without(min(comparison.missing, entry.bad_rows - summary.bad_rows))
            seconds = tuple(sorted({*entry.saturated, *summary.saturated}))
            self.checked.append(evolve(entry, bad_rows=bad_rows, saturated=seconds, refused=summary.refused))
        if unmatched.num_rows:
            self.unmatched.append(unmatched)
        self.examples += comparison.examples
        counts = evolve(comparison.counts, left_out=left_out)
        self.counts += counts
        return counts

    def note_extra(self, rows: pa.Table) -> None:
        """Note rows that are stored and not at the gateway any more."""
        self.extra += rows.num_rows
        self.examples += examples_of(self.table, "extra", rows, self._examples_left)

    @property
    def _examples_left(self) -> int:
        return MOST_EXAMPLES - len(self.examples)

    def _is_compared(self, unheld: RecordError, window: Window) -> bool:
        """Return whether a row that the sink cannot hold is among those that are compared."""
        moment = unheld.row.get(vendor_key(self.table.time))
        if moment is None:
            return False
        second = math.floor(moment.timestamp())
        return window.start <= second < window.end or self._is_sealed_at(second)

    def _is_settled(self, rows: pa.Table, window: Window) -> pa.ChunkedArray:
        """Tell of each row whether its time lies in a window that is sealed: this one, or that of a neighbour.

        A gateway also gives rows of the second before a window, and of its last; what is not sealed may still change.
        """
        within = inside(self.table, rows, window)
        if pc.all(within, min_count=0).as_py():
            return within
        seconds = seconds_of(rows, self.table.time)
        return pa.chunked_array([[self._is_sealed_at(second) for second in seconds]], pa.bool_())

    def _is_sealed_at(self, second: int | None) -> bool:
        if second is None:
            return False
        return any(entry.is_sealed(self.settle) for entry in self.ledger.within(Window(second, second + 1)))

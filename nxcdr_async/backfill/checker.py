"""Takes in windows that were read again, and compares them with what is stored. Lives in worker threads."""

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve, field

from nxcdr_async.backfill.comparison import Comparison, absent, compare, examples_of
from nxcdr_async.backfill.cutter import Cut
from nxcdr_async.backfill.ledger import Entry, Ledger
from nxcdr_async.backfill.report import Difference, DifferenceKind
from nxcdr_async.backfill.store import Finding, Store, Taken
from nxcdr_async.backfill.times import inside, seconds_of
from nxcdr_async.export.tables import Table
from nxcdr_async.windows import Window

MOST_EXAMPLES = 20
"""Differences of a source that are told one by one."""


@define(eq=False)
class Checker:
    """Compares windows with what a store holds.

    Attributes:
        store: holds it.
        mends: whether what is missing or different is stored.
        rows: records compared.
        missing: records that are not stored.
        different: records that are stored with another value.
        extra: rows that are stored and not at the gateway any more.
        fixed: records that were mended.
        examples: some of these.
        checked: what the ledger says of each window that was compared, with gaps that were met on the way.
        unmatched: for each window, rows stored there that it did not bring.
    """

    store: Store
    mends: bool
    rows: int = field(default=0, init=False)
    missing: int = field(default=0, init=False)
    different: int = field(default=0, init=False)
    extra: int = field(default=0, init=False)
    fixed: int = field(default=0, init=False)
    examples: list[Difference] = field(factory=list, init=False)
    checked: list[Entry] = field(factory=list, init=False)
    unmatched: list[pa.Table] = field(factory=list, init=False)

    @property
    def table(self) -> Table:
        """Whose records they are."""
        return self.store.table

    @property
    def settle(self) -> int:
        """Seconds a window stays open after its end."""
        return self.store.settle

    @property
    def ledger(self) -> Ledger:
        """What was read into the store."""
        return self.store.ledger

    def put(self, cut: Cut, finding: Finding) -> Taken:
        """Compare the rows of a window, and mend what is stored if that is wanted.

        Raises:
            SinkError: it could not be compared or stored.
        """
        settled = cut.rows.filter(self._is_settled(cut.rows, cut.window))
        found = self.store.sink.find(self.table, settled)
        comparison = compare(self.table, found, settled, self._examples_left, cut.window)
        stored_there = self.store.sink.scan(self.table, cut.window)
        self._note(comparison, absent(self.table, stored_there, cut.rows, cut.window))
        (entry,) = self.ledger.within(cut.window)
        # Whose neighbourhood a bad row is in is not known exactly, so that it may well be met in a window not read now.
        finding = evolve(finding, bad_rows=max(entry.bad_rows, finding.bad_rows))
        has_other_gaps = (finding.bad_rows, finding.saturated) != (entry.bad_rows, entry.saturated)
        if self.mends and (has_other_gaps or not comparison.is_equal):
            self.store.put(cut, finding)
            self.fixed += comparison.missing + comparison.different
            self.checked += self.ledger.within(cut.window)
        else:
            seconds = tuple(sorted({*entry.saturated, *finding.saturated}))
            self.checked.append(evolve(entry, bad_rows=finding.bad_rows, saturated=seconds))
        unchanged = comparison.rows - comparison.missing - comparison.different
        return Taken(comparison.missing, comparison.different, unchanged)

    def note_extra(self, rows: pa.Table) -> None:
        """Take in that rows are stored and not at the gateway any more."""
        self.extra += rows.num_rows
        self._tell("extra", rows)

    def _tell(self, kind: DifferenceKind, rows: pa.Table) -> None:
        self.examples += examples_of(self.table, kind, rows, self._examples_left)

    @property
    def _examples_left(self) -> int:
        return MOST_EXAMPLES - len(self.examples)

    def _note(self, comparison: Comparison, unmatched: pa.Table) -> None:
        self.rows += comparison.rows
        self.missing += comparison.missing
        self.different += comparison.different
        self.examples += comparison.examples
        if unmatched.num_rows:
            self.unmatched.append(unmatched)

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

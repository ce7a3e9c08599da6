"""Writes the windows of a run into a table of a sink, one by one, with its ledger. Lives in worker threads."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve, field

from nxcdr_async.errors import ConfigurationError, RecordError
from nxcdr_async.ingest.segmenter import Segment
from nxcdr_async.records.arrow import Table, not_storable
from nxcdr_async.sinks.ledger import Ledger, LedgerEntry, RunNote
from nxcdr_async.sinks.merge import Merged, merge
from nxcdr_async.sinks.protocol import CheckedSink, Origin, RunNoteSink, Sink, TableState, UnfitError
from nxcdr_async.sinks.values import earlier
from nxcdr_async.telemetry.log import log_origin_lost, log_windows_lost
from nxcdr_async.windows import Window


@define(frozen=True)
class RowCounts:
    """What became of the records of a window, or of more.

    Attributes:
        new: how many were not there.
        changed: how many were, and are known better now.
        unchanged: how many were just so.
        left_out: of one window, the errors of those that the sink cannot hold; they are in none of these counts.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    left_out: tuple[RecordError, ...] = field(default=(), repr=False)

    @property
    def rows(self) -> int:
        """All of them."""
        return self.new + self.changed + self.unchanged

    def __add__(self, other: Self) -> Self:
        """Return the counts of both."""
        return type(self)(self.new + other.new, self.changed + other.changed, self.unchanged + other.unchanged)


@define(frozen=True)
class ReadSummary:
    """How a window was read, besides its records.

    Attributes:
        read_at: when it began at the earliest, epoch seconds by the gateway's clock.
        bad_rows: rows near it that could not be records.
        saturated: seconds of it that the gateway does not show all calls of.
        refused: parts of it that lie further back than the gateway answers.
        known_bad_rows: how many are known to be missing from earlier on; rows that the sink cannot hold may be among
            them.
    """

    read_at: int
    bad_rows: int = 0
    saturated: tuple[int, ...] = ()
    refused: tuple[Window, ...] = ()
    known_bad_rows: int = 0

    def entry(self, segment: Segment, left_out: int = 0) -> LedgerEntry:
        """Return the entry of a window, of whose rows some were left out."""
        return LedgerEntry(
            window=segment.window,
            read_at=self.read_at,
            rows=segment.rows.num_rows - left_out,
            bad_rows=max(self.known_bad_rows, self.bad_rows + left_out),
            saturated=self.saturated,
            refused=self.refused,
        )


@define(frozen=True)
class AllowedChanges:
    """In what the origin of a table may differ from where records come from now.

    Attributes:
        new_key: whether the account goes by another key now.
        new_gateway: whether the gateway goes by another address now.
    """

    new_key: bool = False
    new_gateway: bool = False


@define(eq=False)
class TableWriter:
    """Writes a table of a sink that is open.

    Attributes:
        sink: where the table is.
        table: the table.
        settle: seconds a window stays open after its end.
        ledger: what was read into it.
        leaves_out: whether rows that the sink cannot hold are left out; else they are errors.
        lost: windows of it whose rows were found to be gone.
    """

    sink: Sink
    table: Table
    settle: int
    ledger: Ledger = field(factory=lambda: Ledger([]))
    leaves_out: bool = False
    lost: tuple[LedgerEntry, ...] = ()
    # What is still to be made, or noted, before the first row is written.
    _to_create: Origin | None = field(default=None, init=False)
    # The run that is to be noted once there is a place for it.
    _run: RunNote | None = field(default=None, init=False)

    def begin(self, origin: Origin, allowed: AllowedChanges) -> None:
        """Inspect what is there; what is not is made before the first row is written.

        Args:
            origin: where the records come from.
            allowed: in what the origin of the table may differ from that.

        Raises:
            ConfigurationError: it holds the records of another account or gateway, or days of another zone.
            SinkError: it cannot be read.
        """
        state = self.inspect()
        if state is not None and state.entries and state.origin is None:
            log_origin_lost(self.table.source, self.sink.name)
        # Rows of no window are those of calls that were pushed.
        if state is not None and state.origin is not None and (state.entries or not state.is_empty):
            self._check_origin(state.origin, origin, allowed)
        if state is None or state.origin != origin or not state.is_current:
            self._to_create = origin

    def reopen_lost(self) -> None:
        """Compare the ledger with the rows that are there; windows that lack some are open from now on.

        Raises:
            ConfigurationError: something there cannot be read.
            SinkError: nothing can.
        """
        self.lost = self.ledger.reopen({entry.window for entry in self.find_lost()})

    def find_lost(self) -> list[LedgerEntry]:
        """Return the windows that lack rows they were stored with.

        Raises:
            ConfigurationError: something there cannot be read.
            SinkError: nothing can.
        """
        if not isinstance(self.sink, CheckedSink) or not self.ledger.entries:
            return []
        windows = set(self.sink.lost(self.table))
        lost = [entry for entry in self.ledger.entries if entry.window in windows and not self.ledger.is_pruned(entry)]
        if lost:
            log_windows_lost(self.table.source, self.sink.name, len(lost))
        return lost

    def inspect(self) -> TableState | None:
        """Read the ledger, and change nothing.

        Raises:
            ConfigurationError: it has other columns, or was not made by a backfill.
            SinkError: it cannot be read.
        """
        state = self.sink.inspect(self.table)
        if state is not None:
            self.ledger = Ledger(state.entries, state.pruned_before)
        return state

    def create(self) -> None:
        """Make what is not there yet; comes before anything is looked for or written.

        Raises:
            ConfigurationError: the user lacks the right to.
            SinkError: it could not be made.
        """
        if self._to_create is not None:
            self.sink.create(self.table, self._to_create)
            self._to_create = None
            if self._run is not None:
                self.note_run(self._run)

    def note_run(self, run: RunNote) -> None:
        """Note in the ledger what run this is, or came to; where there is none yet, once there is.

        Raises:
            SinkError: it could not be noted.
        """
        self._run = run
        if isinstance(self.sink, RunNoteSink) and self._to_create is None:
            self.sink.note_run(self.table, run)

    def without_pruned(self, rows: pa.Table) -> pa.Table:
        """Leave out rows of times before which they were removed on purpose."""
        before = self.ledger.pruned_before
        return rows if before is None else rows.filter(pc.invert(earlier(self.table, rows, before)))

    def put(self, segment: Segment, summary: ReadSummary) -> RowCounts:
        """Store the rows of a window and note it in the ledger, in one transaction.

        Raises:
            RecordError: the sink cannot hold a row; those before it are stored, and the window is to be read again.
            SinkError: it could not be stored; nothing of the window is then.
        """
        self.create()
        segment = evolve(segment, rows=self.without_pruned(segment.rows))
        merged = merge(self.table, self.sink.find(self.table, segment.rows), segment.rows, segment.window)
        try:
            self._write(merged.rows, summary.entry(segment))
        except UnfitError:
            return self._put_by_halves(merged, segment, summary)
        return RowCounts(merged.new, merged.changed, merged.unchanged)

    def _put_by_halves(self, merged: Merged, segment: Segment, summary: ReadSummary) -> RowCounts:
        """Store the rows of a window without those that the sink cannot hold, which some of them are."""
        # Whatever ends this, the ledger does not call the window read before it is.
        doubtful = summary.entry(segment, left_out=1).reopened()

        def store(groups: Sequence[list[int]]) -> None:
            self._write(merged.rows.take([place for group in groups for place in group]), doubtful)

        unfit: dict[int, RecordError] = {}
        for group, reason in store_by_halves(_rows_by_key(self.table, merged.rows), store):
            for place, own_reason in _unfit_rows(group, reason, merged, store):
                unfit[place] = not_storable(merged.rows.slice(place, 1), str(own_reason))
                if not self.leaves_out:
                    raise unfit[place]
        self._write(self.table.empty(), summary.entry(segment, len(unfit)))
        new = sum(place < merged.new for place in unfit)
        changed = len(unfit) - new
        return RowCounts(merged.new - new, merged.changed - changed, merged.unchanged, tuple(unfit.values()))

    def _write(self, rows: pa.Table, entry: LedgerEntry) -> None:
        """Store rows with an entry of the ledger, or neither."""
        change = self.ledger.record(entry, self.settle)
        try:
            self.sink.write(self.table, rows, change)
        except BaseException:
            self.ledger.undo(change)
            raise

    def _check_origin(self, stored: Origin, origin: Origin, allowed: AllowedChanges) -> None:
        table, sink = self.table, self.sink.name
        if stored.account != origin.account and not allowed.new_key:
            raise ConfigurationError(
                f"{table.name} in {sink} was read with another access key: give another --to, or, if it is a new key "
                "of the same account, allow it with --new-key (new_key=True)"
            )
        if (
            None not in (stored.gateway, origin.gateway)
            and stored.gateway != origin.gateway
            and not allowed.new_gateway
        ):
            raise ConfigurationError(
                f"{table.name} in {sink} was read from {stored.gateway}, not {origin.gateway}: give another --to, or, "
                "if that is the same gateway under another address, allow it with --new-gateway (new_gateway=True)"
            )
        if table.source == "did" and stored.zone != origin.zone:
            raise ConfigurationError(
                f"{table.name} in {sink} was read with naive_zone {stored.zone}, not {origin.zone}, and its windows "
                "are days there: use that zone, or another sink"
            )


def _rows_by_key(table: Table, rows: pa.Table) -> list[list[int]]:
    """Return the places of rows in order of time, those with one key together, as they are written together."""
    keys = rows[table.key].to_pylist()
    groups: dict[Any, list[int]] = {}
    for place in pc.sort_indices(rows[table.time]).to_pylist():
        groups.setdefault((keys[place], None if keys[place] is not None else place), []).append(place)
    return list(groups.values())


def _unfit_rows(
    group: list[int], reason: UnfitError, merged: Merged, store: Callable[[Sequence[list[int]]], None]
) -> Iterator[tuple[int, UnfitError]]:
    """Yield which rows with one key are left out, as these cannot be held together, and store the others.

    If what is stored under the key cannot be held as it was read now, it stays as it is, and all that were read are
    left out: new ones are written together with it.
    """
    if len(group) == 1:
        yield group[0], reason
        return
    new = [place for place in group if place < merged.new]
    known = [place for place in group if place >= merged.new]
    changed = [place for place in known if place < merged.new + merged.changed]
    if changed:
        try:
            store([known])
        except UnfitError as unfit:
            yield from ((place, unfit) for place in (*changed, *new))
            return

    def add(places: Sequence[int]) -> None:
        store([[*known, *places]])
        known.extend(places)

    if new:
        yield from store_by_halves(new, add)


ItemT = TypeVar("ItemT")


def store_by_halves(
    items: Sequence[ItemT], store: Callable[[Sequence[ItemT]], None]
) -> Iterator[tuple[ItemT, UnfitError]]:
    """Store all that can be held; yield each that cannot, with the reason, once all before it are stored.

    Args:
        items: at least one.
        store: stores some, all or none of them.

    Raises:
        Exception: whatever else than `UnfitError` keeps some from being stored.
    """
    try:
        store(items)
    except UnfitError as unfit:
        reason = unfit
    else:
        return
    if len(items) == 1:
        yield items[0], reason
        return
    middle = len(items) // 2
    yield from store_by_halves(items[:middle], store)
    yield from store_by_halves(items[middle:], store)

"""A table in a sink with its ledger: takes windows in, one by one. Lives in worker threads."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve, field

from nxcdr_async.errors import ConfigurationError, RecordError
from nxcdr_async.ingest.segmenter import Cut
from nxcdr_async.records.arrow import Table, unheld
from nxcdr_async.sinks.ledger import Entry, Ledger
from nxcdr_async.sinks.merge import Merged, merge
from nxcdr_async.sinks.protocol import CheckedSink, Held, Origin, Sink, UnfitError
from nxcdr_async.sinks.values import earlier
from nxcdr_async.telemetry.log import log_origin_lost, log_windows_lost
from nxcdr_async.windows import Window


@define(frozen=True)
class Taken:
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
class Finding:
    """What is known of the reading of a window besides its records.

    Attributes:
        read_at: when it began at the earliest, epoch seconds by the gateway's clock.
        bad_rows: rows near it that could not be records.
        saturated: seconds of it that the gateway does not show all calls of.
        refused: parts of it that lie further back than the gateway tells.
        known_bad_rows: how many are known to be missing from earlier on; rows that the sink cannot hold may be among
            them.
    """

    read_at: int
    bad_rows: int = 0
    saturated: tuple[int, ...] = ()
    refused: tuple[Window, ...] = ()
    known_bad_rows: int = 0

    def entry(self, cut: Cut, left_out: int = 0) -> Entry:
        """Return what the ledger is to say of a window, of whose rows some were left out."""
        return Entry(
            window=cut.window,
            read_at=self.read_at,
            rows=cut.rows.num_rows - left_out,
            bad_rows=max(self.known_bad_rows, self.bad_rows + left_out),
            saturated=self.saturated,
            refused=self.refused,
        )


@define(frozen=True)
class Allowed:
    """In what a sink may differ from where records come from now.

    Attributes:
        new_key: whether the account goes by another key now.
        new_gateway: whether the gateway goes by another address now.
    """

    new_key: bool = False
    new_gateway: bool = False


@define(eq=False)
class Store:
    """A table of a sink that a run has hold of.

    Attributes:
        sink: where it is.
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
    lost: tuple[Entry, ...] = ()
    # What is still to be made, or noted, before the first row is written.
    _to_create: Origin | None = field(default=None, init=False)

    def begin(self, origin: Origin, allowed: Allowed) -> None:
        """Look what is there; what is not is made before the first row is written.

        Args:
            origin: where the records come from.
            allowed: in what the sink may differ from that.

        Raises:
            ConfigurationError: it holds the records of another account or gateway, or days of another zone.
            SinkError: it cannot be read.
        """
        held = self.look()
        if held is not None and held.entries and held.origin is None:
            log_origin_lost(self.table.source, self.sink.name)
        # Rows of no window are those of calls that were pushed.
        if held is not None and held.origin is not None and (held.entries or not held.is_empty):
            _check_origin(self, held.origin, origin, allowed)
        if held is None or held.origin != origin or not held.is_current:
            self._to_create = origin

    def check_rows(self) -> None:
        """Hold what the ledger claims against what is there; windows that lack rows are open from now on.

        Raises:
            ConfigurationError: something there cannot be read.
            SinkError: nothing can.
        """
        self.lost = self.ledger.reopen({entry.window for entry in self.find_lost()})

    def find_lost(self) -> list[Entry]:
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

    def look(self) -> Held | None:
        """Look what is there, and change nothing.

        Raises:
            ConfigurationError: it has other columns, or was not made by a backfill.
            SinkError: it cannot be read.
        """
        held = self.sink.look(self.table)
        if held is not None:
            self.ledger = Ledger(held.entries, held.pruned_before)
        return held

    def create(self) -> None:
        """Make what is not there yet; comes before anything is looked for or written.

        Raises:
            ConfigurationError: the user lacks the right to.
            SinkError: it could not be made.
        """
        if self._to_create is not None:
            self.sink.create(self.table, self._to_create)
            self._to_create = None

    def wanted(self, rows: pa.Table) -> pa.Table:
        """Leave out rows of times before which they were removed on purpose."""
        before = self.ledger.pruned_before
        return rows if before is None else rows.filter(pc.invert(earlier(self.table, rows, before)))

    def put(self, cut: Cut, finding: Finding) -> Taken:
        """Store the rows of a window and note it in the ledger, in one transaction.

        Raises:
            RecordError: the sink cannot hold a row; those before it are stored, and the window is to be read again.
            SinkError: it could not be stored; nothing of the window is then.
        """
        self.create()
        cut = evolve(cut, rows=self.wanted(cut.rows))
        merged = merge(self.table, self.sink.find(self.table, cut.rows), cut.rows, cut.window)
        try:
            self._write(merged.rows, finding.entry(cut))
        except UnfitError:
            return self._put_by_halves(merged, cut, finding)
        return Taken(merged.new, merged.changed, merged.unchanged)

    def _put_by_halves(self, merged: Merged, cut: Cut, finding: Finding) -> Taken:
        """Store the rows of a window without those that the sink cannot hold, which some of them are."""
        # Whatever ends this, the ledger does not call the window read before it is.
        doubtful = finding.entry(cut, left_out=1).reopened()

        def store(groups: Sequence[list[int]]) -> None:
            self._write(merged.rows.take([place for group in groups for place in group]), doubtful)

        unfit: dict[int, RecordError] = {}
        for group, reason in store_by_halves(_places_by_key(self.table, merged.rows), store):
            for place, own_reason in _left_out(group, reason, merged, store):
                unfit[place] = unheld(merged.rows.slice(place, 1), str(own_reason))
                if not self.leaves_out:
                    raise unfit[place]
        self._write(self.table.empty(), finding.entry(cut, len(unfit)))
        new = sum(place < merged.new for place in unfit)
        changed = len(unfit) - new
        return Taken(merged.new - new, merged.changed - changed, merged.unchanged, tuple(unfit.values()))

    def _write(self, rows: pa.Table, entry: Entry) -> None:
        """Store rows with an entry of the ledger, or neither."""
        change = self.ledger.record(entry, self.settle)
        try:
            self.sink.write(self.table, rows, change)
        except BaseException:
            self.ledger.undo(change)
            raise


def _places_by_key(table: Table, rows: pa.Table) -> list[list[int]]:
    """Return the places of rows in order of time, those with one key together, as they are written together."""
    keys = rows[table.key].to_pylist()
    groups: dict[Any, list[int]] = {}
    for place in pc.sort_indices(rows[table.time]).to_pylist():
        groups.setdefault((keys[place], None if keys[place] is not None else place), []).append(place)
    return list(groups.values())


def _left_out(
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
    held = [place for place in group if place >= merged.new]
    changed = [place for place in held if place < merged.new + merged.changed]
    if changed:
        try:
            store([held])
        except UnfitError as unfit:
            yield from ((place, unfit) for place in (*changed, *new))
            return

    def add(places: Sequence[int]) -> None:
        store([[*held, *places]])
        held.extend(places)

    if new:
        yield from store_by_halves(new, add)


def _check_origin(store: Store, held: Origin, origin: Origin, allowed: Allowed) -> None:
    table, sink = store.table, store.sink.name
    if held.account != origin.account and not allowed.new_key:
        raise ConfigurationError(
            f"{table.name} in {sink} was read with another access key: give another --to, or, if it is a new key of "
            "the same account, allow it with --new-key (new_key=True)"
        )
    if None not in (held.gateway, origin.gateway) and held.gateway != origin.gateway and not allowed.new_gateway:
        raise ConfigurationError(
            f"{table.name} in {sink} was read from {held.gateway}, not {origin.gateway}: give another --to, or, if "
            "that is the same gateway under another address, allow it with --new-gateway (new_gateway=True)"
        )
    if table.source == "did" and held.zone != origin.zone:
        raise ConfigurationError(
            f"{table.name} in {sink} was read with naive_zone {held.zone}, not {origin.zone}, and its windows are days "
            "there: use that zone, or another sink"
        )


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

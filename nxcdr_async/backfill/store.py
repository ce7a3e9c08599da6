"""A table in a sink with its ledger: takes windows in, one by one. Lives in worker threads."""

from typing import Self

from attrs import define, evolve, field

from nxcdr_async.backfill.cutter import Cut
from nxcdr_async.backfill.ledger import Entry, Ledger
from nxcdr_async.backfill.merge import merge
from nxcdr_async.backfill.sinks.protocol import Held, Origin, Sink
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.export.tables import Table
from nxcdr_async.windows import EVER


@define(frozen=True)
class Taken:
    """What became of the records of a window, or of more."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0

    @property
    def rows(self) -> int:
        """All of them."""
        return self.new + self.changed + self.unchanged

    def __add__(self, other: Self) -> Self:
        """Return what became of the records of both."""
        return type(self)(self.new + other.new, self.changed + other.changed, self.unchanged + other.unchanged)


@define(frozen=True)
class Finding:
    """What is known of the reading of a window besides its records.

    Attributes:
        read_at: when it began at the earliest, epoch seconds by the gateway's clock.
        bad_rows: rows near it that could not be records.
        saturated: seconds of it that the flash list cannot tell all calls of.
    """

    read_at: int
    bad_rows: int = 0
    saturated: tuple[int, ...] = ()


@define(eq=False)
class Store:
    """A table of a sink that a run has hold of.

    Attributes:
        sink: where it is.
        table: the table.
        settle: seconds a window stays open after its end.
        ledger: what was read into it.
    """

    sink: Sink
    table: Table
    settle: int
    ledger: Ledger = field(factory=lambda: Ledger([]))

    def begin(self, origin: Origin, *, new_key: bool) -> None:
        """Look what is there, and make the table if it is not.

        Args:
            origin: where the records come from.
            new_key: whether the account goes by another key now.

        Raises:
            ConfigurationError: it holds the records of another account, or days of another zone.
            SinkError: it cannot be read or written.
        """
        held = self.look()
        if held is not None and self._holds_any(held, origin):
            self.check_origin(held.origin, origin, new_key=new_key)
        if held is None or held.origin != origin:
            self.sink.create(self.table, origin)

    def _holds_any(self, held: Held, origin: Origin) -> bool:
        """Tell whether there is a row or a window in it; rows alone are those of calls that were pushed."""
        if held.entries or held.origin == origin:
            return bool(held.entries)
        return bool(self.sink.scan(self.table, EVER).num_rows)

    def look(self) -> Held | None:
        """Look what is there, and change nothing.

        Raises:
            ConfigurationError: it has other columns, or was not made by a backfill.
            SinkError: it cannot be read.
        """
        held = self.sink.look(self.table)
        if held is not None:
            self.ledger = Ledger(held.entries)
        return held

    def check_origin(self, held: Origin | None, origin: Origin, *, new_key: bool) -> None:
        """Check that what is there comes from where the records come from; the arguments are those of `begin`.

        Raises:
            ConfigurationError: it does not.
        """
        if held is not None:
            _check_origin(self, evolve(held, account=origin.account) if new_key else held, origin)

    def put(self, cut: Cut, finding: Finding) -> Taken:
        """Store the rows of a window and note it in the ledger, in one transaction.

        Raises:
            SinkError: it could not be stored; nothing of the window is then.
        """
        merged = merge(self.table, self.sink.find(self.table, cut.rows), cut.rows, cut.window)
        entry = Entry(
            window=cut.window,
            read_at=finding.read_at,
            rows=cut.rows.num_rows,
            bad_rows=finding.bad_rows,
            saturated=finding.saturated,
        )
        self.sink.write(self.table, merged.rows, self.ledger.record(entry, self.settle))
        return Taken(merged.new, merged.changed, merged.unchanged)


def _check_origin(store: Store, held: Origin, origin: Origin) -> None:
    table, sink = store.table, store.sink.name
    if held.account != origin.account:
        raise ConfigurationError(
            f"{table.name} in {sink} was read with another access key: give another --to, or, if it is a new key of "
            "the same account, allow it with --new-key (new_key=True)"
        )
    if table.source == "did" and held.zone != origin.zone:
        raise ConfigurationError(
            f"{table.name} in {sink} was read with naive_zone {held.zone}, not {origin.zone}, and its windows are days "
            "there: use that zone, or another sink"
        )

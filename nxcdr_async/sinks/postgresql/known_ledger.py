"""What a run knows of the ledger, to notice whether others have changed it while it was without its lock. Pure."""

from typing import Self

from attrs import define

from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.protocol import Origin, TableState


@define
class KnownLedger:
    """What the ledger says of a table, as far as a run has read and written it. How many rows there are is no part.

    Attributes:
        origin: where its rows come from.
        pruned_before: the moment before which rows were removed on purpose, epoch seconds.
    """

    origin: Origin | None
    pruned_before: int | None
    _entries: dict[int, LedgerEntry]

    @classmethod
    def of(cls, state: TableState | None) -> Self:
        """Return what is known once a table was inspected."""
        if state is None:
            return cls(None, None, {})
        return cls(state.origin, state.pruned_before, {entry.window.start: entry for entry in state.entries})

    def apply(self, change: LedgerChange) -> None:
        """Add a change that was stored."""
        for replaced in change.replaced:
            self._entries.pop(replaced.window.start, None)
        for entry in (*change.reopened, change.entry):
            self._entries[entry.window.start] = entry

    def prune(self, before: int) -> None:
        """Note that rows before a moment were removed."""
        self.pruned_before = max(before, self.pruned_before or before)

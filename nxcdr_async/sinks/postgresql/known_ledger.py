"""What a run knows of the ledger, to tell after a while without hold of it whether others have changed it. Pure."""

from typing import Self

from attrs import define

from nxcdr_async.sinks.ledger import Entry, LedgerChange
from nxcdr_async.sinks.protocol import Held, Origin


@define
class KnownLedger:
    """What the ledger says of a table, as far as a run has read and written it. How many rows there are is no part.

    Attributes:
        origin: where its rows come from.
        pruned_before: the moment before which rows were removed on purpose, epoch seconds.
    """

    origin: Origin | None
    pruned_before: int | None
    _entries: dict[int, Entry]

    @classmethod
    def of(cls, held: Held | None) -> Self:
        """Return what is known once a table was looked at."""
        if held is None:
            return cls(None, None, {})
        return cls(held.origin, held.pruned_before, {entry.window.start: entry for entry in held.entries})

    def take_in(self, change: LedgerChange) -> None:
        """Take in a change that was stored."""
        for replaced in change.replaced:
            self._entries.pop(replaced.window.start, None)
        for entry in (*change.reopened, change.entry):
            self._entries[entry.window.start] = entry

    def prune(self, before: int) -> None:
        """Take in that rows before a moment were removed."""
        self.pruned_before = max(before, self.pruned_before or before)

"""The ledger: which parts of a range were read, when, and what is known to be missing there. Pure."""

from bisect import bisect_left
from collections.abc import Collection, Iterable
from typing import Literal, Self

from attrs import define, evolve, field

from nxcdr_async.windows import Window

ROWS_A_WINDOW = 5_000
"""Records worth storing at once: enough for files and transactions to be few, few enough for memory."""

SECONDS_A_WINDOW = 3.0
"""Seconds after which what is complete is stored, however few rows there are: a crash costs about as much."""


CLOCK_TOLERANCE = 60
"""Seconds by which two measurements of a gateway's clock may differ."""


RunOutcome = Literal["done", "gaps", "failed", "stopped"]
"""How a run ended: all is there; but for known gaps; by an error; by somebody, as with Ctrl-C."""


@define(frozen=True)
class RunNote:
    """What the ledger says of the run that filled a table last. `msgspec` writes and reads it as JSON.

    Attributes:
        command: what it was: "backfill" or "sync".
        started: when, epoch seconds by the clock of its machine.
        settle: seconds that it left windows open after their ends.
        finished: when it ended, likewise; None while it is at work, and if it was killed.
        outcome: how it ended; None likewise.
        rows_new: records that were not there.
        rows_changed: records that were, and are known better since.
        requests: requests that its session sent meanwhile.
        error: what ended it, by class and in words; None if nothing did.
    """

    command: str
    started: int
    settle: int
    finished: int | None = None
    outcome: RunOutcome | None = None
    rows_new: int = 0
    rows_changed: int = 0
    requests: int = 0
    error: str | None = None


@define(frozen=True)
class LedgerEntry:
    """A window that was read and is stored.

    Attributes:
        window: the window.
        read_at: when its reading began at the earliest, epoch seconds by the gateway's clock.
        rows: how many records came.
        bad_rows: rows near it that could not be records and were left out.
        saturated: seconds of it (epoch seconds) of which the gateway does not show all calls.
        refused: parts of it that lay further back than the gateway told when it was read.
    """

    window: Window
    read_at: int
    rows: int = 0
    bad_rows: int = 0
    saturated: tuple[int, ...] = ()
    refused: tuple[Window, ...] = ()

    @property
    def has_gaps(self) -> bool:
        """Whether something is known to be missing in it."""
        return bool(self.bad_rows or self.saturated or self.refused)

    @property
    def is_doubtful(self) -> bool:
        """Whether nobody can say when it was read, or that it was read to its end."""
        return self.read_at <= self.window.start

    def reopened(self) -> Self:
        """Return it as one that is not sealed, however soon windows are."""
        return evolve(self, read_at=self.window.start)

    def is_sealed(self, settle: int) -> bool:
        """Return whether it was read so long after its end that no further rows turn up in it.

        Args:
            settle: seconds after which all rows are there: the longest call and the delay of its publishing.
        """
        return self.read_at >= self.window.end + settle


@define(frozen=True)
class LedgerChange:
    """What changes in a ledger with the rows of a window, in the same transaction.

    Attributes:
        entry: the window.
        replaced: entries it stands for from now on; none reaches out of its window.
        complete_until: the moment before which all is sealed after it, epoch seconds; None if nowhere.
        reopened: further entries as they are from now on: no longer sealed, as their rows were found to be gone.
    """

    entry: LedgerEntry
    replaced: tuple[LedgerEntry, ...]
    complete_until: int | None
    reopened: tuple[LedgerEntry, ...] = ()


def _in_order(entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    return sorted(entries, key=_start)


@define(eq=False)
class Ledger:
    """The windows of one source that a sink holds, in order of time; no two of them overlap.

    Attributes:
        pruned_before: the moment before which no rows are wanted any more, epoch seconds; None if nowhere.
    """

    _entries: list[LedgerEntry] = field(converter=_in_order)
    pruned_before: int | None = None
    _reopened: set[Window] = field(factory=set, init=False)

    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """All entries, in order of time."""
        return tuple(self._entries)

    @property
    def start(self) -> int | None:
        """Where the first window begins, epoch seconds; None without one."""
        return self._entries[0].window.start if self._entries else None

    @property
    def rows(self) -> int:
        """Records in all windows; of one that was pruned in part, those too that were removed."""
        return sum(entry.rows for entry in self._entries if not self.is_pruned(entry))

    def within(self, window: Window) -> list[LedgerEntry]:
        """Return the entries that share a second with a window."""
        first = bisect_left(self._entries, window.start, key=_end)
        found = []
        for entry in self._entries[max(0, first) :]:
            if entry.window.start >= window.end:
                break
            if entry.window.end > window.start:
                found.append(entry)
        return found

    def missing(self, window: Window) -> list[Window]:
        """Return the parts of a window that were never read."""
        parts, reached = [], window.start
        for entry in self.within(window):
            if entry.window.start > reached:
                parts.append(Window(reached, entry.window.start))
            reached = max(reached, entry.window.end)
        return [*parts, Window(reached, window.end)] if reached < window.end else parts

    def complete_until(self, settle: int) -> int | None:
        """Return the moment before which all windows from the first on are sealed and none is missing between them.

        Nothing is missing where nothing is wanted any more.
        """
        reached, needless = None, self.pruned_before or 0
        for entry in self._entries:
            is_settled = entry.is_sealed(settle) or self.is_pruned(entry)
            if not is_settled or (reached is not None and entry.window.start > max(reached, needless)):
                break
            reached = entry.window.end
        return reached

    def is_pruned(self, entry: LedgerEntry) -> bool:
        """Return whether no row of a window is wanted any more."""
        return self.pruned_before is not None and entry.window.end <= self.pruned_before

    def reopen(self, windows: Collection[Window]) -> tuple[LedgerEntry, ...]:
        """Take windows whose rows are gone for open, from the next window on that is recorded; return these."""
        self._entries = [entry.reopened() if entry.window in windows else entry for entry in self._entries]
        lost = tuple(entry for entry in self._entries if entry.window in windows)
        self._reopened = {entry.window for entry in lost}
        return lost

    def doubt(self, now: int) -> None:
        """Take windows that were read in the future, by a clock that was wrong then, for open."""
        self._entries = [
            entry.reopened() if entry.read_at > now + CLOCK_TOLERANCE else entry for entry in self._entries
        ]

    def record(self, entry: LedgerEntry, settle: int) -> LedgerChange:
        """Add a window; return what changed."""
        replaced = tuple(self.within(entry.window))
        for old in replaced:
            self._entries.remove(old)
        reopened = tuple(old for old in self._entries if old.window in self._reopened)
        self._reopened = set()
        self._entries.insert(bisect_left(self._entries, entry.window.start, key=_start), entry)
        return LedgerChange(entry, replaced, self.complete_until(settle), reopened)

    def undo(self, change: LedgerChange) -> None:
        """Take back the last change, as it could not be stored."""
        self._entries = _in_order([*(entry for entry in self._entries if entry != change.entry), *change.replaced])
        # Reopened or not: to note once more that a window has to be read again does no harm.
        doubtful = (entry.window for entry in change.replaced if entry.is_doubtful)
        self._reopened.update(entry.window for entry in change.reopened)
        self._reopened.update(doubtful)


def _start(entry: LedgerEntry) -> int:
    return entry.window.start


def _end(entry: LedgerEntry) -> int:
    return entry.window.end

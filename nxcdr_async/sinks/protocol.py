"""What a sink does for a backfill: all a sink of your own needs."""

from typing import Protocol, runtime_checkable

import pyarrow as pa
from attrs import define

from nxcdr_async.errors import BusyError, SinkError
from nxcdr_async.records.arrow import Table
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.windows import Window

__all__ = [
    "BusyError",
    "CheckedSink",
    "LedgerChange",
    "LedgerEntry",
    "Origin",
    "PruneSink",
    "PushSink",
    "Sink",
    "Table",
    "TableState",
    "UnfitError",
    "Window",
]


class UnfitError(SinkError):
    """Among rows to be stored is one that a sink cannot hold, without having stored any."""


@define(frozen=True)
class Origin:
    """Where the rows of a table come from: a table holds those of one origin only.

    Attributes:
        account: tells the vendor's accounts apart, without a secret.
        zone: the zone of the vendor's local times, as `datetime.tzinfo` writes itself.
        gateway: the base URL that was asked; None where nobody noted it, as in stores of earlier versions.
    """

    account: str
    zone: str
    gateway: str | None = None


@define(frozen=True)
class TableState:
    """What a sink says of a table that it holds.

    Attributes:
        origin: where its rows come from; None if that is not known any more, which is no hindrance.
        entries: the windows that were read, whether their rows are still there or not.
        pruned_before: the moment before which rows were removed on purpose, epoch seconds; None if nowhere.
        is_current: whether there is a place for all rows, and all that this version notes; else `create` makes one.
        is_empty: whether it is known that there is no row.
    """

    origin: Origin | None
    entries: list[LedgerEntry]
    pruned_before: int | None = None
    is_current: bool = True
    is_empty: bool = False


class Sink(Protocol):
    """Where records are stored, with a ledger of the windows that were read.

    The ledger says what was read, not what is there: a row may be stored whose time lies in no window of it, as a call
    that was pushed, and every window of it may lack a row that turned up late.

    Its methods are called one at a time, `open` first and `close` last, in worker threads, never in the event loop's.
    They raise `SinkError` for what went wrong outside, and `ConfigurationError` for what the user has to mend.
    `find` and `scan` return all columns of a table, of its types, in their order.
    """

    @property
    def name(self) -> str:
        """What to call it in messages (its path or address, without a secret)."""

    def open(self) -> None:
        """Open and lock it, so that no other run can until `close`; what a killed run left half-done is cleared away.

        Nothing is made that is not there yet: a run that comes to nothing leaves nothing.
        It waits a moment for another run to unlock it: pushes lock it for some milliseconds at a time.

        Raises:
            BusyError: another run has locked it still.
            ConfigurationError: it cannot be a sink.
        """

    def inspect(self, table: Table) -> TableState | None:
        """Return what is known of a table, and change nothing; None if neither it nor a ledger of it is there.

        Raises:
            ConfigurationError: it is there with other columns, or was not made by a backfill.
        """

    def create(self, table: Table, origin: Origin) -> None:
        """Make a table, or give the one that is there another origin; comes before the first row that is written."""

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under the keys of these rows; those without a key, at their times.

        A sink that cannot look up keys may look for them only among rows of about these times.
        """

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Put rows in place of all those with their keys and take in a change of the ledger: both, or nothing at all.

        Several of the rows may share a key, where the table's need not be unique: all of these are stored. A sink that
        finds rows near a time only leaves others with their keys as they are: those its last `find` did not look among.
        Whenever this returns, both outlast a crash of the machine. Rows without a key are added.

        Raises:
            UnfitError: one of the rows cannot be held here; the others are tried again without it.
        """

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window. Only a verification asks for them."""

    def close(self) -> None:
        """Close and unlock it, also if `open` failed. Closing twice does no harm."""


@runtime_checkable
class CheckedSink(Sink, Protocol):
    """A sink that notices which of its rows others removed. Of any other, none is known to be gone."""

    def lost(self, table: Table) -> list[Window]:
        """Return the windows of the ledger that lack rows they were stored with; those are read again.

        It is cheap: rows are counted, or the sizes of files looked at. A table that is gone lacks all its rows.
        The next `write` has these windows among what its change reopens, unless it replaces them.
        """


@runtime_checkable
class PruneSink(Sink, Protocol):
    """A sink that can remove old rows for good."""

    def prune(self, table: Table, before: int, *, is_trial: bool) -> int:
        """Remove the rows whose time lies before a moment, and note that in the ledger; return how many there are.

        What was removed is not left in the bytes of the files either. If it is cut short, the same again finishes it.

        Args:
            table: whose rows.
            before: epoch seconds.
            is_trial: count only, and change nothing.
        """


@runtime_checkable
class PushSink(Sink, Protocol):
    """A sink that also takes rows that nobody has read in a window, as those of calls that were pushed."""

    def add(self, table: Table, rows: pa.Table) -> None:
        """Put rows in place of all those with their keys: all of them, or none. The ledger stays as it is.

        Whenever this returns, they outlast a crash of the machine.

        Raises:
            UnfitError: one of them cannot be held here; the others are tried again without it.
        """

"""What a sink does for a backfill: all a sink of your own needs."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import pyarrow as pa
from attrs import define

from nxcdr_async.errors import BusyError, SinkError
from nxcdr_async.records.arrow import Table
from nxcdr_async.records.models import SourceName
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry, RunNote
from nxcdr_async.windows import Window

__all__ = [
    "BusyError",
    "CheckedSink",
    "LedgerChange",
    "LedgerEntry",
    "Origin",
    "PruneSink",
    "PushSink",
    "RunNote",
    "RunNoteSink",
    "Sink",
    "StoreSurvey",
    "SurveySink",
    "Table",
    "TableState",
    "TableSurvey",
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
        last_run: the run that filled it last; None if nobody noted one, as in stores of earlier versions.
    """

    origin: Origin | None
    entries: list[LedgerEntry]
    pruned_before: int | None = None
    is_current: bool = True
    is_empty: bool = False
    last_run: RunNote | None = None


@define(frozen=True)
class TableSurvey:
    """What somebody sees of a table who only looks at it.

    Attributes:
        state: what the ledger says of it.
        rows: how many rows it has.
        size: bytes that these take; None where tables share a file.
    """

    state: TableState
    rows: int
    size: int | None


@define(frozen=True)
class StoreSurvey:
    """What somebody sees of a sink who only looks at it.

    Attributes:
        tables: those that are there, by their sources.
        size: bytes that all of it takes.
        is_in_use: whether somebody has locked it, as a run does; None if that cannot be told from here.
    """

    tables: dict[SourceName, TableSurvey]
    size: int
    is_in_use: bool | None


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
class RunNoteSink(Sink, Protocol):
    """A sink whose ledger keeps what the last run was and came to. Of any other, nobody can tell."""

    def note_run(self, table: Table, run: RunNote) -> None:
        """Note a run in place of the one before. Whenever this returns, it outlasts a crash of the machine.

        The table was created, or is current; see `TableState`.
        """


@runtime_checkable
class SurveySink(Sink, Protocol):
    """A sink that can be looked at without being opened."""

    def survey(self, tables: Sequence[Table]) -> StoreSurvey:
        """Tell what is there of some tables.

        Nothing is made, changed, cleared away or locked for that, whether a run is at work or was killed. It is not
        opened: neither `open` nor `close` are called.

        Raises:
            BusyError: a run is at work, and nobody else can read meanwhile.
            ConfigurationError: nothing is there, or what is was not made by a backfill.
            SinkError: it cannot be read.
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

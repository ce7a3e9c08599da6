"""What the ledger of a folder says of a table, and the lines that say it. Pure."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from attrs import define, evolve, field

from nxcdr_async._util.moments import moment_if_any
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry, RunNote
from nxcdr_async.sinks.protocol import Origin
from nxcdr_async.windows import Window


class Extent(msgspec.Struct, frozen=True):
    """The seconds of the first and the last of some rows, both included."""

    first: int
    last: int

    def united_with(self, other: "Extent | None") -> "Extent":
        """Return what covers both."""
        return self if other is None else Extent(min(self.first, other.first), max(self.last, other.last))

    def widened(self, seconds: int) -> "Extent":
        """Return one that begins so much earlier and ends so much later."""
        return Extent(self.first - seconds, self.last + seconds)


class FileStamp(msgspec.Struct, frozen=True):
    """What distinguishes a file that was written from any other: of its size and time, or a mere copy, by its checksum.

    Attributes:
        size: in bytes.
        modified: nanoseconds of the epoch.
        checksum: CRC-32 of all of it.
    """

    size: int
    modified: int
    checksum: int


class WindowLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A window that was read, times as epoch seconds; without a span it has no file. Earlier versions note none."""

    start: int
    end: int
    read_at: int
    rows: int
    bad_rows: int = 0
    saturated: tuple[int, ...] = ()
    refused: tuple[tuple[int, int], ...] = ()
    span: Extent | None = None
    file: FileStamp | None = None


class OriginLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the rows of a table come from."""

    account: str
    zone: str
    gateway: str | None = None


class LedgerLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the ledger.

    Attributes:
        table: the name of the table it is about.
        origin: where its rows come from, from now on.
        writing: windows (start, end) whose files are about to be written.
        spans: of windows known before, as wide as they may be from now on: their files are about to be written.
        files: windows known before (start, end) and how their files were written.
        removed: windows (start, end) that count no more.
        added: windows that were read.
        complete_until: the moment before which all is sealed, ISO 8601.
        pruned_before: the moment before which no rows are wanted from now on, epoch seconds.
        run: the run that fills it, or has.
    """

    table: str
    origin: OriginLine | None = None
    writing: tuple[tuple[int, int], ...] = ()
    spans: tuple[tuple[int, int, Extent], ...] = ()
    files: tuple[tuple[int, int, FileStamp], ...] = ()
    removed: tuple[tuple[int, int], ...] = ()
    added: tuple[WindowLine, ...] = ()
    complete_until: str | None = None
    pruned_before: int | None = None
    run: RunNote | None = None


@define(frozen=True)
class WindowState:
    """A window that was read, and the extent and the stamp of its file; without an extent there is none."""

    entry: LedgerEntry
    extent: Extent | None = None
    stamp: FileStamp | None = None

    @property
    def reach(self) -> Extent:
        """The seconds in which its rows lie: a row may turn up outside of its window."""
        window = self.entry.window
        return Extent(window.start, window.end - 1).united_with(self.extent)


@define(eq=False)
class TableLedger:
    """What the ledger says of a table.

    Attributes:
        origin: where its rows come from, None if not known.
        windows: its windows.
        unfinished: windows whose files were about to be written, or that ceased to count: unless they are among
            `windows`, none of their files counts.
        complete_until: as it was noted last.
        pruned_before: the moment before which rows were removed on purpose, epoch seconds; None if nowhere.
        last_run: the run that filled it last; None if none was noted.
    """

    origin: Origin | None = None
    windows: dict[Window, WindowState] = field(factory=dict)
    unfinished: set[Window] = field(factory=set)
    complete_until: str | None = None
    pruned_before: int | None = None
    last_run: RunNote | None = None

    @property
    def entries(self) -> list[LedgerEntry]:
        """All entries."""
        return [state.entry for state in self.windows.values()]

    def near(self, extent: Extent) -> list[WindowState]:
        """Return the windows that may have rows in an extent."""
        reaches = ((state, state.reach) for state in self.windows.values())
        return [state for state, reach in reaches if reach.first <= extent.last and extent.first <= reach.last]

    def apply(self, line: LedgerLine) -> None:
        """Add a line."""
        if line.origin is not None:
            self.origin = Origin(line.origin.account, line.origin.zone, line.origin.gateway)
        if line.pruned_before is not None:
            self.pruned_before = max(line.pruned_before, self.pruned_before or 0)
        if line.run is not None:
            self.last_run = line.run
        self.unfinished.update(Window(*edges) for edges in (*line.writing, *line.removed))
        for start, end, extent in line.spans:
            window = Window(start, end)
            self.windows[window] = WindowState(self.windows[window].entry, extent)
        for start, end, stamp in line.files:
            window = Window(start, end)
            self.windows[window] = evolve(self.windows[window], stamp=stamp)
        for edges in line.removed:
            self.windows.pop(Window(*edges), None)
        for added in line.added:
            self.windows[Window(added.start, added.end)] = WindowState(_entry(added), added.span, added.file)
        if line.added:
            self.complete_until = line.complete_until

    def lines(self, table: str) -> Iterator[LedgerLine]:
        """Yield the fewest lines that say all this."""
        yield LedgerLine(
            table,
            None if self.origin is None else line_of_origin(self.origin),
            writing=tuple((window.start, window.end) for window in self.unfinished),
            pruned_before=self.pruned_before,
            run=self.last_run,
        )
        for state in self.windows.values():
            yield LedgerLine(table, added=(line_of_window(state),), complete_until=self.complete_until)


def line_of_origin(origin: Origin) -> OriginLine:
    """Return where rows come from as the ledger notes it."""
    return OriginLine(origin.account, origin.zone, origin.gateway)


def line_of_window(state: WindowState) -> WindowLine:
    """Return a window as the ledger notes it."""
    entry = state.entry
    return WindowLine(
        start=entry.window.start,
        end=entry.window.end,
        read_at=entry.read_at,
        rows=entry.rows,
        bad_rows=entry.bad_rows,
        saturated=entry.saturated,
        refused=tuple((part.start, part.end) for part in entry.refused),
        span=state.extent,
        file=state.stamp,
    )


def line_of_change(
    table: str,
    change: LedgerChange,
    own: WindowState,
    files: Mapping[Window, FileStamp],
    reopened: Iterable[WindowState],
) -> LedgerLine:
    """Return a change of the ledger as a line.

    Args:
        table: the name of the table.
        change: the change.
        own: its window.
        files: how those of windows known before were written for it.
        reopened: further windows that it changes.
    """
    until = moment_if_any(change.complete_until)
    return LedgerLine(
        table,
        removed=tuple((entry.window.start, entry.window.end) for entry in change.replaced),
        files=tuple((window.start, window.end, stamp) for window, stamp in files.items()),
        added=tuple(line_of_window(state) for state in (*reopened, own)),
        complete_until=None if until is None else until.isoformat(),
    )


def _entry(line: WindowLine) -> LedgerEntry:
    window, refused = Window(line.start, line.end), tuple(Window(*part) for part in line.refused)
    return LedgerEntry(window, line.read_at, line.rows, line.bad_rows, line.saturated, refused)

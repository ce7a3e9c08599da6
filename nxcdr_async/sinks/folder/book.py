"""What a folder knows of the windows of a table, and the lines of its ledger that tell it. Pure."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from attrs import define, evolve, field

from nxcdr_async._util.moments import moment_if_any
from nxcdr_async.sinks.ledger import Entry, LedgerChange
from nxcdr_async.sinks.protocol import Origin
from nxcdr_async.windows import Window


class Span(msgspec.Struct, frozen=True):
    """The seconds of the first and the last row in a file, both included."""

    first: int
    last: int

    def joined(self, other: "Span | None") -> "Span":
        """Return what covers both."""
        return self if other is None else Span(min(self.first, other.first), max(self.last, other.last))

    def wider(self, seconds: int) -> "Span":
        """Return one that begins so much earlier and ends so much later."""
        return Span(self.first - seconds, self.last + seconds)


class FileNote(msgspec.Struct, frozen=True):
    """By what a file is known again.

    Attributes:
        size: in bytes.
        modified: when, nanoseconds of the epoch: a file of this size and time is taken for the one that was written.
        checksum: CRC-32 of all of it, which tells a mere copy, of another time, from another file.
    """

    size: int
    modified: int
    checksum: int


class WindowLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A window that was read, times as epoch seconds; without a span it has no file, without a note nobody took one."""

    start: int
    end: int
    read_at: int
    rows: int
    bad_rows: int = 0
    saturated: tuple[int, ...] = ()
    refused: tuple[tuple[int, int], ...] = ()
    span: Span | None = None
    file: FileNote | None = None


class OriginLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the rows of a table come from."""

    account: str
    zone: str
    gateway: str | None = None


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
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
    """

    table: str
    origin: OriginLine | None = None
    writing: tuple[tuple[int, int], ...] = ()
    spans: tuple[tuple[int, int, Span], ...] = ()
    files: tuple[tuple[int, int, FileNote], ...] = ()
    removed: tuple[tuple[int, int], ...] = ()
    added: tuple[WindowLine, ...] = ()
    complete_until: str | None = None
    pruned_before: int | None = None


@define(frozen=True)
class Known:
    """A window that was read, and the span and the note of its file; without a span there is none."""

    entry: Entry
    span: Span | None = None
    note: FileNote | None = None

    @property
    def reach(self) -> Span:
        """The seconds in which its rows lie: a row may turn up outside of its window."""
        window = self.entry.window
        return Span(window.start, window.end - 1).joined(self.span)


@define(eq=False)
class Book:
    """What the ledger says of a table.

    Attributes:
        origin: where its rows come from, None if nobody knows.
        known: its windows.
        unfinished: windows that files were written of, or that ceased to count: no file of theirs counts, unless known.
        complete_until: as it was noted last.
        pruned_before: the moment before which rows were removed on purpose, epoch seconds; None if nowhere.
    """

    origin: Origin | None = None
    known: dict[Window, Known] = field(factory=dict)
    unfinished: set[Window] = field(factory=set)
    complete_until: str | None = None
    pruned_before: int | None = None

    @property
    def entries(self) -> list[Entry]:
        """All entries."""
        return [known.entry for known in self.known.values()]

    def near(self, span: Span) -> list[Known]:
        """Return the windows that may have rows in a span."""
        reaches = ((known, known.reach) for known in self.known.values())
        return [known for known, reach in reaches if reach.first <= span.last and span.first <= reach.last]

    def take(self, line: Line) -> None:
        """Take in a line."""
        if line.origin is not None:
            self.origin = Origin(line.origin.account, line.origin.zone, line.origin.gateway)
        if line.pruned_before is not None:
            self.pruned_before = max(line.pruned_before, self.pruned_before or 0)
        self.unfinished.update(Window(*edges) for edges in (*line.writing, *line.removed))
        for start, end, span in line.spans:
            window = Window(start, end)
            self.known[window] = Known(self.known[window].entry, span)
        for start, end, note in line.files:
            window = Window(start, end)
            self.known[window] = evolve(self.known[window], note=note)
        for edges in line.removed:
            self.known.pop(Window(*edges), None)
        for added in line.added:
            self.known[Window(added.start, added.end)] = Known(_entry(added), added.span, added.file)
        if line.added:
            self.complete_until = line.complete_until

    def lines(self, table: str) -> Iterator[Line]:
        """Yield the fewest lines that say all this."""
        yield Line(
            table,
            None if self.origin is None else origin_line(self.origin),
            writing=tuple((window.start, window.end) for window in self.unfinished),
            pruned_before=self.pruned_before,
        )
        for known in self.known.values():
            yield Line(table, added=(window_line(known),), complete_until=self.complete_until)


def origin_line(origin: Origin) -> OriginLine:
    """Return where rows come from as the ledger notes it."""
    return OriginLine(origin.account, origin.zone, origin.gateway)


def window_line(known: Known) -> WindowLine:
    """Return a window as the ledger notes it."""
    entry = known.entry
    return WindowLine(
        start=entry.window.start,
        end=entry.window.end,
        read_at=entry.read_at,
        rows=entry.rows,
        bad_rows=entry.bad_rows,
        saturated=entry.saturated,
        refused=tuple((part.start, part.end) for part in entry.refused),
        span=known.span,
        file=known.note,
    )


def change_line(
    table: str, change: LedgerChange, own: Known, files: Mapping[Window, FileNote], reopened: Iterable[Known]
) -> Line:
    """Return a change of the ledger as a line.

    Args:
        table: the name of the table.
        change: the change.
        own: its window.
        files: how those of windows known before were written for it.
        reopened: further windows that it changes.
    """
    until = moment_if_any(change.complete_until)
    return Line(
        table,
        removed=tuple((entry.window.start, entry.window.end) for entry in change.replaced),
        files=tuple((window.start, window.end, note) for window, note in files.items()),
        added=tuple(window_line(known) for known in (*reopened, own)),
        complete_until=None if until is None else until.isoformat(),
    )


def _entry(line: WindowLine) -> Entry:
    window, refused = Window(line.start, line.end), tuple(Window(*part) for part in line.refused)
    return Entry(window, line.read_at, line.rows, line.bad_rows, line.saturated, refused)

"""What a folder knows of the windows of a table, and the lines of its ledger that tell it. Pure."""

from collections.abc import Iterator

import msgspec
from attrs import define, field

from nxcdr_async.backfill.ledger import Entry, LedgerChange
from nxcdr_async.backfill.sinks.protocol import Origin
from nxcdr_async.backfill.times import moment_if_any
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


class WindowLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A window that was read, times as epoch seconds; without a span it has no file."""

    start: int
    end: int
    read_at: int
    rows: int
    bad_rows: int = 0
    saturated: tuple[int, ...] = ()
    span: Span | None = None


class OriginLine(msgspec.Struct, frozen=True):
    """Where the rows of a table come from."""

    account: str
    zone: str


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the ledger.

    Attributes:
        table: the name of the table it is about.
        origin: where its rows come from, from now on.
        writing: windows (start, end) whose files are about to be written.
        spans: of windows known before, as wide as they may be from now on.
        removed: windows (start, end) that count no more.
        added: windows that were read.
        complete_until: the moment before which all is sealed, ISO 8601.
    """

    table: str
    origin: OriginLine | None = None
    writing: tuple[tuple[int, int], ...] = ()
    spans: tuple[tuple[int, int, Span], ...] = ()
    removed: tuple[tuple[int, int], ...] = ()
    added: tuple[WindowLine, ...] = ()
    complete_until: str | None = None


@define(frozen=True)
class Known:
    """A window that was read, and the span of its file; without one there is none."""

    entry: Entry
    span: Span | None = None

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
    """

    origin: Origin | None = None
    known: dict[Window, Known] = field(factory=dict)
    unfinished: set[Window] = field(factory=set)
    complete_until: str | None = None

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
            self.origin = Origin(line.origin.account, line.origin.zone)
        self.unfinished.update(Window(*edges) for edges in (*line.writing, *line.removed))
        for start, end, span in line.spans:
            window = Window(start, end)
            self.known[window] = Known(self.known[window].entry, span)
        for edges in line.removed:
            self.known.pop(Window(*edges), None)
        for added in line.added:
            self.known[Window(added.start, added.end)] = Known(_entry(added), added.span)
        if line.added:
            self.complete_until = line.complete_until

    def lines(self, table: str) -> Iterator[Line]:
        """Yield the fewest lines that say all this."""
        origin = None if self.origin is None else OriginLine(self.origin.account, self.origin.zone)
        yield Line(table, origin, writing=tuple((window.start, window.end) for window in self.unfinished))
        for known in self.known.values():
            yield Line(table, added=(window_line(known),), complete_until=self.complete_until)


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
        span=known.span,
    )


def change_line(table: str, change: LedgerChange, span: Span | None) -> Line:
    """Return a change of the ledger as a line.

    Args:
        table: the name of the table.
        change: the change.
        span: of the rows in the file of its window.
    """
    until = moment_if_any(change.complete_until)
    return Line(
        table,
        removed=tuple((entry.window.start, entry.window.end) for entry in change.replaced),
        added=(window_line(Known(change.entry, span)),),
        complete_until=None if until is None else until.isoformat(),
    )


def _entry(line: WindowLine) -> Entry:
    return Entry(Window(line.start, line.end), line.read_at, line.rows, line.bad_rows, line.saturated)

"""A folder with a file for each window, and a ledger of the windows that count."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field

from nxcdr_async.backfill.ledger import LedgerChange
from nxcdr_async.backfill.sinks.files import claimed_folder
from nxcdr_async.backfill.sinks.folder_book import Known, Line, OriginLine, Span, change_line
from nxcdr_async.backfill.sinks.folder_files import Format, WindowFiles
from nxcdr_async.backfill.sinks.folder_ledger import LEDGER_NAME, FolderLedger
from nxcdr_async.backfill.sinks.folder_places import are_in, by_home, by_window, over, span_of
from nxcdr_async.backfill.sinks.folder_recovery import recover
from nxcdr_async.backfill.sinks.lock import SinkLock
from nxcdr_async.backfill.sinks.protocol import Held, Origin
from nxcdr_async.backfill.times import inside
from nxcdr_async.errors import ConfigurationError, SinkError
from nxcdr_async.export.tables import Table
from nxcdr_async.windows import Window

FARTHEST_MOVE = 60
"""Seconds that the time of a row may move, between two readings, for it to be known again in another window's file."""


@define(eq=False)
class FolderSink:
    """A folder, open to its owner only if it is new.

    A file is put in its place at once, then the ledger notes its window: a window that is not noted is read again. A
    row stays in the file where it is; a new one goes to the file of the window that its time lies in. Keys are looked
    up only in files with rows within a minute of those asked for: a row whose time moves farther, into another window,
    is another row here.

    Attributes:
        path: the folder.
        format: of its files.
    """

    path: Path
    format: Format
    _files: WindowFiles = field(init=False)
    _lock: SinkLock = field(init=False)
    _open_ledger: FolderLedger | None = field(default=None, init=False)
    # In which span rows of a table were looked for last: what others with their keys there are is not known.
    _looked_in: dict[str, Span] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._files = WindowFiles(self.path, self.format)
        self._lock = SinkLock(self.path)

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def _ledger(self) -> FolderLedger:
        if self._open_ledger is None:
            raise SinkError(f"{self.path} is not open")
        return self._open_ledger

    def open(self) -> None:
        """Take hold of the folder, made if it is not there, and clear away what a killed run left."""
        claimed_folder(self.path)
        self._lock.take()
        ledger = FolderLedger(self.path / LEDGER_NAME)
        with self._telling():
            recover(self._files, ledger)
        self._open_ledger = ledger

    def look(self, table: Table) -> Held | None:
        """Return what is known of a table."""
        book = self._ledger.book(table.name)
        with self._telling():
            self._check_files(table)
        return Held(book.origin, book.entries) if table.name in self._ledger.books else None

    def create(self, table: Table, origin: Origin) -> None:
        """Note where the rows of a table come from."""
        with self._telling():
            self._ledger.append(Line(table.name, OriginLine(origin.account, origin.zone)))

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under these keys near their times; those without a key, at their times."""
        times = rows.filter(pc.is_null(rows[table.key]))[table.time].combine_chunks()
        found, span = [table.empty()], _span_around(table, rows)
        if span is None:
            return table.empty()
        self._looked_in[table.name] = span
        with self._telling():
            for known in self._near(table, span):
                stored = self._files.read(table, known.entry.window)
                is_keyless_there = pc.and_(pc.is_null(stored[table.key]), pc.is_in(stored[table.time], value_set=times))
                found.append(stored.filter(pc.or_(are_in(table, stored, rows), is_keyless_there)))
        return pa.concat_tables(found)

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Write the files that these rows go into, that of the window last, and note the change of the ledger."""
        with self._telling():
            window, with_file = change.entry.window, self._with_file(table)
            moved = [old.window for old in change.replaced if old.window in with_file and old.window != window]
            placed = self._placed(table, rows, change)
            if placed or moved:
                self._announce(table, placed, window)
            own_rows = placed.pop(window, None)
            for home, its_rows in placed.items():
                stored = self._stored(table, [home] if home in with_file else [])
                self._files.write(table, home, over(table, stored, rows, its_rows))
            sources = [*moved, window] if window in with_file else moved
            try:
                if own_rows is None and sources in ([], [window]):
                    known = self._ledger.book(table.name).known.get(window, Known(change.entry))
                    self._ledger.append(change_line(table.name, change, known.span))
                    return
                whole = over(table, self._stored(table, sources), rows, table.empty() if own_rows is None else own_rows)
                self._files.write(table, window, whole)
                self._ledger.append(change_line(table.name, change, span_of(table, whole)))
            except BaseException:
                self._remove_uncounted(table, window)
                raise
            for old in moved:
                self._files.remove(table, old)

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window."""
        found = [table.empty()]
        with self._telling():
            for known in self._near(table, Span(window.start, window.end - 1)):
                stored = self._files.read(table, known.entry.window)
                found.append(stored.filter(inside(table, stored, window)))
        return pa.concat_tables(found)

    def close(self) -> None:
        """Let go of the folder."""
        self._open_ledger = None
        self._looked_in.clear()
        self._files.forget()
        self._lock.release()

    def _check_files(self, table: Table) -> None:
        with_file = self._with_file(table)
        strange = self._files.windows(table) - with_file
        if strange:
            raise ConfigurationError(
                f"{self._files.path(table, min(strange))} is not in the ledger of its folder: move it away, or remove "
                f"{LEDGER_NAME} there, which is then made anew from all files, and all windows are read again"
            )
        if with_file:
            self._files.read(table, max(with_file))

    def _with_file(self, table: Table) -> set[Window]:
        known = self._ledger.book(table.name).known
        return {window for window, state in known.items() if state.span is not None}

    def _near(self, table: Table, span: Span) -> list[Known]:
        """Return the windows that have files which may have rows in a span."""
        return [known for known in self._ledger.book(table.name).near(span) if known.span is not None]

    def _placed(self, table: Table, rows: pa.Table, change: LedgerChange) -> dict[Window, pa.Table]:
        """Return which rows go into the file of which window; a file that only gives rows up gets none."""
        if not rows.num_rows:
            return {}
        window = change.entry.window
        going = {window, *(entry.window for entry in change.replaced)}
        span = self._looked_in.get(table.name) or _span_around(table, rows)
        near = set() if span is None else {known.entry.window for known in self._near(table, span)}
        holders = {home: self._with_keys(table, home, rows) for home in near | (going & self._with_file(table))}
        holders = {home: there for home, there in holders.items() if there.num_rows}
        placed = {window if home in going else home: [table.empty()] for home in holders}
        parts = by_home(table, rows, holders)
        staying = self._ledger.book(table.name).known.keys() - going
        # Those of no file go wherever their times lie.
        new = by_window(table, parts.pop(None, table.empty()), window, staying)
        for home, its_rows in [*parts.items(), *new.items()]:
            placed.setdefault(window if home in going or home is None else home, []).append(its_rows)
        return {home: pa.concat_tables(its_rows) for home, its_rows in placed.items()}

    def _with_keys(self, table: Table, home: Window, rows: pa.Table) -> pa.Table:
        """Return keys and times of the rows in a file that have the keys of some."""
        stored = self._files.read(table, home).select([table.key, table.time])
        return stored.filter(are_in(table, stored, rows))

    def _announce(self, table: Table, placed: dict[Window, pa.Table], window: Window) -> None:
        """Note what is about to be written, so that whatever comes of it is known for what it is."""
        known = self._ledger.book(table.name).known
        spans = []
        for home, its_rows in placed.items():
            span = span_of(table, its_rows)
            if home in known and span is not None:
                spans.append((home.start, home.end, span.joined(known[home].span)))
        writing = () if window in known else ((window.start, window.end),)
        self._ledger.append(Line(table.name, writing=writing, spans=tuple(spans)))

    def _stored(self, table: Table, windows: list[Window]) -> pa.Table:
        """Return all rows in the files of some windows."""
        return pa.concat_tables([table.empty(), *(self._files.read(table, window) for window in windows)])

    def _remove_uncounted(self, table: Table, window: Window) -> None:
        if window not in self._ledger.book(table.name).known:
            self._files.remove(table, window)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SinkError(f"cannot store in {self.path}: {error.strerror or error}") from None


def _span_around(table: Table, rows: pa.Table) -> Span | None:
    """Return the span in which rows with the keys of some are looked for."""
    span = span_of(table, rows)
    return None if span is None else span.wider(FARTHEST_MOVE)

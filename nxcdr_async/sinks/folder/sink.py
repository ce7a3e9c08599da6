"""A folder with a file for each window, and a ledger of the windows that count."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve, field

from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async.errors import ConfigurationError, SinkError
from nxcdr_async.records.arrow import TABLES, Table
from nxcdr_async.sinks.files import check_place_of_folder, claimed_folder
from nxcdr_async.sinks.folder.book import Known, Line, Span, change_line, origin_line, window_line
from nxcdr_async.sinks.folder.files import Format, WindowFiles
from nxcdr_async.sinks.folder.ledger import LEDGER_NAME, FolderLedger
from nxcdr_async.sinks.folder.placement import are_in, by_home, by_window, doubles, over, span_of
from nxcdr_async.sinks.folder.recovery import changed_files, recover, without_file
from nxcdr_async.sinks.ledger import Entry, LedgerChange
from nxcdr_async.sinks.lock import SinkLock
from nxcdr_async.sinks.protocol import Held, Origin
from nxcdr_async.sinks.values import earlier, inside
from nxcdr_async.windows import EVER, Window

FARTHEST_MOVE = 60
"""Seconds that the time of a row may move, between two readings, for it to be known again in another window's file."""


@define(eq=False)
class FolderSink(Uncopied):
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
    # Windows of a table whose files are gone.
    _without_file: dict[str, list[Window]] = field(factory=dict, init=False)
    # Windows of a table whose files are others than were written.
    _changed: dict[str, list[Window]] = field(factory=dict, init=False)

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
        """Take hold of the folder, or of its place if it is not there yet, and clear away what a killed run left."""
        check_place_of_folder(self.path)
        self._lock.take()
        ledger = FolderLedger(self.path / LEDGER_NAME)
        if self.path.exists():
            with self._telling():
                recover(self._files, ledger)
                for table in TABLES.values():
                    self._without_file[table.name] = without_file(self._files, ledger.book(table.name), table)
        self._open_ledger = ledger

    def look(self, table: Table) -> Held | None:
        """Return what is known of a table."""
        book = self._ledger.book(table.name)
        with self._telling():
            self._check_files(table)
        if table.name not in self._ledger.books:
            return None
        return Held(book.origin, book.entries, book.pruned_before, is_empty=not self._with_file(table))

    def lost(self, table: Table) -> list[Window]:
        """Return the windows whose files are gone, or others than were written."""
        with self._telling():
            changed = changed_files(self._files, self._ledger.book(table.name), table)
        # Those found before are not found again, as the book has taken them in.
        known = self._changed.setdefault(table.name, [])
        known += changed
        return [*self._without_file.get(table.name, ()), *known]

    def create(self, table: Table, origin: Origin) -> None:
        """Make the folder if there is none, and note where the rows of a table come from."""
        is_new = not self.path.exists()
        claimed_folder(self.path)
        try:
            with self._telling():
                self._ledger.append(Line(table.name, origin_line(origin)))
        except BaseException:
            if is_new:
                shutil.rmtree(self.path.resolve(), ignore_errors=True)
            raise

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
            sources = [*moved, window] if window in with_file else moved
            is_strange = not set(sources).isdisjoint(self._changed.get(table.name, ()))
            if window not in placed and (is_strange or sources not in ([], [window])):
                placed[window] = table.empty()
            if placed:
                self._announce(table, placed, window)
            own_rows, notes = placed.pop(window, None), {}
            for home, its_rows in placed.items():
                stored = self._stored(table, [home] if home in with_file else [])
                notes[home] = self._files.write(table, home, over(table, stored, rows, its_rows))
            known = self._ledger.book(table.name).known
            own = evolve(known.get(window, Known(change.entry)), entry=change.entry)
            reopened = [evolve(known[entry.window], entry=entry) for entry in change.reopened]
            try:
                if own_rows is not None:
                    whole = over(table, self._kept(table, sources), rows, own_rows)
                    note = self._files.write(table, window, whole)
                    own = Known(change.entry, span_of(table, whole), note)
                self._ledger.append(change_line(table.name, change, own, notes, reopened))
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

    def prune(self, table: Table, before: int, *, is_trial: bool) -> int:
        """Remove the files that have old rows only, and write those anew that have others, too, one by one.

        What is to be is noted first, so that no run brings a row back if this is cut short.
        """
        removed = 0
        with self._telling():
            book = self._ledger.book(table.name)
            if not is_trial and table.name in self._ledger.books:
                self._ledger.append(Line(table.name, pruned_before=before))
            for known in self._near(table, Span(EVER.start, before - 1)):
                rows = self._files.read(table, known.entry.window)
                kept = rows.filter(pc.invert(earlier(table, rows, before)))
                removed += rows.num_rows - kept.num_rows
                if not is_trial and kept.num_rows < rows.num_rows:
                    is_ours = self._files.is_as_noted(table, known.entry.window, known.note)
                    entry = known.entry if is_ours else known.entry.reopened()
                    left = self._rewritten(table, entry, kept)
                    self._ledger.append(
                        Line(table.name, added=(window_line(left),), complete_until=book.complete_until)
                    )
        return removed

    def _rewritten(self, table: Table, entry: Entry, rows: pa.Table) -> Known:
        """Leave these rows alone in a file, which is removed without any; return what is known of its window then."""
        window = entry.window
        if not rows.num_rows:
            self._files.remove(table, window)
            return Known(entry)
        self._announce(table, {window: rows}, window)
        note = self._files.write(table, window, rows)
        return Known(entry, span_of(table, rows), note)

    def close(self) -> None:
        """Let go of the folder."""
        self._open_ledger = None
        self._without_file.clear()
        self._changed.clear()
        self._looked_in.clear()
        self._files.forget()
        self._lock.release()

    def _check_files(self, table: Table) -> None:
        strays = self._files.strays(table)
        if strays:
            raise ConfigurationError(
                f"{min(strays)} is in the folder itself, and the files of its table are in {table.name}: move it away"
            )
        with_file = self._with_file(table)
        strange = self._files.windows(table) - with_file
        if strange:
            raise ConfigurationError(
                f"{self._files.path(table, min(strange))} is not in the ledger of its folder: move it away, or remove "
                f"{LEDGER_NAME} there, which is then made anew from all files: all windows are read again, and what "
                "was pruned is not known any more"
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
            spanned = [span for span in (span_of(table, its_rows), known[home].span if home in known else None) if span]
            if home in known and spanned:
                spans.append((home.start, home.end, spanned[0].joined(spanned[-1])))
        writing = () if window in known else ((window.start, window.end),)
        self._ledger.append(Line(table.name, writing=writing, spans=tuple(spans)))

    def _stored(self, table: Table, windows: list[Window]) -> pa.Table:
        """Return all rows in the files of some windows."""
        return pa.concat_tables([table.empty(), *(self._files.read(table, window) for window in windows)])

    def _kept(self, table: Table, sources: list[Window]) -> pa.Table:
        """Return the rows in the files of some windows that stay there; of a file that others wrote, not just all."""
        kept = [table.empty()]
        for window in sources:
            rows = self._files.read(table, window)
            if window in self._changed.get(table.name, ()):
                rows = self._without_strange(table, window, rows)
            kept.append(rows)
        return pa.concat_tables(kept)

    def _without_strange(self, table: Table, window: Window, rows: pa.Table) -> pa.Table:
        """Leave out rows that were pruned, and such as stand in the files of other windows, where their times lie."""
        book = self._ledger.book(table.name)
        if book.pruned_before is not None:
            rows = rows.filter(pc.invert(earlier(table, rows, book.pruned_before)))
        span = span_of(table, rows)
        others = [] if span is None else [known.entry.window for known in self._near(table, span)]
        for other in others:
            if other != window:
                rows = rows.filter(pc.invert(doubles(table, rows, window, self._files.read(table, other))))
        return rows

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

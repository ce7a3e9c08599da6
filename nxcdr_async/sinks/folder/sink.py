"""A folder with a file for each window, and a ledger of the windows that count."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve, field

from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async.errors import ConfigurationError, SinkError
from nxcdr_async.records.arrow import TABLES, Table
from nxcdr_async.records.models import SourceName
from nxcdr_async.sinks.files import ensure_private_folder
from nxcdr_async.sinks.folder.files import FileFormat, WindowFiles
from nxcdr_async.sinks.folder.ledger import LEDGER_NAME, FolderLedger
from nxcdr_async.sinks.folder.placement import (
    by_file,
    by_window,
    extent_of_rows,
    have_keys_of,
    stand_elsewhere,
    with_keys_replaced,
)
from nxcdr_async.sinks.folder.recovery import note_changed_files, note_missing_files, recover
from nxcdr_async.sinks.folder.table_ledger import (
    Extent,
    LedgerLine,
    TableLedger,
    WindowState,
    line_of_change,
    line_of_origin,
    line_of_window,
)
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry, RunNote
from nxcdr_async.sinks.locks import SinkLock
from nxcdr_async.sinks.paths import check_folder_place, check_is_there
from nxcdr_async.sinks.protocol import Origin, StoreSurvey, TableState, TableSurvey
from nxcdr_async.sinks.values import earlier, inside
from nxcdr_async.windows import EVER, Window

LOOKS = 5
"""How often to look at a folder that changes meanwhile."""

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
    format: FileFormat
    _files: WindowFiles = field(init=False)
    _lock: SinkLock = field(init=False)
    _open_ledger: FolderLedger | None = field(default=None, init=False)
    # In which extent rows of a table were looked for last: what others with their keys there are is not known.
    _searched: dict[str, Extent] = field(factory=dict, init=False)
    # Windows of a table whose files are gone.
    _missing_files: dict[str, list[Window]] = field(factory=dict, init=False)
    # Windows of a table whose files are others than were written.
    _changed_files: dict[str, list[Window]] = field(factory=dict, init=False)

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
        """Take the lock of the folder, or of its place, and clear away what a killed run left."""
        check_folder_place(self.path)
        self._lock.acquire()
        ledger = FolderLedger(self.path / LEDGER_NAME)
        if self.path.exists():
            with self._translating_errors():
                recover(self._files, ledger)
                for table in TABLES.values():
                    missing = note_missing_files(self._files, ledger.of(table.name), table)
                    self._missing_files[table.name] = missing
        self._open_ledger = ledger

    def inspect(self, table: Table) -> TableState | None:
        """Return what is known of a table."""
        ledger = self._ledger_of(table)
        with self._translating_errors():
            self._check_files(table)
        if table.name not in self._ledger.tables:
            return None
        return _state_of(ledger, is_empty=not self._with_file(table))

    def lost(self, table: Table) -> list[Window]:
        """Return the windows whose files are gone, or others than were written."""
        with self._translating_errors():
            changed = note_changed_files(self._files, self._ledger_of(table), table)
        # Those found before are not found again, as the ledger has taken them in.
        all_changed = self._changed_files.setdefault(table.name, [])
        all_changed += changed
        return [*self._missing_files.get(table.name, ()), *all_changed]

    def create(self, table: Table, origin: Origin) -> None:
        """Make the folder if there is none, and note where the rows of a table come from."""
        is_new = not self.path.exists()
        ensure_private_folder(self.path)
        try:
            with self._translating_errors():
                self._ledger.append(LedgerLine(table.name, line_of_origin(origin)))
        except BaseException:
            if is_new:
                shutil.rmtree(self.path.resolve(), ignore_errors=True)
            raise

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under these keys near their times; those without a key, at their times."""
        times = rows.filter(pc.is_null(rows[table.key]))[table.time].combine_chunks()
        found, extent = [table.empty()], _extent_around(table, rows)
        if extent is None:
            return table.empty()
        self._searched[table.name] = extent
        with self._translating_errors():
            for state in self._files_near(table, extent):
                stored = self._files.read(table, state.entry.window)
                is_keyless_there = pc.and_(pc.is_null(stored[table.key]), pc.is_in(stored[table.time], value_set=times))
                found.append(stored.filter(pc.or_(have_keys_of(table, stored, rows), is_keyless_there)))
        return pa.concat_tables(found)

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Write the files that these rows go into, that of the window last, and note the change of the ledger."""
        with self._translating_errors():
            window, with_file = change.entry.window, self._with_file(table)
            replaced = [old.window for old in change.replaced if old.window in with_file and old.window != window]
            placed = self._placed(table, rows, change)
            sources = [*replaced, window] if window in with_file else replaced
            is_changed = not set(sources).isdisjoint(self._changed_files.get(table.name, ()))
            if window not in placed and (is_changed or sources not in ([], [window])):
                placed[window] = table.empty()
            if placed:
                self._announce(table, placed, window)
            own_rows, stamps = placed.pop(window, None), {}
            for other, its_rows in placed.items():
                stored = self._files.read(table, other) if other in with_file else table.empty()
                stamps[other] = self._files.write(table, other, with_keys_replaced(table, stored, rows, its_rows))
            windows = self._ledger_of(table).windows
            own = evolve(windows.get(window, WindowState(change.entry)), entry=change.entry)
            reopened = [evolve(windows[entry.window], entry=entry) for entry in change.reopened]
            try:
                if own_rows is not None:
                    whole = with_keys_replaced(table, self._kept(table, sources), rows, own_rows)
                    stamp = self._files.write(table, window, whole)
                    own = WindowState(change.entry, extent_of_rows(table, whole), stamp)
                self._ledger.append(line_of_change(table.name, change, own, stamps, reopened))
            except BaseException:
                self._remove_unrecorded(table, window)
                raise
            for old in replaced:
                self._files.remove(table, old)

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window."""
        found = [table.empty()]
        with self._translating_errors():
            for state in self._files_near(table, Extent(window.start, window.end - 1)):
                stored = self._files.read(table, state.entry.window)
                found.append(stored.filter(inside(table, stored, window)))
        return pa.concat_tables(found)

    def prune(self, table: Table, before: int, *, is_trial: bool) -> int:
        """Remove the files that have old rows only, and write those anew that have others, too, one by one.

        What is to be is noted first, so that no run brings a row back if this is cut short.
        """
        removed = 0
        with self._translating_errors():
            ledger = self._ledger_of(table)
            if not is_trial and table.name in self._ledger.tables:
                self._ledger.append(LedgerLine(table.name, pruned_before=before))
            for state in self._files_near(table, Extent(EVER.start, before - 1)):
                rows = self._files.read(table, state.entry.window)
                kept = rows.filter(pc.invert(earlier(table, rows, before)))
                removed += rows.num_rows - kept.num_rows
                if not is_trial and kept.num_rows < rows.num_rows:
                    is_ours = self._files.has_stamp(table, state.entry.window, state.stamp)
                    entry = state.entry if is_ours else state.entry.reopened()
                    left = line_of_window(self._rewritten(table, entry, kept))
                    self._ledger.append(LedgerLine(table.name, added=(left,), complete_until=ledger.complete_until))
        return removed

    def _rewritten(self, table: Table, entry: LedgerEntry, rows: pa.Table) -> WindowState:
        """Leave these rows alone in a file, which is removed without any; return the state of its window then."""
        window = entry.window
        if not rows.num_rows:
            self._files.remove(table, window)
            return WindowState(entry)
        self._announce(table, {window: rows}, window)
        stamp = self._files.write(table, window, rows)
        return WindowState(entry, extent_of_rows(table, rows), stamp)

    def note_run(self, table: Table, run: RunNote) -> None:
        """Note a run in place of the one before."""
        with self._translating_errors():
            self._ledger.append(LedgerLine(table.name, run=run))

    def survey(self, tables: Sequence[Table]) -> StoreSurvey:
        """Tell what is there of some tables, as the ledger and the files say; a run may be at work meanwhile."""
        check_is_there(self.path, is_folder=True)
        with self._translating_errors():
            for _ in range(LOOKS):
                # A file of two windows that a run has just made one.
                with suppress(FileNotFoundError):
                    return self._look(tables)
            return self._look(tables)

    def _look(self, tables: Sequence[Table]) -> StoreSurvey:
        files, ledger = WindowFiles(self.path, self.format), FolderLedger(self.path / LEDGER_NAME)
        has_ledger, found = ledger.look(), dict[SourceName, TableSurvey]()
        for table in tables:
            noted, there = ledger.of(table.name), files.windows(table)
            if has_ledger:
                there &= {window for window, state in noted.windows.items() if state.extent is not None}
            if there or table.name in ledger.tables:
                paths = [files.path(table, window) for window in there]
                rows, size = sum(map(self.format.count_rows, paths)), sum(path.stat().st_size for path in paths)
                found[table.source] = TableSurvey(_state_of(noted, is_empty=not there), rows, size)
        size = sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())
        return StoreSurvey(found, size, self._lock.is_taken())

    def close(self) -> None:
        """Unlock the folder."""
        self._open_ledger = None
        self._missing_files.clear()
        self._changed_files.clear()
        self._searched.clear()
        self._files.forget()
        self._lock.release()

    def _check_files(self, table: Table) -> None:
        """Check that the files are where they are looked for, that the ledger knows them, and that they can be read."""
        strays = self._files.strays(table)
        if strays:
            raise ConfigurationError(
                f"{min(strays)} is in the folder itself, and the files of its table are in {table.name}: move it away"
            )
        with_file = self._with_file(table)
        unknown = self._files.windows(table) - with_file
        if unknown:
            raise ConfigurationError(
                f"{self._files.path(table, min(unknown))} is not in the ledger of its folder: move it away, or remove "
                f"{LEDGER_NAME} there, which is then made anew from all files: all windows are read again, and what "
                "was pruned is not known any more"
            )
        if with_file:
            self._files.read(table, max(with_file))

    def _ledger_of(self, table: Table) -> TableLedger:
        return self._ledger.of(table.name)

    def _with_file(self, table: Table) -> set[Window]:
        windows = self._ledger_of(table).windows
        return {window for window, state in windows.items() if state.extent is not None}

    def _files_near(self, table: Table, extent: Extent) -> list[WindowState]:
        """Return the windows that have files which may have rows in an extent."""
        return [state for state in self._ledger_of(table).near(extent) if state.extent is not None]

    def _placed(self, table: Table, rows: pa.Table, change: LedgerChange) -> dict[Window, pa.Table]:
        """Return which rows go into the file of which window; a file that only gives rows up gets none."""
        if not rows.num_rows:
            return {}
        window = change.entry.window
        going = {window, *(entry.window for entry in change.replaced)}
        extent = self._searched.get(table.name) or _extent_around(table, rows)
        near = set() if extent is None else {state.entry.window for state in self._files_near(table, extent)}
        found = {other: self._with_keys(table, other, rows) for other in near | (going & self._with_file(table))}
        holders = {other: there for other, there in found.items() if there.num_rows}
        placed = {window if other in going else other: [table.empty()] for other in holders}
        parts = by_file(table, rows, holders)
        staying = self._ledger_of(table).windows.keys() - going
        # Those of no file go wherever their times lie.
        new = by_window(table, parts.pop(None, table.empty()), window, staying)
        for other, its_rows in [*parts.items(), *new.items()]:
            placed.setdefault(window if other in going or other is None else other, []).append(its_rows)
        return {other: pa.concat_tables(its_rows) for other, its_rows in placed.items()}

    def _with_keys(self, table: Table, window: Window, rows: pa.Table) -> pa.Table:
        """Return keys and times of the rows in a file that have the keys of some."""
        stored = self._files.read(table, window).select([table.key, table.time])
        return stored.filter(have_keys_of(table, stored, rows))

    def _announce(self, table: Table, placed: dict[Window, pa.Table], window: Window) -> None:
        """Note what is about to be written, so that a run that comes after a kill knows what is whole."""
        windows = self._ledger_of(table).windows
        spans = []
        for other, its_rows in placed.items():
            if other not in windows:
                continue
            extents = [extent for extent in (extent_of_rows(table, its_rows), windows[other].extent) if extent]
            if extents:
                spans.append((other.start, other.end, extents[0].united_with(extents[-1])))
        writing = () if window in windows else ((window.start, window.end),)
        self._ledger.append(LedgerLine(table.name, writing=writing, spans=tuple(spans)))

    def _kept(self, table: Table, sources: list[Window]) -> pa.Table:
        """Return the rows in the files of some windows that stay there; of a file that others wrote, not just all."""
        kept = [table.empty()]
        for window in sources:
            rows = self._files.read(table, window)
            if window in self._changed_files.get(table.name, ()):
                rows = self._without_misplaced(table, window, rows)
            kept.append(rows)
        return pa.concat_tables(kept)

    def _without_misplaced(self, table: Table, window: Window, rows: pa.Table) -> pa.Table:
        """Leave out rows that were pruned, and such as stand in the files of other windows, where their times lie."""
        pruned_before = self._ledger_of(table).pruned_before
        if pruned_before is not None:
            rows = rows.filter(pc.invert(earlier(table, rows, pruned_before)))
        extent = extent_of_rows(table, rows)
        near = [] if extent is None else [state.entry.window for state in self._files_near(table, extent)]
        for other in near:
            if other != window:
                rows = rows.filter(pc.invert(stand_elsewhere(table, rows, window, self._files.read(table, other))))
        return rows

    def _remove_unrecorded(self, table: Table, window: Window) -> None:
        if window not in self._ledger_of(table).windows:
            self._files.remove(table, window)

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SinkError(f"cannot store in {self.path}: {error.strerror or error}") from None


def _state_of(ledger: TableLedger, *, is_empty: bool) -> TableState:
    return TableState(ledger.origin, ledger.entries, ledger.pruned_before, is_empty=is_empty, last_run=ledger.last_run)


def _extent_around(table: Table, rows: pa.Table) -> Extent | None:
    """Return the extent in which rows with the keys of some are looked for."""
    extent = extent_of_rows(table, rows)
    return None if extent is None else extent.widened(FARTHEST_MOVE)

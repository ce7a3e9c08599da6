"""What to do about a folder that a run was killed in, that lost files, or that lost its ledger."""

import pyarrow as pa

from nxcdr_async.records.arrow import TABLES, Table
from nxcdr_async.sinks.files import remove_partial_files
from nxcdr_async.sinks.folder.files import WindowFiles
from nxcdr_async.sinks.folder.ledger import LEDGER_NAME, FolderLedger
from nxcdr_async.sinks.folder.placement import extent_of_rows, with_keys_replaced
from nxcdr_async.sinks.folder.table_ledger import TableLedger, WindowState
from nxcdr_async.sinks.ledger import LedgerEntry
from nxcdr_async.sinks.merge import merge
from nxcdr_async.windows import Window


def recover(files: WindowFiles, ledger: FolderLedger) -> None:
    """Read the ledger and make the files agree with it; without one, make it from the files.

    Raises:
        ConfigurationError: a ledger has to be made from files that cannot be read.
        OSError: it could not be done; it can be tried again.
    """
    remove_partial_files(files.folder, lambda name: name == LEDGER_NAME or files.is_file_name(name))
    if not ledger.read():
        _rebuild(files, ledger)
    for table in TABLES.values():
        _clear_unfinished(files, ledger.of(table.name), table)


def _clear_unfinished(files: WindowFiles, ledger: TableLedger, table: Table) -> None:
    """Remove files of windows that do not count: those are read again, perhaps cut otherwise."""
    for window in ledger.unfinished - ledger.windows.keys():
        files.remove(table, window)
    ledger.unfinished.clear()


def note_missing_files(files: WindowFiles, ledger: TableLedger, table: Table) -> list[Window]:
    """Note which files are gone, in memory only; return their windows, but for those removed on purpose."""
    there = files.windows(table)
    gone = [state for state in ledger.windows.values() if state.extent is not None and state.entry.window not in there]
    ledger.windows |= {state.entry.window: WindowState(state.entry) for state in gone}
    return [state.entry.window for state in gone if state.reach.last >= (ledger.pruned_before or 0)]


def note_changed_files(files: WindowFiles, ledger: TableLedger, table: Table) -> list[Window]:
    """Note which files were changed since they were written, in memory only; return their windows.

    Raises:
        ConfigurationError: one is damaged.
    """
    changed = []
    for state in list(ledger.windows.values()):
        window = state.entry.window
        if state.extent is not None and not files.has_stamp(table, window, state.stamp):
            found = extent_of_rows(table, files.read(table, window))
            extent = state.extent if found is None else found.united_with(state.extent)
            ledger.windows[window] = WindowState(state.entry, extent)
            changed.append(window)
    return changed


def _rebuild(files: WindowFiles, ledger: FolderLedger) -> None:
    """Make a ledger of what the files say. When they were read is not known, so all are to be read again."""
    tables = {}
    for table in TABLES.values():
        states = [_state(files, table, windows) for windows in _overlapping(files.windows(table))]
        if states or table.name in ledger.tables:
            kept = ledger.of(table.name)
            windows = {state.entry.window: state for state in states}
            tables[table.name] = TableLedger(
                origin=kept.origin, windows=windows, pruned_before=kept.pruned_before, last_run=kept.last_run
            )
    if tables:
        ledger.make_anew(tables)


def _state(files: WindowFiles, table: Table, windows: list[Window]) -> WindowState:
    window = Window(min(part.start for part in windows), max(part.end for part in windows))
    rows = _united(files, table, windows, window)
    return WindowState(LedgerEntry(window, read_at=window.start, rows=rows.num_rows), extent_of_rows(table, rows))


def _united(files: WindowFiles, table: Table, parts: list[Window], whole: Window) -> pa.Table:
    """Make one file of those that a killed run left of the same time: none of their rows is lost, and none twice."""
    by_age = sorted(parts, key=lambda part: files.path(table, part).stat().st_mtime_ns)
    rows = files.read(table, by_age[0])
    for part in by_age[1:]:
        merged = merge(table, rows, files.read(table, part)).rows
        rows = with_keys_replaced(table, rows, merged, merged)
    if parts != [whole]:
        files.write(table, whole, rows)
        for part in parts:
            if part != whole:
                files.remove(table, part)
    return rows


def _overlapping(windows: set[Window]) -> list[list[Window]]:
    """Put windows together that share a second."""
    groups: list[list[Window]] = []
    reached = None
    for window in sorted(windows):
        if reached is not None and window.start < reached:
            groups[-1].append(window)
            reached = max(reached, window.end)
        else:
            groups.append([window])
            reached = window.end
    return groups

"""What to do about a folder that a run was killed in, that lost files, or that lost its ledger."""

import pyarrow as pa

from nxcdr_async.backfill.ledger import Entry
from nxcdr_async.backfill.merge import merge
from nxcdr_async.backfill.sinks.durable import remove_asides
from nxcdr_async.backfill.sinks.folder_book import Book, Known, Line
from nxcdr_async.backfill.sinks.folder_files import WindowFiles
from nxcdr_async.backfill.sinks.folder_ledger import LEDGER_NAME, FolderLedger
from nxcdr_async.backfill.sinks.folder_places import over, span_of
from nxcdr_async.export.tables import TABLES, Table
from nxcdr_async.windows import Window


def recover(files: WindowFiles, ledger: FolderLedger) -> None:
    """Read the ledger and make the files agree with it; without one, make it from the files.

    Raises:
        ConfigurationError: a ledger has to be made from files that cannot be read.
        OSError: it could not be done; it can be tried again.
    """
    remove_asides(files.folder, lambda name: name == LEDGER_NAME or files.are_called(name))
    if not ledger.read():
        _rebuild(files, ledger)
    for table in TABLES.values():
        _clear_unfinished(files, ledger.book(table.name), table)
        _forget_lost(files, ledger, table)


def _clear_unfinished(files: WindowFiles, book: Book, table: Table) -> None:
    """Remove files of windows that do not count: those are read again, perhaps cut otherwise."""
    for window in book.unfinished - book.known.keys():
        files.remove(table, window)
    book.unfinished.clear()


def _forget_lost(files: WindowFiles, ledger: FolderLedger, table: Table) -> None:
    """Have windows read again whose files are gone."""
    there, known = files.windows(table), ledger.book(table.name).known
    lost = [window for window, state in known.items() if state.span is not None and window not in there]
    if lost:
        ledger.append(Line(table.name, removed=tuple((window.start, window.end) for window in lost)))


def _rebuild(files: WindowFiles, ledger: FolderLedger) -> None:
    """Make a ledger of what the files tell. Nobody knows when they were read, so all are to be read again."""
    for table in TABLES.values():
        known = [_known(files, table, windows) for windows in _overlapping(files.windows(table))]
        if known:
            ledger.books[table.name] = Book(known={state.entry.window: state for state in known})
    if ledger.books:
        ledger.rewrite()


def _known(files: WindowFiles, table: Table, windows: list[Window]) -> Known:
    window = Window(min(part.start for part in windows), max(part.end for part in windows))
    rows = _united(files, table, windows, window)
    return Known(Entry(window, read_at=window.start, rows=rows.num_rows), span_of(table, rows))


def _united(files: WindowFiles, table: Table, parts: list[Window], whole: Window) -> pa.Table:
    """Make one file of those that a killed run left of the same time: none of their rows is lost, and none twice."""
    by_age = sorted(parts, key=lambda part: files.path(table, part).stat().st_mtime_ns)
    rows = files.read(table, by_age[0])
    for part in by_age[1:]:
        merged = merge(table, rows, files.read(table, part)).rows
        rows = over(table, rows, merged, merged)
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

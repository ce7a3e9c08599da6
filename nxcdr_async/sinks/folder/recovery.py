"""What to do about a folder that a run was killed in, that lost files, or that lost its ledger."""

import pyarrow as pa

from nxcdr_async.records.arrow import TABLES, Table
from nxcdr_async.sinks.durable import remove_asides
from nxcdr_async.sinks.folder.book import Book, Known
from nxcdr_async.sinks.folder.files import WindowFiles
from nxcdr_async.sinks.folder.ledger import LEDGER_NAME, FolderLedger
from nxcdr_async.sinks.folder.placement import over, span_of
from nxcdr_async.sinks.ledger import Entry
from nxcdr_async.sinks.merge import merge
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


def _clear_unfinished(files: WindowFiles, book: Book, table: Table) -> None:
    """Remove files of windows that do not count: those are read again, perhaps cut otherwise."""
    for window in book.unfinished - book.known.keys():
        files.remove(table, window)
    book.unfinished.clear()


def without_file(files: WindowFiles, book: Book, table: Table) -> list[Window]:
    """Take in which files are gone, not yet in the ledger; return their windows, but for those removed on purpose."""
    there = files.windows(table)
    gone = [known for known in book.known.values() if known.span is not None and known.entry.window not in there]
    book.known |= {known.entry.window: Known(known.entry) for known in gone}
    return [known.entry.window for known in gone if known.reach.last >= (book.pruned_before or 0)]


def changed_files(files: WindowFiles, book: Book, table: Table) -> list[Window]:
    """Take in which files are others than were written, not yet in the ledger; return their windows.

    Raises:
        ConfigurationError: one is damaged.
    """
    changed = []
    for known in list(book.known.values()):
        window = known.entry.window
        if known.span is not None and not files.is_as_noted(table, window, known.note):
            span = span_of(table, files.read(table, window))
            book.known[window] = Known(known.entry, known.span if span is None else span.joined(known.span))
            changed.append(window)
    return changed


def _rebuild(files: WindowFiles, ledger: FolderLedger) -> None:
    """Make a ledger of what the files tell. Nobody knows when they were read, so all are to be read again."""
    books = {}
    for table in TABLES.values():
        known = [_known(files, table, windows) for windows in _overlapping(files.windows(table))]
        if known or table.name in ledger.books:
            kept = ledger.book(table.name)
            windows = {state.entry.window: state for state in known}
            books[table.name] = Book(origin=kept.origin, known=windows, pruned_before=kept.pruned_before)
    if books:
        ledger.make_anew(books)


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

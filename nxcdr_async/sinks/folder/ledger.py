"""The file with the ledger of a folder: lines, each added whole, and the books that they come to."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from attrs import define, field

from nxcdr_async.sinks.durable import append_to_file, replace_file
from nxcdr_async.sinks.folder.book import Book, Line

LEDGER_NAME = "_ledger.ndjson"
"""The file: no pattern that reads the records takes it for one of theirs."""

LINES_AN_ENTRY = 4
"""Lines for each entry, on average, from which on the file is written anew."""

LINES_TO_SPARE = 1_000
"""Lines that are not worth writing the file anew."""


@define(eq=False)
class FolderLedger:
    """The file with the ledger of a folder, as it is on the disk and in memory.

    Attributes:
        path: the file.
        books: what it says, by the names of the tables.
    """

    path: Path
    books: dict[str, Book] = field(factory=dict, init=False)
    _is_behind: bool = field(default=False, init=False)

    def book(self, table: str) -> Book:
        """Return what is known of a table: nothing, if it is not there."""
        return self.books.get(table, Book())

    def read(self) -> bool:
        """Read it; tell whether it was there and could be read.

        A last line that was not written to its end is as good as not written. Of one that cannot be read, what its
        other lines say of origins and of rows removed on purpose is kept.

        Raises:
            OSError: it is there, and cannot be read or mended.
        """
        self.books, whole = {}, b""
        try:
            whole, _, torn = self.path.read_bytes().rpartition(b"\n")
            lines = [_decode(line) for line in whole.splitlines()]
            self._take(lines)
        except (FileNotFoundError, msgspec.MsgspecError, KeyError):
            self.books = {}
            self._take(_without_windows(whole.splitlines()))
            return False
        if torn or len(lines) > LINES_TO_SPARE + LINES_AN_ENTRY * sum(len(book.known) for book in self.books.values()):
            self.rewrite()
        return bool(lines)

    def make_anew(self, books: dict[str, Book]) -> None:
        """Take what it should say; it is written with the first line that is added."""
        self.books, self._is_behind = books, True

    def append(self, line: Line) -> None:
        """Add a line: from then on it counts."""
        if self._is_behind:
            self.rewrite()
        append_to_file(self.path, _encode(line) + b"\n")
        self._take([line])

    def rewrite(self) -> None:
        """Write the file anew, without what has had its day."""
        replace_file(self.path, self._pieces(), self.path.parent)
        self._is_behind = False

    def _pieces(self) -> Iterator[bytes]:
        for table, book in self.books.items():
            for line in book.lines(table):
                yield _encode(line) + b"\n"

    def _take(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self.books.setdefault(line.table, Book()).take(line)


def _without_windows(lines: Iterable[bytes]) -> Iterator[Line]:
    """Yield what lines that can be read say of a table as a whole."""
    for line in lines:
        try:
            read = _decode(line)
        except msgspec.MsgspecError:
            continue
        yield Line(read.table, origin=read.origin, pruned_before=read.pruned_before)


_decode = msgspec.json.Decoder(Line).decode
_encode = msgspec.json.Encoder().encode

"""The files of a folder: one for each window that has rows, in one format."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from zlib import crc32

import msgspec
import pyarrow as pa
from attrs import define, field

from nxcdr_async.backfill.sinks.durable import Piece, remove_file, replace_file
from nxcdr_async.backfill.sinks.folder_book import FileNote
from nxcdr_async.backfill.sinks.folder_names import file_name, table_and_window
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.export.tables import Table
from nxcdr_async.windows import Window

FILES_REMEMBERED = 2
"""Files that were written last whose rows are kept: those that the next window may share some with."""

_NOT_DECODABLE = (pa.ArrowException, OSError, ValueError, ArithmeticError, msgspec.MsgspecError)


@define(frozen=True)
class Format:
    """How rows are written as a file.

    Attributes:
        suffix: the end of a file's name.
        encode: gives a file piece by piece.
        decode: gives the rows of a file; raises ValueError, or an error of Arrow or msgspec, if it has other columns or
            is damaged.
    """

    suffix: str
    encode: Callable[[pa.Table], Iterable[Piece]]
    decode: Callable[[bytes, pa.Schema], pa.Table]


@define
class _Checksum:
    """The checksum of what passes by."""

    value: int = 0

    def of(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            self.value = crc32(piece, self.value)
            yield piece


@define(frozen=True)
class WindowFiles:
    """The files of a folder. Its methods raise OSError for what goes wrong outside.

    Attributes:
        folder: where they are.
        format: of each of them.
    """

    folder: Path
    format: Format
    _written: dict[Path, pa.Table] = field(factory=dict, init=False, repr=False, eq=False)

    def path(self, table: Table, window: Window) -> Path:
        """Return where the rows of a window are."""
        return self.folder / file_name(table, window, self.format.suffix)

    def are_called(self, name: str) -> bool:
        """Tell whether one of them goes by a name."""
        return table_and_window(name, self.format.suffix) is not None

    def windows(self, table: Table) -> set[Window]:
        """Return the windows of a table that have files."""
        if not self.folder.exists():
            return set()
        found = (table_and_window(path.name, self.format.suffix) for path in self.folder.iterdir())
        return {window for owner, window in filter(None, found) if owner is table}

    def read(self, table: Table, window: Window) -> pa.Table:
        """Return all rows of a file.

        Raises:
            ConfigurationError: it is damaged, or has other columns.
        """
        path = self.path(table, window)
        if path in self._written:
            return self._written[path]
        written = path.read_bytes()
        try:
            return self.format.decode(written, table.schema)
        except _NOT_DECODABLE as fault:
            raise ConfigurationError(
                f"{path} is damaged or was not made by this version of a backfill ({fault}): move it away, and its "
                "window is read again, or give another --to"
            ) from None

    def is_as_noted(self, table: Table, window: Window, note: FileNote | None) -> bool:
        """Tell whether a file that is there is the one that was noted, as far as anything was."""
        path = self.path(table, window)
        there = path.stat()
        if note is None or (there.st_size, there.st_mtime_ns) == (note.size, note.modified):
            return True
        return there.st_size == note.size and crc32(path.read_bytes()) == note.checksum

    def write(self, table: Table, window: Window, rows: pa.Table) -> FileNote:
        """Put a file with these rows, in order of time, in the place of the one that may be there; return its note."""
        in_order = rows.sort_by([(table.time, "ascending"), (table.key, "ascending")]).combine_chunks()
        path = self.path(table, window)
        self._written.pop(path, None)
        checksum = _Checksum()
        replace_file(path, checksum.of(self.format.encode(in_order)))
        self._written[path] = in_order
        for older in list(self._written)[:-FILES_REMEMBERED]:
            del self._written[older]
        there = path.stat()
        return FileNote(there.st_size, there.st_mtime_ns, checksum.value)

    def remove(self, table: Table, window: Window) -> None:
        """Remove a file, if it is there."""
        path = self.path(table, window)
        self._written.pop(path, None)
        remove_file(path)

    def forget(self) -> None:
        """Forget what was written, as others may change it from now on."""
        self._written.clear()

"""The files of a folder: one for each window that has rows, in one format, in a folder for each table.

That holds nothing else, at any moment, so that whoever reads all that is in it reads whole files of one table.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from zlib import crc32

import msgspec
import pyarrow as pa
from attrs import define, field

from nxcdr_async.errors import ConfigurationError
from nxcdr_async.records.arrow import Table
from nxcdr_async.sinks.durable import Piece, remove_file, replace_file, sync_folder
from nxcdr_async.sinks.files import claimed_folder
from nxcdr_async.sinks.folder.book import FileNote
from nxcdr_async.sinks.folder.names import file_name, table_and_window
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
    # Where the files of a table are.
    _homes: dict[str, Path] = field(factory=dict, init=False, repr=False, eq=False)

    def path(self, table: Table, window: Window) -> Path:
        """Return where the rows of a window are."""
        return self._home(table) / file_name(table, window, self.format.suffix)

    def are_called(self, name: str) -> bool:
        """Tell whether one of them goes by a name."""
        return table_and_window(name, self.format.suffix) is not None

    def windows(self, table: Table) -> set[Window]:
        """Return the windows of a table that have files."""
        return self._windows_in(self._home(table), table)

    def strays(self, table: Table) -> set[Path]:
        """Return files of a table that lie in the folder itself, though those of the table have one of their own."""
        if self._home(table) == self.folder:
            return set()
        windows = self._windows_in(self.folder, table)
        return {self.folder / file_name(table, window, self.format.suffix) for window in windows}

    def _home(self, table: Table) -> Path:
        """Return the folder of the files of a table; those of an earlier version stay in the folder itself."""
        if table.name not in self._homes:
            own = self.folder / table.name
            is_earlier = not own.exists() and self._windows_in(self.folder, table)
            self._homes[table.name] = self.folder if is_earlier else own
        return self._homes[table.name]

    def _windows_in(self, folder: Path, table: Table) -> set[Window]:
        if not folder.exists():
            return set()
        found = (table_and_window(path.name, self.format.suffix) for path in folder.iterdir())
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
        if not path.parent.exists():
            claimed_folder(path.parent)
            sync_folder(self.folder)
        replace_file(path, checksum.of(self.format.encode(in_order)), self.folder)
        self._written[path] = in_order
        for older in list(self._written)[:-FILES_REMEMBERED]:
            del self._written[older]
        there = path.stat()
        return FileNote(there.st_size, there.st_mtime_ns, checksum.value)

    def remove(self, table: Table, window: Window) -> None:
        """Remove a file, if it is there, and with the last one the folder of the table, unless that is but a link."""
        path = self.path(table, window)
        self._written.pop(path, None)
        remove_file(path)
        home = path.parent
        if home != self.folder and home.exists() and not home.is_symlink() and not any(home.iterdir()):
            home.rmdir()

    def forget(self) -> None:
        """Forget what was written, and where, as others may change it from now on."""
        self._written.clear()
        self._homes.clear()

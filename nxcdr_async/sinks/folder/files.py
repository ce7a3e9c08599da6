"""The files of a folder: one for each window that has rows, in one format, in a folder for each table.

That holds nothing else, at any moment, so that whoever reads all that is in it reads whole files of one table.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

import msgspec
import pyarrow as pa
from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.records.arrow import TABLES, Table
from nxcdr_async.sinks.files import Chunk, ensure_private_folder, remove_file, replace_file, sync_folder
from nxcdr_async.sinks.folder.table_ledger import FileStamp
from nxcdr_async.windows import Window

FILES_REMEMBERED = 2
"""Files that were written last whose rows are kept: those that the next window may share some with."""

_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(?P<table>[a-z_]+)-(?P<start>[0-9]{8}T[0-9]{6}Z)-(?P<end>[0-9]{8}T[0-9]{6}Z)(?P<suffix>\.[a-z]+)")
_TABLES = {table.name: table for table in TABLES.values()}

_NOT_DECODABLE = (pa.ArrowException, OSError, ValueError, ArithmeticError, msgspec.MsgspecError)


@define(frozen=True)
class FileFormat:
    """How rows are written as a file.

    Attributes:
        suffix: the end of a file's name.
        encode: gives a file chunk by chunk.
        decode: gives the rows of a file; raises ValueError, or an error of Arrow or msgspec, if it has other columns or
            is damaged.
        count_rows: gives the number of rows of a file.
    """

    suffix: str
    encode: Callable[[pa.Table], Iterable[Chunk]]
    decode: Callable[[bytes, pa.Schema], pa.Table]
    count_rows: Callable[[Path], int]


@define
class _Checksum:
    """The checksum of what passes by."""

    value: int = 0

    def of(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self.value = crc32(chunk, self.value)
            yield chunk


@define(frozen=True)
class WindowFiles:
    """The files of a folder. Its methods raise OSError for what goes wrong outside.

    Attributes:
        folder: where they are.
        format: of each of them.
    """

    folder: Path
    format: FileFormat
    _last_written: dict[Path, pa.Table] = field(factory=dict, init=False, repr=False, eq=False)
    # Where the files of a table are.
    _folders: dict[str, Path] = field(factory=dict, init=False, repr=False, eq=False)

    def path(self, table: Table, window: Window) -> Path:
        """Return where the rows of a window are."""
        return self._folder_of(table) / file_name(table, window, self.format.suffix)

    def is_file_name(self, name: str) -> bool:
        """Return whether one of them goes by a name."""
        return table_and_window(name, self.format.suffix) is not None

    def windows(self, table: Table) -> set[Window]:
        """Return the windows of a table that have files."""
        return self._windows_in(self._folder_of(table), table)

    def strays(self, table: Table) -> set[Path]:
        """Return files of a table that lie in the folder itself, though those of the table have one of their own."""
        if self._folder_of(table) == self.folder:
            return set()
        windows = self._windows_in(self.folder, table)
        return {self.folder / file_name(table, window, self.format.suffix) for window in windows}

    def _folder_of(self, table: Table) -> Path:
        """Return the folder of the files of a table; those of an earlier version stay in the folder itself."""
        if table.name not in self._folders:
            own = self.folder / table.name
            is_earlier = not own.exists() and self._windows_in(self.folder, table)
            self._folders[table.name] = self.folder if is_earlier else own
        return self._folders[table.name]

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
        if path in self._last_written:
            return self._last_written[path]
        written = path.read_bytes()
        try:
            return self.format.decode(written, table.schema)
        except _NOT_DECODABLE as fault:
            raise ConfigurationError(
                f"{path} is damaged or was not made by this version of a backfill ({fault}): move it away, and its "
                "window is read again, or give another --to"
            ) from None

    def has_stamp(self, table: Table, window: Window, stamp: FileStamp | None) -> bool:
        """Return whether a file that is there is the one that was written, as far as anything was noted of that."""
        path = self.path(table, window)
        status = path.stat()
        if stamp is None or (status.st_size, status.st_mtime_ns) == (stamp.size, stamp.modified):
            return True
        return status.st_size == stamp.size and crc32(path.read_bytes()) == stamp.checksum

    def write(self, table: Table, window: Window, rows: pa.Table) -> FileStamp:
        """Put a file with these rows, in order of time, in the place of the one that may be there; return its stamp."""
        in_order = rows.sort_by([(table.time, "ascending"), (table.key, "ascending")]).combine_chunks()
        path = self.path(table, window)
        self._last_written.pop(path, None)
        checksum = _Checksum()
        if not path.parent.exists():
            ensure_private_folder(path.parent)
            sync_folder(self.folder)
        replace_file(path, checksum.of(self.format.encode(in_order)), self.folder)
        self._last_written[path] = in_order
        for older in list(self._last_written)[:-FILES_REMEMBERED]:
            del self._last_written[older]
        status = path.stat()
        return FileStamp(status.st_size, status.st_mtime_ns, checksum.value)

    def remove(self, table: Table, window: Window) -> None:
        """Remove a file, if it is there, and with the last one the folder of the table, unless that is but a link."""
        path = self.path(table, window)
        self._last_written.pop(path, None)
        remove_file(path)
        own = path.parent
        if own != self.folder and own.exists() and not own.is_symlink() and not any(own.iterdir()):
            own.rmdir()

    def forget(self) -> None:
        """Forget what was written, and where, as others may change it from now on."""
        self._last_written.clear()
        self._folders.clear()


def file_name(table: Table, window: Window, suffix: str) -> str:
    """Return the name of the file with the rows of a window."""
    start, end = (moment_at(edge).strftime(_TIME) for edge in (window.start, window.end))
    return f"{table.name}-{start}-{end}{suffix}"


def table_and_window(name: str, suffix: str) -> tuple[Table, Window] | None:
    """Return whose rows a file has by its name; None if it is not one of ours."""
    found = _NAME.fullmatch(name)
    if found is None or found["table"] not in _TABLES:
        return None
    try:
        window = Window(_second(found["start"]), _second(found["end"]))
    except ValueError:
        return None
    table = _TABLES[found["table"]]
    return (table, window) if file_name(table, window, suffix) == name and window.seconds > 0 else None


def _second(text: str) -> int:
    return int(datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp())

"""Files of call data: private, there whole or not at all, and outlasting a crash of the machine once they are."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from nxcdr_async.errors import SinkError
from nxcdr_async.sinks.paths import check_file_place, name_beside

OWNER_ONLY = 0o600
"""The rights of a file that nobody else may read."""

OWNER_ONLY_FOLDER = 0o700
"""The rights of a folder that nobody else may look into."""

Chunk = bytes | memoryview
"""A part of what is to be in a file."""

FileIdentity = tuple[int, int]
"""The numbers of a file and of its disk, which distinguish it from any other that may take its place."""

_PARTIAL = ".part"


def ensure_private_file(path: Path) -> None:
    """Make sure that a file is there, readable to its owner only if it was not, and that it can be written.

    Raises:
        ConfigurationError: its folder is not there, or it is a folder itself.
        SinkError: it cannot be written.
    """
    check_file_place(path)
    path = path.resolve()  # a link to where nothing is yet
    # On closing any file the system drops all locks this process has on it, those of a run in another thread too.
    if path.exists():
        return
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
    except FileExistsError:  # made by somebody else just now
        return
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from None


def ensure_private_folder(path: Path) -> None:
    """Make sure that a folder is there, open to its owner only if it was not.

    Raises:
        SinkError: it cannot be made.
    """
    path = path.resolve()  # a link to where nothing is yet
    try:
        path.mkdir(OWNER_ONLY_FOLDER, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {path}: {error.strerror}") from None


def file_identity(path: Path) -> FileIdentity | None:
    """Return what distinguishes the file at a path from any other; None if none is there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def check_not_replaced(path: Path, before: FileIdentity | None) -> None:
    """Check that a file is the one it was, as what is written into one that was removed is lost.

    Raises:
        SinkError: it is not.
    """
    if file_identity(path) != before:
        raise SinkError(
            f"{path} was removed or replaced while it was written: what this run has stored is not there any more; "
            "the same run started again goes on from what is"
        )


def replace_file(path: Path, chunks: Iterable[Chunk], written_in: Path) -> None:
    """Put a file in its place at once, whether one is there or not; if that fails, nothing has changed.

    Args:
        path: its place.
        chunks: what is to be in it.
        written_in: a folder on the same disk, where it is until it is whole.

    Raises:
        OSError: it could not be written.
    """
    partial = written_in / name_beside(path.name, _PARTIAL)
    try:
        _write_new(partial, chunks)
        partial.replace(path)
    except BaseException:
        remove_file(partial)
        raise
    sync_folder(path.parent)


def append_to_file(path: Path, chunk: Chunk) -> None:
    """Write at the end of a file, made if it is not there; if that fails, the file is as it was.

    Raises:
        OSError: it could not be written.
    """
    is_new = not path.exists()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
    try:
        size = os.fstat(file).st_size
        try:
            _write_all(file, chunk)
            os.fsync(file)
        except BaseException:
            os.ftruncate(file, size)
            raise
    finally:
        os.close(file)
    if is_new:
        sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file, if it is there."""
    path.unlink(missing_ok=True)


def remove_partial_files(folder: Path, is_ours: Callable[[str], bool]) -> None:
    """Remove what was not whole yet when a run was killed, of files that would have been ours by their names."""
    for partial in folder.glob(f".*{_PARTIAL}"):
        if is_ours(partial.name.removeprefix(".").removesuffix(_PARTIAL)):
            remove_file(partial)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder outlast a crash, where the system has a way to say so."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _write_new(path: Path, chunks: Iterable[Chunk]) -> None:
    # Whatever stands there, of a killed run or of somebody else, is not written through.
    remove_file(path)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        for chunk in chunks:
            _write_all(file, chunk)
        os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, chunk: Chunk) -> None:
    left = memoryview(chunk).cast("B")
    while left:
        left = left[os.write(file, left) :]

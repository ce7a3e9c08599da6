"""Files that are there whole or not at all, and outlast a crash of the machine once they are. Raises OSError."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from nxcdr_async.sinks.files import OWNER_ONLY, name_beside

Piece = bytes | memoryview

_ASIDE = ".part"


def replace_file(path: Path, pieces: Iterable[Piece], written_in: Path) -> None:
    """Put a file in its place at once, whether one is there or not; if that fails, nothing has changed.

    Args:
        path: its place.
        pieces: what is to be in it.
        written_in: a folder on the same disk, where it is until it is whole.
    """
    aside = written_in / name_beside(path.name, _ASIDE)
    try:
        _write_new(aside, pieces)
        aside.replace(path)
    except BaseException:
        remove_file(aside)
        raise
    sync_folder(path.parent)


def append_to_file(path: Path, piece: Piece) -> None:
    """Write at the end of a file, made if it is not there; if that fails, the file is as it was."""
    is_new = not path.exists()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
    try:
        size = os.fstat(file).st_size
        try:
            _write_all(file, piece)
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


def remove_asides(folder: Path, is_ours: Callable[[str], bool]) -> None:
    """Remove what was being written aside when a run was killed.

    Args:
        folder: where.
        is_ours: tells by its name whether a file would have been ours.
    """
    for aside in folder.glob(f".*{_ASIDE}"):
        if is_ours(aside.name.removeprefix(".").removesuffix(_ASIDE)):
            remove_file(aside)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder outlast a crash, where the system has a way to say so."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _write_new(path: Path, pieces: Iterable[Piece]) -> None:
    # Whatever stands there, of a killed run or of somebody else, is not written through.
    remove_file(path)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        for piece in pieces:
            _write_all(file, piece)
        os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, piece: Piece) -> None:
    left = memoryview(piece).cast("B")
    while left:
        left = left[os.write(file, left) :]

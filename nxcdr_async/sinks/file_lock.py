"""The lock that a library takes on its file, kept whatever else in this process opens and closes that file.

POSIX drops all locks of a process on a file once any part of the process closes it: a second `duckdb.connect`, a copy
made for a backup. From then on other processes may write, and whoever had the lock does not notice.
"""

import errno
import os
import sys
from pathlib import Path
from tempfile import TemporaryFile

from attrs import define, field

from nxcdr_async.errors import ConfigurationError

if sys.platform != "win32":
    import fcntl

State = tuple[tuple[int, int, int] | None, ...]
"""What tells whether files were written: their numbers, sizes and times."""

NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
"""What a file system says that knows no locks, or has none left."""


def unlockable(path: Path, error: OSError) -> ConfigurationError:
    """Return the error of a place whose file system refuses locks."""
    return ConfigurationError(
        f"no file can be locked in {path.resolve().parent} ({error.strerror}), so nothing would keep two runs from "
        "writing at once: give a --to on a disk of this machine, or have the folder mounted with locks (NFS: without "
        "nolock, and with its lock service running)"
    )


def refused_lock(folder: Path) -> OSError | None:
    """Return why no file in a folder can be locked as libraries of databases do it; None if one can be."""
    if sys.platform == "win32":
        return None
    try:
        file = TemporaryFile(dir=folder)  # noqa: SIM115 - whether it can be made is another question than the lock
    except OSError:
        return None
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error
    return None


@define(eq=False)
class KeptLock:
    """A lock on a whole file, taken again whenever it may have been lost.

    Attributes:
        path: the file.
        further: files that belong to it, such as its log.
    """

    path: Path
    further: tuple[Path, ...] = ()
    _file: int | None = field(default=None, init=False)
    _state: State | None = field(default=None, init=False)

    def take(self) -> None:
        """Take it, after the library did, and remember the files as they are.

        Raises:
            OSError: another program has it.
        """
        if sys.platform != "win32":  # where a lock belongs to whoever opened the file, and nobody else can drop it
            self._file = os.open(self.path, os.O_RDWR)
        self._lock()
        self.remember()

    def is_ours(self) -> bool:
        """Take it again, and tell whether nobody else has it, or has written the files since they were remembered."""
        if self._state is None:
            return True
        try:
            self._lock()
        except OSError:
            return False
        return self._state == self._now()

    def _lock(self) -> None:
        # Changes nothing while it is held.
        if sys.platform != "win32" and self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remember(self) -> None:
        """Take the files as they are for what the library made of them."""
        self._state = self._now()

    def release(self) -> None:
        """Let go of it, which has to be after the library did."""
        self._state = None
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _now(self) -> State:
        return tuple(_state(path) for path in (self.path, *self.further))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        there = path.stat()
    except FileNotFoundError:
        return None
    return there.st_ino, there.st_size, there.st_mtime_ns

"""Locks: one beside a sink, so that one run at a time writes it, and the one that a database takes on its file."""

import errno
import os
import sys
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from attrs import define, field
from filelock import FileLock, Timeout

from nxcdr_async._util.clocks import steady
from nxcdr_async.errors import BusyError, ConfigurationError, SinkError
from nxcdr_async.sinks.files import OWNER_ONLY
from nxcdr_async.sinks.paths import check_parent, name_beside

if sys.platform != "win32":
    import fcntl

SECONDS_TO_WAIT = 2.0
"""How long to wait for another to let go: pushes have the lock for some milliseconds, again and again."""

SECONDS_BETWEEN_TRIES = 0.01
"""How often to try meanwhile."""

_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
"""What a file system says that knows no locks, or has none left."""

_FileState = tuple[int, int, int] | None
"""What shows whether a file was written: its number, size and time."""


@define(eq=False)
class SinkLock:
    """A lock beside a sink, a file or folder. The system lets go of it when its process ends, killed or not."""

    target: Path
    _lock: FileLock = field(init=False)
    # Held by the one who is next. Else whoever comes back at once, as pushes do, would always be before who waits.
    _turn: FileLock = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lock, self._turn = _lock_beside(self.target, "lock"), _lock_beside(self.target, "next.lock")

    def acquire(self) -> None:
        """Take it, in turn with others who want it.

        Raises:
            BusyError: another run has it still.
            ConfigurationError: the folder is not there, or no file can be locked in it.
            SinkError: no file can be made there.
        """
        check_parent(Path(self._lock.lock_file))  # else the lock would make the folder
        until = steady() + SECONDS_TO_WAIT
        try:
            with _acquired(self._turn, until):
                _acquired(self._lock, until)
        except Timeout:
            if not any(Path(lock.lock_file).exists() for lock in (self._lock, self._turn)):
                # The library waits for a file that cannot be made, as on /proc, like for one that is locked.
                raise self._unwritable("the file system takes no files") from None
            raise BusyError(
                f"{self.target} is being written by another run: wait for its end, or give another --to"
            ) from None
        except OSError as error:
            if not self.target.exists():
                self._remove_files()
            if error.errno in _NO_LOCKS:
                raise no_locks_error(self.target, error) from None
            raise self._unwritable(error.strerror or str(error)) from None

    @property
    def is_held(self) -> bool:
        """Whether it is ours now."""
        return self._lock.is_locked

    def is_taken(self) -> bool | None:
        """Return whether somebody has it now; None where that cannot be seen without taking it.

        It is shared for a moment, and no file is made: whoever wants it just then asks again soon.
        """
        if sys.platform == "win32":
            return None
        try:
            file = os.open(self._lock.lock_file, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return None
        finally:
            os.close(file)
        return False

    def release(self) -> None:
        """Let go of it, if it is ours; nothing is left beside a place where nothing came to be.

        Beside a sink the files stay, as others may be about to lock them. Whoever is, of those that go, notices that.
        """
        if self.is_held and not self.target.exists():
            # Whoever waits for it removes them in turn, and must not lose its place.
            with suppress(Timeout, OSError), self._turn.acquire(timeout=0):
                self._remove_files()
        self._lock.release()

    def _unwritable(self, reason: str) -> SinkError:
        folder = self.target.absolute().parent
        return SinkError(
            f"no file can be made in the folder {folder}: {reason}; change its rights, or give another --to"
        )

    def _remove_files(self) -> None:
        for lock in (self._turn, self._lock):
            # One that stays does no harm: Windows removes no file that is open.
            with suppress(OSError):
                Path(lock.lock_file).unlink(missing_ok=True)


def _lock_beside(target: Path, suffix: str) -> FileLock:
    # The same for whoever comes by a link.
    real = target.resolve()
    path = real.with_name(name_beside(real.name, f".{suffix}"))
    # What it would fall back to, a killed run would hold for ever.
    return FileLock(path, mode=OWNER_ONLY, is_singleton=False, thread_local=False, fallback_to_soft=False)


def _acquired(lock: FileLock, until: float) -> AbstractContextManager[object]:
    # Asked again from here, as the library's own wait goes by a clock that tests may freeze, and would never end.
    while True:
        try:
            return lock.acquire(timeout=0)
        except Timeout:
            if steady() >= until:
                raise
        time.sleep(SECONDS_BETWEEN_TRIES)


@define(eq=False)
class DatabaseFileLock:
    """The lock that a database library takes on its file, kept whatever else in this process opens and closes it.

    POSIX drops all locks of a process on a file once any part of the process closes it: a second `duckdb.connect`, a
    copy made for a backup. From then on other processes may write, and whoever had the lock does not notice. So it is
    taken again, by us, whenever it may have been lost.

    Attributes:
        path: the file.
        further: files that belong to it, such as its log.
    """

    path: Path
    further: tuple[Path, ...] = ()
    _file: int | None = field(default=None, init=False)
    _remembered: tuple[_FileState, ...] | None = field(default=None, init=False)

    def acquire(self) -> None:
        """Take it, after the library did, and remember the files as they are.

        Raises:
            OSError: another program has it.
        """
        if sys.platform != "win32":  # where a lock belongs to whoever opened the file, and nobody else can drop it
            self._file = os.open(self.path, os.O_RDWR)
        self._lock()
        self.remember_files()

    def is_intact(self) -> bool:
        """Take it again, and return whether nobody else has it, or has written the files since they were remembered."""
        if self._remembered is None:
            return True
        try:
            self._lock()
        except OSError:
            return False
        return self._remembered == self._file_states()

    def remember_files(self) -> None:
        """Take the files as they are for what the library made of them."""
        self._remembered = self._file_states()

    def release(self) -> None:
        """Let go of it, which has to be after the library did."""
        self._remembered = None
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock(self) -> None:
        # Changes nothing while it is held.
        if sys.platform != "win32" and self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _file_states(self) -> tuple[_FileState, ...]:
        return tuple(_file_state(path) for path in (self.path, *self.further))


def _file_state(path: Path) -> _FileState:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def why_no_locks(folder: Path) -> OSError | None:
    """Return why no file in a folder can be locked as database libraries do it; None if one can be."""
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


def no_locks_error(path: Path, error: OSError) -> ConfigurationError:
    """Return the error of a place whose file system refuses locks."""
    return ConfigurationError(
        f"no file can be locked in {path.resolve().parent} ({error.strerror}), so nothing would keep two runs from "
        "writing at once: give a --to on a disk of this machine, or have the folder mounted with locks (NFS: without "
        "nolock, and with its lock service running)"
    )


def lost_lock_error(path: Path) -> SinkError:
    """Return the error of a file whose locks are gone, as POSIX drops them once anything in the process closes it."""
    return SinkError(
        f"{path} was opened by another program while it was written, as something in this process had opened and "
        "closed it, which lets go of all its locks: leave the file alone while a run is at work, and start the same "
        "run again, which goes on from what is there"
    )

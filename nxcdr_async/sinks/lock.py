"""One run at a time on a file or folder, whatever becomes of the one before."""

import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from attrs import define, field
from filelock import FileLock, Timeout

from nxcdr_async._util.clocks import steady
from nxcdr_async.errors import BusyError, SinkError
from nxcdr_async.sinks.file_lock import NO_LOCKS, unlockable
from nxcdr_async.sinks.files import OWNER_ONLY, check_folder, name_beside

SECONDS_TO_WAIT = 2.0
"""How long to wait for another to let go: pushes have hold for some milliseconds, again and again."""

SECONDS_BETWEEN_LOOKS = 0.01
"""How often to look meanwhile."""


@define(eq=False)
class SinkLock:
    """A lock beside a sink. The system lets go of it when its process ends, killed or not.

    Attributes:
        target: the file or folder.
    """

    target: Path
    _lock: FileLock = field(init=False)
    # Held by the one who is next. Else whoever comes back at once, as pushes do, would always be before who waits.
    _turn: FileLock = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lock, self._turn = _lock_beside(self.target, "lock"), _lock_beside(self.target, "next.lock")

    def take(self) -> None:
        """Take it, in turn with others who want it.

        Raises:
            BusyError: another run has it still.
            ConfigurationError: the folder is not there, or no file can be locked in it.
            SinkError: no file can be made there.
        """
        check_folder(Path(self._lock.lock_file).parent)  # else the lock would make it
        until = steady() + SECONDS_TO_WAIT
        try:
            with _acquired(self._turn, until):
                _acquired(self._lock, until)
        except Timeout:
            raise BusyError(
                f"{self.target} is being written by another run: wait for its end, or give another --to"
            ) from None
        except OSError as error:
            if not self.target.exists():
                self._remove_files()
            if error.errno in NO_LOCKS:
                raise unlockable(self.target, error) from None
            raise SinkError(f"cannot write beside {self.target}: {error.strerror or error}") from None

    @property
    def is_held(self) -> bool:
        """Whether it is ours now."""
        return self._lock.is_locked

    def release(self) -> None:
        """Let go of it, if it is ours; nothing is left beside a place where nothing came to be.

        Beside a sink the files stay, as others may be about to lock them. Whoever is, of those that go, notices that.
        """
        if self.is_held and not self.target.exists():
            # Whoever waits for it removes them in turn, and must not lose its place.
            with suppress(Timeout, OSError), self._turn.acquire(timeout=0):
                self._remove_files()
        self._lock.release()

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
        time.sleep(SECONDS_BETWEEN_LOOKS)

"""One run at a time on a file or folder, whatever becomes of the one before."""

from pathlib import Path

from attrs import define, field
from filelock import FileLock, Timeout

from nxcdr_async.backfill.sinks.files import OWNER_ONLY, check_folder
from nxcdr_async.errors import ConfigurationError, SinkError


@define(eq=False)
class SinkLock:
    """A lock beside a sink. The system lets go of it when its process ends, killed or not.

    Attributes:
        target: the file or folder.
    """

    target: Path
    _lock: FileLock = field(init=False)

    def __attrs_post_init__(self) -> None:
        # The same for whoever comes by a link.
        real = self.target.resolve()
        path = real.with_name(f".{real.name}.lock")
        self._lock = FileLock(path, timeout=0, mode=OWNER_ONLY, is_singleton=False, thread_local=False)

    def take(self) -> None:
        """Take it.

        Raises:
            ConfigurationError: another run has it, or the folder is not there.
            SinkError: no file can be made there.
        """
        check_folder(Path(self._lock.lock_file).parent)  # else the lock would make it
        try:
            self._lock.acquire()
        except Timeout:
            raise ConfigurationError(
                f"{self.target} is being written by another run: wait for its end, or give another --to"
            ) from None
        except OSError as error:
            raise SinkError(f"cannot write beside {self.target}: {error.strerror or error}") from None

    def release(self) -> None:
        """Let go of it, if it is ours."""
        self._lock.release()

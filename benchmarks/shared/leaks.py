"""What looks for leaks: of secrets into logs and errors, and of tasks, requests and connections left behind."""

import asyncio
import logging
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

_OPEN_FILES = Path("/proc/self/fd")
_OWN = str(Path(__file__).parents[1])
_SECONDS_TO_SETTLE = 2.0


@define(eq=False)
class LeakWatch(logging.Handler):
    """Takes part in all logging at debug, and is shown every error.

    Attributes:
        secrets: what must be seen nowhere.
        found: where a secret was seen.
        seen: log records and errors that were looked at.
    """

    secrets: Collection[str]
    found: list[str] = field(factory=list, init=False)
    seen: int = field(default=0, init=False)

    def __attrs_pre_init__(self) -> None:
        super().__init__(logging.DEBUG)

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a log record: what is shown of it, and what else a handler could get out of it."""
        self._look(f"log {record.name}", f"{self.format(record)} {vars(record)!r}")

    def look_at_error(self, error: BaseException) -> None:
        """Look at all that can be printed of an error, with those it came from and the locals of each frame."""
        for one in _with_causes(error):
            self._look("error", f"{one} {one!r} {getattr(one, '__notes__', ())!r} {vars(one)!r}")
            for frame, line in traceback.walk_tb(one.__traceback__):
                if not frame.f_code.co_filename.startswith(_OWN):
                    self._look(f"{frame.f_code.co_name}, line {line}", repr(frame.f_locals))

    def _look(self, where: str, text: str) -> None:
        self.seen += 1
        self.found += [where for secret in self.secrets if secret in text]

    @contextmanager
    def on_duty(self) -> Iterator[None]:
        """Listen to every logger at debug, that of asyncio's debug mode too, until the block ends."""
        root, loop = logging.getLogger(), asyncio.get_running_loop()
        level, was_debug = root.level, loop.get_debug()
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        loop.set_debug(True)
        try:
            yield
        finally:
            loop.set_debug(was_debug)
            root.setLevel(level)
            root.removeHandler(self)


@define(frozen=True)
class Held:
    """What this process holds at one moment.

    Attributes:
        tasks: tasks of the running loop.
        files: open files and sockets; 0 where the system does not tell.
    """

    tasks: int
    files: int

    @classmethod
    def now(cls) -> "Held":
        """Count."""
        return cls(len(asyncio.all_tasks()), len(list(_OPEN_FILES.iterdir())) if _OPEN_FILES.exists() else 0)

    async def left_behind(self) -> int:
        """Return how much more is held now, once what is just ending has ended."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _SECONDS_TO_SETTLE
        while (more := self._more()) and loop.time() < until:  # noqa: ASYNC110 - what ends by itself tells nobody
            await asyncio.sleep(0.02)
        return more

    def _more(self) -> int:
        now = Held.now()
        return max(0, now.tasks - self.tasks) + max(0, now.files - self.files)


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    waiting, met = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in met:
            continue
        met.add(id(one))
        yield one
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions

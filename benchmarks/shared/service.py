"""A web service in a process of its own, under the server a user would run it with."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
UVICORN = ("-m", "uvicorn", "--port", "0", "--timeout-graceful-shutdown", "1")
AIOHTTP = ("-m", "aiohttp.web", "--hostname", "127.0.0.1", "--port", "0")

_SECONDS_TO_START = 30.0
_SECONDS_TO_END = 15.0
_RUNNING = re.compile(r"running on (http://127\.0\.0\.1:\d+)", re.IGNORECASE)


class Service:
    """A service that accepts requests.

    Attributes:
        url: where.
        pid: its process.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process, self._log = process, log
        self.pid = process.pid
        self.url = self._announced()

    @property
    def output(self) -> str:
        """All it has said so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> float:
        """Ask it to end, as whatever runs it would, and return the seconds that took."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_SECONDS_TO_END)
        return time.monotonic() - began

    def _announced(self) -> str:
        give_up = time.monotonic() + _SECONDS_TO_START
        while not (found := _RUNNING.search(self.output)):
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"the service does not run:\n{self.output}")
            time.sleep(0.02)  # a process tells in its own time that it runs
        return found[1]


@contextmanager
def running(environment: Mapping[str, str], folder: Path, *command: str) -> Iterator[Service]:
    """Run a service until the block ends.

    Args:
        environment: what it has to know, besides the environment of this process.
        folder: where it runs; its output goes there.
        *command: how Python runs it; the services of the tests can be imported.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    log = folder / "service.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **environment},
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield Service(process, log)
        finally:
            process.kill()

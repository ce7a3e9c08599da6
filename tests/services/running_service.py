"""A service in a process of its own, under the server a user would run it with."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from nxcdr_async.testing import Gateway

HERE = Path(__file__).parent
UVICORN = ("-m", "uvicorn", "--port", "0", "--timeout-graceful-shutdown", "1")
AIOHTTP = ("-m", "aiohttp.web", "--hostname", "127.0.0.1", "--port", "0")
SERVERS = [name for name in ("h11", "httptools") if find_spec(name)]
"""What uvicorn can read HTTP with here."""

TOKEN = "token-of-no-value"

_SECONDS_TO_START = 30.0
_SECONDS_TO_END = 15.0
_RUNNING = re.compile(r"running on (http://127\.0\.0\.1:\d+)", re.IGNORECASE)
_TROUBLE = re.compile(r"Traceback|Warning|ERROR|Task (was|exception)|never (awaited|retrieved)")


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

    @property
    def trouble(self) -> str:
        """All it has said, if there is anything in it that nobody wants to see in a log."""
        return self.output if _TROUBLE.search(self.output) else ""

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
            time.sleep(0.02)
        return found[1]


RunService = Callable[..., Service]
"""Starts the FastAPI service on an emulator, with options of uvicorn."""


@contextmanager
def running(gateway: Gateway, folder: Path, *command: str) -> Iterator[Service]:
    """Run a service on an emulator until the block ends.

    Args:
        gateway: where its calls come from.
        folder: where it runs; its output, and what it stores, go there.
        *command: how Python runs it.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)]),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "default",
        "NXCDR_GATEWAY": gateway.url,
        "NXCDR_ACCESS_KEY": gateway.credentials.access_key,
        "NXCDR_ACCESS_SECRET": gateway.credentials.access_secret,
        "CALLS_STORE": "calls.sqlite",
        "CALL_PUSH_TOKEN": TOKEN,
    }
    log = folder / "service.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, *command], env=environment, cwd=folder, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield Service(process, log)
        finally:
            process.kill()

"""The services of this folder, run on an emulator."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

from shared.service import Service, running

from nxcdr_async.testing import Gateway

SERVERS = [name for name in ("h11", "httptools") if find_spec(name)]
"""What uvicorn can read HTTP with here."""

STORE = "calls.sqlite"
TOKEN = "token-of-no-value"

RunService = Callable[..., Service]
"""Starts the FastAPI service on an emulator, with options of uvicorn."""

_TROUBLE = re.compile(r"Traceback|Warning|ERROR|Task (was|exception)|never (awaited|retrieved)")


def running_on(gateway: Gateway, folder: Path, *command: str) -> AbstractContextManager[Service]:
    """Run a service on an emulator until the block ends; its output, and what it stores, go into a folder."""
    environment = {
        "PYTHONWARNINGS": "default",
        **gateway.environment(),
        "CALLS_STORE": STORE,
        "CALL_PUSH_TOKEN": TOKEN,
    }
    return running(environment, folder, *command)


def trouble_of(service: Service) -> str:
    """Return all it has said, if there is anything in it that nobody wants to see in a log."""
    return service.output if _TROUBLE.search(service.output) else ""

"""A process that has imported what the command line needs, and runs each command in a fork of itself.

So a test pays for a command and not for its imports. What a fork cannot show is run in a process of its own: flags and
variables of the interpreter, signals, and all that is told about imports.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define

from tests.child_processes import environment_of_children, running_module

LONGEST_RUN = 600
_LONGEST_ORDER = 128 * 1024
_USED_BY_COMMANDS = ("cli", "ingest", "session", "sinks", "sources", "transport", "records")
_IMPORTED_LATE = (
    *("duckdb", "pyarrow", "pyarrow.parquet", "rich.console", "rich.table"),
    *("anyio.to_thread", "anyio._backends._asyncio", "opentelemetry.metrics", "opentelemetry.trace"),
    *("pydantic.type_adapter", "pydantic.types"),  # typer's, as it reads the words of a command
)
"""What commands import only where they need it, and most do."""


@define(eq=False)
class WarmProcess:
    """Runs one command at a time."""

    _socket: socket.socket
    _process: subprocess.Popen[bytes]

    @classmethod
    def started(cls) -> "WarmProcess":
        """Start a process, which imports while we go on."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = running_module("tests.cli.warm_process", theirs.fileno())
            return cls(ours, subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment_of_children()))

    def run(self, words: tuple[str, ...], environment: dict[str, str], folder: Path) -> tuple[int, bytes, bytes]:
        """Return the code a command ends with, and what it wrote to both of its streams."""
        order = json.dumps({"words": words, "environment": environment, "folder": str(folder)}).encode()
        out, to_out = os.pipe()
        err, to_err = os.pipe()
        socket.send_fds(self._socket, [order], [to_out, to_err])
        os.close(to_out)
        os.close(to_err)
        written = _read_to_the_end(out, err)
        return int(self._socket.recv(_LONGEST_ORDER)), written[out], written[err]

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait()


def _read_to_the_end(*pipes: int) -> dict[int, bytes]:
    written = dict.fromkeys(pipes, b"")
    with selectors.DefaultSelector() as waiting:
        for pipe in pipes:
            waiting.register(pipe, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _ in waiting.select():
                if part := os.read(key.fd, 65_536):
                    written[key.fd] += part
                else:
                    waiting.unregister(key.fd)
                    os.close(key.fd)
    return written


def _serve(orders: socket.socket) -> dict[str, Any] | None:
    """Fork for each order; returns the order in the fork, and nothing once nobody asks any more."""
    while True:
        order, pipes, _, _ = socket.recv_fds(orders, _LONGEST_ORDER, 2)
        if not order:
            return None
        # Of several threads one could hold a lock that is never let go of in what is forked.
        assert threading.active_count() == 1
        forked = os.fork()
        if forked == 0:
            orders.close()
            _take_over(pipes)
            told: dict[str, Any] = json.loads(order)
            return told
        for pipe in pipes:
            os.close(pipe)
        _, status = os.waitpid(forked, 0)
        orders.send(str(os.waitstatus_to_exitcode(status)).encode())


def _take_over(pipes: list[int]) -> None:
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for stream, file in enumerate((nowhere, *pipes)):
        os.dup2(file, stream)
        os.close(file)
    signal.alarm(LONGEST_RUN)


def main() -> None:
    import nxcdr_async  # noqa: PLC0415 - whoever starts this process need not wait for it

    for module in pkgutil.walk_packages(nxcdr_async.__path__, f"{nxcdr_async.__name__}."):
        if module.name.split(".")[1] in _USED_BY_COMMANDS:
            importlib.import_module(module.name)
    for name in _IMPORTED_LATE:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else each fork would go through all of it as it ends
    with socket.socket(fileno=int(sys.argv[1])) as orders, suppress(KeyboardInterrupt):
        order = _serve(orders)
    if order is None:
        return
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    time.tzset()
    sys.argv[1:] = order["words"]
    runpy.run_module("nxcdr_async", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

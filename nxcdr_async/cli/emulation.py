"""Serving the emulator until it is told to stop."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Thread

import anyio
import msgspec

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.run import CommandError
from nxcdr_async.cli.stdout import write_lines
from nxcdr_async.testing.gateway import Gateway

Lifetime = Callable[[], Awaitable[object]]


def emulate(gateway: Gateway, port: int, lifetime: Lifetime) -> ExitCode:
    """Announce an emulator as one line of JSON on stdout, then serve; returns the exit code.

    Args:
        gateway: the emulator.
        port: the port it was made for.
        lifetime: returns when it should end; SIGINT and SIGTERM end it too.

    Raises:
        CommandError: the port is taken, or not ours to take.
        ReaderGoneError: nobody reads the announcement.
    """
    with suppress(KeyboardInterrupt):
        anyio.run(_serve, gateway, port, lifetime)
    return ExitCode.DONE


async def until_stdin_ends() -> None:
    """Wait until stdin is closed: however the process that holds its other end dies, this one does not outlive it."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        while os.read(0, 1024):
            pass
        with suppress(RuntimeError):  # the loop was closed first
            loop.call_soon_threadsafe(ended.set)

    # A thread, as not every platform's event loop can wait for stdin; a daemon, as nothing can wake it.
    Thread(target=watch, name="nxcdr stdin", daemon=True).start()
    await ended.wait()


async def _serve(gateway: Gateway, port: int, lifetime: Lifetime) -> None:
    try:
        async with gateway.serving():
            await write_lines(msgspec.json.encode(gateway.announcement()) + b"\n")
            await lifetime()
    except OSError as error:
        raise CommandError(f"cannot listen on port {port}: {error.strerror or error}") from None

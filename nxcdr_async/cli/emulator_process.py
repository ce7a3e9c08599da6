"""An emulator in a process of its own, so that it has a processor core of its own too."""

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from subprocess import PIPE

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from nxcdr_async._util.clocks import fail_after, move_on_after
from nxcdr_async.cli.run import CommandError
from nxcdr_async.config import may_hold_secret

SECONDS_TO_START = 30.0
SECONDS_TO_END = 5.0
_LONGEST_LINE = 65_536


class Announcement(msgspec.Struct):
    """The first line an emulator writes."""

    gateway: str
    access_key: str
    access_secret: str
    calls: int
    first_call: datetime
    last_call: datetime


@asynccontextmanager
async def emulator_process(options: Sequence[str]) -> AsyncIterator[Announcement]:
    """Run `nxcdr emulator` until the block ends, whichever way it does.

    Raises:
        CommandError: it did not start.
    """
    # -P: a file of the user's in this folder, json.py say, must not be taken for a module.
    command = [sys.executable, "-P", "-m", "nxcdr_async", "emulator", "--port", "0", "--while-stdin-open", *options]
    # A session of its own, so that Ctrl-C is ours to handle; and it ends with its stdin, should we be killed.
    process = await anyio.open_process(
        command, stdin=PIPE, stdout=PIPE, stderr=None, start_new_session=True, env=_environment()
    )
    try:
        yield await _announced(process)
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


def _environment() -> dict[str, str]:
    """Return ours without the secrets of the user, which an emulator has no use for."""
    return {name: value for name, value in os.environ.items() if not may_hold_secret(name)}


async def _announced(process: Process) -> Announcement:
    if process.stdout is None:
        raise CommandError("the emulator has no stdout")
    try:
        with fail_after(SECONDS_TO_START):
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", _LONGEST_LINE)
        return msgspec.json.decode(line, type=Announcement)
    except (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound, msgspec.MsgspecError):
        raise CommandError("the emulator did not start; what it says stands above") from None
    except TimeoutError:
        raise CommandError(f"the emulator did not start within {SECONDS_TO_START:.0f} s") from None


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        with move_on_after(SECONDS_TO_END):
            await process.wait()
    if process.returncode is None:
        process.kill()
    await process.aclose()

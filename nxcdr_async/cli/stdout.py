"""JSON lines for programs, on stdout."""

import asyncio
import os
import re
import sys
from concurrent.futures import Future
from threading import Thread

from nxcdr_async.errors import NxcdrError

_NOT_ON_A_LINE = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]",
)
"""What JSON allows bare in a string though it steers terminals, ends lines or turns the order of what is read.

DEL, C1 controls, U+2028 and U+2029, and the controls of writing direction: U+061C, U+200E, U+200F, U+202A to U+202E and
U+2066 to U+2069.
"""


class ReaderGoneError(Exception):
    """Whoever read our stdout has closed it, as `head` does."""


async def write_lines(lines: bytes) -> None:
    """Write JSON lines to stdout without keeping the event loop from its work while the reader is slow.

    A write that is cancelled goes on for as long as the process lives, which may cut a line short.

    Raises:
        ReaderGoneError: nobody reads any more.
        NxcdrError: it cannot be written.
    """
    written: Future[None] = Future()
    written.set_running_or_notify_cancel()
    # A daemon, as nothing can wake it while the reader does not read, and the process would wait for any other to end.
    Thread(target=_write_and_settle, args=(written, escaped(lines)), name="nxcdr stdout", daemon=True).start()
    await asyncio.wrap_future(written)


def write_at_once(lines: bytes) -> None:
    """Write JSON lines to stdout, past its buffer, however long the reader takes.

    Raises:
        ReaderGoneError: nobody reads any more.
        NxcdrError: it cannot be written.
    """
    left = memoryview(lines)
    try:
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]
    except BrokenPipeError:
        raise ReaderGoneError from None
    except OSError as error:
        raise _not_written(error) from None


def flush_stdout() -> None:
    """Send what was printed on its way.

    Raises:
        ReaderGoneError: nobody reads any more.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGoneError from None
    except OSError as error:
        raise _not_written(error) from None


def escaped(lines: bytes) -> bytes:
    """Return JSON lines that mean the same and have nothing in them that a terminal would obey."""
    return _NOT_ON_A_LINE.sub(lambda found: f"\\u{ord(found[0].decode()):04x}".encode(), lines)


def _write_and_settle(written: Future[None], lines: bytes) -> None:
    try:
        write_at_once(lines)
    except Exception as error:  # noqa: BLE001 - raised again where it is awaited
        written.set_exception(error)
    else:
        written.set_result(None)


def _not_written(error: OSError) -> NxcdrError:
    return NxcdrError(f"cannot write the output: {error.strerror}")

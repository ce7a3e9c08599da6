"""JSON lines for programs, on stdout."""

import asyncio
import os
import re
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from threading import Thread
from typing import TextIO

from nxcdr_async.errors import NxcdrError

_NOT_ON_A_LINE = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]",
)
"""What JSON allows bare in a string though it steers terminals, ends lines or turns the order of what is read.

DEL, C1 controls, U+2028 and U+2029, and the controls of writing direction: U+061C, U+200E, U+200F, U+202A to U+202E and
U+2066 to U+2069.
"""


_PIPE_TAKES_WHOLE = 4_096
"""Bytes that a pipe takes all of or none: PIPE_BUF of Linux. Elsewhere it may be 512, shorter than most records."""


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


def is_read_by_another(stream: TextIO) -> bool:
    """Return whether a program reads what is written to a stream: it is a pipe or a socket, no file and no terminal."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):  # no file at all, as where tests have it
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def write_at_once(lines: bytes) -> None:
    """Write JSON lines to stdout, past its buffer, however long the reader takes.

    A pipe gets whole lines at a time, as few bytes as it takes all or none of: so no other line, as of stderr, comes to
    stand in the middle of one, and who is stopped leaves no half of one behind.

    Raises:
        ReaderGoneError: nobody reads any more.
        NxcdrError: it cannot be written.
    """
    parts = whole_lines(lines, _PIPE_TAKES_WHOLE) if is_read_by_another(sys.stdout) else (lines,)
    try:
        for part in parts:
            left = memoryview(part)
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


def whole_lines(lines: bytes, size: int) -> Iterator[bytes]:
    """Return lines in parts of so many bytes at most that end where a line does; a longer line is a part of its own."""
    start = 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + size) + 1 or lines.find(b"\n", start) + 1 or len(lines)
        yield lines[start:end]
        start = end


def _write_and_settle(written: Future[None], lines: bytes) -> None:
    try:
        write_at_once(lines)
    except Exception as error:  # noqa: BLE001 - raised again where it is awaited
        written.set_exception(error)
    else:
        written.set_result(None)


def _not_written(error: OSError) -> NxcdrError:
    return NxcdrError(f"cannot write the output: {error.strerror}")

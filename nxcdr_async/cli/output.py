"""What goes out: clean text for people on stderr, JSON lines for programs on stdout."""

import os
import re
import sys
from typing import TextIO

import anyio

from nxcdr_async.errors import NxcdrError

_NOT_ON_A_LINE = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
"""What JSON allows bare in a string though it steers terminals or ends lines: DEL, C1 controls, U+2028 and U+2029."""


class ReaderGoneError(Exception):
    """Whoever read our stdout has closed it, as `head` does."""


def say(text: str) -> None:
    """Write one line for people to stderr."""
    sys.stderr.write(f"{shown(text, sys.stderr)}\n")
    sys.stderr.flush()


def shown(text: str, stream: TextIO) -> str:
    """Return text of anybody's as one line that cannot steer a terminal and that the stream can encode."""
    line = "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in text)
    encoding = stream.encoding or "ascii"
    return line.encode(encoding, "replace").decode(encoding)


def can_show(symbols: str, stream: TextIO) -> bool:
    """Tell whether a stream can encode these symbols."""
    return shown(symbols, stream) == symbols


def say_error(error: NxcdrError) -> None:
    """Write an error and what was noted about it to stderr."""
    say(f"error: {error}")
    for note in getattr(error, "__notes__", ()):
        say(f"  {note}")


async def write_lines(lines: bytes) -> None:
    """Write JSON lines to stdout without keeping the event loop from its work while the reader is slow.

    Raises:
        ReaderGoneError: nobody reads any more.
    """
    await anyio.to_thread.run_sync(_write_all, _NOT_ON_A_LINE.sub(_escaped, lines), abandon_on_cancel=True)


def _escaped(found: re.Match[bytes]) -> bytes:
    return f"\\u{ord(found[0].decode()):04x}".encode()


def _write_all(lines: bytes) -> None:
    left = memoryview(lines)
    try:
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]
    except BrokenPipeError:
        raise ReaderGoneError from None

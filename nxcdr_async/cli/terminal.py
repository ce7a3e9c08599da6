"""The standard streams, whatever a shell or a service gave us for them, and plain lines for people on stderr."""

import os
import sys
from contextlib import suppress
from threading import Thread
from typing import Literal, TextIO

from nxcdr_async.errors import NxcdrError

SECONDS_FOR_THE_LAST_LINE = 0.5

_MINUTE, _MEGABYTE = 60, 1_000_000
_SECONDS_UP_TO, _TENTHS_UP_TO = 2 * _MINUTE, 10 * _MINUTE


def open_closed_streams() -> None:
    """Open the null device in place of the streams that were closed before we began.

    Python has None for each of them, and the system would give its number to the next file or connection.
    """
    if sys.stdin is None:
        sys.stdin = _null_device("r")
    if sys.stdout is None:
        sys.stdout = _null_device("w")
    if sys.stderr is None:
        sys.stderr = _null_device("w")


def discard(stream: TextIO) -> None:
    """Drop what a stream holds and all that comes, so that nothing waits or complains when it is flushed at exit."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, stream.fileno())
    os.close(null_device)


def flush_or_discard(stream: TextIO) -> None:
    """Drop what a stream holds if it can never be written: Python would end with a code of its own for it."""
    try:
        stream.flush()
    except OSError:
        discard(stream)


def say(text: str) -> None:
    """Write one line for people to stderr, if it can be written: no work fails for want of a line about it."""
    with suppress(OSError):
        sys.stderr.write(f"{printable(text, sys.stderr)}\n")
        sys.stderr.flush()


def say_error(error: NxcdrError) -> None:
    """Write an error and the notes on it to stderr."""
    say(f"error: {error}")
    for note in getattr(error, "__notes__", ()):
        say(f"  {note}")


def say_last(text: str) -> None:
    """Write the last line for people to stderr, and do not wait long for somebody to read it."""
    line = f"{printable(text, sys.stderr)}\n".encode(sys.stderr.encoding or "ascii")
    # Past the stream and its lock, which nothing could take at exit if this thread were still in it.
    thread = Thread(target=_write, args=(sys.stderr.fileno(), line), name="nxcdr stderr", daemon=True)
    thread.start()
    thread.join(SECONDS_FOR_THE_LAST_LINE)
    if thread.is_alive():
        discard(sys.stderr)


def printable(text: str, stream: TextIO) -> str:
    """Return text of anybody's as one line that cannot steer a terminal and that the stream can encode."""
    line = "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in text)
    encoding = stream.encoding or "ascii"
    return line.encode(encoding, "replace").decode(encoding)


def can_show(symbols: str, stream: TextIO) -> bool:
    """Return whether a stream can encode these symbols."""
    return printable(symbols, stream) == symbols


def duration(seconds: float) -> str:
    """Return a duration in the unit people would count it in."""
    if seconds < _SECONDS_UP_TO:
        return f"{seconds:.0f} s"
    minutes = seconds / _MINUTE
    return f"{minutes:.1f} min" if seconds < _TENTHS_UP_TO else f"{minutes:,.0f} min"


def megabytes(size: float) -> str:
    """Return a number of bytes in megabytes."""
    return f"{size / _MEGABYTE:,.1f} MB"


def _write(descriptor: int, line: bytes) -> None:
    with suppress(OSError):
        os.write(descriptor, line)


def _null_device(mode: Literal["r", "w"]) -> TextIO:
    descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest free number: that of the stream
    return open(descriptor, mode, encoding="utf-8", closefd=False)  # never closed, as Python's own

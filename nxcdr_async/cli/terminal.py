"""Text and tables for people: clean lines, and numbers as they say them."""

import os
import sys
from contextlib import suppress
from threading import Thread
from typing import NoReturn, TextIO

from rich.console import Console

from nxcdr_async.cli.stdout import ReaderGoneError
from nxcdr_async.cli.streams import point_to_nowhere
from nxcdr_async.errors import NxcdrError

SECONDS_IN_PASSING = 0.5

_MINUTE, _MEGABYTE = 60, 1_000_000
_SECONDS_UP_TO, _TENTHS_UP_TO = 2 * _MINUTE, 10 * _MINUTE


def say(text: str) -> None:
    """Write one line for people to stderr, if it can be written: no work fails for want of a line about it."""
    with suppress(OSError):
        sys.stderr.write(f"{shown(text, sys.stderr)}\n")
        sys.stderr.flush()


def say_in_passing(text: str) -> None:
    """Write one line for people to stderr as the last, and do not wait long for somebody to read it."""
    line = f"{shown(text, sys.stderr)}\n".encode(sys.stderr.encoding or "ascii")
    # Past the stream and its lock, which nothing could take at exit if this thread were still in it.
    thread = Thread(target=_write, args=(sys.stderr.fileno(), line), name="nxcdr stderr", daemon=True)
    thread.start()
    thread.join(SECONDS_IN_PASSING)
    if thread.is_alive():
        point_to_nowhere(sys.stderr)


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


class PlainConsole(Console):
    """A console that shows text as it is: no markup, no emoji, no colours of its own choice."""

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> NoReturn:
        """Tell that nobody reads any more.

        Raises:
            ReaderGoneError: always.
        """
        raise ReaderGoneError from None

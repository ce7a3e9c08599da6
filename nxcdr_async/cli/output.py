"""Text for people: one clean line at a time, on stderr."""

import sys
from typing import TextIO

from nxcdr_async.errors import NxcdrError


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

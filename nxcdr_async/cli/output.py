"""Text for people: clean lines, and numbers as they say them."""

import sys
from typing import TextIO

from nxcdr_async.errors import NxcdrError

_MINUTE, _MEGABYTE = 60, 1_000_000
_SECONDS_UP_TO, _TENTHS_UP_TO = 2 * _MINUTE, 10 * _MINUTE


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


def duration(seconds: float) -> str:
    """Return a duration in the unit people would count it in."""
    if seconds < _SECONDS_UP_TO:
        return f"{seconds:.0f} s"
    minutes = seconds / _MINUTE
    return f"{minutes:.1f} min" if seconds < _TENTHS_UP_TO else f"{minutes:,.0f} min"


def megabytes(size: float) -> str:
    """Return a number of bytes in megabytes."""
    return f"{size / _MEGABYTE:,.1f} MB"

"""The three standard streams, whatever a shell or a service gave us for them."""

import os
import sys
from typing import Literal, TextIO


def open_closed_streams() -> None:
    """Let nowhere stand for the streams that were closed before we began.

    Python has None for each of them, and the system would give its number to the next file or connection.
    """
    if sys.stdin is None:
        sys.stdin = _nowhere("r")
    if sys.stdout is None:
        sys.stdout = _nowhere("w")
    if sys.stderr is None:
        sys.stderr = _nowhere("w")


def point_to_nowhere(stream: TextIO) -> None:
    """Drop what a stream holds and all that comes, so that nothing waits or complains when it is flushed at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def drop_what_cannot_be_written(stream: TextIO) -> None:
    """Drop what a stream holds if it can never be written: Python would end with a code of its own for it."""
    try:
        stream.flush()
    except OSError:
        point_to_nowhere(stream)


def _nowhere(mode: Literal["r", "w"]) -> TextIO:
    descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest free number: that of the stream
    return open(descriptor, mode, encoding="utf-8", closefd=False)  # never closed, as Python's own

"""The standard streams, whatever a shell or a service gave us for them, and plain lines for people on stderr."""

import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from threading import Thread
from typing import Any, ClassVar, Literal, TextIO
from unicodedata import east_asian_width

from nxcdr_async.errors import NxcdrError

SECONDS_FOR_THE_LAST_LINE = 0.5

Level = Literal["info", "warning", "error"]

LABEL_WIDTH = 10
"""Columns that the labels of a report take, with the space behind them."""

_UNITS_OF_TIME = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_UNITS_OF_SIZE = ("kB", "MB", "GB", "TB")
_THOUSAND = 1_000


class Manner:
    """How lines are written to stderr, the same for the whole process.

    Attributes:
        is_quiet: whether those are left out that tell of nothing wrong.
        is_json: whether each is a JSON object, for programs.
    """

    is_quiet: ClassVar[bool] = False
    is_json: ClassVar[bool] = False

    @classmethod
    def shows_bars(cls) -> bool:
        """Return whether there is a terminal that may be drawn on."""
        return sys.stderr.isatty() and not (cls.is_quiet or cls.is_json)


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


def say(text: str, level: Level = "info", *, indent: int = 0, **facts: Any) -> None:
    """Write one line to stderr, if it can be written: no work fails for want of a line about it.

    On a terminal that is too narrow for it, it goes on in further lines. Elsewhere it stays one line, for who searches
    a log.

    Args:
        text: for people.
        level: how much it matters; what is quiet leaves out "info".
        indent: spaces before each further line.
        facts: what a program reads on a line of JSON, besides the text.
    """
    if level == "info" and Manner.is_quiet:
        return
    with suppress(OSError):
        sys.stderr.write(_line(text, level, indent, facts))
        sys.stderr.flush()


def say_labelled(label: str, text: str, level: Level = "info") -> None:
    """Write a line of a report to stderr: its label, and beside it what there is to say."""
    say(f"{label:<{LABEL_WIDTH}}{text}", level, indent=LABEL_WIDTH)


def say_error(error: NxcdrError) -> None:
    """Write an error and the notes on it to stderr."""
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    if Manner.is_json:
        say(str(error), "error", error_class=type(error).__name__, notes=notes)
        return
    say(f"error: {error}", "error", indent=len("error: "))
    for note in notes:
        say(f"  {note}", "error", indent=2)


def say_last(text: str) -> None:
    """Write the last line for people to stderr, and do not wait long for somebody to read it."""
    line = _line(text, "info", 0, {}).encode(sys.stderr.encoding or "ascii")
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


def wrapped(text: str, width: int, indent: int = 0) -> str:
    """Break a line at its words, where it is too long; a word that is longer than a line stays whole.

    Args:
        text: one line.
        width: columns there are; letters of East Asia take two.
        indent: spaces before each further line.
    """
    if _columns(text) <= width:
        return text
    start = text[: len(text) - len(text.lstrip(" "))]
    lines: list[str] = []
    line = ""
    # Only single spaces part words: the label of a report keeps those behind it.
    for word in text[len(start) :].split(" "):
        margin = start if not lines else " " * indent
        if line.strip() and _columns(f"{margin}{line} {word}") > width:
            lines.append(f"{margin}{line}".rstrip())
            line = word
        else:
            line = f"{line} {word}" if line else word
    return "\n".join([*lines, f"{' ' * indent if lines else start}{line}"])


def duration(seconds: float) -> str:
    """Return a duration as people say it, by its two largest units: 0.4 s, 45 s, 3 min 36 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    left = round(seconds)
    for (unit, size), (finer, part) in pairwise(_UNITS_OF_TIME):
        if left >= size:
            whole, rest = divmod(round(left / part) * part, size)
            return f"{whole:,} {unit} {rest // part} {finer}" if rest else f"{whole:,} {unit}"
    return f"{left} s"


def size_text(size: float) -> str:
    """Return a number of bytes in the unit people would count it in: 3.1 kB, 78.6 MB, 1.2 GB."""
    for unit in _UNITS_OF_SIZE:
        size /= _THOUSAND
        if round(size, 1) < _THOUSAND or unit == _UNITS_OF_SIZE[-1]:
            break
    return f"{size:,.1f} {unit}"


def _terminal_width(stream: TextIO) -> int | None:
    """Return the columns of the terminal behind a stream, None if there is none, or it does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):  # no terminal; no file at all, as where tests have it
        return None


def _columns(text: str) -> int:
    return sum(2 if east_asian_width(one) in "WF" else 1 for one in text)


def json_text(facts: dict[str, Any]) -> str:
    """Return a line of JSON in plain ASCII, which any log takes."""
    return json.dumps(facts, default=_json_value).replace("\x7f", "\\u007f") + "\n"


def _json_value(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _line(text: str, level: Level, indent: int, facts: dict[str, Any]) -> str:
    if Manner.is_json:
        return json_text({"time": datetime.now(UTC), "level": level, "message": text, **facts})
    line = printable(text, sys.stderr)
    width = _terminal_width(sys.stderr)
    return f"{line if width is None else wrapped(line, width, indent)}\n"


def _write(descriptor: int, line: bytes) -> None:
    with suppress(OSError):
        os.write(descriptor, line)


def _null_device(mode: Literal["r", "w"]) -> TextIO:
    descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest free number: that of the stream
    return open(descriptor, mode, encoding="utf-8", closefd=False)  # never closed, as Python's own

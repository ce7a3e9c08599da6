"""What people see, as words on lines: how long, how much, how many, and where a line breaks."""

import os
import struct
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from nxcdr_async._util.counts import counted
from nxcdr_async.cli.terminal import duration, say_labelled, size_text, wrapped

WORDS = st.text(st.sampled_from("ab牛,"), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (1, "1 s"),
        (119.6, "2 min"),
        (216.7, "3 min 37 s"),
        (7_500, "2 h 5 min"),
        (10_780, "3 h"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_told_one_way(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("size", "told"),
    [(500, "0.5 kB"), (78.6e6, "78.6 MB"), (999.96e6, "1.0 GB"), (1.23e9, "1.2 GB"), (2e15, "2,000.0 TB")],
)
def test_sizes_are_told_in_the_unit_that_fits(size: float, told: str) -> None:
    assert size_text(size) == told


def test_one_thing_is_not_many() -> None:
    assert (counted(1, "row"), counted(0, "row"), counted(1_200, "reply", "replies")) == (
        "1 row",
        "0 rows",
        "1,200 replies",
    )


@given(st.lists(WORDS, min_size=1), st.integers(30, 80), st.integers(0, 10))
def test_a_line_breaks_only_at_its_words(words: list[str], width: int, indent: int) -> None:
    lines = wrapped(" ".join(words), width, indent).splitlines()
    assert " ".join(line.strip() for line in lines) == " ".join(words)
    assert all(line.startswith(" " * indent) for line in lines[1:])
    assert all(len(line) + line.count("牛") <= width for line in lines)


def test_a_label_keeps_its_column_and_a_long_word_stays_whole() -> None:
    assert wrapped("calls     one two three", 20, 10) == "calls     one two\n          three"
    assert wrapped("  " + "x" * 30, 20, 2) == "  " + "x" * 30


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_whole_words(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    fcntl, termios, pty = (pytest.importorskip(name) for name in ("fcntl", "termios", "pty"))
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(end, "w") as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        say_labelled("calls", " ".join(["missing"] * 20))
    lines = _written_to(terminal).splitlines()
    assert max(map(len, lines)) <= columns
    assert set(" ".join(lines).split()) == {"calls", "missing"}
    assert all(line.startswith(" " * 10) for line in lines[1:])


def test_a_log_has_it_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say_labelled("calls", " ".join(["missing"] * 60))
    assert capsys.readouterr().err.count("\n") == 1


def _written_to(terminal: Any) -> str:
    told = b""
    with suppress(OSError):
        while more := os.read(terminal, 65_536):
            told += more
    os.close(terminal)
    return told.decode()

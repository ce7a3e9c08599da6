"""What people see of a backfill while it runs: on a terminal, and in a log."""

import os
import re
import struct
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from attrs import evolve

from nxcdr_async.cli import progress
from nxcdr_async.cli.progress import RunStatus, bar_or_lines
from nxcdr_async.ingest.report import BackfillProgress
from nxcdr_async.stats import SessionStats
from nxcdr_async.testing import Gateway

STATS = SessionStats(
    requests=1_234,
    retries=3,
    throttled=2,
    clock_refusals=0,
    in_flight=12,
    peak_in_flight=16,
    concurrency_limit=16,
    rate_limit=None,
    clock_skew=0.0,
)
PROGRESS = BackfillProgress(
    source="calls",
    windows=12,
    windows_expected=64,
    share=0.1875,
    rows=120_000,
    rows_read=123_456,
    seconds=50.0,
    rows_per_second=8_123.4,
    seconds_left=216.7,
    requests=1_200,
    in_flight=16,
    limit=16,
    throttled=0,
    retries=0,
    reached=datetime(2026, 1, 14, 11, 12, tzinfo=UTC),
    complete_until=datetime(2026, 1, 12, 3, 0, tzinfo=UTC),
)


def test_a_status_has_every_figure_and_the_counts_of_this_moment() -> None:
    status = RunStatus(PROGRESS, STATS, silent=0.1)
    assert (status.share, status.count) == (0.1875, "12 of about 64")
    assert status.details == (
        "123,456 rows, 8,123 rows/s, 3.6 min left",
        "12 of 16 requests in flight, 1,234 sent, 2 throttled, 3 retries",
        "complete until 2026-01-12 03:00Z, stored to 2026-01-14 11:12Z",
    )


def test_a_rate_of_before_is_not_told_while_nothing_comes() -> None:
    assert RunStatus(PROGRESS, STATS, silent=17.0).details[0] == "123,456 rows, no news for 17 s, 3.6 min left"
    nothing = RunStatus(None, STATS, silent=17.0)
    assert (nothing.share, nothing.count) == (0.0, "0")
    assert nothing.details[0] == "nothing read yet"
    unknown = RunStatus(evolve(PROGRESS, seconds_left=None, reached=None, complete_until=None), STATS, silent=0.0)
    assert unknown.details[0].endswith("? left")
    assert unknown.details[2] == "complete until ?"


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([0.0, 1.0, 4.9, 5.0, 6.0, 9.9, 10.1])
    monkeypatch.setattr(progress, "steady", lambda: next(moments))
    with bar_or_lines("windows", 5.0) as display:
        for _ in range(6):
            display.show(RunStatus(PROGRESS, STATS, silent=0.0))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("12 of about 64 windows, 123,456 rows, 8,123 rows/s, ")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a terminal that tells when nobody has its other end")
def test_on_a_terminal_a_backfill_shows_how_far_it_is(nxcdr: Any) -> None:
    fcntl, termios, pty = (pytest.importorskip(name) for name in ("fcntl", "termios", "pty"))
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    words = ("backfill", "calls", "--start", "2026-01-01", "--end", "2026-01-03", "--to", "c.sqlite")
    with Gateway(calls=12_000, days=2, did_calls=0, flash_calls=0) as slow:
        slow.switches.latency = (0.1, 0.1)
        with subprocess.Popen(
            nxcdr.command(*words, "--concurrency", "4"),
            env={**nxcdr.environment, "NXCDR_GATEWAY": slow.url, "TERM": "xterm-256color"},
            cwd=nxcdr.folder,
            stdin=end,
            stdout=subprocess.PIPE,
            stderr=end,
        ) as process:
            os.close(end)
            shown = _all_of(terminal)
            os.close(terminal)
            assert process.wait(60) == 0
            assert process.stdout is not None
            assert process.stdout.read() == b""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.search(r"\d+%  \d+ of about \d+ windows", plain)
    assert re.search(r"[\d,]+ rows, [\d,]+ rows/s, .* left", plain)
    assert re.search(r"[1-4] of 4 requests in flight, [\d,]+ sent, 0 throttled, 0 retries", plain)
    assert "complete until 2026-01-0" in plain
    assert plain.rstrip().splitlines()[-1].startswith("time ")
    assert "12,000 new, 0 changed, 0 unchanged" in plain


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_terminal_that_goes_ends_no_work(nxcdr: Any) -> None:
    pty = pytest.importorskip("pty")
    terminal, end = pty.openpty()
    words = ("backfill", "calls", "--start", "2026-01-01", "--end", "2026-01-03", "--to", "c.sqlite", "--report", "r")
    with subprocess.Popen(
        nxcdr.command(*words),
        env={**nxcdr.environment, "TERM": "xterm-256color"},
        cwd=nxcdr.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=end,
    ) as process:
        os.close(end)
        os.read(terminal, 1)  # its display has begun
        os.close(terminal)
        assert process.wait(60) == 0
    assert msgspec.json.decode((nxcdr.folder / "r").read_bytes())["outcome"] == "done"


def _all_of(terminal: int) -> str:
    told = b""
    with suppress(OSError):  # Linux tells so that nobody has the other end any more
        while more := os.read(terminal, 65_536):
            told += more
    return told.decode()

"""What people see of a backfill while it runs: on a terminal, and in a log."""

import os
import re
import struct
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from attrs import evolve

from nxcdr_async.cli import progress
from nxcdr_async.cli.progress import ReadStatus, RunStatus, bar_or_lines
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
    assert (status.share, status.count) == (0.1875, "calls: 12 of ~64 windows")
    assert status.details == (
        "123,456 rows, 8,123 rows/s, ~3 min 37 s left",
        "12 of 16 requests in flight, 1,234 sent, 2 throttled, 3 retries",
        "complete until 2026-01-12 03:00Z, stored to 2026-01-14 11:12Z",
    )


def test_times_are_shown_in_the_zone_asked_for() -> None:
    status = RunStatus(PROGRESS, STATS, silent=0.1, zone=timezone(timedelta(hours=8)))
    assert status.details[2] == "complete until 2026-01-12 11:00+08:00, stored to 2026-01-14 19:12+08:00"


def test_what_was_known_before_is_not_told_while_nothing_comes() -> None:
    assert RunStatus(PROGRESS, STATS, silent=17.0).details[0] == "123,456 rows, no news for 17 s"
    nothing = RunStatus(None, STATS, silent=17.0)
    assert (nothing.share, nothing.count) == (0.0, "0 windows")
    assert nothing.details[0] == "nothing read yet, no news for 17 s"
    unknown = RunStatus(evolve(PROGRESS, seconds_left=None, reached=None, complete_until=None), STATS, silent=0.0)
    assert "left" not in unknown.details[0]
    assert unknown.details[2] == "complete until ?"


def test_a_gateway_that_does_not_answer_is_told_with_when_it_is_given_up() -> None:
    silent = evolve(STATS, gives_up_in=70.4)
    told = "the gateway does not answer: giving up within 1 min 10 s"
    assert RunStatus(PROGRESS, silent, silent=17.0).details[0] == f"123,456 rows, {told}"
    assert ReadStatus(7, 0.5, 20.0, silent, silent=17.0).details[0].startswith(told)
    assert "giving up" not in RunStatus(PROGRESS, silent, silent=0.5).details[0]  # others are answered meanwhile


def test_counts_are_of_one_or_more_and_about_where_they_may_change() -> None:
    one = evolve(PROGRESS, source="did", windows=1, windows_expected=1, rows_read=1)
    assert RunStatus(one, evolve(STATS, retries=1), silent=0.0).count == "did: 1 of ~1 window"
    assert RunStatus(evolve(one, windows=0), STATS, silent=0.0).count == "did: 0 windows"
    assert ReadStatus(1, 0.0, 1.0, STATS).count == "1 record"
    assert ReadStatus(12_345, 0.25, 5.0, STATS, total=50_000).count == "12,345 of 50,000 calls"
    assert ReadStatus(100, 0.25, 5.0, STATS).details == ("20/s, ~15 s left, 12 in flight, 2 throttled",)


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([0.0, 1.0, 4.9, 5.0, 6.0, 9.9, 10.1])
    monkeypatch.setattr(progress, "steady", lambda: next(moments))
    with bar_or_lines(5.0) as display:
        for _ in range(6):
            display.show(RunStatus(PROGRESS, STATS, silent=0.0))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("calls: 12 of ~64 windows, 123,456 rows, 8,123 rows/s, ")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a terminal that tells when nobody has its other end")
def test_on_a_terminal_a_backfill_shows_how_far_it_is(nxcdr: Any) -> None:
    fcntl, termios, pty = (pytest.importorskip(name) for name in ("fcntl", "termios", "pty"))
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    words = ("backfill", "calls", "--start", "2026-01-01", "--end", "2026-01-03", "--to", "c.sqlite")
    with Gateway(calls=12_000, days=2, did_calls=0, flash_calls=0) as slow:
        slow.switches.latency = (0.1, 0.1)
        slow.switches.order = "ascending"  # newest first, so few calls are one window
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
    assert re.search(r"\d+%  calls: \d+ of ~\d+ windows?", plain)
    assert re.search(r"[\d,]+ rows, [\d,]+ rows/s, ~.* left", plain)
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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
@pytest.mark.parametrize("columns", [80, 120])
def test_whatever_reads_the_records_finds_no_bar_on_its_terminal(nxcdr: Any, columns: int) -> None:
    fcntl, termios, pty = (pytest.importorskip(name) for name in ("fcntl", "termios", "pty"))
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    words = nxcdr.command("calls", "--start", "2026-01-01", "--end", "2026-01-03")
    with subprocess.Popen(
        ["sh", "-c", '"$@" | head -n 3', "sh", *words],
        env={**nxcdr.environment, "TERM": "xterm-256color"},
        stdin=end,
        stdout=end,
        stderr=end,
    ) as process:
        os.close(end)
        shown = _all_of(terminal)
        os.close(terminal)
        assert process.wait(60) == 0
    lines = shown.splitlines()
    assert len({msgspec.json.decode(line)["call_id"] for line in lines}) == len(lines) == 3
    assert "\x1b" not in shown


def _all_of(terminal: int) -> str:
    told = b""
    with suppress(OSError):  # Linux tells so that nobody has the other end any more
        while more := os.read(terminal, 65_536):
            told += more
    return told.decode()

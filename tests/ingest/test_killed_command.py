"""The command `nxcdr backfill` goes on after it was killed, when it is given again."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from nxcdr_async.testing import Gateway
from tests.ingest.stored_calls import known_calls, stored_calls

LOCK_TIMEOUT = 60.0
"""Seconds until a run must have stored a window, on however busy a machine."""

DONE = 0


@contextmanager
def backfilling(gateway: Gateway, to: Path) -> "Iterator[subprocess.Popen[str]]":
    """Give a running command."""
    keys = gateway.credentials
    environment = {"NXCDR_ACCESS_KEY": keys.access_key, "NXCDR_ACCESS_SECRET": keys.access_secret}
    start, end = gateway.first_call, gateway.last_call + timedelta(seconds=1)
    command = [sys.executable, "-m", "nxcdr_async", "backfill", "calls", "--gateway", gateway.url, "--to", str(to)]
    command += ["--start", start.isoformat(), "--end", end.isoformat(), "--concurrency", "4"]
    with subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def windows_of(to: Path) -> int:
    """Count the windows a file holds by now."""
    if not to.exists():
        return 0
    with closing(sqlite3.connect(f"file:{to}?mode=ro", uri=True)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'nxcdr_windows'").fetchone():
            return 0
        (count,) = database.execute("SELECT count(*) FROM nxcdr_windows").fetchone()
        return int(count)


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(tmp_path: Path) -> None:
    to = tmp_path / "calls.sqlite"
    with Gateway(calls=30_000, days=5) as gateway:
        gateway.switches.latency = (0.03, 0.05)
        for _ in range(2):
            before, until = windows_of(to), time.monotonic() + LOCK_TIMEOUT
            with backfilling(gateway, to) as running:
                while windows_of(to) == before:
                    assert running.poll() is None
                    assert time.monotonic() < until
                    time.sleep(0.01)
            assert running.returncode < 0
        asked, stored = gateway.log.requests, len(stored_calls("sqlite", str(to)))
        assert stored
        with backfilling(gateway, to) as running:
            _, told = running.communicate(timeout=LOCK_TIMEOUT)
        assert running.returncode == DONE, told
        # What was stored was not read again.
        assert gateway.log.requests - asked < (30_000 - stored) // 100 + 60
        assert stored_calls("sqlite", str(to)) == known_calls(gateway)

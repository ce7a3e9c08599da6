"""Standard streams as shells and services leave them: closed, on a full disk, or with nobody at their other end."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import msgspec
import pytest

from nxcdr_async.testing import Gateway

fcntl = pytest.importorskip("fcntl", reason="the streams are those of POSIX")
termios = pytest.importorskip("termios", reason="the streams are those of POSIX")

DAYS = ("calls", "--start", "2026-01-01", "--end", "2026-01-03")


def run(nxcdr: Any, redirection: str, *words: str) -> Any:
    """Run `nxcdr` as a shell does with a redirection; the rest of its streams are pipes."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *nxcdr.command(*words)],
        env=nxcdr.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=600,
        check=False,
    )


@pytest.mark.first_of
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_the_rows_come_whatever_became_of_the_other_streams(nxcdr: Any, redirection: str) -> None:
    ended = run(nxcdr, redirection, *DAYS)
    assert ended.returncode == 0
    assert len([msgspec.json.decode(line) for line in ended.stdout.splitlines()]) == 700


def test_a_closed_stdout_is_nowhere(nxcdr: Any) -> None:
    ended = run(nxcdr, ">&-", *DAYS)
    assert ended.returncode == 0
    assert ended.stderr.startswith(b"done: 700 records, ")


def test_other_commands_bear_closed_streams_too(nxcdr: Any) -> None:
    assert run(nxcdr, ">&- 2>&-", "doctor").returncode == 0
    assert run(nxcdr, "2>&-", "calls", "--start", "no time", "--end", "2026-01-03").returncode == 2


def test_an_error_that_cannot_be_said_still_has_its_code(nxcdr: Any) -> None:
    with Path("/dev/full").open("wb") as full:
        command = nxcdr.command("calls", "--start", "no time", "--end", "2026-01-03")
        ended = subprocess.run(command, env=nxcdr.environment, stderr=full, timeout=600, check=False)
    assert ended.returncode == 2


def test_without_a_stdin_nobody_is_asked_for_a_secret(nxcdr: Any) -> None:
    ended = run(nxcdr.without("NXCDR_ACCESS_KEY", "NXCDR_ACCESS_SECRET"), "<&-", *DAYS)
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"error: no credentials: ")


@pytest.mark.first_of
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("errors_to", "told"), [(subprocess.PIPE, b"stopped"), (subprocess.STDOUT, None)], ids=["apart", "together"]
)
def test_it_stops_soon_also_while_nobody_reads(
    nxcdr: Any, number: signal.Signals, errors_to: int, told: bytes | None
) -> None:
    with (
        Gateway(calls=2_000, days=2) as large,
        subprocess.Popen(
            nxcdr.command(*DAYS),
            env={**nxcdr.environment, "NXCDR_GATEWAY": large.url},
            stdout=subprocess.PIPE,
            stderr=errors_to,
        ) as process,
    ):
        assert process.stdout
        try:
            _wait_until_full(process.stdout)
            process.send_signal(number)
            assert process.wait(15) == 130
        finally:
            process.kill()
        if told is None:
            # What the pipe held is whole lines of records, and behind them what was said, if there was room for it.
            held = process.stdout.read().splitlines()
            records = held[:-1] if held[-1].startswith(b"stopped") else held
            assert [msgspec.json.decode(line) for line in records]
        else:
            assert process.stderr
            assert process.stderr.read().startswith(told)


def _wait_until_full(pipe: IO[bytes]) -> None:
    """Wait until a pipe holds all it can, and so does not grow any more."""
    held, until = [0, 0], time.monotonic() + 30
    while not held[-1] or held[-1] != held[-2]:
        assert time.monotonic() < until
        time.sleep(0.5)
        held.append(int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder))

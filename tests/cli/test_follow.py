"""`nxcdr … --follow`: lines as calls turn up, a position in a file, and every way to end."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import pytest

from nxcdr_async.testing import Gateway

PATIENCE = 60.0


@contextmanager
def following(nxcdr: Any, gateway: Gateway, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command that follows, from the last call of the history on."""
    since = ["--since", gateway.last_call.isoformat()]
    with subprocess.Popen(
        nxcdr.command(*words, "--follow", "--every", "1s", *since),
        env={**nxcdr.environment, "NXCDR_GATEWAY": gateway.url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def live() -> Iterator[Gateway]:
    with Gateway(calls=50, did_calls=0, flash_calls=0) as gateway:
        gateway.clock.move_to(gateway.last_call + timedelta(minutes=5))
        yield gateway


def stdout_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def next_id(process: subprocess.Popen[bytes]) -> str:
    return str(json.loads(stdout_of(process).readline())["call_id"])


def add(gateway: Gateway, call_id: str) -> None:
    gateway.add_call(callId=call_id, startTime=gateway.last_call + timedelta(minutes=1))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_lines_come_until_it_is_stopped(nxcdr: Any, live: Gateway, number: signal.Signals) -> None:
    with following(nxcdr, live, "calls") as process:
        assert next_id(process) == live.call_ids()[-1]
        add(live, "new")
        assert next_id(process) == "new"
        process.send_signal(number)
        out, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, b"")
    assert errors == b"stopped\n"


def test_it_ends_once_nobody_reads(nxcdr: Any, live: Gateway) -> None:
    with following(nxcdr, live, "calls") as process:
        next_id(process)
        stdout_of(process).close()
        add(live, "unread")
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_it_goes_on_from_a_position(nxcdr: Any, live: Gateway, tmp_path: Path) -> None:
    place = tmp_path / "position.json"
    words = ("calls", "--position", str(place))
    with following(nxcdr, live, *words) as process:
        first = next_id(process)
        saved_by = time.monotonic() + PATIENCE
        while not (place.exists() and json.loads(place.read_bytes())["handed_out"]):
            assert time.monotonic() < saved_by
            time.sleep(0.01)
    add(live, "meanwhile")
    with following(nxcdr, live, *words) as process:
        assert next_id(process) == "meanwhile" != first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".position")] == []


def test_did_and_flash_calls_are_followed_too(nxcdr: Any, live: Gateway) -> None:
    with following(nxcdr, live, "did") as did, following(nxcdr, live, "flash") as flash:
        added = live.add_did_call(startTime=live.last_call + timedelta(minutes=1))
        assert json.loads(stdout_of(did).readline())["id"] == added
        added = live.add_flash_call(gmtCreate=live.last_call + timedelta(minutes=1))
        assert json.loads(stdout_of(flash).readline())["id"] == added


def test_wrong_use_is_told(nxcdr: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("no JSON")
    runs = [
        (("calls", "--follow", "--start", "2026-01-01"), "leave --start, --end and --last out"),
        (("calls", "--since", "2026-01-01"), "--since and --position are for --follow"),
        (("flash", "--end", "2026-01-01"), "from when on?"),
        (("did",), "from when on?"),
        (("calls", "--follow", "--every", "soon"), "--every 'soon' is no duration"),
        (("calls", "--follow", "--position", str(broken)), "holds no position"),
    ]
    for ended, (_, told) in zip(nxcdr.each([words for words, _ in runs]), runs, strict=True):
        assert ended.code == 2
        assert told in ended.err

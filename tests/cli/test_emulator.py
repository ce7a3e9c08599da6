import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from nxcdr_async.testing import Gateway


@pytest.mark.first_of
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_its_first_line_tells_how_to_use_it(nxcdr: Any, number: signal.Signals) -> None:
    with subprocess.Popen(
        nxcdr.command("emulator", "--calls", "50", "--days", "2", "--first-day", "2026-03-01"),
        env=nxcdr.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        told = msgspec.json.decode(process.stdout.readline())
        session = nxcdr.without()
        session.secrets = [told["access_secret"]]
        ended = session(
            "calls",
            "--start",
            told["first_call"],
            "--end",
            "2026-03-03",
            NXCDR_GATEWAY=told["gateway"],
            NXCDR_ACCESS_KEY=told["access_key"],
            NXCDR_ACCESS_SECRET=told["access_secret"],
        )
        process.send_signal(number)
        rest = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, (b"", b""))
    assert told["calls"] == len(ended.records) == 50
    assert told["last_call"][:23] == ended.records[-1]["start_time"][:23]
    assert set(told) == {
        "gateway",
        "access_key",
        "access_secret",
        "flash_appkey",
        "flash_secretkey",
        "tenant_id",
        "calls",
        "first_call",
        "last_call",
    }


def test_it_can_be_killed_when_a_shell_put_it_in_the_background(nxcdr: Any) -> None:
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *nxcdr.command("emulator", "--calls", "5")]
    with subprocess.Popen(ignoring, env=nxcdr.environment, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        process.terminate()
        assert process.wait(20) == 0


def test_it_limits_how_deep_how_wide_and_how_old_it_answers(nxcdr: Any) -> None:
    limits = ("--depth-cap", "200", "--max-span", "24h", "--retention", "3650d")
    words = nxcdr.command("emulator", "--calls", "500", "--days", "2", *limits)
    with subprocess.Popen(words, env=nxcdr.environment, stdout=subprocess.PIPE) as process:
        told = msgspec.json.decode(process.stdout.readline())
        session = nxcdr.without()
        keys = {"NXCDR_ACCESS_KEY": told["access_key"], "NXCDR_ACCESS_SECRET": told["access_secret"]}
        ended = session("calls", "--start", "2026-01-01", "--end", "2026-01-04", NXCDR_GATEWAY=told["gateway"], **keys)
        old = session("calls", "--start", "2001-01-01", "--end", "2002-01-01", NXCDR_GATEWAY=told["gateway"], **keys)
        process.terminate()
    assert (ended.code, len(ended.records)) == (0, 500)
    assert "error: the gateway refuses what is older than 2002-01-01" in old.err


@pytest.mark.first_of
@pytest.mark.parametrize(
    "words", [("--depth-cap", "0"), ("--max-span", "0d"), ("--retention", "0h"), ("--retention", "soon")]
)
def test_limits_of_nothing_are_refused(nxcdr: Any, words: tuple[str, ...]) -> None:
    (ended,) = nxcdr.each([("emulator", *words)])
    assert ended.code == 2


def test_it_can_end_with_its_stdin(nxcdr: Any) -> None:
    with subprocess.Popen(
        nxcdr.command("emulator", "--calls", "5", "--while-stdin-open"),
        env=nxcdr.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline()
        process.stdin.close()
        assert process.wait(20) == 0


def test_it_can_be_live(nxcdr: Any) -> None:
    words = nxcdr.command("emulator", "--live", "--first-day", "yesterday", "--calls-per-minute", "60")
    with subprocess.Popen(words, env=nxcdr.environment, stdout=subprocess.PIPE) as process:
        told = msgspec.json.decode(process.stdout.readline())
        process.terminate()
    since = datetime.now(UTC) - datetime.fromisoformat(told["last_call"])
    assert since < timedelta(minutes=5)
    assert told["calls"] > 3_000


def test_calls_a_minute_are_of_a_live_one(nxcdr: Any) -> None:
    ended = nxcdr("emulator", "--calls-per-minute", "60")
    assert (ended.code, ended.err) == (2, "error: --calls-per-minute is for a live tenant: give --live too\n")


def test_a_port_in_use(nxcdr: Any, gateway: Gateway) -> None:
    port = gateway.url.rpartition(":")[2]
    ended = nxcdr("emulator", "--port", port)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"error: cannot listen on port {port}: ")


def test_its_switches_reach_it(nxcdr: Any) -> None:
    with subprocess.Popen(
        nxcdr.command("emulator", "--calls", "5", "--max-per-second", "0.01", "--retry-after", "3"),
        env=nxcdr.environment,
        stdout=subprocess.PIPE,
    ) as process:
        url = msgspec.json.decode(process.stdout.readline())["gateway"]
        flash = f"{url}/otp/call/list"
        codes = [_curl(flash), _curl(flash)]
        os.kill(process.pid, signal.SIGTERM)
    assert codes == [200, 429]


def _curl(url: str) -> int:
    from urllib.error import HTTPError  # noqa: PLC0415 - the one place that asks without a session
    from urllib.request import urlopen  # noqa: PLC0415 - likewise

    try:
        with urlopen(url) as reply:
            return reply.status
    except HTTPError as refused:
        with refused:
            return refused.code

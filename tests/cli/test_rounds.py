"""`nxcdr sync --every` in processes of its own: rounds, what is told of them, and how they end."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from prometheus_client.parser import text_string_to_metric_families

from nxcdr_async.testing import Gateway

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")

LONGEST = 60.0
"""Seconds that anything here may take on however busy a machine."""


@pytest.fixture
def live() -> Iterator[Gateway]:
    """Give a gateway whose calls are of yesterday and today."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    with Gateway(calls=300, days=2, first_day=yesterday, did_calls=20, flash_calls=20) as gateway:
        yield gateway


def yesterday_at_midnight() -> str:
    return (datetime.now(UTC) - timedelta(days=1)).date().isoformat()


@define(eq=False)
class Running:
    """A run of `nxcdr` and the lines it writes to stderr."""

    process: "subprocess.Popen[str]"

    def line(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.readline().rstrip("\n")

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, list[str]]:
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=LONGEST)
        return self.process.returncode, rest.splitlines()


@contextmanager
def syncing(nxcdr: Any, gateway: Gateway, *words: str, **variables: str) -> Iterator[Running]:
    with subprocess.Popen(
        nxcdr.command("sync", *words),
        env={**nxcdr.environment, **gateway.environment(), **variables},
        cwd=nxcdr.folder,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def since(*words: str) -> tuple[str, ...]:
    return ("calls", "--to", "c.sqlite", "--since", yesterday_at_midnight(), *words)


def until_asked(gateway: Gateway, requests: int) -> None:
    """Wait until the gateway got so many requests."""
    until = time.monotonic() + LONGEST
    while gateway.log.requests < requests:
        assert time.monotonic() < until
        time.sleep(0.02)


def stored(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "c.sqlite")) as database:
        return [found for (found,) in database.execute("SELECT call_id FROM calls")]


def known(gateway: Gateway) -> set[str]:
    return set(gateway.call_ids(None, datetime.now(UTC) - timedelta(minutes=10)))


def asked(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LONGEST) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def samples(port: int) -> dict[tuple[str, ...], float]:
    status, text = asked(port, "/metrics")
    assert status == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_since_begins_a_store_and_each_round_finds_what_is_new(nxcdr: Any, live: Gateway) -> None:
    with syncing(nxcdr, live, *since("--every", "1s")) as running:
        first = running.line()
        late = live.add_call(startTime=int((time.time() - 7200) * 1000))
        while "1 new" not in running.line():
            pass
        code, told = running.stop()
    assert " calls: " in first
    assert " new, 0 changed" in first
    assert (code, told[-1].startswith("stopped ")) == (0, True)
    rows = stored(nxcdr.folder)
    assert len(rows) == len(set(rows))
    assert {*known(live), late} <= set(rows)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_round_leaves_a_whole_store(nxcdr: Any, live: Gateway, number: int) -> None:
    with syncing(nxcdr, live, *since("--every", "1s")) as running:
        running.line()
        live.switches.latency = (60.0, 60.0)
        until_asked(live, live.log.requests + 1)
        code, told = running.stop(number)
    live.switches.latency = (0.0, 0.0)
    assert (code, told[-1].split(":")[0]) == (0, "stopped in the middle of a round of calls")
    again = nxcdr("sync", "--to", "c.sqlite", **live.environment())
    assert again.code == 0
    assert known(live) <= set(stored(nxcdr.folder))


def test_errors_are_told_and_tried_again(nxcdr: Any, live: Gateway) -> None:
    with syncing(nxcdr, live, *since("--every", "1s", "--log", "json")) as running:
        assert json.loads(running.line())["outcome"] == "done"
        live.switches.row_fault_rate, live.switches.row_faults = 1.0, ["nan"]
        while (failed := json.loads(running.line()))["outcome"] == "done":
            pass
        live.switches.row_fault_rate = 0.0
        while (healed := json.loads(running.line()))["outcome"] == "failed":
            pass
        code, _ = running.stop()
    assert (failed["level"], failed["event"], failed["failures"]) == ("error", "round", 1)
    assert failed["error_class"] == "RecordError"
    assert "with --skip-bad-rows" in failed["message"]
    assert failed["next_in_seconds"] > 0
    assert (healed["outcome"], healed["failures"], code) == ("done", 0, 0)


def test_what_never_worked_and_never_will_ends_it(nxcdr: Any, live: Gateway) -> None:
    ended = nxcdr("sync", "calls", "--to", "c.sqlite", "--every", "5m", **live.environment())
    assert (ended.code, "holds no calls yet" in ended.err) == (2, True)
    refused = nxcdr("sync", *since("--every", "5m"), **{**live.environment(), "NXCDR_ACCESS_SECRET": "a-wrong-secret"})
    assert refused.code == 1
    assert "code 1003" in refused.err
    nothing = nxcdr("sync", "--to", "d.sqlite", "--every", "5m", **live.environment())
    assert (nothing.code, "holds nothing that was read yet" in nothing.err) == (2, True)


def test_a_store_in_use_is_tried_again(nxcdr: Any, live: Gateway) -> None:
    with syncing(nxcdr, live, *since("--every", "1s")) as one:
        one.line()
        live.switches.latency = (60.0, 60.0)
        until_asked(live, live.log.requests + 1)
        with syncing(nxcdr, live, *since("--every", "1s", "--log", "json")) as other:
            busy = json.loads(other.line())
            assert other.stop()[0] == 0
        assert one.stop()[0] == 0
    assert (busy["outcome"], busy["level"], busy["failures"]) == ("busy", "warning", 0)


def test_figures_and_health_are_told_on_a_port(nxcdr: Any, live: Gateway) -> None:
    with syncing(nxcdr, live, *since("--every", "1s", "--metrics-port", "0", "--log", "json")) as running:
        port = json.loads(running.line())["port"]
        first = json.loads(running.line())
        told = samples(port)
        health = asked(port, "/healthz")
        nowhere, _ = asked(port, "/other")
        code, _ = running.stop()
    assert told["nxcdr_sync_rows_total", "new", "calls"] == first["rows_new"] > 0
    assert told["nxcdr_requests_total",] >= first["requests"]
    assert told["nxcdr_throttled_total",] == told["nxcdr_pushes_total", "taken"] == 0
    assert told["nxcdr_sync_rounds_total", "done", "calls"] >= 1
    assert told["nxcdr_sync_lag_seconds", "calls"] == pytest.approx(86_400, abs=600)
    assert told["nxcdr_sync_last_success_seconds", "calls"] == pytest.approx(time.time(), abs=LONGEST)
    assert (health[0], json.loads(health[1])["status"], nowhere, code) == (200, "ok", 404, 0)


def test_a_round_under_way_is_told_too(nxcdr: Any, live: Gateway) -> None:
    live.switches.latency = (60.0, 60.0)
    with syncing(nxcdr, live, *since("--every", "1s", "--metrics-port", "0", "--log", "json")) as running:
        port = json.loads(running.line())["port"]
        until_asked(live, 1)
        status, health = asked(port, "/healthz")
        told = samples(port)
        assert running.stop()[0] == 0
    assert status == 200
    assert json.loads(health)["sources"]["calls"]["last_success"] is None
    assert ("nxcdr_sync_last_success_seconds", "calls") not in told


def test_a_port_that_is_taken_is_told_in_a_line(nxcdr: Any, live: Gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = since("--every", "5m", "--metrics-port", port, "--metrics-host", "127.0.0.1")
        ended = nxcdr("sync", *words, **live.environment())
    assert ended.code == 2
    assert ended.err.startswith(f"error: cannot listen on port {port} of 127.0.0.1: ")
    assert ended.err.count("\n") == 1


def test_without_its_package_the_port_names_the_extra(nxcdr: Any) -> None:
    code = (
        "import importlib.util as util, sys\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'prometheus_client' else find(name, *more)\n"
        "sys.argv = ['nxcdr', 'sync', 'calls', '--to', 'c.sqlite', '--every', '5m', '--metrics-port', '0']\n"
        "from nxcdr_async.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=nxcdr.environment, cwd=nxcdr.folder, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        b"error: --metrics-port needs the package prometheus_client: install nxcdr-async with its extra prometheus\n"
    )


def test_all_that_is_stored_is_brought_up_to_date(nxcdr: Any, live: Gateway) -> None:
    environment = live.environment()
    assert nxcdr("sync", *since(), **environment).code == 0
    words = ("sync", "flash", "--to", "c.sqlite", "--since", yesterday_at_midnight())
    assert nxcdr(*words, **environment).code == 0
    ended = nxcdr("sync", "--to", "c.sqlite", "--report", "-", "--log", "json", **environment)
    report = json.loads(ended.out)
    assert (ended.code, report["outcome"], report["error"]) == (0, "done", None)
    assert [source["source"] for source in report["sources"]] == ["calls", "flash"]
    assert [json.loads(line)["source"] for line in ended.err.splitlines()] == ["calls", "flash"]


def test_a_source_that_fails_keeps_no_other_from_it(nxcdr: Any, live: Gateway) -> None:
    environment = live.environment()
    nxcdr("sync", *since(), **environment)
    nxcdr("sync", "flash", "--to", "c.sqlite", "--since", yesterday_at_midnight(), **environment)
    environment["NXCDR_ACCESS_SECRET"] = "a-wrong-secret"
    ended = nxcdr("sync", "--to", "c.sqlite", "--report", "r.json", **environment)
    report = json.loads((nxcdr.folder / "r.json").read_bytes())
    assert ended.code == 1
    assert "this was the sync of calls" in ended.err
    assert "done      flash " in ended.err
    assert (report["outcome"], report["error_class"]) == ("failed", "AuthenticationError")
    assert [source["outcome"] for source in report["sources"]] == ["failed", "done"]


def test_rounds_of_several_sources_take_turns(nxcdr: Any, live: Gateway) -> None:
    environment = live.environment()
    nxcdr("sync", *since(), **environment)
    nxcdr("sync", "did", "--to", "c.sqlite", "--since", yesterday_at_midnight(), **environment)
    with syncing(nxcdr, live, "--to", "c.sqlite", "--every", "1s", "--log", "json", "--report", "r.json") as running:
        told = [json.loads(running.line()) for _ in range(4)]
        assert running.stop()[0] == 0
    assert {line["source"] for line in told} == {"calls", "did"}
    report = json.loads((nxcdr.folder / "r.json").read_bytes())
    assert [source["source"] for source in report["sources"]] == ["calls", "did"]


def test_a_quiet_run_says_nothing_but_what_is_wrong(nxcdr: Any, live: Gateway) -> None:
    good = nxcdr("sync", *since("--quiet"), **live.environment())
    assert (good.code, good.out, good.err) == (0, "", "")
    wrong = {**live.environment(), "NXCDR_ACCESS_SECRET": "a-wrong-secret"}
    bad = nxcdr("sync", "calls", "--to", "c.sqlite", "--quiet", **wrong)
    assert (bad.code, bad.err.startswith("error: ")) == (1, True)
    with syncing(nxcdr, live, *since("--every", "1s", "--quiet", "--metrics-port", "0")) as running:
        until_asked(live, live.log.requests + 4)
        assert running.stop() == (0, [])


def test_quiet_rounds_tell_known_gaps_of_a_single_run(nxcdr: Any, live: Gateway) -> None:
    live.switches.row_fault_rate, live.switches.row_faults = 0.2, ["nan"]
    ended = nxcdr("sync", *since("--quiet", "--skip-bad-rows"), **live.environment())
    assert ended.code == 3
    assert " gap known" in ended.err.splitlines()[-1]


def test_each_line_of_a_json_log_is_an_object(nxcdr: Any, live: Gateway) -> None:
    live.fail_next("99", 2)
    ended = nxcdr("sync", *since("--log", "json"), NXCDR_LOG="debug", **live.environment())
    lines = [json.loads(line) for line in ended.err.splitlines()]
    assert ended.code == 0
    assert {line["level"] for line in lines} == {"debug", "info"}
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)
    assert [line["attempt"] for line in lines if "wait_seconds" in line]
    wrong = nxcdr("sync", "calls", "--to", "c.nothing", "--log", "json", **live.environment())
    (error,) = [json.loads(line) for line in wrong.err.splitlines()]
    assert (wrong.code, error["level"], error["error_class"]) == (2, "error", "ConfigurationError")


def test_a_later_start_keeps_what_is_stored_and_an_earlier_one_adds(nxcdr: Any, live: Gateway) -> None:
    noon = (datetime.now(UTC) - timedelta(hours=20)).isoformat()
    first = nxcdr("sync", "calls", "--to", "c.sqlite", "--since", noon, **live.environment())
    held = len(stored(nxcdr.folder))
    longer = nxcdr("sync", *since(), **live.environment())
    more = len(stored(nxcdr.folder))
    again = nxcdr("sync", "calls", "--to", "c.sqlite", "--since", noon, **live.environment())
    assert (first.code, longer.code, again.code) == (0, 0, 0)
    assert held < more <= len(stored(nxcdr.folder))
    assert known(live) <= set(stored(nxcdr.folder))
    future = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    wrong = nxcdr("sync", "calls", "--to", "d.sqlite", "--since", future, **live.environment())
    assert (wrong.code, "which has yet to come" in wrong.err) == (2, True)


def test_a_run_that_cannot_be_written_about_goes_on(nxcdr: Any, live: Gateway) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        nxcdr.command("sync", *since("--every", "1s")),
        env={**nxcdr.environment, **live.environment()},
        cwd=nxcdr.folder,
        stdin=subprocess.DEVNULL,
        stderr=writer,
    ) as process:
        os.close(writer)
        until_asked(live, live.log.requests + 8)
        process.terminate()
        assert process.wait(LONGEST) == 0

"""`nxcdr backfill` in processes of its own, into real stores."""

import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from attrs import fields

from nxcdr_async.ingest.report import BackfillReport
from nxcdr_async.testing import Gateway

DAYS = ("--start", "2026-01-01", "--end", "2026-01-03")
CALLS = ("backfill", "calls", *DAYS, "--to", "c.sqlite")
REPORTED = {attribute.name for attribute in fields(BackfillReport)}

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows knows neither these signals nor modes of files")


def stored(path: Path, table: str = "calls", key: str = "call_id") -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return [found for (found,) in database.execute(f"SELECT {key} FROM {table}")]


@pytest.fixture(scope="module")
def large() -> Iterator[Gateway]:
    with Gateway(calls=30_000, days=2, did_calls=0, flash_calls=0) as gateway:
        yield gateway


@contextmanager
def started(nxcdr: Any, gateway: Gateway, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a backfill that takes some seconds; whatever is left of it at the end is killed."""
    gateway.switches.latency = (0.1, 0.1)
    with subprocess.Popen(
        nxcdr.command(*CALLS, "--concurrency", "4", *words),
        env={**nxcdr.environment, "NXCDR_GATEWAY": gateway.url},
        cwd=nxcdr.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            gateway.switches.latency = (0.0, 0.0)


def until_windows_are_stored(path: Path, gateway: Gateway) -> None:
    """Wait until the run has stored some, and have no reply come from then on, so that it is in the middle."""
    until = time.monotonic() + 40
    while time.monotonic() < until:
        try:
            if path.exists() and stored(path, "nxcdr_windows", "start_second"):
                gateway.switches.latency = (60.0, 60.0)
                return
        except sqlite3.OperationalError:
            pass  # its tables are yet to be made
        time.sleep(0.05)
    pytest.fail("no window was stored")


def test_every_row_of_each_source_is_stored_once_and_told(nxcdr: Any, gateway: Gateway) -> None:
    calls = nxcdr(*CALLS)
    did = nxcdr("backfill", "did", "--start", "2026-01-01", "--end", "2026-01-02", "--to", "c.sqlite")
    flash = nxcdr("backfill", "flash", "--start", "2025-12-31", "--end", "2026-01-03", "--to", "c.sqlite")
    assert [(ended.code, ended.out) for ended in (calls, did, flash)] == [(0, "")] * 3
    path = nxcdr.folder / "c.sqlite"
    assert sorted(stored(path)) == sorted(gateway.call_ids())
    assert sorted(stored(path, "did_calls", "id")) == sorted(gateway.did_ids())
    assert sorted(stored(path, "flash_calls", "id")) == sorted(gateway.flash_ids())
    told = dict(line.split(maxsplit=1) for line in calls.err.splitlines())
    assert told["done"] == "calls 2026-01-01T00:00:00Z to 2026-01-03T00:00:00Z, in c.sqlite"
    assert told["rows"] == "700 new, 0 changed, 0 unchanged; 700 in the store"
    assert told["complete"] == "until 2026-01-03T00:00:00Z"
    assert told["gaps"] == "none known"


def test_the_same_command_again_reads_nothing(nxcdr: Any) -> None:
    nxcdr(*CALLS)
    again = nxcdr(*CALLS, "--report", "-")
    report = msgspec.json.decode(again.out)
    assert (again.code, report["windows"], report["rows"], report["rows_held"]) == (0, 0, 0, 700)
    assert report["windows_before"] > 0
    assert "0 new, 0 changed, 0 unchanged; 700 in the store" in again.err


@on_posix
def test_the_report_is_json_for_its_owner_only(nxcdr: Any) -> None:
    path = nxcdr.folder / "report.json"
    path.write_text("of before")
    path.chmod(0o644)
    ended = nxcdr(*CALLS, "--report", "report.json")
    assert (ended.code, ended.out) == (0, "")
    report = msgspec.json.decode(path.read_bytes())
    assert set(report) == {"outcome", "error", "error_class", "rows"} | REPORTED
    assert (report["outcome"], report["rows_new"], report["gaps"]) == ("done", 700, [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    locks = {".c.sqlite.lock", ".c.sqlite.next.lock"}
    assert {found.name for found in nxcdr.folder.iterdir()} == {"report.json", "c.sqlite"} | locks


REFUSED = [
    (("--to", "c.xlsx"), "no sink is known for 'c.xlsx'"),
    (("--to", "mysql://host/db"), "no sink is known for mysql://"),
    (("--to", "nowhere/c.sqlite"), "there is no folder nowhere"),
    (("--to", "c.sqlite", "--settle", "soon"), "--settle 'soon' is no duration"),
    (("--to", "c.sqlite", "--settle", "-1h"), "--settle '-1h' is no duration"),
    (("--to", "c.sqlite", "--report", "nowhere/report.json"), "there is no folder"),
    (("--to", "c.sqlite", "--report", "/dev/null"), "--report /dev/null is no file"),
    (("--to", "c.sqlite", "--report", "c.sqlite"), "--report c.sqlite lies where the rows go"),
    (("--to", "c.jsonl", "--report", "c.jsonl/r.json"), "--report c.jsonl/r.json lies where the rows go"),
]


def test_what_cannot_work_is_refused_before_anything_is_asked(nxcdr: Any, gateway: Gateway) -> None:
    asked = gateway.log.requests
    runs = nxcdr.each([("backfill", "calls", *DAYS, *words) for words, _ in REFUSED])
    for ended, (_, told) in zip(runs, REFUSED, strict=True):
        assert ended.code == 2
        assert ended.err.startswith(f"error: {told}")
    assert gateway.log.requests == asked
    assert not list(nxcdr.folder.iterdir())


PASSWORD = "a-wrong-secret"  # one of those the runner looks for in every output


PLACES = [
    f"postgresql://user:{PASSWORD}@host/db",
    f"postgres://user:{PASSWORD}/with?all@host/db",
    f"postgresql://user:{PASSWORD}@one:5432,two:5432/db",
    f"postgresql://host/db?password={PASSWORD}",
    f"postgresql://host/db?pass%77ord={PASSWORD}",
    f"postgresql://host/db?user=me&sslpassword={PASSWORD}",
    f"host=host user=me password={PASSWORD}",
    f"mysql://user:{PASSWORD}@host/db",
]


def test_a_password_in_the_place_is_refused_and_not_repeated(nxcdr: Any) -> None:
    commands = [("backfill", "calls", *DAYS), ("sync", "calls"), ("plan", "calls", *DAYS)]
    for ended in nxcdr.each([(*command, "--to", to) for command in commands for to in PLACES]):
        assert ended.code == 2
        assert ended.err.startswith("error: --to holds a password, which everybody on this machine can see")
        assert "PGPASSWORD" in ended.err
        assert "PGPASSFILE" in ended.err
        assert PASSWORD not in ended.out + ended.err


@on_posix
def test_a_run_that_is_killed_goes_on_with_the_same_command(nxcdr: Any, large: Gateway) -> None:
    path = nxcdr.folder / "c.sqlite"
    with started(nxcdr, large, "--report", "r.json") as process:
        until_windows_are_stored(path, large)
        process.kill()
        process.wait()
    before = len(stored(path))
    assert 0 < before < 30_000
    assert not (nxcdr.folder / "r.json").exists()
    ended = nxcdr(*CALLS, "--report", "-", NXCDR_GATEWAY=large.url)
    report = msgspec.json.decode(ended.out)
    assert (ended.code, report["rows_new"]) == (0, 30_000 - before)
    assert report["windows_before"] > 0
    assert sorted(stored(path)) == sorted(large.call_ids())


@pytest.fixture
def heard_hangup() -> Iterator[None]:
    """Have child processes hear SIGHUP, also where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.first_of
@on_posix
@pytest.mark.usefixtures("heard_hangup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_stopped_says_how_to_go_on(nxcdr: Any, large: Gateway, number: signal.Signals) -> None:
    with started(nxcdr, large, "--report", "r.json") as process:
        until_windows_are_stored(nxcdr.folder / "c.sqlite", large)
        process.send_signal(number)
        # Long before a reply comes.
        out, told = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, b"")
    last = told.decode().splitlines()[-1]
    assert re.fullmatch(r"stopped: [\d,]+ rows up to 2026-01-0\S+ are stored.*: run the same command to go on", last)
    report = msgspec.json.decode((nxcdr.folder / "r.json").read_bytes())
    assert (report["outcome"], report["error"]) == ("stopped", None)
    assert report["rows"] == len(stored(nxcdr.folder / "c.sqlite"))
    assert nxcdr(*CALLS, NXCDR_GATEWAY=large.url).code == 0
    assert sorted(stored(nxcdr.folder / "c.sqlite")) == sorted(large.call_ids())


@on_posix
def test_a_second_run_at_once_is_refused(nxcdr: Any, large: Gateway) -> None:
    with started(nxcdr, large):
        until_windows_are_stored(nxcdr.folder / "c.sqlite", large)
        second = nxcdr(*CALLS, NXCDR_GATEWAY=large.url)
    assert second.code == 75
    assert second.err.startswith("error: c.sqlite is being written by another run")


def test_an_error_in_mid_run_tells_what_is_stored_before_it(nxcdr: Any) -> None:
    with Gateway(calls=30_000, days=2, did_calls=0, flash_calls=0) as failing:
        failing.add_call(startTime=1_767_355_200_000, callDuration="no number")  # the second noon
        ended = nxcdr(*CALLS, "--report", "r.json", NXCDR_GATEWAY=failing.url)
    lines = ended.err.splitlines()
    (told,) = (line for line in lines if line.startswith("error: page "))  # on a slow machine, after lines of progress
    note = lines[-1]
    assert ended.code == 1
    assert re.fullmatch(r"  [\d,]+ rows up to 2026-01-0\S+ are stored.*: run the same command to go on", note)
    report = msgspec.json.decode((nxcdr.folder / "r.json").read_bytes())
    assert (report["outcome"], report["rows"]) == ("failed", len(stored(nxcdr.folder / "c.sqlite")))
    assert (report["error"], report["error_class"]) == (told.removeprefix("error: "), "RecordError")
    assert 0 < report["rows"] < 30_000
    assert report["complete_until"] < "2026-01-02T12"
    assert report["started"] < report["finished"]


def test_a_run_that_stored_nothing_reports_up_to_where_the_store_is_complete(nxcdr: Any) -> None:
    path = nxcdr.folder / "r.json"
    nxcdr(*CALLS, "--report", "r.json")
    done = msgspec.json.decode(path.read_bytes())
    assert nxcdr("sync", "calls", "--to", "c.sqlite", "--report", "r.json", NXCDR_ACCESS_SECRET="wrong").code == 1
    failed = msgspec.json.decode(path.read_bytes())
    assert (failed["outcome"], failed["error_class"], failed["rows"]) == ("failed", "AuthenticationError", 0)
    assert failed["requests"] > 0
    assert failed["seconds"] > 0
    assert failed["complete_until"] == done["complete_until"] is not None


@pytest.mark.first_of
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "c.duckdb"), "no DuckDB file"),
        (("--to", "c.sqlite", "--region", "nowhere"), "nowhere"),
        (("--to", "c.sqlite", "--settle", "soon"), "--settle"),
        (("--to", "gone/c.sqlite"), "no folder"),
    ],
    ids=lambda value: "" if isinstance(value, str) else value[-1],
)
def test_an_error_before_work_begins_leaves_an_earlier_report(nxcdr: Any, words: tuple[str, ...], said: str) -> None:
    path = nxcdr.folder / "r.json"
    path.write_text("of an earlier run")
    (nxcdr.folder / "c.duckdb").write_text("no database")
    ended = nxcdr("backfill", "calls", *DAYS, *words, "--report", "r.json")
    assert ended.code == 2
    assert said in ended.err
    assert path.read_text() == "of an earlier run"


def test_a_saturated_second_ends_with_known_gaps_now_and_later(nxcdr: Any) -> None:
    flash = ("backfill", "flash", "--start", "2026-01-01", "--end", "2026-01-02", "--to", "c.sqlite")
    with Gateway(calls=0, flash_calls=0) as full:
        for _ in range(110):
            full.add_flash_call(gmtCreate="2026-01-01 12:00:00")
        first, again = (nxcdr(*flash, "--report", "-", NXCDR_GATEWAY=full.url) for _ in range(2))
    assert (first.code, again.code) == (3, 3)
    for ended in (first, again):
        report = msgspec.json.decode(ended.out)
        assert report["outcome"] == "gaps"
        (gap,) = report["gaps"]
        assert (gap["kind"], gap["start"]) == ("saturated second", "2026-01-01T04:00:00Z")
        assert "the second 2026-01-01T04:00:00Z holds more calls than the gateway shows" in ended.err


def test_bad_rows_stop_a_backfill_or_are_gaps(nxcdr: Any) -> None:
    with Gateway(calls=30) as spoiled:
        spoiled.add_call(callDuration="no number \x1b[31m")
        stopped = nxcdr(*CALLS, NXCDR_GATEWAY=spoiled.url)
        skipped = nxcdr(*CALLS, "--skip-bad-rows", NXCDR_GATEWAY=spoiled.url)
    assert stopped.code == 1
    assert "with --skip-bad-rows such rows are left out" in stopped.err
    assert skipped.code == 3
    assert skipped.err.startswith("skipped: ")
    assert "left out 1 row of 2026-01-01T00:00:00Z to " in skipped.err
    assert len(stored(nxcdr.folder / "c.sqlite")) == 30


def test_a_store_of_another_key_is_taken_only_when_said(nxcdr: Any) -> None:
    nxcdr(*CALLS)
    with Gateway(calls=700, days=2, flash_calls=120) as same:
        other = same.credentials_without_rights
        words = {"NXCDR_GATEWAY": same.url, "NXCDR_ACCESS_KEY": other.access_key}
        refused = nxcdr(*CALLS, NXCDR_ACCESS_SECRET=other.access_secret, **words)
    assert refused.code == 2
    assert "was read with another access key" in refused.err
    assert "--new-key" in refused.err


_WITHOUT_RIGHTS = """
import ctypes, os, sys
prctl_drop, override = 24, 1
if os.geteuid() == 0 and ctypes.CDLL(None).prctl(prctl_drop, override, 0, 0, 0):
    raise SystemExit("root keeps its way past the modes of files")
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="takes from root what Linux calls CAP_DAC_OVERRIDE")
@pytest.mark.parametrize("words", [("--to", "closed/c.sqlite"), ("--to", "c.sqlite", "--report", "closed/r.json")])
def test_a_read_only_folder_is_told(nxcdr: Any, tmp_path: Path, words: tuple[str, ...]) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    command = nxcdr.command("backfill", "calls", *DAYS, *words)
    ended = subprocess.run(
        [sys.executable, "-c", _WITHOUT_RIGHTS, *command],
        env=nxcdr.environment,
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 1
    told = rb"error: (cannot write .*closed/r\.\w+|no file can be made in .*closed): Permission denied(;.*)?\n"
    assert re.match(told, ended.stderr), ended.stderr
    assert not list(closed.iterdir())


_WITH_FEW_FILES = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.slow
@on_posix
@pytest.mark.parametrize("place", ["c.sqlite", "c.duckdb", "c.parquet"])
def test_connections_take_no_file_from_a_store(nxcdr: Any, large: Gateway, place: str) -> None:
    large.switches.latency = (0.2, 0.2)  # so that as many are under way as there may be
    command = nxcdr.command("backfill", "calls", *DAYS, "--to", place, "--concurrency", "64")
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _WITH_FEW_FILES, *command],
            env={**nxcdr.environment, "NXCDR_GATEWAY": large.url, "NXCDR_LOG": "info"},
            cwd=nxcdr.folder,
            capture_output=True,
            check=False,
        )
    finally:
        large.switches.latency = (0.0, 0.0)
    assert ended.returncode == 0, ended.stderr
    assert b"failed, next in" not in ended.stderr


def test_a_report_that_nobody_reads_hides_no_error(nxcdr: Any) -> None:
    with subprocess.Popen(
        nxcdr.command("sync", "calls", "--to", "c.sqlite", "--report", "-"),
        env=nxcdr.environment,
        cwd=nxcdr.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        told = process.stderr.read().decode()
    assert process.returncode == 2
    assert re.fullmatch(r"error: c\.sqlite holds no calls yet: .*\n", told)


@pytest.mark.first_of
@pytest.mark.parametrize("to", ["c.sqlite", "c.jsonl"])
def test_what_is_too_old_and_what_is_not_shown_are_known_gaps(nxcdr: Any, to: str) -> None:
    with Gateway(calls=500, days=2, did_calls=0, flash_calls=0) as gateway:
        gateway.clock.move_to(datetime(2026, 1, 3, tzinfo=UTC))
        gateway.switches.retention, gateway.switches.depth_cap = 86_400.0, 100
        for number in range(110):
            gateway.add_call(startTime=1_767_355_200_001 + number)
        ended = nxcdr("backfill", "calls", *DAYS, "--to", to, "--report", "-", NXCDR_GATEWAY=gateway.url)
        verified = nxcdr("verify", "--to", to, "--report", "-", NXCDR_GATEWAY=gateway.url)
    report = msgspec.json.decode(ended.out)
    assert (ended.code, verified.code) == (3, 3)
    assert {gap["kind"] for gap in report["gaps"]} == {"refused range", "saturated second"}
    assert "lies further back than the gateway tells" in ended.err
    assert "the second 2026-01-02 12:00:00" in ended.err.replace("T", " ")

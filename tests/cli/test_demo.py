import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from nxcdr_async.cli.demo_file import free_target
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.testing import Gateway

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

SMALL = ("demo", "--calls", "2000", "--days", "3", "--live", "0")


@pytest.fixture
def alone(nxcdr: Any) -> Any:
    """The demo needs nothing from the environment."""
    return nxcdr.without(*nxcdr.variables)


def test_the_demo_stores_every_call_and_shows_it_and_again_in_ascii(alone: Any) -> None:
    ended = alone(*SMALL)
    assert ended.code == 0
    assert "complete: 2,000 calls stored, 2,000 different ids, 2,000 in the emulator" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "\x1b" not in ended.out + ended.err
    (stored,) = alone.folder.iterdir()
    assert stored.name == "nxcdr-demo.duckdb"
    if sys.platform != "win32":
        assert stored.stat().st_mode & 0o777 == 0o600

    with duckdb.connect(str(alone.folder / "nxcdr-demo.duckdb"), read_only=True) as database:
        ((first_day,),) = database.execute("SELECT min(start_time AT TIME ZONE 'UTC')::date FROM calls").fetchall()
    assert timedelta(days=4) <= datetime.now(UTC).date() - first_day <= timedelta(days=5)
    history = Gateway(2000, days=3, first_day=first_day).history
    with duckdb.connect(str(alone.folder / "nxcdr-demo.duckdb"), read_only=True) as database:
        columns = dict(
            database.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'calls'"
            ).fetchall()
        )
        ids = {call_id for (call_id,) in database.execute("SELECT call_id FROM calls").fetchall()}
        cost, first = database.execute(
            "SELECT sum(total_customer_price), epoch_ms(min(start_time)) FROM calls"
        ).fetchall()[0]
    assert ids == set(history.call_ids())
    assert cost == sum(Decimal(str(row["totalCustomerPrice"])) for row in history.calls())
    assert first == next(history.calls())["startTime"]
    wanted = {"call_id": "VARCHAR", "answered": "BOOLEAN", "hangup_code": "BIGINT", "extra": "JSON"}
    assert {name: columns[name] for name in wanted} == wanted
    assert list(columns) == CALLS.columns
    assert columns["start_time"] == "TIMESTAMP WITH TIME ZONE"
    assert columns["total_customer_price"] == "DECIMAL(38,18)"

    again = alone(
        "demo", "--calls", "60", "--days", "60", "--live", "0", PYTHONIOENCODING="ascii", NO_COLOR="1", LC_ALL="C"
    )
    assert again.code == 0
    assert again.out.isascii()
    assert "OK: complete: 60 calls stored" in again.out


def test_the_demo_ends_with_calls_that_arrive_and_a_sync_that_follows(alone: Any) -> None:
    ended = alone("demo", "--calls", "300", "--days", "2", "--live", "6")
    assert ended.code == 0
    *_, told = (line for line in ended.err.splitlines() if line.startswith("live: "))
    assert told.endswith("came meanwhile and were stored")
    with duckdb.connect(str(alone.folder / "nxcdr-demo.duckdb"), read_only=True) as database:
        ((stored, newest),) = database.execute("SELECT count(*), max(start_time) FROM calls").fetchall()
    assert stored > 1_500
    assert datetime.now(UTC) - newest < timedelta(minutes=10)


@pytest.mark.slow
def test_who_reads_only_the_first_line_gets_no_traceback_and_all_the_calls(alone: Any) -> None:
    with subprocess.Popen(
        alone.command("demo", "--calls", "60", "--days", "2", "--live", "0"),
        env=alone.environment,
        cwd=alone.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()  # before the first line, as what a pipe holds would hide it
        told = process.stderr.read().decode()
    assert "Traceback" not in told
    assert "Exception" not in told
    assert process.returncode == 0
    assert [path.name for path in alone.folder.iterdir()] == ["nxcdr-demo.duckdb"]


def test_a_file_that_is_not_of_the_demo_is_left_alone(alone: Any) -> None:
    path = alone.folder / "mine.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE calls (mine INTEGER)")
    before = path.read_bytes()
    refused = alone("demo", "--calls", "20", "--days", "1", "--to", "mine.duckdb")
    assert refused.code == 2
    assert refused.err.startswith("error: mine.duckdb is there already and not from a demo")
    assert path.read_bytes() == before
    assert free_target(path) == path


@pytest.mark.slow
@on_linux
def test_ctrl_c_leaves_nothing_behind(alone: Any) -> None:
    with subprocess.Popen(
        alone.command("demo", "--calls", "400000"),
        env=alone.environment,
        cwd=alone.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        told = [process.stderr.readline(), process.stderr.readline()]
        emulators = _children(process.pid)
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=30)
    assert "calls, " in told[1]
    assert len(emulators) == 1
    assert not [pid for pid in emulators if _is_alive(pid)]
    assert (process.returncode, out, rest.splitlines()[-1]) == (130, "", "stopped: nxcdr-demo.duckdb was not written")
    assert not list(alone.folder.iterdir())


@pytest.mark.slow
@on_linux
def test_an_emulator_does_not_outlive_a_demo_that_was_killed(alone: Any) -> None:
    with subprocess.Popen(
        alone.command("demo", "--calls", "400000"), env=alone.environment, cwd=alone.folder, stderr=subprocess.PIPE
    ) as process:
        process.stderr.readline()
        process.stderr.readline()
        (emulator,) = _children(process.pid)
        process.kill()
    until = time.monotonic() + 20
    while _is_alive(emulator) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _is_alive(emulator)


def _children(pid: int) -> list[int]:
    return [
        int(found)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for found in (thread / "children").read_text().split()
    ]


def _is_alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False

"""Files of one version of DuckDB in the hands of another: the newest that is installed, and the oldest we support."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from nxcdr_async import prune
from nxcdr_async._util.moments import moment_at
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.sinks.duckdb_file import STORAGE
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.protocol import Origin
from nxcdr_async.windows import Window
from tests.sinks.all_sinks import opened
from tests.sinks.table_rows import plain_rows

__all__ = ["fill", "fill_open", "sink_for"]  # for the children of these tests

BEGIN = 1_767_225_600
READ = "import duckdb, json, sys; store = duckdb.connect(sys.argv[1], read_only=True); "
READ += "print(json.dumps([duckdb.__version__, store.execute('SELECT call_id FROM calls ORDER BY 1').fetchall()]))"
ROOT = str(Path(__file__).parents[2])
FROM_HERE = "import os, sys; sys.path.insert(0, sys.argv[2]); from tests.sinks.test_duckdb_versions import *; "
WRITE = FROM_HERE + "fill(sys.argv[1], 0)"
LEAVE = FROM_HERE + "sink = sink_for(sys.argv[1]); sink.open(); fill_open(sink, 0); os._exit(0)"

InOldest = Callable[..., Any]
"""Runs a program with the oldest DuckDB that we support; returns what it prints."""


def oldest_supported() -> str:
    wanted = next(line for line in importlib.metadata.requires("nxcdr-async") or () if line.startswith("duckdb"))
    found = re.search(r">=([0-9.]+)", wanted)
    assert found is not None
    return found[1] + ".0" * (2 - found[1].count("."))


@pytest.fixture(scope="module")
def in_oldest(tmp_path_factory: pytest.TempPathFactory) -> InOldest:
    folder = tmp_path_factory.mktemp("oldest")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
    wanted = f"duckdb=={oldest_supported()}"
    done = subprocess.run(
        [*command, "--target", str(folder), wanted], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        pytest.skip(f"{wanted} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")

    def run(program: str, *arguments: str) -> Any:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        told = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout) if told.stdout else None

    return run


def fill(place: str, minute: int) -> None:
    """Store two calls of a minute."""
    with opened(place) as sink:
        fill_open(sink, minute)


def fill_open(sink: Any, minute: int) -> None:
    window = Window(BEGIN + 60 * minute, BEGIN + 60 * minute + 60)
    if sink.inspect(CALLS) is None:
        sink.create(CALLS, Origin("account", "UTC+08:00"))
    sink.write(CALLS, plain_rows(CALLS, window.start, 2), LedgerChange(LedgerEntry(window, window.start), (), None))


def keys(*minutes: int) -> list[list[str]]:
    return [[f"{BEGIN + 60 * minute + second}"] for minute in minutes for second in range(2)]


@pytest.mark.slow
def test_the_oldest_reads_what_the_newest_wrote(tmp_path: Path, in_oldest: InOldest) -> None:
    place = str(tmp_path / "calls.duckdb")
    fill(place, 0)
    assert in_oldest(READ, place) == [oldest_supported(), keys(0)]


@pytest.mark.slow
def test_the_oldest_reads_what_a_killed_run_of_the_newest_left_in_its_log(tmp_path: Path, in_oldest: InOldest) -> None:
    place = str(tmp_path / "calls.duckdb")
    subprocess.run([sys.executable, "-c", LEAVE, place, ROOT], check=True, timeout=600)
    assert Path(f"{place}.wal").stat().st_size
    assert in_oldest(READ, place) == [oldest_supported(), keys(0)]


@pytest.mark.slow
def test_the_newest_goes_on_with_what_the_oldest_wrote_and_the_oldest_reads_that(
    tmp_path: Path, in_oldest: InOldest
) -> None:
    place = str(tmp_path / "calls.duckdb")
    in_oldest(WRITE, place, ROOT)
    fill(place, 1)
    assert in_oldest(READ, place) == [oldest_supported(), keys(0, 1)]


@pytest.mark.slow
async def test_the_oldest_reads_what_the_newest_pruned(tmp_path: Path, in_oldest: InOldest) -> None:
    place = str(tmp_path / "calls.duckdb")
    fill(place, 0)
    fill(place, 1)
    await prune(place, before=moment_at(BEGIN + 60))
    assert in_oldest(READ, place) == [oldest_supported(), keys(1)]


def test_a_file_that_is_newer_than_ours_stays_what_it_is(tmp_path: Path) -> None:
    place = tmp_path / "calls.duckdb"
    with duckdb.connect() as database:
        database.execute(f"ATTACH '{place}' AS made (STORAGE_VERSION 'latest')")
    fill(str(place), 0)
    with duckdb.connect(place) as database:
        assert database.execute("SELECT count(*) FROM calls").fetchall() == [(2,)]


@pytest.mark.parametrize("storage", ["latest", "v1.0.0"])
async def test_a_file_is_of_the_same_version_once_it_is_pruned(tmp_path: Path, storage: str) -> None:
    place = tmp_path / "calls.duckdb"
    with duckdb.connect() as database:
        database.execute(f"ATTACH '{place}' AS made (STORAGE_VERSION '{storage}')")
    fill(str(place), 0)
    before = storage_of(place)
    assert (await prune(place, before=moment_at(BEGIN + 60))).rows == 2
    assert storage_of(place) == before


def storage_of(place: Path) -> list[tuple[str]]:
    with duckdb.connect(place) as database:
        return database.execute("SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal").fetchall()


def test_new_files_are_of_the_version_that_all_supported_read() -> None:
    assert f"v{oldest_supported()}" == STORAGE

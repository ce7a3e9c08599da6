"""A file system that refuses locks: every sink that needs one says so, and leaves nothing behind."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHIM = Path(__file__).with_name("refused_locks.c")
ROOT = Path(__file__).parents[2]
RUN = """
import asyncio, sys
from nxcdr_async import CdrSession, NxcdrError, backfill
from nxcdr_async.sinks import sqlite
from nxcdr_async.testing import Gateway

sqlite.SECONDS_TO_WAIT = 0.1

async def main():
    with Gateway(calls=5) as gateway:
        async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as session:
            for to in sys.argv[1:]:
                try:
                    await backfill(session, "calls", gateway.first_call, gateway.last_call, to=to)
                except NxcdrError as error:
                    print(type(error).__name__, error)
                else:
                    print("stored")

asyncio.run(main())
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs a C compiler, and LD_PRELOAD"
)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("shim") / "refused_locks.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", made, SHIM, "-ldl"], check=True)
    return made


def run(shim: Path, folder: Path, names: list[str], **refused: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN, *names],
        env={**os.environ, **{name: str(number) for name, number in refused.items()}}
        | {"LD_PRELOAD": str(shim), "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.first_of
@pytest.mark.parametrize(
    "number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL], ids=errno.errorcode.get
)
def test_without_flock_no_sink_of_files_is_written(number: int, shim: Path, tmp_path: Path) -> None:
    told = run(shim, tmp_path, ["a.sqlite", "a.duckdb", "a.jsonl", "a.parquet", "a.csv"], REFUSE_FLOCK=number)
    expected = f"ConfigurationError no file can be locked in {tmp_path} ({os.strerror(number)}), so nothing would keep"
    assert len(told) == 5
    assert all(line.startswith(expected) for line in told), told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.first_of
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_without_locks_of_posix_no_database_is_written(number: int, shim: Path, tmp_path: Path) -> None:
    told = run(shim, tmp_path, ["a.sqlite", "a.duckdb", "a.jsonl"], REFUSE_FCNTL=number)
    expected = f"ConfigurationError no file can be locked in {tmp_path} ({os.strerror(number)}), so nothing would keep"
    assert all(line.startswith(expected) for line in told[:2]), told
    assert told[2:] == ["stored"]
    assert {path.name for path in tmp_path.iterdir()} == {"a.jsonl", ".a.jsonl.lock", ".a.jsonl.next.lock"}


def test_with_locks_all_is_stored(shim: Path, tmp_path: Path) -> None:
    assert run(shim, tmp_path, ["a.sqlite", "a.duckdb", "a.jsonl"]) == ["stored"] * 3

import shutil
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from shared.postgresql_server import OLDEST, PostgresqlServer, found_binaries, run_server

from tests.child_processes import environment_of_children

FOUND = found_binaries()
RUN_AND_DIE = """
import os, signal, sys
from pathlib import Path
from shared.postgresql_server import run_server
with run_server(Path(sys.argv[1])) as server:
    print(server.folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
SECONDS_TO_GO = 20.0


def test_a_server_is_found() -> None:
    assert FOUND


@pytest.mark.parametrize("kind", FOUND)
def test_a_server_that_is_new_enough_starts_and_stops(kind: str) -> None:
    with run_server(FOUND[kind]) as server, psycopg.connect(server.address()) as client:
        assert client.info.server_version // 10_000 >= OLDEST
    assert not server.is_running
    assert not server.folder.exists()


def test_a_restarted_server_cuts_its_clients_off_and_answers_again(postgresql: PostgresqlServer) -> None:
    client = psycopg.connect(postgresql.address())
    postgresql.restart()
    with pytest.raises(psycopg.OperationalError):
        client.execute("SELECT 1")
    client.close()
    with psycopg.connect(postgresql.address()) as again:
        assert again.execute("SELECT 1").fetchone() == (1,)


def test_a_server_goes_when_the_tests_are_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(RUN_AND_DIE, encoding="utf-8")
    command = [sys.executable, script, next(iter(FOUND.values()))]
    killed = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env=environment_of_children(),
    )
    folder = killed.stdout.strip()
    deadline = time.monotonic() + SECONDS_TO_GO
    while (Path(folder) / "data" / "postmaster.pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shutil.rmtree(folder)

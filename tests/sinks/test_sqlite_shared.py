"""A SQLite file that others read and write meanwhile, in threads and in other processes; and how it is left."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from nxcdr_async import BusyError, CdrSession, PushedCalls, backfill
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.sinks import sqlite
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.protocol import Origin, Sink
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import Window
from tests.child_processes import environment_of_children, environment_of_strangers
from tests.sinks.all_sinks import opened
from tests.sinks.table_rows import ALL_TIME, plain_rows

BEGIN = 1_767_225_600
ORIGIN = Origin("account", "UTC+08:00")
COUNT = "SELECT count(*) FROM calls"
ROWS = 200
NOBODY = 65_534
READ = f"import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('{COUNT}').fetchone()[0])"


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


def write(sink: Sink, number: int) -> None:
    start = BEGIN + number * ROWS
    rows = plain_rows(CALLS, start, ROWS)
    sink.write(CALLS, rows, LedgerChange(LedgerEntry(Window(start, start + ROWS), start), (), None))


@contextmanager
def filled(to: Path, windows: int = 1) -> Iterator[Sink]:
    """Give an open sink with some windows in it."""
    with opened(str(to)) as sink:
        sink.create(CALLS, ORIGIN)
        for number in range(windows):
            write(sink, number)
        yield sink


def counted(to: Path) -> int:
    with closing(sqlite3.connect(to)) as database:
        return int(database.execute(COUNT).fetchone()[0])


def counted_elsewhere(to: Path) -> int:
    told = subprocess.run([sys.executable, "-c", READ, str(to)], capture_output=True, text=True, check=True)
    return int(told.stdout)


def integrity(to: Path) -> str:
    with closing(sqlite3.connect(to)) as database:
        return str(database.execute("PRAGMA integrity_check").fetchone()[0])


def write_own(to: Path) -> None:
    """Write into a table of the user's."""
    with closing(sqlite3.connect(to, isolation_level=None, timeout=30)) as own:
        own.execute("CREATE TABLE IF NOT EXISTS notes (number INTEGER)")
        own.execute("INSERT INTO notes VALUES (1)")


def journal_of(to: Path) -> int:
    """Return how a file says that it is written: 1 with a rollback journal, 2 with a write-ahead log."""
    return to.read_bytes()[18]


def test_connections_fresh_and_old_here_and_elsewhere_see_each_window_once_it_is_written(to: Path) -> None:
    with filled(to) as sink, closing(sqlite3.connect(to)) as staying:
        for number in range(1, 6):
            write(sink, number)
            expected = (number + 1) * ROWS
            assert int(staying.execute(COUNT).fetchone()[0]) == expected
            assert (counted(to), counted_elsewhere(to)) == (expected, expected)
    assert integrity(to) == "ok"


def test_what_a_user_writes_into_a_table_of_theirs_survives_a_run(to: Path) -> None:
    with filled(to) as sink, closing(sqlite3.connect(to, isolation_level=None)) as own:
        own.execute("CREATE TABLE notes (number INTEGER)")
        for number in range(1, 30):
            own.execute("INSERT INTO notes VALUES (?)", [number])
            write(sink, number)
            with closing(sqlite3.connect(to, isolation_level=None)) as fresh:
                fresh.execute("INSERT INTO notes VALUES (?)", [-number])
    with closing(sqlite3.connect(to)) as database:
        assert database.execute("SELECT count(*), sum(number) FROM notes").fetchone() == (58, 0)
    assert (counted(to), integrity(to)) == (30 * ROWS, "ok")


def test_threads_that_read_and_write_beside_a_run_see_counts_that_only_grow(to: Path) -> None:
    seen: dict[str, list[int]] = {"staying": [], "fresh": []}
    is_over = threading.Event()

    def again_and_again(work: Callable[[], None]) -> None:
        while not is_over.is_set():
            work()

    with (
        filled(to) as sink,
        closing(sqlite3.connect(to, check_same_thread=False)) as staying,
        ThreadPoolExecutor() as threads,
    ):
        works = (
            lambda: seen["fresh"].append(counted(to)),
            lambda: seen["staying"].append(int(staying.execute(COUNT).fetchone()[0])),
            partial(write_own, to),
        )
        running = [threads.submit(again_and_again, work) for work in works]
        try:
            for number in range(1, 40):
                write(sink, number)
        finally:
            is_over.set()
        for each in running:
            each.result()
    for counts in seen.values():
        assert counts
        assert counts == sorted(counts)
        assert all(count % ROWS == 0 for count in counts)
    assert (counted(to), integrity(to)) == (40 * ROWS, "ok")


async def test_readers_and_writers_beside_pushes_harm_nothing(
    to: Path, open_session: Callable[..., CdrSession], gateway: Gateway
) -> None:
    session = open_session()
    calls = [call async for call in session.calls(gateway.first_call, gateway.last_call)][:40]
    pushed = PushedCalls(session, to)
    await pushed.store(calls[0])
    with closing(sqlite3.connect(to, isolation_level=None)) as staying:
        staying.execute("CREATE TABLE notes (number INTEGER)")
        for number, call in enumerate(calls[1:], start=2):
            await pushed.store(call)
            staying.execute("INSERT INTO notes VALUES (?)", [number])
            assert int(staying.execute(COUNT).fetchone()[0]) == number == counted(to)
    assert counted_elsewhere(to) == 40
    assert integrity(to) == "ok"


async def test_a_run_and_its_readers_in_one_process_end_whole(
    to: Path, open_session: Callable[..., CdrSession], gateway: Gateway
) -> None:
    counts: list[int] = []

    def look(_: object) -> None:
        if to.exists():
            with closing(sqlite3.connect(to)) as database:
                is_there = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'calls'").fetchone()[0]
                counts.append(database.execute(COUNT).fetchone()[0] if is_there else 0)

    await backfill(open_session(), "calls", gateway.first_call, gateway.last_call, to, look)
    assert counts == sorted(counts)
    assert (counted(to), integrity(to)) == (2_000, "ok")


def test_a_file_at_rest_has_no_log(to: Path) -> None:
    with filled(to):
        assert journal_of(to) == 2
    assert journal_of(to) == 1
    assert {path.suffix for path in to.parent.iterdir() if path.name.startswith("calls")} == {".sqlite"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("folder_rights", [0o755, 0o555])
def test_who_may_only_read_a_file_at_rest_can(folder_rights: int) -> None:
    code = f"import os, sqlite3; os.setgid({NOBODY}); os.setuid({NOBODY}); {READ}"
    # Not in pytest's own folder, which lets nobody else in.
    with TemporaryDirectory() as folder:
        to = Path(folder) / "calls.sqlite"
        with filled(to):
            pass
        to.chmod(0o444)
        to.parent.chmod(folder_rights)
        told = subprocess.run(
            [sys.executable, "-c", code, str(to)],
            env=environment_of_strangers(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert (told.stdout.strip(), told.stderr) == (f"{ROWS}", "")


def test_a_reader_that_keeps_the_file_open_hinders_no_end(to: Path) -> None:
    with filled(to) as sink:
        reader = sqlite3.connect(to)
        rows = reader.execute("SELECT * FROM calls")
        rows.fetchone()
        write(sink, 1)
    assert len(rows.fetchall()) == ROWS - 1
    reader.close()
    with opened(str(to)) as sink:
        assert sink.scan(CALLS, ALL_TIME).num_rows == 2 * ROWS
    assert journal_of(to) == 1


def test_the_log_of_a_killed_run_is_taken_in_by_the_next(to: Path) -> None:
    code = (
        "import os, sys;"
        "from pathlib import Path; from tests.sinks.test_sqlite_shared import filled\n"
        "with filled(Path(sys.argv[1]), 3): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(to)], env=environment_of_children(), check=False)
    assert to.with_name("calls.sqlite-wal").stat().st_size > 0
    with opened(str(to)) as sink:
        assert sink.scan(CALLS, ALL_TIME).num_rows == 3 * ROWS
    assert (journal_of(to), to.with_name("calls.sqlite-wal").exists()) == (1, False)


def test_who_keeps_the_file_locked_is_waited_for_a_while_and_told(to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "SECONDS_TO_WAIT", 0.1)
    with filled(to) as sink, closing(sqlite3.connect(to, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError, match="another program has kept it locked"):
            write(sink, 1)
        other.execute("ROLLBACK")
        write(sink, 1)
    assert counted(to) == 2 * ROWS


def test_a_reader_of_a_file_at_rest_does_not_keep_a_run_from_beginning(
    to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MILLISECONDS_FOR_LOG", 10)
    monkeypatch.setattr(sqlite, "SECONDS_TO_WAIT", 0.1)
    with filled(to):
        pass
    with closing(sqlite3.connect(to)) as reader, opened(str(to)) as sink:
        rows: Any = reader.execute("SELECT * FROM calls")
        rows.fetchone()
        with pytest.raises(BusyError, match="has not read to the end"):
            write(sink, 1)
        rows.fetchall()
        write(sink, 1)
    assert counted(to) == 2 * ROWS


@pytest.mark.parametrize("value", ["a\x00b", "\x00", "😀\u2028"])
def test_every_character_comes_back(to: Path, value: str) -> None:
    rows = plain_rows(CALLS, BEGIN, 1)
    rows = rows.set_column(rows.column_names.index("agent_name"), "agent_name", [[value]])
    with opened(str(to)) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, rows, LedgerChange(LedgerEntry(Window(BEGIN, BEGIN + 60), BEGIN + 1), (), None))
        assert value in sink.scan(CALLS, ALL_TIME)["agent_name"].to_pylist()

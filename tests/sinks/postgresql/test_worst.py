"""A server at its worst: killed, full, or silent. What was stored is whole, and the next run has everything once."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
from attrs import define
from shared.postgresql_server import QUOTED_PASSWORD, USER, PostgresqlServer

from nxcdr_async import BackfillProgress, BackfillReport, CdrSession, SinkError, backfill
from nxcdr_async.ingest import pipeline as engine
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.sinks.postgresql import connection as postgresql_connection
from nxcdr_async.sinks.postgresql.connection import Server
from nxcdr_async.sinks.postgresql.sink import PostgresqlSink
from nxcdr_async.testing import Gateway
from tests.sinks.postgresql.calls import ORIGIN, SECOND, answer, execute, keyed_rows, opened, put
from tests.sinks.postgresql.proxies import PLAIN, SilentLine, listening

CALLS_THERE = 8_000
LOCK_TIMEOUT = 60.0
LONG_ENOUGH = 5.0
"""Seconds within which a server answers, however busy the machine."""

WAITS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nxcdr' AND wait_event_type = 'Lock'"
COUNTS = "SELECT count(*), count(DISTINCT call_id) FROM calls"


@define
class Story:
    """A gateway whose calls are read into a database."""

    session: CdrSession
    start: datetime
    end: datetime
    address: str

    async def backfill(self, on_progress: Callable[[BackfillProgress], None] | None = None) -> BackfillReport:
        return await backfill(self.session, "calls", self.start, self.end, self.address, on_progress)

    async def check_rest(self) -> None:
        """Check that what is stored is whole, and that another run stores the rest, each call once."""
        (before, _) = answer(self.address, COUNTS)
        assert answer(self.address, "SELECT sum(row_count), sum(stored) FROM nxcdr_windows") == (before, before)
        assert 0 < before < CALLS_THERE
        report = await self.backfill()
        assert (report.rows_new, report.rows_changed, report.windows_lost) == (CALLS_THERE - before, 0, 0)
        assert answer(self.address, COUNTS) == (CALLS_THERE, CALLS_THERE)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ROWS_A_WINDOW", 200)
    monkeypatch.setattr(engine, "RECORDS_AT_ONCE", 200)


@contextmanager
def given_up_after(seconds: float) -> Iterator[None]:
    """Give up servers that are silent for so long, if they are connected to within a block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgresql_connection, "SECONDS_TO_ANSWER", seconds)
        yield


@pytest.fixture
async def story(postgresql_database: str, small_windows: None) -> "Iterator[Story]":  # noqa: ARG001 - set for all it does
    with Gateway(calls=CALLS_THERE, days=2) as gateway:
        gateway.switches.order = "ascending"  # newest first, so few calls are one window, stored at once
        async with CdrSession(
            gateway=gateway.url, credentials=gateway.credentials, flash_app=gateway.flash_app
        ) as session:
            yield Story(session, gateway.first_call, gateway.last_call + timedelta(days=3), postgresql_database)


@contextmanager
def once_a_window_is_stored(do: Callable[[], None]) -> Iterator[Callable[[BackfillProgress], None]]:
    """Give what does something once a run has stored a window."""
    done: list[BackfillProgress] = []

    def on_progress(progress: BackfillProgress) -> None:
        if progress.windows and not done:
            done.append(progress)
            do()

    yield on_progress
    assert done


@contextmanager
def in_mid_write(address: str, then: Callable[[], None]) -> Iterator[Callable[[BackfillProgress], None]]:
    """Give what does something while a run writes its second window, all of whose rows are written by then."""
    with ExitStack() as stack:
        keeper = stack.enter_context(closing(psycopg.connect(address)))
        watcher = stack.enter_context(closing(psycopg.connect(address, autocommit=True)))
        problems: list[BaseException] = []

        def wait_and_do() -> None:
            try:
                deadline = time.monotonic() + LOCK_TIMEOUT
                while watcher.execute(WAITS).fetchone() == (0,):
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                then()
            except BaseException as problem:  # noqa: BLE001 - raised below, in the thread of the test
                problems.append(problem)

        thread = threading.Thread(target=wait_and_do)

        def hold_up() -> None:
            # The last that a write changes.
            keeper.execute("LOCK TABLE nxcdr_sources IN SHARE MODE")
            thread.start()

        with once_a_window_is_stored(hold_up) as on_progress:
            yield on_progress
        thread.join()
        assert not problems


async def test_a_server_killed_in_mid_write_costs_a_run_and_no_call(
    story: Story, postgresql: PostgresqlServer, postgresql_database: str
) -> None:
    told = r"lost the connection .* goes on from there"
    try:
        with in_mid_write(postgresql_database, postgresql.kill) as on_progress, pytest.raises(SinkError, match=told):
            await story.backfill(on_progress)
    finally:
        if not postgresql.is_running:
            postgresql.start()
    await story.check_rest()


@pytest.mark.slow
async def test_a_server_that_stops_in_mid_write_is_given_up(story: Story, postgresql_database: str) -> None:
    frozen: list[int] = []
    told = r"lost the connection .* it gave no answer for 5 seconds; .* goes on from there"

    def freeze() -> None:
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'nxcdr' AND datname = current_database()"
        frozen.append(answer(postgresql_database, query)[0])
        os.kill(frozen[0], signal.SIGSTOP)

    try:
        with (
            given_up_after(LONG_ENOUGH),
            in_mid_write(postgresql_database, freeze) as on_progress,
            pytest.raises(SinkError, match=told),
        ):
            await story.backfill(on_progress)
    finally:
        for number in frozen:
            os.kill(number, signal.SIGCONT)
    wait_for_nobody(postgresql_database)
    await story.check_rest()


def wait_for_nobody(address: str) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT
    while answer(address, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nxcdr'") != (0,):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.first_of
@pytest.mark.parametrize("answers", [1, 2, 3, 4, 6, 9])
def test_a_server_that_falls_silent_after_the_handshake_is_given_up(
    postgresql: PostgresqlServer, postgresql_database: str, answers: int
) -> None:
    line = SilentLine(("127.0.0.1", postgresql.port), answers)
    database = postgresql_database.rpartition("/")[2]
    with listening(line.serve) as port:
        address = f"postgresql://{USER}:{QUOTED_PASSWORD}@127.0.0.1:{port}/{database}?{PLAIN}"
        told = r"lost the connection to .*: it gave no answer for 1 seconds"
        with given_up_after(1), pytest.raises(SinkError, match=told):
            PostgresqlSink(address).open()
    assert not [thread for thread in threading.enumerate() if thread.name == "nxcdr-postgresql"]


@pytest.mark.slow
@pytest.mark.parametrize("is_back", [True, False])
def test_a_line_that_fell_silent_between_windows_is_given_up_for_another(
    postgresql: PostgresqlServer, postgresql_database: str, *, is_back: bool
) -> None:
    silent = SilentLine(("127.0.0.1", postgresql.port))
    database = postgresql_database.rpartition("/")[2]
    with listening(silent.serve) as port:
        address = f"postgresql://{USER}:{QUOTED_PASSWORD}@127.0.0.1:{port}/{database}?{PLAIN}&connect_timeout=2"
        with given_up_after(LONG_ENOUGH), opened(address) as sink:
            sink.create(CALLS, ORIGIN)
            put(sink, CALLS, keyed_rows(CALLS, 1))
            silent.fall_silent(for_later_ones=not is_back)
            if is_back:
                assert put(sink, CALLS, keyed_rows(CALLS, 1, 2), SECOND + 10) == (1, 0, 1)
            else:
                with pytest.raises(SinkError, match="could not be opened anew: cannot connect"):
                    sink.find(CALLS, keyed_rows(CALLS, 1))
    stored = 1 + is_back
    assert answer(postgresql_database, COUNTS) == (stored, stored)


@pytest.mark.slow
def test_a_slow_statement_that_answers_row_by_row_is_waited_for(postgresql_database: str) -> None:
    connection = Server.at(postgresql_database).connect()
    connection.seconds_to_answer = 2
    slow = "COPY (SELECT repeat('x', 10000), pg_sleep(0.5) FROM generate_series(1, 6)) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(slow) as copy:
        assert len(list(copy)) == 6
    with connection.allowing(LOCK_TIMEOUT):
        assert connection.execute("SELECT pg_sleep(2.5) IS NOT NULL").fetchone() == (True,)
    assert not connection.was_cut
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT pg_sleep(60)")
    assert connection.was_cut
    connection.close()


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Give a folder of the server that has so much room."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    with tempfile.TemporaryDirectory(prefix="nxcdr-disk-", dir="/tmp") as name:
        folder = Path(name)
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "tmpfs", folder]
        mounted = subprocess.run(mounting, check=False, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"no small disk can be mounted here: {mounted.stderr}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_costs_a_run_and_no_call(
    story: Story, postgresql: PostgresqlServer, postgresql_database: str
) -> None:
    database = postgresql_database.rpartition("/")[2]
    told = r"cannot store in .* No space left .* goes on from there once there is room"
    with small_disk(16) as folder, ExitStack() as stack:
        place, filler = folder / "tables", folder / "filler"
        place.mkdir(mode=0o700)
        os.chown(place, (postgresql.folder / "data").stat().st_uid, -1)
        execute(postgresql_database, f"CREATE TABLESPACE small LOCATION '{place}'")
        stack.callback(execute, postgresql_database, "DROP TABLESPACE small")
        stack.callback(execute, postgresql_database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        execute(postgresql_database, f"ALTER DATABASE {database} SET default_tablespace = small")
        with once_a_window_is_stored(partial(fill, filler)) as on_progress, pytest.raises(SinkError, match=told):
            await story.backfill(on_progress)
        filler.unlink()
        await story.check_rest()


def fill(filler: Path) -> None:
    """Write into a file until the disk is full."""
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as written:
        while True:
            written.write(bytes(4096))


def test_a_server_without_room_for_another_connection_is_told(postgresql_database: str) -> None:
    name = postgresql_database.rpartition("/")[2]
    execute(postgresql_database, f"CREATE USER {name} PASSWORD 'lowly' CONNECTION LIMIT 0")
    try:
        with pytest.raises(SinkError, match=r"cannot connect to .* too many connections"):
            PostgresqlSink(postgresql_database.replace(f"{USER}:{QUOTED_PASSWORD}", f"{name}:lowly")).open()
    finally:
        execute(postgresql_database, f"DROP USER {name}")

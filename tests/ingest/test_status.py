"""How a store is, told of stores of every kind without a change of anything."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from nxcdr_async import (
    AuthenticationError,
    BusyError,
    ConfigurationError,
    Credentials,
    Gap,
    SinkError,
    SourceStatus,
    backfill,
    prune,
    status,
)
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.sinks.protocol import Origin, RunNote, RunNoteSink
from nxcdr_async.testing import Gateway
from tests.child_processes import environment_of_children, running_module
from tests.ingest.filling import DAY, HOUR, Filling, at
from tests.ingest.test_earlier_stores import STORES
from tests.sessions import OpenSession
from tests.sinks.all_sinks import KINDS, ON_DISK, Places, opened
from tests.sinks.postgresql.fixtures import Loader
from tests.sinks.test_own_sink import MemorySink

of_every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=300, days=3) as running:
        running.clock.move_to(at(5))
        yield running


def bytes_of(to: str) -> dict[str, Any]:
    """Return all that tells whether anything at a place was changed."""
    if to.startswith("postgresql"):
        return rows_of_database(to)
    folder = Path(to).parent
    paths = [folder, *folder.rglob("*")]
    return {str(path): (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in paths}


def rows_of_database(to: str) -> dict[str, Any]:
    """Return each row with the number of the transaction that wrote it, and all relations that there are."""
    with psycopg.connect(to) as database:
        relations = database.execute(
            "SELECT relname, relkind, relfilenode FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
        ).fetchall()
        tables = [name for name, kind, _ in relations if kind == "r"]
        found = {
            name: database.execute(f'SELECT xmin, xmax, * FROM "{name}" ORDER BY ctid'.encode()).fetchall()
            for name in tables
        }
        return {"": relations, **found}


def run(code: str, to: str) -> int:
    """Run a program to its end; return how it ended."""
    return subprocess.run([sys.executable, "-c", code, to], env=environment_of_children(), check=False).returncode


@contextmanager
def started(*words: str) -> "Iterator[subprocess.Popen[str]]":
    """Give a program that is at work, with its first line read."""
    pipe, environment = subprocess.PIPE, environment_of_children()
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=environment) as running:
        assert next_line(running) == "ready"
        try:
            yield running
        finally:
            running.kill()


def next_line(running: "subprocess.Popen[str]") -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


def make_other(place: Path, kind: str) -> None:
    """Make a folder where a file is to be, and a file for a folder."""
    if kind in {"sqlite", "duckdb"}:
        place.mkdir()
    else:
        place.touch()


def overwrite(place: str, content: bytes) -> None:
    Path(place).write_bytes(content)


def earlier_store(to: Path) -> Path:
    """Make a store that an earlier version filled."""
    if to.suffix == ".sqlite":
        with closing(sqlite3.connect(to)) as database:
            database.executescript((STORES / "calls.sql").read_text(encoding="utf-8"))
    else:
        shutil.copytree(STORES / to.name, to)
    return to


def remove(path: Path) -> None:
    path.unlink()


def forbid_writing(place: Path) -> None:
    for path in [place, *place.rglob("*"), place.parent]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def allow_writing(place: Path) -> None:
    for path in (place.parent, place):
        path.chmod(0o755)


async def only(to: Any) -> SourceStatus:
    (source,) = (await status(to)).sources
    return source


@of_every_kind
async def test_it_tells_what_is_there_and_changes_nothing(filling: Filling, kind: str) -> None:
    report = await filling.backfill(at(1), at(4))
    await filling.backfill(at(4, 12), at(4, 18))
    before = bytes_of(str(filling.to))
    found = await status(filling.to)
    assert bytes_of(str(filling.to)) == before
    (source,) = found.sources
    assert (found.in_use, found.size > 0, found.sink) == (False, True, report.sink)
    assert (source.source, source.rows) == ("calls", len(filling.stored_keys()))
    assert (source.start, source.read_until, source.complete_until) == (at(1), at(4, 18), at(4))
    assert (source.settle, source.evidence, source.gateway) == (DAY, (), filling.gateway.url)
    assert source.windows == len(filling.ledger().entries) > source.windows_open > 1
    assert source.gaps == (Gap("never read", at(4), at(4, 12), None),)
    assert (source.size is None) == (kind in {"sqlite", "duckdb"})
    assert source.last_run is not None
    assert (source.last_run.command, source.last_run.outcome, source.last_run.error) == ("backfill", "done", None)
    assert source.last_run.finished is not None
    assert source.last_run.started <= source.last_run.finished


@of_every_kind
async def test_all_sources_are_told(filling: Filling) -> None:
    session, days = filling.session, (date(2026, 1, 1), date(2026, 1, 2))
    await filling.backfill(at(1), at(4))
    await backfill(session, "did", *days, to=filling.to, settle=2 * HOUR)
    await backfill(session, "flash", at(1), at(2), to=filling.to)
    found = {source.source: source for source in (await status(filling.to)).sources}
    assert list(found) == ["calls", "did", "flash"]
    assert found["did"].rows > 0
    assert found["did"].settle == 2 * HOUR
    assert found["did"].complete_until == found["did"].read_until == datetime(2026, 1, 2, 16, tzinfo=UTC)
    assert [source.source for source in (await status(filling.to, ["did"])).sources] == ["did"]


@of_every_kind
async def test_what_a_sync_brought_is_told(filling: Filling) -> None:
    await filling.backfill(at(1), at(4, 23))
    filling.add_call(at(4, 12))
    report = await filling.sync(settle=2 * DAY)
    last = (source := await only(filling.to)).last_run
    assert last is not None
    assert (last.command, last.outcome, last.rows_new) == ("sync", "done", report.rows_new)
    assert last.requests == report.requests
    assert (source.settle, source.complete_until) == (2 * DAY, report.complete_until)


@of_every_kind
async def test_a_run_that_failed_says_by_what(filling: Filling, open_session: OpenSession) -> None:
    await filling.backfill(at(1), at(4))
    wrong = Credentials(filling.gateway.credentials.access_key, "another-secret")
    filling.session = open_session(credentials=wrong)
    with pytest.raises(AuthenticationError):
        await filling.sync()
    last = (await only(filling.to)).last_run
    assert last is not None
    assert (last.command, last.outcome) == ("sync", "failed")
    assert last.error is not None
    assert last.error.startswith("AuthenticationError: ")
    assert "another-secret" not in last.error


async def test_a_run_that_was_stopped_is_told(filling_of_sqlite: Filling) -> None:
    filling = filling_of_sqlite
    await filling.backfill(at(1), at(2))
    with anyio.CancelScope() as scope:
        await filling.backfill(at(2), at(4), on_progress=lambda _: scope.cancel())
    last = (await only(filling.to)).last_run
    assert last is not None
    assert (last.outcome, last.error) == ("stopped", None)


@pytest.fixture
def filling_of_sqlite(gateway: Gateway, open_session: OpenSession, tmp_path: Path) -> Filling:
    return Filling(gateway, open_session(), tmp_path / "calls.sqlite")


async def test_known_gaps_are_told(filling_of_sqlite: Filling) -> None:
    filling = filling_of_sqlite
    filling.gateway.add_call(startTime=1000 * int(at(2).timestamp()), callDuration="a while")
    report = await filling.backfill(at(1), at(4), on_bad_row="skip")
    source = await only(filling.to)
    assert [gap.kind for gap in source.gaps] == ["bad rows"]
    assert source.gaps == report.gaps
    assert source.last_run is not None
    assert source.last_run.outcome == "gaps"


async def test_a_saturated_day_is_told_as_one(tmp_path: Path, open_session: OpenSession, gateway: Gateway) -> None:
    to = tmp_path / "calls.sqlite"
    await backfill(open_session(), "did", date(2026, 1, 1), date(2026, 1, 2), to=to)
    with closing(sqlite3.connect(to, isolation_level=None)) as database:
        database.execute("UPDATE nxcdr_windows SET saturated = json_array(start_second)")
    gap = (await only(to)).gaps[0]
    assert (gap.kind, gap.end - gap.start) == ("saturated day", DAY)
    assert gateway.did_ids()


async def test_what_was_pruned_is_no_hole(filling_of_sqlite: Filling) -> None:
    filling = filling_of_sqlite
    await filling.backfill(at(1), at(2))
    await filling.backfill(at(3), at(4))
    await prune(filling.to, before=at(3))
    source = await only(filling.to)
    assert (source.gaps, source.pruned_before, source.complete_until) == ((), at(3), at(4))


@of_every_kind
async def test_where_no_store_is_nothing_is_made(places: Places, kind: str) -> None:
    to = places.fresh(kind)
    before = bytes_of(to)
    told = (
        "holds no calls or did_calls" if kind == "postgresql" else "there is no store .*: give the --to of an earlier"
    )
    with pytest.raises(ConfigurationError, match=told):
        await status(to)
    assert bytes_of(to) == before


@pytest.mark.parametrize("kind", ON_DISK)
async def test_a_folder_is_no_file_and_a_file_no_folder(places: Places, kind: str) -> None:
    place = Path(places.fresh(kind))
    make_other(place, kind)
    with pytest.raises(ConfigurationError, match=r"is a (file: give a folder|folder: give a file) with --to"):
        await status(place)


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
async def test_a_file_of_others_is_refused_as_it_is(places: Places, kind: str) -> None:
    place = places.fresh(kind)
    overwrite(place, b"no database at all, but a text of some length that nobody could take for one")
    before = bytes_of(place)
    with pytest.raises(ConfigurationError, match=r"and no (SQLite|DuckDB) file"):
        await status(place)
    assert bytes_of(place) == before


async def test_a_sink_of_ones_own_needs_a_method_for_it() -> None:
    with pytest.raises(ConfigurationError, match="a sink of your own needs the method survey"):
        await status(MemorySink())


HOLDING = """
import sys
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.sinks.protocol import RunNote
from tests.sinks.all_sinks import opened

with opened(sys.argv[1]) as sink:
    sink.inspect(CALLS)
    sink.note_run(CALLS, RunNote("sync", 1_767_600_000, 3_600))
    print("ready", flush=True)
    sys.stdin.read()
"""


@of_every_kind
async def test_it_is_told_while_a_run_has_hold_of_the_store(filling: Filling, kind: str) -> None:
    await filling.backfill(at(1), at(4))
    with started(sys.executable, "-c", HOLDING, str(filling.to)):
        before = bytes_of(str(filling.to))
        if kind == "duckdb":
            with pytest.raises(BusyError):
                await status(filling.to)
        else:
            found = await status(filling.to)
            assert (found.in_use, found.sources[0].rows > 0, found.sources[0].settle) == (True, True, HOUR)
            last = found.sources[0].last_run
            assert last is not None
            assert (last.outcome, last.finished) == ("running", None)
        assert bytes_of(str(filling.to)) == before
    last = (await only(filling.to)).last_run
    assert last is not None
    assert last.outcome == "killed"


KILLED = """
import os, sys
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.protocol import Origin, RunNote
from nxcdr_async.windows import Window
from tests.sinks.table_rows import plain_rows

sink, begin = sink_for(sys.argv[1]), 1_767_225_600
sink.open()
sink.create(CALLS, Origin("account", "UTC"))
sink.note_run(CALLS, RunNote("backfill", begin, 0))
entry = LedgerEntry(Window(begin, begin + 60), begin + 60)
sink.write(CALLS, plain_rows(CALLS, begin, 10), LedgerChange(entry, (), None))
os._exit(9)
"""


@of_every_kind
async def test_a_run_that_was_killed_is_told_as_that_from_what_it_left(places: Places, kind: str) -> None:
    to = places.fresh(kind)
    assert run(KILLED, to) == 9
    before = bytes_of(to)
    found = await status(to)
    assert bytes_of(to) == before
    (source,) = found.sources
    assert (source.rows, source.read_until) == (10, datetime(2026, 1, 1, 0, 1, tzinfo=UTC))
    assert source.last_run is not None
    assert (source.last_run.command, source.last_run.outcome) == ("backfill", "killed")
    assert found.in_use is False


@of_every_kind
async def test_it_gets_into_no_writers_way(places: Places, kind: str) -> None:
    to, told = places.fresh(kind), [0]
    with started(*running_module("tests.sinks.endless_writer"), to) as writer:
        for _ in range(10):
            number = int(next_line(writer))
            if kind == "duckdb":
                with pytest.raises(BusyError):
                    await status(to)
                break
            found = await status(to)
            (source,) = found.sources
            assert found.in_use is True
            assert source.windows > number
            assert source.rows >= 500 * (number + 1)
            told.append(source.rows)
        assert told == sorted(told)
        assert next_line(writer), "the writer has ended"


async def test_a_log_that_a_reader_kept_is_not_made_anew(filling_of_sqlite: Filling) -> None:
    filling = filling_of_sqlite
    await filling.backfill(at(1), at(4))
    with closing(sqlite3.connect(filling.to)) as reader:
        reader.execute("PRAGMA journal_mode = WAL").fetchall()
    before = bytes_of(str(filling.to))
    assert (await only(filling.to)).rows == len(filling.gateway.call_ids(None, at(4)))
    assert bytes_of(str(filling.to)) == before


HALF_WRITTEN = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN")
database.execute("UPDATE calls SET caller = zeroblob(900)")
assert os.path.exists(sys.argv[1] + "-journal")
os._exit(9)
"""


async def test_a_file_that_only_its_next_run_can_mend_is_told_as_that(filling_of_sqlite: Filling) -> None:
    filling = filling_of_sqlite
    await filling.backfill(at(1), at(4))
    assert run(HALF_WRITTEN, str(filling.to)) == 9
    before = bytes_of(str(filling.to))
    with pytest.raises(SinkError, match="was left by a run that was killed while it wrote"):
        await status(filling.to)
    assert bytes_of(str(filling.to)) == before
    await filling.sync()
    assert (await only(filling.to)).rows > 0


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
@pytest.mark.parametrize("kind", ON_DISK)
async def test_who_may_only_read_is_told(filling: Filling) -> None:
    await filling.backfill(at(1), at(4))
    forbid_writing(Path(filling.to))
    try:
        assert (await only(filling.to)).rows > 0
    finally:
        allow_writing(Path(filling.to))


async def test_a_user_of_a_database_who_may_only_read_is_told(
    postgresql_loader: Loader, gateway: Gateway, open_session: OpenSession
) -> None:
    await backfill(open_session(), "calls", at(1), at(4), to=postgresql_loader.keepers)
    with pytest.raises(ConfigurationError, match="permission denied"):
        await status(postgresql_loader.address)
    postgresql_loader.keep(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {postgresql_loader.name}")
    postgresql_loader.keep(f"REVOKE CREATE ON SCHEMA public FROM {postgresql_loader.name}")
    source = await only(postgresql_loader.address)
    assert source.rows == len(gateway.call_ids(None, at(4)))


@pytest.mark.parametrize("suffix", [".sqlite", ".jsonl"])
async def test_a_store_of_an_earlier_version_is_told_and_gets_a_last_run(
    suffix: str, tmp_path: Path, open_session: OpenSession
) -> None:
    to = earlier_store(tmp_path / f"calls{suffix}")
    before = bytes_of(str(to))
    source = await only(to)
    assert bytes_of(str(to)) == before
    assert (source.rows, source.last_run, source.settle, source.complete_until) == (20, None, DAY, at(2))
    with Gateway(calls=20, days=1) as gateway:
        gateway.clock.move_to(at(4))
        filling = Filling(gateway, open_session(gateway=gateway.url, credentials=gateway.credentials), to)
        await filling.sync(settle=timedelta(hours=3))
    source = await only(to)
    assert source.last_run is not None
    assert (source.last_run.outcome, source.settle) == ("done", timedelta(hours=3))


async def test_a_note_that_somebody_spoilt_is_none(filling_of_sqlite: Filling) -> None:
    await filling_of_sqlite.backfill(at(1), at(4))
    for text in ("no JSON", "{}", "[]", b"\x00"):
        with closing(sqlite3.connect(filling_of_sqlite.to, isolation_level=None)) as database:
            database.execute("UPDATE nxcdr_sources SET last_run = ?", [text])
        assert (await only(filling_of_sqlite.to)).last_run is None
    await filling_of_sqlite.sync()
    assert (await only(filling_of_sqlite.to)).last_run is not None


async def test_a_folder_without_its_ledger_is_told_by_its_files(places: Places, filling_of_sqlite: Filling) -> None:
    filling_of_sqlite.to = Path(places.fresh("csv"))
    await filling_of_sqlite.backfill(at(1), at(4))
    remove(filling_of_sqlite.to / "_ledger.ndjson")
    source = await only(filling_of_sqlite.to)
    assert (source.rows, source.read_until) == (len(filling_of_sqlite.gateway.call_ids(None, at(4))), None)


@of_every_kind
def test_a_last_run_outlasts_the_closing_of_a_store(places: Places, kind: str) -> None:
    to = places.fresh(kind)
    note = RunNote("sync", 1, 2, 3, "gaps", 4, 5, 6, "an error - with 'quotes'")
    with opened(to) as sink:
        sink.create(CALLS, Origin("account", "UTC"))
        assert isinstance(sink, RunNoteSink)
        sink.note_run(CALLS, RunNote("backfill", 1, 2))
        sink.note_run(CALLS, note)
    with opened(to) as sink:
        state = sink.inspect(CALLS)
        assert state is not None
        assert state.last_run == note

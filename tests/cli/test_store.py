import os
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from attrs import evolve

from nxcdr_async import CallRecord, ConfigurationError, SessionStats
from nxcdr_async.cli import store as store_room
from nxcdr_async.cli.store import CallStore
from nxcdr_async.cli.summary import Run, show_summary

CALL = CallRecord(call_id="1", start_time=datetime(2026, 1, 1, tzinfo=UTC))
STATS = SessionStats(
    requests=1,
    retries=0,
    throttled=0,
    clock_refusals=0,
    in_flight=0,
    peak_in_flight=1,
    limit=8,
    pace=None,
    clock_skew=None,
)

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no modes of files")


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Let everybody read and write what is made without a mode of its own."""
    before = os.umask(0)
    yield
    os.umask(before)


def filled(target: Path, *calls: CallRecord) -> CallStore:
    store = CallStore.create(target)
    store.add(calls or (CALL,))
    return store


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@on_posix
@pytest.mark.usefixtures("no_umask")
@pytest.mark.parametrize("is_there", [False, True])
def test_a_database_can_be_read_by_its_owner_only(tmp_path: Path, is_there: bool) -> None:
    target = tmp_path / "calls.duckdb"
    if is_there:
        target.write_bytes(b"of before")
        target.chmod(0o644)
    filled(target).finish(1, 1, 1)
    assert mode(target) == 0o600
    assert list(tmp_path.iterdir()) == [target]


@on_posix
@pytest.mark.usefixtures("no_umask")
def test_nobody_else_can_reach_a_database_while_it_is_written(tmp_path: Path) -> None:
    store = filled(tmp_path / "calls.duckdb")
    (folder,) = tmp_path.iterdir()
    assert mode(folder) == 0o700
    assert mode(store.part) == 0o600
    assert folder in store.part.parents
    store.discard()
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_where_the_tables_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(store_room.COLUMNS, "of_no_type", ("NO_SUCH_TYPE", None))
    with pytest.raises(ConfigurationError, match=r"cannot write .*calls\.duckdb: .*NO_SUCH_TYPE"):
        CallStore.create(tmp_path / "calls.duckdb")
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_where_a_file_cannot_be_kept_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as some network drives do

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(ConfigurationError, match="Operation not permitted"):
        CallStore.create(tmp_path / "calls.duckdb")
    assert not list(tmp_path.iterdir())


@on_posix
def test_a_link_that_lies_in_wait_is_not_written_through(tmp_path: Path) -> None:
    target, victim = tmp_path / "calls.duckdb", tmp_path / "victim"
    for name in (target.name, f".{target.name}.{os.getpid()}.part"):
        (tmp_path / name).symlink_to(victim)
    filled(target).finish(1, 1, 1)
    assert not victim.exists()
    assert not target.is_symlink()
    with duckdb.connect(str(target), read_only=True) as database:
        assert database.execute("SELECT count(*) FROM calls").fetchall() == [(1,)]


def test_no_name_in_the_database_steers_the_terminal_or_is_taken_for_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nasty = "[red]b[/red] :skull:\x1b[2J\x9b\x7f\u202ec\r\nd"
    target = tmp_path / "calls.duckdb"
    call = evolve(CALL, agent_name=nasty, agent_nick_name=nasty, call_duration=9)
    filled(target, call).finish(1, 1, 1)
    assert show_summary(Run(target, 1, STATS, 1.0))
    told = capsys.readouterr().out
    assert not [one for one in told if not one.isprintable() and one != "\n"]
    assert "[red]b[/red] :skull:?[2J???c  d" in told

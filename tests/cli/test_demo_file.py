import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from nxcdr_async import ConfigurationError
from nxcdr_async.cli.demo_file import checked_target, mark, written_aside
from nxcdr_async.cli.run import CommandError

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no modes of files")


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Let everybody read and write what is made without a mode of its own."""
    before = os.umask(0)
    yield
    os.umask(before)


def put(target: Path, calls: int = 1) -> None:
    with written_aside(target) as part:
        with duckdb.connect(part) as database:
            database.execute("CREATE TABLE calls AS FROM range(?) r(number)", [calls])
        mark(part, calls, 1, 1)


def count(path: Path) -> int:
    with duckdb.connect(path, read_only=True) as database:
        return database.execute("SELECT count(*) FROM calls").fetchall()[0][0]


@on_posix
@pytest.mark.usefixtures("no_umask")
def test_nobody_else_can_reach_a_file_while_it_is_written(tmp_path: Path) -> None:
    target = tmp_path / "calls.duckdb"
    with written_aside(target) as part:
        part.write_bytes(b"of the demo")
        (folder,) = tmp_path.iterdir()
        assert part.parent == folder
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_takes_the_place_of_an_earlier_demo_and_its_log(tmp_path: Path) -> None:
    target = tmp_path / "calls.duckdb"
    put(target, 1)
    target.with_name("calls.duckdb.wal").write_bytes(b"of a program that was interrupted")
    put(target, 2)
    assert list(tmp_path.iterdir()) == [target]
    assert count(target) == 2


def test_an_error_leaves_nothing_behind_and_what_stood_there_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "calls.duckdb"
    put(target, 1)
    with pytest.raises(CommandError, match="the disk is full"), written_aside(target) as part:
        part.write_bytes(b"half")
        raise OSError("the disk is full")
    assert list(tmp_path.iterdir()) == [target]
    assert count(target) == 1


@on_posix
def test_a_link_that_lies_in_wait_is_not_written_through(tmp_path: Path) -> None:
    target, victim = tmp_path / "calls.duckdb", tmp_path / "victim"
    target.symlink_to(victim)
    put(target)
    assert not victim.exists()
    assert not target.is_symlink()
    assert count(target) == 1


def test_only_a_file_with_the_mark_is_known_as_a_demo(tmp_path: Path) -> None:
    target = tmp_path / "calls.duckdb"
    with duckdb.connect(target) as database:
        database.execute("CREATE TABLE calls (mine INTEGER)")
    with pytest.raises(ConfigurationError, match="not from a demo"):
        checked_target(target)
    mark(target, 1, 1, 1)
    assert checked_target(target) == target

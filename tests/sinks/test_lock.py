"""The lock of a file or folder: one has it at a time, and who waits is next."""

import resource
import threading
import time
from pathlib import Path

import pytest

from nxcdr_async import BusyError, ConfigurationError, SinkError
from nxcdr_async.sinks import locks
from nxcdr_async.sinks.locks import SinkLock


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


def test_who_waits_is_before_who_comes_back_at_once(target: Path) -> None:
    is_over, is_taken, had = threading.Event(), threading.Event(), []

    def come_back_at_once() -> None:
        greedy = SinkLock(target)
        while not is_over.is_set():
            greedy.acquire()
            had.append("greedy")
            is_taken.set()
            time.sleep(0.05)  # as long as a batch takes
            greedy.release()

    thread = threading.Thread(target=come_back_at_once)
    thread.start()
    is_taken.wait()
    waiting = SinkLock(target)
    try:
        for _ in range(5):
            waiting.acquire()
            had.append("waiting")
            waiting.release()
    finally:
        is_over.set()
        thread.join()
    assert had.count("waiting") == 5


def test_a_lock_that_is_never_let_go_of_is_waited_for_a_moment_only(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "SECONDS_TO_WAIT", 0.2)
    first, second = SinkLock(target), SinkLock(target)
    first.acquire()
    began = time.monotonic()
    with pytest.raises(BusyError, match="another run"):
        second.acquire()
    assert time.monotonic() - began >= 0.2
    first.release()
    second.acquire()
    second.release()


def test_it_is_let_go_of_where_no_file_can_be_opened(target: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = SinkLock(target)
    held.acquire()
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, before[1]))
    try:
        held.release()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    held.acquire()
    held.release()


def test_a_busy_sink_is_to_its_user_as_any_that_cannot_work() -> None:
    assert issubclass(BusyError, ConfigurationError)


def test_nothing_is_left_beside_a_place_where_nothing_came_to_be(target: Path) -> None:
    held = SinkLock(target)
    for _ in range(2):
        held.acquire()
        held.release()
        assert list(target.parent.iterdir()) == []
    held.acquire()
    target.touch()
    held.release()
    assert len(list(target.parent.iterdir())) == 3


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a file system that takes no files")
def test_a_file_system_that_takes_no_files_is_not_in_use() -> None:
    with pytest.raises(SinkError, match="no file can be made in the folder /proc") as caught:
        SinkLock(Path("/proc/calls.duckdb")).acquire()
    assert not isinstance(caught.value, BusyError)

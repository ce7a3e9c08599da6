"""Folders: how files are called, what the ledger tells, and that a run killed anywhere costs no row."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count, product
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from nxcdr_async import ConfigurationError, SinkError
from nxcdr_async.ingest.segmenter import Segment
from nxcdr_async.ingest.table_writer import AllowedChanges, ReadSummary, TableWriter
from nxcdr_async.records.arrow import CALLS, DID_CALLS, FLASH_CALLS, rows_of
from nxcdr_async.records.models import CallRecord
from nxcdr_async.sinks.folder import ledger as folder_ledger
from nxcdr_async.sinks.folder.files import file_name, table_and_window
from nxcdr_async.sinks.folder.ledger import LEDGER_NAME
from nxcdr_async.sinks.folder.parquet import ParquetSink
from nxcdr_async.sinks.folder.sink import FolderSink
from nxcdr_async.sinks.protocol import Origin
from nxcdr_async.windows import Window
from tests.child_processes import environment_of_strangers

BEGIN = 1_767_225_600  # 2026-01-01T00:00:00Z
ORIGIN = Origin("account", "UTC+08:00")
ALL = Window(BEGIN - 1000, BEGIN + 1000)
LATE = BEGIN + 10_000
"""When all windows here are sealed, if they are read then."""

NOBODY = 65534


def call(second: int, name: str, **values: Any) -> CallRecord:
    return CallRecord(call_id=name, start_time=datetime.fromtimestamp(BEGIN + second, UTC), **values)


def cut(start: int, end: int, *calls: CallRecord) -> Segment:
    return Segment(Window(BEGIN + start, BEGIN + end), rows_of(CALLS, calls))


@contextmanager
def opened(path: Path, origin: Origin = ORIGIN) -> Iterator[TableWriter]:
    """Open a folder as a run does."""
    sink: FolderSink = ParquetSink(path)
    store = TableWriter(sink, CALLS, 0)
    try:
        sink.open()
        store.begin(origin, AllowedChanges())
        store.reopen_lost()
        yield store
    finally:
        sink.close()


def put(store: TableWriter, *cuts: Segment) -> None:
    for one in cuts:
        store.put(one, ReadSummary(LATE))


def fill(path: Path, *cuts: Segment) -> None:
    with opened(path) as store:
        put(store, *cuts)


def stored(path: Path) -> dict[str, str | None]:
    """Return who called in each call, and check that no call is there twice, for us or for whoever reads the files."""
    with opened(path) as store:
        rows = store.sink.scan(CALLS, ALL).select(["call_id", "caller"]).to_pylist()
    in_files = [row for file in path.glob("**/calls-*.parquet") for row in pq.read_table(file).to_pylist()]
    assert len({row["call_id"] for row in rows}) == len(rows) == len(in_files)
    return {row["call_id"]: row["caller"] for row in rows}


def files_in(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def windows_of(path: Path) -> list[tuple[int, int]]:
    with opened(path) as store:
        return [(entry.window.start - BEGIN, entry.window.end - BEGIN) for entry in store.ledger.entries]


def lost_of(path: Path) -> list[tuple[int, int]]:
    with opened(path) as store:
        return [(entry.window.start - BEGIN, entry.window.end - BEGIN) for entry in store.find_lost()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "calls.parquet"


def test_a_file_is_called_by_its_table_and_its_window(folder: Path) -> None:
    fill(folder, cut(0, 6 * 3600 + 1800, call(1, "a")))
    assert files_in(folder) == [LEDGER_NAME, "calls/calls-20260101T000000Z-20260101T063000Z.parquet"]


@given(
    table=st.sampled_from([CALLS, DID_CALLS, FLASH_CALLS]),
    start=st.integers(0, 200_000_000_000),
    seconds=st.integers(1, 10_000_000),
)
def test_a_name_tells_the_window_again(table: Any, start: int, seconds: int) -> None:
    window = Window(start, start + seconds)
    assert table_and_window(file_name(table, window, ".csv"), ".csv") == (table, window)


@pytest.mark.parametrize(
    "name",
    [
        "calls-20260101T000000Z-20260101T063000Z.csv",
        "calls-20260101T063000Z-20260101T000000Z.parquet",
        "calls-20261301T000000Z-20261401T000000Z.parquet",
        "other-20260101T000000Z-20260101T063000Z.parquet",
        ".calls-20260101T000000Z-20260101T063000Z.parquet.part",
        "calls.parquet",
    ],
)
def test_a_file_of_another_name_is_not_ours(name: str) -> None:
    assert table_and_window(name, ".parquet") is None


def test_files_that_are_not_ours_are_left_alone(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    for name in ("notes.txt", "other.parquet", ".other.part"):
        (folder / name).write_text("mine")
    fill(folder, cut(10, 20, call(11, "b")))
    assert {(folder / name).read_text() for name in ("notes.txt", "other.parquet", ".other.part")} == {"mine"}


def test_what_a_killed_run_wrote_aside_is_removed(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    before = files_in(folder)
    for name in before:
        (folder / f".{Path(name).name}.part").write_text("half")
    assert stored(folder) == {"a": None}
    assert files_in(folder) == before


def test_a_window_without_rows_has_no_file_and_counts(folder: Path) -> None:
    fill(folder, cut(0, 10))
    assert files_in(folder) == [LEDGER_NAME]
    assert windows_of(folder) == [(0, 10)]


def test_rows_in_a_file_are_in_order_of_time(folder: Path) -> None:
    fill(folder, cut(0, 10, call(5, "b"), call(1, "z"), call(5, "a")))
    (file,) = folder.glob("**/calls-*")
    assert pq.read_table(file)["call_id"].to_pylist() == ["z", "a", "b"]


def test_a_row_read_again_stays_in_its_file(folder: Path) -> None:
    fill(folder, cut(0, 10, call(9, "a")))
    before = files_in(folder)
    fill(folder, cut(10, 20, call(9, "a", caller="1")))
    assert files_in(folder) == before
    assert stored(folder) == {"a": "1"}


def test_a_new_row_goes_to_the_window_of_its_time(folder: Path) -> None:
    fill(folder, cut(0, 10), cut(10, 20, call(5, "late"), call(11, "b")))
    first, second = sorted(folder.glob("**/calls-*"))
    assert pq.read_table(first)["call_id"].to_pylist() == ["late"]
    assert pq.read_table(second)["call_id"].to_pylist() == ["b"]


def test_a_row_outside_of_all_windows_is_found_again(folder: Path) -> None:
    fill(folder, cut(100, 110, call(5, "stray")))
    fill(folder, cut(0, 10, call(5, "stray", caller="1")))
    assert stored(folder) == {"stray": "1"}


@pytest.mark.parametrize("again", [(10, 20), (10, 30)], ids=["alone", "with what comes after it"])
def test_a_row_stays_in_the_file_of_the_window_that_is_read_again(folder: Path, again: tuple[int, int]) -> None:
    # Brought by the window after its own, before that was read.
    fill(folder, cut(10, 20, call(5, "early")), cut(0, 10, call(5, "early")))
    fill(folder, cut(*again, call(5, "early", caller="1")))
    assert stored(folder) == {"early": "1"}


def test_rows_that_were_not_read_again_stay(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a"), call(2, "b")), cut(0, 10, call(2, "b", caller="1")))
    assert stored(folder) == {"a": None, "b": "1"}


def test_a_window_takes_over_the_rows_of_those_it_stands_for(folder: Path) -> None:
    fill(folder, cut(0, 5, call(1, "a")), cut(5, 10, call(6, "b")), cut(0, 10, call(6, "b", caller="1")))
    assert windows_of(folder) == [(0, 10)]
    assert len(list(folder.glob("**/calls-*"))) == 1
    assert stored(folder) == {"a": None, "b": "1"}


def test_nothing_is_read_to_store_what_is_new(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(folder) as store:
        put(store, cut(0, 10, call(1, "a")))
        monkeypatch.setattr("pathlib.Path.read_bytes", None)
        put(store, cut(10, 20, call(11, "b")))


def test_a_file_that_is_gone_has_its_window_read_again(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")), cut(10, 20, call(11, "b")))
    (folder / "calls" / "calls-20260101T000000Z-20260101T000010Z.parquet").unlink()
    assert lost_of(folder) == [(0, 10)]
    fill(folder, cut(0, 10, call(1, "a")))
    assert stored(folder) == {"a": None, "b": None}


def test_a_torn_last_line_never_was(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    whole = (folder / LEDGER_NAME).read_bytes()
    fill(folder, cut(10, 20, call(11, "b")))
    line = (folder / LEDGER_NAME).read_bytes().removeprefix(whole).splitlines()[-1]
    announced = b'{"table":"calls","writing":[[1767225610,1767225620]]}\n'
    for length in range(0, len(line), 10):
        (folder / LEDGER_NAME).write_bytes(whole + announced + line[:length])
        assert windows_of(folder) == [(0, 10)]
        fill(folder, cut(10, 20, call(11, "b")))
        assert stored(folder) == {"a": None, "b": None}


def test_a_lost_ledger_is_made_anew_from_the_files(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")), cut(10, 20, call(11, "b"), call(-5, "stray")))
    (folder / LEDGER_NAME).unlink()
    with opened(folder) as store:
        assert [(entry.window.start - BEGIN, entry.rows) for entry in store.ledger.entries] == [(0, 1), (10, 2)]
        assert not any(entry.is_sealed(0) for entry in store.ledger.entries)
        put(store, cut(0, 10, call(1, "a"), call(-5, "stray", caller="1")))
    assert stored(folder) == {"a": None, "b": None, "stray": "1"}


def test_a_broken_ledger_is_made_anew_from_the_files(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    (folder / LEDGER_NAME).write_bytes(b"\x00\x00\n" + (folder / LEDGER_NAME).read_bytes())
    assert windows_of(folder) == [(0, 10)]
    assert stored(folder) == {"a": None}


def test_a_ledger_made_anew_does_not_refuse_another_account_once(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    (folder / LEDGER_NAME).unlink()
    with opened(folder, Origin("other", "UTC")) as store:
        store.create()
        assert store.sink.inspect(CALLS).origin == Origin("other", "UTC")
    with pytest.raises(ConfigurationError, match="another access key"), opened(folder):
        pass


def test_files_of_the_same_time_are_made_one_with_a_lost_ledger(folder: Path, tmp_path: Path) -> None:
    older, other = tmp_path / "older.parquet", tmp_path / "other.parquet"
    fill(older, cut(0, 10, call(1, "a"), call(6, "b", caller="1")))
    fill(other, cut(5, 15, call(6, "b", callee="2"), call(11, "c")), cut(20, 30, call(21, "d")))
    folder.mkdir()
    for age, file in enumerate([*older.glob("**/calls-*"), *other.glob("**/calls-*")]):
        os.utime(file, (age, age))
        file.rename(folder / file.name)
    assert stored(folder) == {"a": None, "b": "1", "c": None, "d": None}
    assert windows_of(folder) == [(0, 15), (20, 30)]


def test_a_file_that_the_ledger_never_heard_of_is_not_touched_but_told(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    (file,) = folder.glob("**/calls-*")
    copy = file.with_name("calls-20250101T000000Z-20250102T000000Z.parquet")
    copy.write_bytes(file.read_bytes())
    with pytest.raises(ConfigurationError, match=f"{copy.name} is not in the ledger.*move it away.*{LEDGER_NAME}"):
        stored(folder)
    assert copy.exists()


def test_a_file_beside_the_folder_of_its_table_is_not_touched_but_told(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    (file,) = folder.glob("**/calls-*")
    (folder / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ConfigurationError, match=f"{file.name} is in the folder itself.*move it away"):
        stored(folder)
    assert (folder / file.name).exists()


def test_files_of_an_earlier_version_stay_where_they_are_and_new_ones_come_beside_them(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    (file,) = folder.glob("**/calls-*")
    file.rename(folder / file.name)
    file.parent.rmdir()
    fill(folder, cut(10, 20, call(11, "b")))
    assert stored(folder) == {"a": None, "b": None}
    assert [Path(name).parent.name for name in files_in(folder)] == [""] * 3


def test_a_table_without_files_has_no_folder(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    with opened(folder) as store:
        store.sink.prune(CALLS, BEGIN + 20, is_trial=False)
    assert [path.name for path in folder.iterdir()] == [LEDGER_NAME]


def test_a_link_to_where_nothing_is_yet_is_followed(folder: Path, tmp_path: Path) -> None:
    folder.symlink_to(tmp_path / "there")
    fill(folder, cut(0, 10, call(1, "a")))
    assert stored(tmp_path / "there") == stored(folder) == {"a": None}


def test_a_link_that_somebody_put_in_the_place_of_the_folder_of_a_table_stays(folder: Path, tmp_path: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    (folder / "calls").rename(tmp_path / "there")
    (folder / "calls").symlink_to(tmp_path / "there")
    with opened(folder) as store:
        assert store.sink.prune(CALLS, BEGIN + 20, is_trial=False) == 1
        put(store, cut(30, 40, call(31, "b")))
    assert (folder / "calls").is_symlink()
    assert [pq.read_table(file)["call_id"].to_pylist() for file in (tmp_path / "there").iterdir()] == [["b"]]


def test_a_file_with_other_columns_is_refused(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    (file,) = folder.glob("**/calls-*")
    pq.write_table(pq.read_table(file).drop_columns(["caller"]), file)
    with pytest.raises(ConfigurationError, match=r"calls-.* was not made by this version of a backfill \(it has other"):
        stored(folder)


def test_a_damaged_file_is_told_and_read_again_once_moved_away(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    (file,) = folder.glob("**/calls-*")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ConfigurationError, match=r"is damaged .* move it away, and its window is read again"):
        stored(folder)
    file.unlink()
    assert lost_of(folder) == [(0, 10)]


def test_the_ledger_is_written_anew_when_it_has_grown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder, *[cut(0, 10, call(1, "a"))] * 30)
    grown = (folder / LEDGER_NAME).stat().st_size
    before = windows_of(folder)
    assert (folder / LEDGER_NAME).stat().st_size == grown
    monkeypatch.setattr(folder_ledger, "LINES_TO_SPARE", 10)
    windows_of(folder)
    assert (folder / LEDGER_NAME).stat().st_size < grown / 8
    assert windows_of(folder) == before
    assert stored(folder) == {"a": None}


def test_the_ledger_tells_how_far_the_folder_is_complete(folder: Path) -> None:
    fill(folder, cut(0, 10, call(1, "a")))
    assert '"complete_until":"2026-01-01T00:00:10+00:00"' in (folder / LEDGER_NAME).read_text()


def test_a_folder_that_is_not_open_says_so(folder: Path) -> None:
    with pytest.raises(SinkError, match="is not open"):
        ParquetSink(folder).create(CALLS, ORIGIN)


class Killed(BaseException):
    """The process was killed here; what comes after it never happens."""


@contextmanager
def killed_after(calls: int) -> Iterator[None]:
    """Have each call that changes a file fail after a number of them, as if the process were no more."""
    left = calls

    def stopping(real: Callable[..., Any]) -> Callable[..., Any]:
        def stop(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == -1 and real.__name__ == "write":
                real(args[0], bytes(args[1])[: len(args[1]) // 2])
            if left < 0:
                raise Killed
            return real(*args, **options)

        return stop

    with pytest.MonkeyPatch.context() as patch:
        for name in ("write", "fsync", "replace", "unlink", "ftruncate"):
            patch.setattr(os, name, stopping(getattr(os, name)))
        yield


def is_killed(work: Callable[[], object], calls: int) -> bool:
    """Do some work on files, killed after some of its calls; return whether it was before its end."""
    try:
        with killed_after(calls):
            work()
    except Killed:
        return True
    return False


# Begun: two windows with rows, one without. Then a part that has late rows for them, and a known one with a new value.
BEGUN = (cut(0, 5, call(1, "a"), call(4, "b")), cut(5, 7), cut(7, 10, call(8, "c")))
GOING_ON = (call(4, "b", caller="1"), call(3, "late"), call(6, "later"), call(-3, "stray"), call(11, "d"))
GOES_ON = cut(10, 20, *GOING_ON)
GOES_ON_SHORTER = cut(10, 12, *GOING_ON)
AFTER_SHORTER = cut(12, 25, call(14, "e"))
WIDER = cut(0, 12, call(4, "b", caller="1"), call(3, "late"), call(6, "later"), call(-3, "stray"), call(11, "d"))
IN_THE_END = {"a": None, "b": "1", "c": None, "d": None, "late": None, "later": None, "stray": None}


def counts_no_more_than(store: TableWriter, one: Segment) -> bool:
    """Return whether a run may put a window: a window that counts is never read again in part."""
    there = [entry.window for entry in store.ledger.within(one.window)]
    return all(one.window.start <= window.start and window.end <= one.window.end for window in there)


@pytest.mark.first_of
@pytest.mark.parametrize("lost", [None, LEDGER_NAME], ids=["ledger kept", "ledger lost"])
@pytest.mark.parametrize(
    ("killed", "then", "expected"),
    [
        ([GOES_ON], [GOES_ON], IN_THE_END),
        ([GOES_ON], [GOES_ON_SHORTER, AFTER_SHORTER], {**IN_THE_END, "e": None}),
        ([GOES_ON_SHORTER, AFTER_SHORTER], [GOES_ON], {**IN_THE_END, "e": None}),
        ([WIDER], [WIDER], IN_THE_END),
        ([WIDER], [*BEGUN, GOES_ON], IN_THE_END),
    ],
    ids=["cut the same", "cut shorter", "cut wider", "standing for others", "others again"],
)
def test_a_run_killed_anywhere_costs_no_row_and_leaves_none_twice(
    tmp_path: Path, killed: list[Segment], then: list[Segment], expected: dict[str, str | None], lost: str | None
) -> None:
    fill(tmp_path / "begun.parquet", *BEGUN)
    for calls in count():
        folder = tmp_path / f"{calls}.parquet"
        copytree(tmp_path / "begun.parquet", folder)
        was_killed = is_killed(lambda: fill(folder, *killed), calls)  # noqa: B023 - called before the next turn
        if lost is not None:
            (folder / lost).unlink()
        assert stored(folder).keys() >= {"a", "b", "c"}
        with opened(folder) as store:
            for one in then:
                if counts_no_more_than(store, one):
                    put(store, one)
        after = stored(folder)
        assert {name: after[name] for name in IN_THE_END} == IN_THE_END
        assert after.keys() <= expected.keys()
        assert not list(folder.glob(".*"))
        if not was_killed:
            break
    assert calls > 5


@pytest.mark.slow
def test_clearing_up_after_a_killed_run_may_be_killed_too(tmp_path: Path) -> None:
    fill(tmp_path / "begun.parquet", *BEGUN)
    killed_at = 0
    for calls, again in product(range(4, 16), range(0, 8, 2)):
        folder = tmp_path / f"{calls}-{again}.parquet"
        copytree(tmp_path / "begun.parquet", folder)
        is_killed(lambda: fill(folder, WIDER), calls)  # noqa: B023 - called before the next turn
        if calls % 2:
            (folder / LEDGER_NAME).unlink()
        killed_at += is_killed(lambda: windows_of(folder), again)  # noqa: B023 - as above
        assert stored(folder).keys() >= {"a", "b", "c"}
        fill(folder, WIDER)
        assert stored(folder) == IN_THE_END
    assert killed_at > 10


# Runs in a process of its own, which has a limit or no rights; it tells the error it meets.
CHILD = """
import os, resource, signal, sys
from datetime import datetime, UTC
from pathlib import Path
from nxcdr_async import NxcdrError
from nxcdr_async.records.arrow import rows_of
from nxcdr_async.ingest.segmenter import Segment
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.sinks.protocol import Origin
from nxcdr_async.ingest.table_writer import AllowedChanges, ReadSummary, TableWriter
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.records.models import CallRecord
from nxcdr_async.windows import Window
path, limit, user = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sink = sink_for(path)
if user:
    os.setuid(user)
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
times = [datetime.fromtimestamp(1767225610 + number / 1000, UTC) for number in range(999)]
calls = [CallRecord(call_id=f"{number} {number**9}", start_time=time) for number, time in enumerate(times)]
try:
    sink.open()
    store = TableWriter(sink, CALLS, 0)
    store.begin(Origin("account", "UTC+08:00"), AllowedChanges())
    store.put(Segment(Window(1767225610, 1767225620), rows_of(CALLS, calls)), ReadSummary(1767235600))
except NxcdrError as error:
    print(type(error).__name__, error)
finally:
    sink.close()
"""


def told_by_child(path: Path, *, limit: int = 0, user: int = 0) -> str:
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(limit), str(user)],
        env=environment_of_strangers(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not child.stderr
    return child.stdout


SUFFIXES = [".parquet", ".jsonl", ".csv"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for a ledger but for no file of a thousand calls."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a disk can be mounted by root only")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.first_of
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_told_and_leaves_nothing_half_written(small_disk: Path, suffix: str) -> None:
    folder = small_disk / f"calls{suffix}"
    told = told_by_child(folder)
    assert told == f"SinkError cannot store in {folder}: No space left on device\n"
    assert files_in(folder) == [LEDGER_NAME]


@pytest.mark.first_of
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("limit", [1, 100, 5000])
def test_a_file_that_cannot_grow_is_told_and_leaves_nothing_half_written(
    tmp_path: Path, suffix: str, limit: int
) -> None:
    folder = tmp_path / f"calls{suffix}"
    told = told_by_child(folder, limit=limit)
    assert told == f"SinkError cannot store in {folder}: File too large\n"
    assert not folder.exists() or files_in(folder) == [LEDGER_NAME]
    assert told_by_child(folder) == ""
    assert len(files_in(folder)) == 2


@pytest.mark.first_of
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_read_only_folder_is_told(suffix: str) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place) / f"calls{suffix}"
        folder.mkdir()
        Path(place).chmod(0o755)
        folder.chmod(0o755)
        told = told_by_child(folder, user=NOBODY)
        assert told.startswith(f"SinkError cannot write into {folder}: it is read-only to us")
        assert files_in(folder) == []

"""What is special to a DuckDB file; what all sinks do is in the contract."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from attrs import evolve

from nxcdr_async import BusyError, CallRecord, ConfigurationError, SinkError
from nxcdr_async.records.arrow import CALLS, rows_of
from nxcdr_async.sinks.duckdb import DuckDbSink
from nxcdr_async.sinks.duckdb_file import LOG_BYTES
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.protocol import Origin
from nxcdr_async.windows import Window

START = 1_767_225_600
HOUR = 3600
ORIGIN = Origin("account", "UTC")

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no modes of files")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="counts memory and limits files as Linux does")


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Let everybody read and write what is made without a mode of its own."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.duckdb"


@pytest.fixture
def sink(path: Path) -> Iterator[DuckDbSink]:
    sink = DuckDbSink(path)
    sink.open()
    sink.create(CALLS, ORIGIN)
    yield sink
    sink.close()


def call(number: int, hour: int = 0, **values: object) -> CallRecord:
    return CallRecord(
        call_id=f"{hour}/{number}",
        start_time=datetime.fromtimestamp(START + hour * HOUR + number / 1000, UTC),
        **values,
    )


def put(sink: DuckDbSink, *calls: CallRecord, hour: int = 0) -> None:
    window = Window(START + hour * HOUR, START + (hour + 1) * HOUR)
    sink.write(CALLS, rows_of(CALLS, calls), LedgerChange(LedgerEntry(window, window.end, len(calls)), (), window.end))


def ask(path: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(path, read_only=True) as database:
        return database.execute(query).fetchall()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files_of(path: Path) -> list[Path]:
    """Return the database and its log, past the lock, in which nothing stands."""
    return [one for one in path.parent.iterdir() if one.name.startswith(path.name)]


def child(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _SHARED + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


_SHARED = """
import os, resource, signal, sys
from pathlib import Path
import pyarrow as pa
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.duckdb import DuckDbSink
from nxcdr_async.sinks.protocol import Origin
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.windows import Window

START, HOUR, SIZE = 1767225600, 3600, 10_000
path = Path(sys.argv[1])

def rows(hour, width=400):
    times = pa.array([(START + hour * HOUR) * 10**6 + number * 300_000 for number in range(SIZE)], pa.int64())
    ids = [f"{hour}/{number}" for number in range(SIZE)]
    held = {"call_id": ids, "start_time": times.cast(pa.timestamp("us", tz="UTC")),
            "record_url": [f"{one:x>{width}}" for one in ids]}
    return pa.table({name: held.get(name, pa.nulls(SIZE)) for name in CALLS.columns}).cast(CALLS.schema)

def put(sink, hour, width=400):
    window = Window(START + hour * HOUR, START + (hour + 1) * HOUR)
    sink.write(CALLS, rows(hour, width), LedgerChange(LedgerEntry(window, window.end, SIZE), (), window.end))
"""


def test_columns_have_the_types_of_duckdb_and_values_come_back_exactly(sink: DuckDbSink, path: Path) -> None:
    price = Decimal("12345678901234567890.123456789012345678")
    put(sink, call(1, answered=True, hangup_code=1001, total_customer_price=price, extra={"mos": 4.5, "x": ["é"]}))
    sink.close()
    kinds = dict(ask(path, "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'calls'"))
    wanted = {
        "call_id": "VARCHAR",
        "start_time": "TIMESTAMP WITH TIME ZONE",
        "answered": "BOOLEAN",
        "hangup_code": "BIGINT",
        "total_customer_price": "DECIMAL(38,18)",
        "extra": "JSON",
    }
    assert {name: kinds[name] for name in wanted} == wanted
    assert ask(path, "SELECT total_customer_price, epoch_ms(start_time), extra->>'$.x[0]' FROM calls") == [
        (price, START * 1000 + 1, "é")
    ]
    assert ask(path, "SELECT epoch(complete_until) FROM nxcdr_sources") == [(START + HOUR,)]


def test_a_file_has_no_index_as_one_must_fit_into_memory(sink: DuckDbSink, path: Path) -> None:
    put(sink, call(1))
    sink.close()
    assert ask(path, "SELECT * FROM duckdb_indexes()") == []
    assert ask(path, "SELECT * FROM duckdb_constraints() WHERE constraint_type <> 'NOT NULL'") == []


def test_a_row_takes_the_place_of_one_whose_time_is_up_to_an_hour_off(sink: DuckDbSink) -> None:
    put(sink, call(1, caller="old"), call(2))
    moved = rows_of(CALLS, [CallRecord(call_id="0/1", start_time=datetime.fromtimestamp(START + HOUR, UTC))])
    assert sink.find(CALLS, moved)["caller"].to_pylist() == ["old"]
    window = Window(START + HOUR, START + 2 * HOUR)
    sink.write(CALLS, moved, LedgerChange(LedgerEntry(window, window.end, 1), (), None))
    assert sorted(sink.scan(CALLS, Window(START, START + 2 * HOUR))["call_id"].to_pylist()) == ["0/1", "0/2"]


@on_posix
@pytest.mark.usefixtures("no_umask")
def test_the_file_and_its_log_can_be_read_by_their_owner_only_at_any_time(path: Path) -> None:
    sink = DuckDbSink(path)
    sink.open()
    sink.create(CALLS, ORIGIN)
    logs = set()
    for hour in range(6):
        put(sink, *(call(number, hour, record_url="x" * 700) for number in range(2_000)), hour=hour)
        assert {mode(one) for one in files_of(path)} == {0o600}
        logs.add(path.with_name("calls.duckdb.wal").stat().st_size)
    sink.close()
    assert max(logs) < 2 * LOG_BYTES, "the log was never made anew"
    assert files_of(path) == [path]


@on_posix
@pytest.mark.usefixtures("no_umask")
def test_the_log_beside_the_target_of_a_link_is_private_too(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "calls.duckdb", tmp_path / "link.duckdb"
    link.symlink_to(target)
    sink = DuckDbSink(link)
    sink.open()
    sink.create(CALLS, ORIGIN)
    put(sink, call(1))
    assert {one.name: mode(one) for one in files_of(target)} == {"calls.duckdb": 0o600, "calls.duckdb.wal": 0o600}
    with pytest.raises(ConfigurationError, match="another run"):
        DuckDbSink(target).open()
    sink.close()
    assert link.is_symlink()
    assert ask(link, "SELECT call_id FROM calls") == [("0/1",)]


@on_posix
def test_the_mode_of_a_file_that_was_there_stays(sink: DuckDbSink, path: Path) -> None:
    sink.close()
    path.chmod(0o640)
    sink.open()
    sink.close()
    assert mode(path) == 0o640


def test_what_a_killed_run_left_of_a_file_it_was_making_does_no_harm(path: Path) -> None:
    folder = path.with_name(".calls.duckdb.new")
    folder.mkdir()
    (folder / path.name).write_bytes(b"half a header")
    path.with_name("calls.duckdb.wal").write_bytes(b"of a file that is gone")
    sink = DuckDbSink(path)
    sink.open()
    sink.create(CALLS, ORIGIN)
    sink.close()
    assert not folder.exists()
    assert ask(path, "SELECT count(*) FROM calls") == [(0,)]


def test_a_sqlite_file_is_refused_and_nothing_is_fetched_to_read_it(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE calls (call_id)")
    sink = DuckDbSink(path)
    with pytest.raises(ConfigurationError, match=r"calls\.duckdb is there and no DuckDB file"):
        sink.open()
    sink.close()


def test_a_file_of_something_else_is_refused_and_left_as_it_is(path: Path) -> None:
    for content in (b"", b"call_id,start_time\n", b"x" * 100_000):
        path.write_bytes(content)
        sink = DuckDbSink(path)
        with pytest.raises(ConfigurationError, match=r"calls\.duckdb is there and no DuckDB file"):
            sink.open()
        sink.close()
        assert path.read_bytes() == content


@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_is_open_in_this_program_is_refused(sink: DuckDbSink, path: Path, read_only: bool) -> None:
    sink.close()
    with (
        duckdb.connect(path, read_only=read_only),
        pytest.raises(BusyError, match="open in this very process"),
    ):
        sink.open()
    sink.close()
    sink.open()


def in_another_program(path: Path, statement: str) -> str:
    code = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"
    command = [sys.executable, "-c", code, str(path), statement]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def open_and_close(path: Path) -> None:
    """Do what has the system drop all locks of this process on a file."""
    with pytest.raises(duckdb.Error, match="already attached"):
        duckdb.connect(path)


@on_posix
def test_the_lock_is_taken_again_after_this_program_dropped_it(sink: DuckDbSink, path: Path) -> None:
    open_and_close(path)
    put(sink, call(1))
    assert "Could not set lock" in in_another_program(path, "SELECT 1")
    sink.close()
    assert ask(path, "SELECT count(*) FROM calls") == [(1,)]


@pytest.mark.first_of
@on_posix
@pytest.mark.parametrize("use", ["write", "read", "nothing"])
def test_what_another_program_wrote_meanwhile_is_not_written_over(sink: DuckDbSink, path: Path, use: str) -> None:
    put(sink, call(1))
    for copied in path.parent.glob(f"{path.name}*"):
        copied.read_bytes()  # which drops the lock on it
    assert not in_another_program(path, "CREATE TABLE theirs AS FROM range(5000)")
    if use == "write":
        with pytest.raises(SinkError, match="opened by another program while it was written"):
            put(sink, call(2), hour=1)
    elif use == "read":
        with pytest.raises(SinkError, match="opened by another program while it was written"):
            sink.find(CALLS, rows_of(CALLS, [call(1)]))
    sink.close()
    assert ask(path, "SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM theirs)") == [(1, 5000)]
    sink.open()
    put(sink, call(2), hour=1)


@on_posix
def test_nothing_is_written_while_another_program_has_the_file_open(sink: DuckDbSink, path: Path) -> None:
    put(sink, call(1))
    path.read_bytes()
    code = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SinkError, match="opened by another program while it was written"):
            put(sink, call(2), hour=1)
        sink.close()
        holder.communicate()
    assert ask(path, "SELECT count(*) FROM calls") == [(1,)]


def test_a_file_that_is_open_in_another_program_is_refused(sink: DuckDbSink, path: Path) -> None:
    sink.close()
    code = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        with pytest.raises(ConfigurationError, match=r"calls\.duckdb is open in another program"):
            sink.open()
        sink.close()
        holder.communicate()
    sink.open()


@on_posix
@pytest.mark.usefixtures("sink")
def test_a_second_run_in_the_same_program_does_not_let_others_in(path: Path) -> None:
    second = DuckDbSink(path)
    with pytest.raises(ConfigurationError, match="another run"):
        second.open()
    second.close()
    told = subprocess.run(
        [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1])", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Could not set lock" in told.stderr


@pytest.mark.first_of
@on_linux
@pytest.mark.parametrize("width", [100, 8_000], ids=["narrow rows", "rows larger than the memory by far"])
def test_a_window_that_was_written_outlasts_a_kill(path: Path, width: int) -> None:
    killed = child(
        "sink = DuckDbSink(path); sink.open(); sink.create(CALLS, Origin('account', 'UTC'))\n"
        "for hour in range(3): put(sink, hour, int(sys.argv[2]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
        path,
        width,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    sink = DuckDbSink(path)
    sink.open()
    held = sink.inspect(CALLS)
    assert held is not None
    assert [entry.rows for entry in held.entries] == [10_000] * 3
    sink.close()
    assert ask(path, "SELECT count(DISTINCT call_id) FROM calls") == [(30_000,)]


@pytest.mark.first_of
@on_linux
@pytest.mark.parametrize("megabytes", [1, 3, 6])
def test_a_full_disk_is_told_and_the_next_run_goes_on(path: Path, megabytes: int) -> None:
    full = child(
        """
from nxcdr_async import SinkError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sink = DuckDbSink(path); sink.open(); sink.create(CALLS, Origin("account", "UTC"))
limit = int(sys.argv[2]) * 10**6
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
hour = 0
try:
    while hour < 40:
        put(sink, hour)
        hour += 1
except SinkError as error:
    print(hour, error)
sink.close()
""",
        path,
        megabytes,
    )
    assert full.returncode == 0, full.stderr
    hours, told = full.stdout.split(" ", 1)
    assert told.startswith(f"cannot store in {path}: ")
    sink = DuckDbSink(path)
    sink.open()
    held = sink.inspect(CALLS)
    assert held is not None
    assert len(held.entries) == int(hours)
    assert sink.scan(CALLS, Window(START, START + 100 * HOUR)).num_rows == 10_000 * int(hours)
    put(sink, call(1, hour=90), hour=90)
    sink.close()
    assert ask(path, "SELECT count(*) FROM nxcdr_windows") == [(int(hours) + 1,)]


@pytest.mark.slow
@on_linux
def test_memory_does_not_grow_with_the_rows(path: Path) -> None:
    done = child(
        """
class NoPandas:  # which pyarrow would import, where it is installed: some 30 MB that are not ours
    def find_spec(self, name, *_):
        if name == "pandas": raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, NoPandas())
def peak():  # not by getrusage, which starts a child with what its parent took
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1000
sink = DuckDbSink(path); sink.open(); sink.create(CALLS, Origin("account", "UTC"))
for hour in range(15): put(sink, hour)
first = peak()
for hour in range(15, 60):
    assert not sink.find(CALLS, rows(hour)).num_rows
    put(sink, hour)
sink.close()
print(first, peak())
""",
        path,
    )
    assert done.returncode == 0, done.stderr
    first, last = map(int, done.stdout.split())
    assert ask(path, "SELECT count(*), count(DISTINCT call_id) FROM calls") == [(600_000, 600_000)]
    assert last - first < 80  # about what its cache may still grow by
    assert last < 250


def test_long_texts_are_stored_and_found_by_the_next_run(sink: DuckDbSink) -> None:
    long = [
        call(number, extra={"transcript": 'a "word"\n' * 500_000}, dtmf_keys="b" * 5_000_000) for number in range(3)
    ]
    put(sink, *long)
    sink.close()
    sink.open()  # with as little memory as at first
    assert sink.find(CALLS, rows_of(CALLS, [call(0), call(2)])).num_rows == 2
    found = sink.scan(CALLS, Window(START, START + HOUR))
    assert found.sort_by("call_id").equals(rows_of(CALLS, long))


def test_a_window_that_cannot_be_taken_in_is_told_why_and_the_next_can(
    sink: DuckDbSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without_more_memory:
        without_more_memory.setattr(DuckDbSink, "_allow", lambda _sink, _memory: None)
        with pytest.raises(SinkError, match="Out of Memory"):
            put(sink, call(1, extra={"transcript": "a" * 20_000_000}))
    put(sink, call(2))
    assert sink.scan(CALLS, Window(START, START + HOUR))["call_id"].to_pylist() == ["0/2"]


@pytest.mark.parametrize(
    "name", ["a?b", pytest.param("a\\b", marks=pytest.mark.skipif(os.sep == "\\", reason="parts folders there"))]
)
def test_a_path_that_duckdb_takes_for_another_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="question mark or a backslash"):
        DuckDbSink(tmp_path / f"{name}.duckdb").open()
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_database_is_one_of_ours(sink: DuckDbSink) -> None:
    with pytest.raises(SinkError, match=r"cannot store in .*calls\.duckdb: Catalog Error"):
        sink.add(evolve(CALLS, name="no_such_table"), rows_of(CALLS, [call(1)]))

"""What is SQLite's own: how its tables read to those who open the file themselves."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from nxcdr_async import CallRecord, CdrSession, ConfigurationError, SinkError, backfill
from nxcdr_async._util.moments import moment_at
from nxcdr_async.records.arrow import CALLS, EXTRA, MONEY, TABLES, Table, rows_of
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.protocol import Origin, UnfitError
from nxcdr_async.sinks.sqlite import SqliteSink
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import Window
from tests.sinks.all_sinks import opened
from tests.sinks.table_rows import plain_rows, table_of

BEGIN = 1_767_225_600
LATER = Window(BEGIN + 60, BEGIN + 120)
ORIGIN = Origin("account", "UTC+08:00")


TOLD = {
    pa.timestamp("us", tz="UTC"): moment_at(BEGIN),
    pa.string(): "a",
    pa.int64(): 1,
    pa.bool_(): True,
    pa.decimal128(*MONEY): Decimal("0.2028"),
}


def change(complete_until: int | None) -> LedgerChange:
    return LedgerChange(LedgerEntry(Window(BEGIN, BEGIN + 60), BEGIN), (), complete_until)


def asked(to: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(to)) as database:
        return database.execute(question).fetchall()


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


_PRUNED_BESIDE_A_SMALL_FOLDER = """
mount -t tmpfs -o size=64k none "$SQLITE_TMPDIR" || exit 77
exec "$0" -c '
import sys
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.records.arrow import CALLS
sink = sink_for(sys.argv[1])
sink.open()
print(sink.prune(CALLS, int(sys.argv[2]), is_trial=False))
sink.close()
' "$@"
"""


@pytest.mark.first_of
@pytest.mark.parametrize("name", ["calls.sqlite", "it's.sqlite"])
def test_old_rows_are_removed_where_the_folder_for_temporary_files_is_small(tmp_path: Path, name: str) -> None:
    small, to = tmp_path / "small", tmp_path / name
    small.mkdir()
    rows = plain_rows(CALLS, BEGIN, 1_000)
    secret = pa.array([f"{number:04d} of a caller who wants to be forgotten" * 100 for number in range(1_000)])
    with opened(str(to)) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, rows.set_column(rows.schema.get_field_index("other"), "other", secret), change(None))
    shell = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _PRUNED_BESIDE_A_SMALL_FOLDER)
    variables = {**os.environ, "SQLITE_TMPDIR": str(small)}
    try:
        ended = subprocess.run(
            [*shell, sys.executable, str(to), str(BEGIN + 10)],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("no namespaces")
    if ended.returncode == 77 or "unshare" in ended.stderr:
        pytest.skip("no namespaces for everybody")
    assert (ended.stderr, int(ended.stdout) > 0) == ("", True)
    assert b"0001 of a caller" not in to.read_bytes()
    assert sorted(path.name for path in small.iterdir()) == []


@pytest.mark.parametrize(("until", "told"), [(None, None), (BEGIN + 60, "2026-01-01T00:01:00.000000Z")])
def test_readers_are_told_up_to_where_a_table_is_complete(to: Path, until: int | None, told: str | None) -> None:
    with opened(str(to)) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, plain_rows(CALLS, BEGIN, 1), change(until))
    assert asked(to, "SELECT source, complete_until FROM nxcdr_sources") == [("calls", told)]


def test_a_text_that_is_too_long_for_sqlite_is_a_row_that_it_cannot_hold(to: Path) -> None:
    with opened(str(to)) as sink:
        assert isinstance(sink, SqliteSink)
        sink.create(CALLS, ORIGIN)
        sink._open_database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2_000)
        rows = rows_of(CALLS, [CallRecord(call_id="x" * 3_000, start_time=moment_at(BEGIN))])
        with pytest.raises(UnfitError, match="too big"):
            sink.write(CALLS, rows, change(None))
        sink.write(CALLS, plain_rows(CALLS, BEGIN, 1), change(None))
        assert sink.scan(CALLS, Window(0, 2**33)).num_rows == 1


@pytest.mark.parametrize("column", ["start_time", "total_customer_price"])
def test_a_value_that_was_changed_to_none_of_its_kind_is_told(to: Path, column: str) -> None:
    with opened(str(to)) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, plain_rows(CALLS, BEGIN, 1), change(None))
    with closing(sqlite3.connect(to)) as database:
        database.execute(f"UPDATE calls SET {column} = '2026-01-01'")
        database.commit()
    with opened(str(to)) as sink, pytest.raises(SinkError, match="holds what no backfill stored"):
        sink.scan(CALLS, Window(0, 2**33))


def test_values_read_as_sqlite_writes_them(to: Path) -> None:
    row = {
        "call_id": "a",
        "start_time": datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        "answered": True,
        "total_customer_price": Decimal("0.202800000000"),
        "extra": '{"a":{"b":2}}',
    }
    with opened(str(to)) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, table_of(CALLS, [row]), change(None))
    question = "SELECT start_time, answered, total_customer_price, json_extract(extra, '$.a.b') FROM calls"
    assert asked(to, question) == [("2026-01-01T00:00:00.000001Z", 1, "0.2028", 2)]


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(to: Path) -> None:
    to.write_text("no database, and long enough to be looked at as one" * 10)
    before = to.read_bytes()
    with pytest.raises(ConfigurationError, match="no SQLite file"), opened(str(to)):
        pass
    assert to.read_bytes() == before


def test_a_file_that_was_refused_is_let_go_of(to: Path) -> None:
    to.write_text("no database, and long enough to be looked at as one" * 10)
    sink = sink_for(to)
    with pytest.raises(ConfigurationError):
        sink.open()
    sink.close()
    to.unlink()
    with opened(str(to)):
        pass


def test_a_folder_in_its_place_is_refused(to: Path) -> None:
    to.mkdir()
    with pytest.raises(ConfigurationError, match="is a folder"):
        sink_for(to).open()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no folder"):
        sink_for(tmp_path / "missing" / "calls.sqlite").open()


def test_a_sink_that_is_not_open_says_so(to: Path) -> None:
    with pytest.raises(SinkError, match="not open"):
        sink_for(to).inspect(CALLS)


@pytest.mark.parametrize(("event", "kept"), [("INSERT", "stored"), ("DELETE", "replaced"), ("DELETE", "removed")])
def test_rows_that_a_trigger_keeps_from_us_are_told_and_nothing_is_claimed(to: Path, event: str, kept: str) -> None:
    with opened(str(to)) as sink:
        sink.create(CALLS, ORIGIN)
        if event == "DELETE":
            sink.write(CALLS, plain_rows(CALLS, BEGIN, 2), change(None))
        asked(to, f"CREATE TRIGGER own BEFORE {event} ON calls BEGIN SELECT RAISE(IGNORE); END")
        with pytest.raises(
            ConfigurationError, match=f"a trigger or rule of calls in .* keeps 2 rows from being {kept}"
        ):
            if kept == "removed":
                sink.prune(CALLS, BEGIN + 60, is_trial=False)
            else:
                sink.write(CALLS, plain_rows(CALLS, BEGIN, 2), LedgerChange(LedgerEntry(LATER, BEGIN), (), None))
        held = sink.inspect(CALLS)
    assert held is not None
    assert (len(held.entries), held.pruned_before) == (event == "DELETE", None)
    assert asked(to, "SELECT count(*) FROM calls") == [(2 if event == "DELETE" else 0,)]


def test_a_reader_in_the_middle_of_its_reading_hinders_nobody(to: Path) -> None:
    with opened(str(to)) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, plain_rows(CALLS, BEGIN, 100), change(None))
        with closing(sqlite3.connect(to)) as reader:
            rows = reader.execute("SELECT * FROM calls")
            rows.fetchone()
            again = LedgerChange(LedgerEntry(Window(BEGIN, BEGIN + 60), BEGIN + 1), (change(None).entry,), None)
            sink.write(CALLS, plain_rows(CALLS, BEGIN, 100, "x"), again)
            assert len(rows.fetchall()) == 99


async def test_a_store_whose_origin_somebody_deleted_is_filled_on_and_notes_it_again(
    to: Path, open_session: Callable[..., CdrSession], gateway: Gateway
) -> None:
    whole = (gateway.first_call, gateway.last_call)
    await backfill(open_session(), "calls", *whole, to)
    noted = asked(to, "SELECT account, zone FROM nxcdr_sources")
    with closing(sqlite3.connect(to, isolation_level=None)) as database:
        database.execute("DELETE FROM nxcdr_sources")
    await backfill(open_session(), "calls", whole[0], whole[1] + timedelta(hours=1), to)
    assert asked(to, "SELECT account, zone FROM nxcdr_sources") == noted


def in_another_program(to: Path, statement: str) -> None:
    code = "import sqlite3, sys; held = sqlite3.connect(sys.argv[1]); held.execute(sys.argv[2]); held.close()"
    subprocess.run([sys.executable, "-c", code, str(to), statement], check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX drops locks that this process still wants")
@pytest.mark.parametrize("use", ["write", "read", "nothing"])
@pytest.mark.parametrize("through_link", [False, True], ids=["file", "link"])
def test_nothing_is_written_into_a_log_that_another_program_cleared_away(
    to: Path, use: str, *, through_link: bool
) -> None:
    path = to
    if through_link:
        path = to.with_name("link.sqlite")
        path.symlink_to(to)
    with opened(str(path)) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, plain_rows(CALLS, BEGIN, 1), change(None))
        for copied in to.parent.glob(f"{to.name}*"):
            copied.read_bytes()  # which drops the locks on it
        in_another_program(
            to,
            "CREATE TABLE theirs AS WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n "
            "LIMIT 5000) SELECT n FROM n",
        )
        if use == "write":
            with pytest.raises(SinkError, match="opened by another program while it was written"):
                sink.write(CALLS, plain_rows(CALLS, BEGIN + 60, 1), change(None))
        elif use == "read":
            with pytest.raises(SinkError, match="opened by another program while it was written"):
                sink.scan(CALLS, Window(0, 2**33))
    counts = "SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM theirs)"
    assert (asked(to, counts), asked(to, "PRAGMA integrity_check")) == ([(1, 5000)], [("ok",)])
    with opened(str(path)) as sink:
        sink.add(CALLS, plain_rows(CALLS, BEGIN + 60, 1))
    assert asked(to, counts) == [(2, 5000)]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_converters_of_python_read_every_column(to: Path, table: Table) -> None:
    told = {name: TOLD[table.kind(name)] for name in table.columns if table.kind(name) in TOLD and name != EXTRA}
    with opened(str(to)) as sink:
        sink.create(table, ORIGIN)
        sink.write(table, table_of(table, [{**told, table.key: None}]), change(BEGIN + 60))
    with closing(sqlite3.connect(to, detect_types=sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES)) as database:
        for name in (table.name, "nxcdr_windows", "nxcdr_sources"):
            assert len(database.execute(f"SELECT * FROM {name}").fetchall()) == 1
        assert database.execute(f"SELECT {table.time} FROM {table.name}").fetchall() == [
            ("2026-01-01T00:00:00.000000Z",)
        ]


def test_pandas_reads_a_store(to: Path) -> None:
    with opened(str(to)) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, plain_rows(CALLS, BEGIN, 2), change(None))
    with closing(sqlite3.connect(to, detect_types=sqlite3.PARSE_DECLTYPES)) as database:
        calls = pd.read_sql("SELECT call_id, start_time FROM calls", database, parse_dates=["start_time"])
    assert list(calls["start_time"]) == [moment_at(BEGIN), moment_at(BEGIN + 1)]

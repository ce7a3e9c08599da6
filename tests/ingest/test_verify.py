"""Against the real emulator and a SQLite file, in which windows are small so that there are many."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define

from nxcdr_async import (
    BackfillProgress,
    ConfigurationError,
    RecordError,
    SinkError,
    VerifiedSource,
    VerifyReport,
    backfill,
    verify,
)
from nxcdr_async.ingest import pipeline as engine, verify as verification
from nxcdr_async.records.arrow import CALLS, DID_CALLS, FLASH_CALLS, TABLES
from nxcdr_async.testing import Gateway
from tests.sessions import OpenSession

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=2)
DAYS = (date(2026, 1, 1), date(2026, 1, 2))


@define
class Filled:
    """A SQLite file that a backfill has filled, and ways to tamper with it."""

    path: Path

    def run(self, statement: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as database:
            return database.execute(statement, values).fetchall()

    def ids(self, source: str = "calls") -> list[Any]:
        table = TABLES[source]  # type: ignore[index]
        return [key for (key,) in self.run(f"SELECT {table.key} FROM {table.name} ORDER BY {table.time}, {table.key}")]

    def value(self, column: str, key: str) -> Any:
        return self.run(f"SELECT {column} FROM calls WHERE call_id = ?", key)[0][0]

    def everything(self) -> list[Any]:
        tables = (CALLS.name, DID_CALLS.name, FLASH_CALLS.name, "nxcdr_windows")
        there = [name for (name,) in self.run("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [sorted(map(repr, self.run(f"SELECT * FROM {name}"))) for name in tables if name in there]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=1_200, days=2, did_calls=60, flash_calls=60) as running:
        yield running


@pytest.fixture
async def filled(monkeypatch: pytest.MonkeyPatch, open_session: OpenSession, tmp_path: Path) -> Filled:
    monkeypatch.setattr(engine, "ROWS_A_WINDOW", 100)
    monkeypatch.setattr(engine, "RECORDS_AT_ONCE", 50)
    path = tmp_path / "calls.sqlite"
    await backfill(open_session(), "calls", START, END, to=path)
    return Filled(path)


def only(report: VerifyReport) -> VerifiedSource:
    (source,) = report.sources
    return source


def differences(source: VerifiedSource) -> tuple[int, int, int, int]:
    return source.missing, source.different, source.extra, source.fixed


async def test_a_sink_that_is_as_the_gateway_tells_has_no_differences(
    gateway: Gateway, filled: Filled, open_session: OpenSession
) -> None:
    before = filled.everything()
    report = await verify(open_session(), filled.path, sample=None)
    source = only(report)
    assert (source.source, differences(source), source.gaps, report.unmended) == ("calls", (0, 0, 0, 0), (), 0)
    assert source.windows_checked == source.windows_sealed == len(filled.run("SELECT * FROM nxcdr_windows")) > 1
    assert source.rows_compared == len(gateway.call_ids()) == 1_200
    assert source.complete_until == END
    assert report.requests >= 12
    assert report.seed is None
    assert filled.everything() == before


async def test_a_row_that_was_deleted_is_found_and_mended(filled: Filled, open_session: OpenSession) -> None:
    before, lost = filled.everything(), filled.ids()[500]
    filled.run("DELETE FROM calls WHERE call_id = ?", lost)
    source = only(await verify(open_session(), filled.path, "calls", sample=None))
    assert differences(source) == (1, 0, 0, 0)
    assert [(one.kind, one.key) for one in source.examples] == [("missing", lost)]
    assert lost not in filled.ids()

    source = only(await verify(open_session(), filled.path, "calls", sample=None, fix=True))
    assert (differences(source), source.unmended) == ((1, 0, 0, 1), 0)
    assert filled.everything()[0] == before[0]
    assert differences(only(await verify(open_session(), filled.path, sample=None))) == (0, 0, 0, 0)


async def test_a_value_that_was_changed_is_found_and_mended(filled: Filled, open_session: OpenSession) -> None:
    key = filled.ids()[300]
    filled.run("UPDATE calls SET caller = 'somebody' WHERE call_id = ?", key)
    (told,) = only(await verify(open_session(), filled.path, sample=None)).examples
    assert (told.kind, told.key, told.column, told.stored) == ("different", key, "caller", "somebody")
    assert filled.value("caller", key) == "somebody"

    source = only(await verify(open_session(), filled.path, sample=None, fix=True))
    assert (differences(source), source.unmended) == ((0, 1, 0, 1), 0)
    assert filled.value("caller", key) == told.found != "somebody"


async def test_a_value_that_was_lost_is_found_and_mended(filled: Filled, open_session: OpenSession) -> None:
    key = filled.ids()[0]
    filled.run("UPDATE calls SET call_duration = NULL WHERE call_id = ?", key)
    source = only(await verify(open_session(), filled.path, sample=None, fix=True))
    assert differences(source) == (0, 1, 0, 1)
    assert filled.value("call_duration", key) is not None


async def test_a_value_that_the_gateway_does_not_tell_any_more_is_no_difference(
    filled: Filled, open_session: OpenSession
) -> None:
    key = filled.run("SELECT call_id FROM calls WHERE dtmf_keys IS NULL LIMIT 1")[0][0]
    filled.run("UPDATE calls SET dtmf_keys = '1' WHERE call_id = ?", key)
    source = only(await verify(open_session(), filled.path, sample=None, fix=True))
    assert differences(source) == (0, 0, 0, 0)
    assert filled.value("dtmf_keys", key) == "1"


async def test_a_row_that_the_gateway_does_not_tell_is_reported_and_kept(
    filled: Filled, open_session: OpenSession
) -> None:
    filled.run("INSERT INTO calls (call_id, start_time) VALUES ('made up', '2026-01-01T09:00:00.000000Z')")
    for fix in (False, True):
        source = only(await verify(open_session(), filled.path, sample=None, fix=fix))
        assert (differences(source), source.unmended) == ((0, 0, 1, 0), 1)
        assert [(one.kind, one.key) for one in source.examples] == [("extra", "made up")]
    assert "made up" in filled.ids()


async def test_rows_the_gateway_took_back_are_reported_and_kept(
    filled: Filled, open_session: OpenSession, tmp_path: Path
) -> None:
    with Gateway(calls=1_200, days=2) as with_more:
        taken_back = with_more.add_call()
        path = tmp_path / "more.sqlite"
        changes = {"gateway": with_more.url, "credentials": with_more.credentials}
        await backfill(open_session(**changes), "calls", START, END, to=path)
    source = only(await verify(open_session(), path, sample=None, fix=True, new_gateway=True))
    assert differences(source) == (0, 0, 1, 0)
    assert taken_back in Filled(path).ids()
    assert taken_back not in filled.ids()


async def test_a_row_that_came_or_changed_after_its_window_was_sealed_is_found_and_mended(
    gateway: Gateway, filled: Filled, open_session: OpenSession
) -> None:
    key = filled.ids()[700]
    row = next(row for row in gateway.history.calls() if row["callId"] == key)
    filled.run("DELETE FROM calls WHERE call_id = ?", key)
    late = gateway.add_call(startTime=row["startTime"] + 1)
    source = only(await verify(open_session(), filled.path, sample=None, fix=True))
    assert differences(source) == (2, 0, 0, 2)
    assert {key, late} <= set(filled.ids())


async def test_values_that_changed_at_the_gateway_are_found_and_mended(
    gateway: Gateway, filled: Filled, open_session: OpenSession
) -> None:
    gateway.switches.extra_keys = {"callStatus": "looked at again"}
    source = only(await verify(open_session(), filled.path, sample=None, fix=True))
    assert differences(source) == (0, 1_200, 0, 1_200)
    assert {(one.column, one.found) for one in source.examples} == {("call_status", "looked at again")}
    assert filled.run("SELECT DISTINCT call_status FROM calls") == [("looked at again",)]


async def test_a_row_at_the_edge_that_belongs_to_what_was_never_read_is_not_missing(
    gateway: Gateway, filled: Filled, open_session: OpenSession
) -> None:
    gateway.add_call(startTime=int(END.timestamp() * 1000))
    gateway.add_call(startTime=int(START.timestamp() * 1000) - 1)
    assert END in {call.start_time for call in await open_session().calls(START, END).collect()}
    source = only(await verify(open_session(), filled.path, sample=None))
    assert (differences(source), source.rows_compared) == ((0, 0, 0, 0), 1_200)


async def test_mended_windows_stay_sealed_and_keep_their_edges(filled: Filled, open_session: OpenSession) -> None:
    windows = filled.run("SELECT start_second, end_second, read_at FROM nxcdr_windows ORDER BY 1")
    filled.run("DELETE FROM calls WHERE call_id = ?", filled.ids()[500])
    source = only(await verify(open_session(), filled.path, sample=None, fix=True))
    again = filled.run("SELECT start_second, end_second, read_at FROM nxcdr_windows ORDER BY 1")
    assert [window[:2] for window in again] == [window[:2] for window in windows]
    assert all(after[2] >= before[2] for before, after in zip(windows, again, strict=True))
    assert source.complete_until == END


async def test_what_lies_outside_the_sample_is_not_looked_at(filled: Filled, open_session: OpenSession) -> None:
    filled.run("DELETE FROM calls")
    windows = filled.run("SELECT row_count FROM nxcdr_windows ORDER BY start_second")
    source = only(await verify(open_session(), filled.path, sample=2, seed=1))
    assert (source.windows_sealed, source.windows_checked) == (len(windows), 2)
    assert 0 < source.missing <= 2 * max(rows for (rows,) in windows) + 2
    assert len(source.examples) == 20


async def test_a_seed_repeats_a_choice(filled: Filled, open_session: OpenSession) -> None:
    filled.run("DELETE FROM calls")
    first = await verify(open_session(), filled.path, sample=2)
    assert first.seed is not None
    again = await verify(open_session(), filled.path, sample=2, seed=first.seed)
    assert only(again) == only(first)


async def test_a_gateway_that_filters_by_the_end_of_calls_makes_no_differences(
    gateway: Gateway, filled: Filled, open_session: OpenSession
) -> None:
    gateway.switches.filter_by = "end"
    source = only(await verify(open_session(), filled.path, sample=None))
    assert differences(source) == (0, 0, 0, 0)
    source = only(await verify(open_session(), filled.path, sample=3))
    assert differences(source) == (0, 0, 0, 0)


async def test_faults_change_nothing_of_the_result(gateway: Gateway, filled: Filled, open_session: OpenSession) -> None:
    filled.run("DELETE FROM calls WHERE call_id = ?", filled.ids()[500])
    gateway.switches.faults = ["502", "99", "truncated", "html", "empty"]
    gateway.switches.fault_rate = 0.2
    source = only(await verify(open_session(), filled.path, sample=None, fix=True))
    assert differences(source) == (1, 0, 0, 1)
    gateway.switches.fault_rate = 0.0
    assert sorted(filled.ids()) == sorted(gateway.call_ids())


async def test_windows_that_are_still_open_are_left_to_sync(filled: Filled, open_session: OpenSession) -> None:
    source = only(await verify(open_session(), filled.path, sample=None, settle=timedelta(days=3_650)))
    assert (source.windows_sealed, source.windows_checked, source.rows_compared) == (0, 0, 0)
    assert source.complete_until is None


async def test_all_sources_of_a_sink_are_verified(gateway: Gateway, filled: Filled, open_session: OpenSession) -> None:
    session = open_session()
    await backfill(session, "did", *DAYS, to=filled.path)
    await backfill(session, "flash", START - timedelta(days=1), END, to=filled.path)
    filled.run("DELETE FROM did_calls WHERE id = ?", gateway.did_ids()[7])
    filled.run("UPDATE flash_calls SET token = 'x' WHERE id = ?", gateway.flash_ids()[7])
    filled.run("INSERT INTO did_calls (id, start_time) VALUES (1, '2026-01-01T09:00:00.000000Z')")
    report = await verify(session, filled.path, sample=None, fix=True)
    assert {source.source: differences(source) for source in report.sources} == {
        "calls": (0, 0, 0, 0),
        "did": (1, 0, 1, 1),
        "flash": (0, 1, 0, 1),
    }
    assert (report.unmended, report.windows_checked) == (1, sum(source.windows_checked for source in report.sources))
    assert set(filled.ids("did")) == {1, *gateway.did_ids()}


async def test_a_session_without_keys_for_a_source_of_the_sink_is_told_which(
    filled: Filled, open_session: OpenSession
) -> None:
    await backfill(open_session(), "flash", START, END, to=filled.path)
    session = open_session(flash_app=None)
    with pytest.raises(ConfigurationError, match=r"^flash of .* cannot be asked for again"):
        await verify(session, filled.path)
    assert session.stats.requests == 0
    assert only(await verify(session, filled.path, "calls")).source == "calls"


async def test_a_saturated_second_is_a_known_gap_and_none_of_its_rows_is_extra(
    gateway: Gateway, open_session: OpenSession, tmp_path: Path
) -> None:
    ids = [gateway.add_flash_call(gmtCreate="2026-01-01 20:00:00") for _ in range(130)]
    filled = Filled(tmp_path / "calls.sqlite")
    await backfill(open_session(), "flash", START, END, to=filled.path)
    told = set(filled.ids("flash"))
    not_told = next(one for one in ids if one not in told)
    filled.run(
        "INSERT INTO flash_calls (id, gmt_create) VALUES (?, ?), (1, ?)",
        *(not_told, "2026-01-01T12:00:00.000000Z", "2026-01-01T12:00:01.000000Z"),
    )
    source = only(await verify(open_session(), filled.path, sample=None))
    assert [gap.kind for gap in source.gaps] == ["saturated second"]
    assert [(one.kind, one.key) for one in source.examples] == [("extra", 1)]


async def test_bad_rows_stop_a_verification_or_are_known_gaps_that_hide_what_is_extra(
    gateway: Gateway, filled: Filled, open_session: OpenSession
) -> None:
    key = filled.ids()[600]
    start = filled.value("start_time", key)
    moment = int(datetime.fromisoformat(start).timestamp() * 1000)
    gateway.add_call(startTime=moment, callDuration="a while")
    filled.run("INSERT INTO calls (call_id, start_time) VALUES ('made up', ?)", start)
    with pytest.raises(RecordError):
        await verify(open_session(), filled.path, sample=None)
    bad: list[RecordError] = []
    report = await verify(open_session(), filled.path, sample=None, on_bad_row="skip", bad_row_callback=bad.append)
    assert differences(only(report)) == (0, 0, 0, 0)
    assert [(gap.kind, gap.rows) for gap in only(report).gaps] == [("bad rows", 1)]
    assert len(bad) == 1


async def test_mending_forgets_no_gap_of_a_row_that_may_be_in_another_window(
    filled: Filled, open_session: OpenSession
) -> None:
    filled.run("UPDATE nxcdr_windows SET bad_rows = 3 WHERE start_second = ?", int(START.timestamp()))
    filled.run("DELETE FROM calls WHERE call_id = ?", filled.ids()[0])
    source = only(await verify(open_session(), filled.path, sample=None, fix=True))
    assert (source.fixed, [gap.rows for gap in source.gaps]) == (1, [3])
    assert filled.run("SELECT sum(bad_rows) FROM nxcdr_windows") == [(3,)]


async def test_rows_without_an_id_are_compared_by_all_their_values(
    gateway: Gateway, open_session: OpenSession, tmp_path: Path
) -> None:
    gateway.switches.extra_keys = {"id": None}
    filled = Filled(tmp_path / "calls.sqlite")
    await backfill(open_session(), "did", *DAYS, to=filled.path)
    assert differences(only(await verify(open_session(), filled.path, sample=None))) == (0, 0, 0, 0)
    filled.run("DELETE FROM did_calls WHERE rowid = 5")
    filled.run("UPDATE did_calls SET call_number = 'other' WHERE rowid = 7")
    source = only(await verify(open_session(), filled.path, sample=None, fix=True))
    assert (differences(source), source.unmended) == ((2, 0, 1, 2), 1)
    assert {(one.kind, one.key) for one in source.examples} == {("missing", None), ("extra", None)}
    assert differences(only(await verify(open_session(), filled.path, sample=None))) == (0, 0, 1, 0)


async def test_the_news_tell_how_far_it_is(filled: Filled, open_session: OpenSession) -> None:
    news: list[BackfillProgress] = []
    report = await verify(open_session(), filled.path, on_progress=news.append, sample=None)
    assert (news[-1].share, news[-1].windows) == (1.0, report.windows_checked)
    assert news[-1].rows == only(report).rows_compared
    assert [one.share for one in news] == sorted(one.share for one in news)


async def test_memory_is_bounded_by_reading_a_bounded_number_of_rows_at_once(
    filled: Filled, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "ROWS_AT_ONCE", 250)
    source = only(await verify(open_session(), filled.path, sample=None))
    assert (differences(source), source.rows_compared) == ((0, 0, 0, 0), 1_200)


async def test_a_sink_that_another_run_holds_is_refused(filled: Filled, open_session: OpenSession) -> None:
    from nxcdr_async.sinks.sqlite import SqliteSink  # noqa: PLC0415 - used here only

    other = SqliteSink(filled.path)
    other.open()
    try:
        with pytest.raises(ConfigurationError, match="another run"):
            await verify(open_session(), filled.path)
    finally:
        other.close()


async def test_a_sink_of_another_account_is_refused(
    gateway: Gateway, filled: Filled, open_session: OpenSession
) -> None:
    with pytest.raises(ConfigurationError, match="another access key"):
        await verify(open_session(credentials=gateway.credentials_without_rights), filled.path)


async def test_nothing_is_made_where_there_is_no_sink(open_session: OpenSession, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"typo\.sqlite holds no calls"):
        await verify(open_session(), tmp_path / "typo.sqlite")
    assert not (tmp_path / "typo.sqlite").exists()


async def test_a_sink_that_holds_nothing_of_a_source_says_so(filled: Filled, open_session: OpenSession) -> None:
    with pytest.raises(ConfigurationError, match="holds no did_calls"):
        await verify(open_session(), filled.path, "did")
    assert "did_calls" not in {name for (name,) in filled.run("SELECT name FROM sqlite_master")}


@pytest.mark.parametrize(
    "wrong",
    [{"sample": 0}, {"sample": 1.5}, {"sample": True}, {"seed": -1}, {"source": "sms"}, {"settle": timedelta(-1)}],
    ids=str,
)
async def test_an_argument_that_cannot_work_is_refused(
    wrong: dict[str, Any], filled: Filled, open_session: OpenSession
) -> None:
    session = open_session()
    with pytest.raises(ConfigurationError):
        await verify(session, filled.path, **wrong)
    assert session.stats.requests == 0


async def test_cancelled_in_the_middle_it_leaves_nothing_behind(
    gateway: Gateway, filled: Filled, open_session: OpenSession
) -> None:
    filled.run("DELETE FROM calls WHERE call_id = ?", filled.ids()[5])
    gateway.switches.latency = (0.02, 0.02)
    with anyio.CancelScope() as scope:
        await verify(
            open_session(),
            filled.path,
            sample=None,
            fix=True,
            on_progress=lambda news: scope.cancel() if news.windows >= 2 else None,
        )
    assert scope.cancelled_caught
    gateway.switches.latency = (0.0, 0.0)
    assert differences(only(await verify(open_session(), filled.path, sample=None, fix=True))) == (0, 0, 0, 0)
    assert sorted(filled.ids()) == sorted(gateway.call_ids())


async def test_an_error_of_the_sink_is_told(filled: Filled, open_session: OpenSession) -> None:
    filled.run("DELETE FROM calls WHERE call_id = ?", filled.ids()[5])
    filled.run("CREATE TRIGGER no_more BEFORE INSERT ON calls BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    with pytest.raises(SinkError, match="disk is full"):
        await verify(open_session(), filled.path, sample=None, fix=True)
    assert differences(only(await verify(open_session(), filled.path, sample=None))) == (1, 0, 0, 0)


@pytest.mark.parametrize("place", ["c.duckdb", "c.sqlite", "c.parquet", "c.jsonl", "c.csv"])
async def test_each_sink_gives_back_what_it_was_given_and_can_be_mended(
    place: str, gateway: Gateway, open_session: OpenSession, tmp_path: Path
) -> None:
    session, to = open_session(), tmp_path / place
    with Gateway(calls=1_200, days=2, did_calls=60, flash_calls=60) as before:
        taken_back = before.add_call(callId="taken back")
        earlier = open_session(gateway=before.url)
        await backfill(earlier, "calls", START, END, to=to)
        await backfill(earlier, "did", *DAYS, to=to)
        await backfill(earlier, "flash", START, END, to=to)
        assert (await verify(earlier, to, sample=None)).unmended == 0
    late = gateway.add_call(startTime=int(START.timestamp() * 1000) + 5)
    calls, did, flash = (await verify(session, to, sample=None, fix=True, new_gateway=True)).sources
    assert {(one.kind, one.key) for one in calls.examples} == {("missing", late), ("extra", taken_back)}
    assert (differences(calls), differences(did), differences(flash)) == ((1, 0, 1, 1), (0, 0, 0, 0), (0, 0, 0, 0))
    assert differences(only(await verify(session, to, "calls", sample=None))) == (0, 0, 1, 0)

"""Rows that are removed on purpose are gone for good, and nothing brings them back."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nxcdr_async import (
    BackfillReport,
    BusyError,
    CallRecord,
    ConfigurationError,
    PushedCalls,
    prune,
    verify,
)
from nxcdr_async.sinks import sqlite
from nxcdr_async.sinks.folder import sink as folder
from nxcdr_async.sinks.ledger import Ledger, LedgerEntry
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import Window
from tests.ingest.filling import Filling, at, seconds
from tests.ingest.touched import FOLDERS, SQL, beside, files, make_old, sql
from tests.sinks.all_sinks import FOR_PUSHES, KINDS, ON_DISK

pytestmark = pytest.mark.first_of

of_every_kind = pytest.mark.parametrize("kind", KINDS)
BEFORE = at(2, 6, 30)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=400, days=3) as running:
        running.clock.move_to(at(5))
        running.switches.publish_delay = 0
        yield running


async def fill(filling: Filling) -> BackfillReport:
    """Fill a store with three days, in several windows before the moment and after it."""
    for half in range(5):
        await filling.backfill(at(1) + half * timedelta(hours=12), at(1) + (half + 1) * timedelta(hours=12))
    return await filling.backfill(at(1), at(4))


def ids(filling: Filling, *, before: bool) -> set[str]:
    """Return the calls that are old, or those that are not."""
    edge = 1000 * seconds(BEFORE)
    return {row["callId"] for row in filling.gateway.history.calls() if (row["startTime"] < edge) is before}


def mode_of(to: str) -> int:
    return Path(to).stat().st_mode


@pytest.mark.first_of
@of_every_kind
async def test_old_rows_go_and_others_stay(filling: Filling) -> None:
    await fill(filling)
    report = await prune(filling.to, BEFORE)
    assert (report.before, report.dry_run) == (BEFORE, False)
    assert [(source.source, source.rows) for source in report.sources] == [("calls", len(ids(filling, before=True)))]
    assert filling.stored_keys() == ids(filling, before=False)
    assert (await prune(filling.to, BEFORE)).rows == 0


@of_every_kind
async def test_a_dry_run_only_counts(filling: Filling, kind: str) -> None:
    await filling.backfill(at(1), at(4))
    before = filling.stored_keys(), None if kind == "postgresql" else beside(filling.to)
    report = await prune(filling.to, BEFORE, ["calls"], dry_run=True)
    assert report.rows == len(ids(filling, before=True))
    assert (filling.stored_keys(), None if kind == "postgresql" else beside(filling.to)) == before
    assert (await filling.sync()).pruned_before is None


@of_every_kind
async def test_nothing_brings_them_back(filling: Filling) -> None:
    whole = await fill(filling)
    await prune(filling.to, BEFORE)
    synced = await filling.sync()
    assert (synced.pruned_before, synced.windows_lost, synced.rows_new) == (BEFORE, 0, 0)
    assert synced.complete_until is not None
    assert whole.complete_until is not None
    assert synced.complete_until >= whole.complete_until
    again = await filling.backfill(at(1), at(4), settle=timedelta(hours=1))
    assert (again.pruned_before, again.rows_new) == (BEFORE, 0)
    (checked,) = (await verify(filling.session, filling.to, sample=None, fix=True)).sources
    assert (checked.missing, checked.different, checked.extra, checked.fixed) == (0, 0, 0, 0)
    assert filling.stored_keys() == ids(filling, before=False)


@of_every_kind
async def test_what_was_never_read_of_that_time_is_not_read(filling: Filling) -> None:
    await filling.backfill(at(3), at(4))
    await prune(filling.to, BEFORE)
    asked = filling.session.stats.requests
    report = await filling.backfill(at(1), at(2))
    assert (report.rows, report.pruned_before, report.windows) == (0, BEFORE, 0)
    assert filling.session.stats.requests - asked == 1
    await filling.backfill(at(1), at(4))
    assert filling.stored_keys() == ids(filling, before=False)
    complete = (await filling.sync()).complete_until
    assert complete is not None
    assert complete >= at(4) - timedelta(hours=1)


@pytest.mark.parametrize("kind", FOLDERS)
async def test_a_broken_ledger_does_not_bring_them_back(filling: Filling) -> None:
    await filling.backfill(at(1), at(4))
    await prune(filling.to, BEFORE)
    ledger = Path(filling.to) / "_ledger.ndjson"
    ledger.write_bytes(b"no line\n" + ledger.read_bytes())
    assert (await filling.backfill(at(1), at(4))).pruned_before == BEFORE
    assert filling.stored_keys() == ids(filling, before=False)


@pytest.mark.parametrize("kind", FOLDERS)
async def test_a_file_that_others_wrote_is_read_again_all_the_same(filling: Filling) -> None:
    span = at(1), at(1, 12)
    await filling.backfill(*span)
    file = files(filling.to)[0]
    older = file.read_bytes()
    await prune(filling.to, at(1, 1))
    assert (await filling.backfill(*span)).windows == 0
    file.write_bytes(older)
    await prune(filling.to, at(1, 2))
    assert (await filling.backfill(*span)).windows == 1


@pytest.mark.parametrize("kind", FOR_PUSHES)
async def test_pushes_do_not_bring_them_back(filling: Filling) -> None:
    await filling.backfill(at(1), at(4))
    await prune(filling.to, BEFORE)
    pushed = PushedCalls(filling.session, filling.to)
    for name, moment in {"old": BEFORE - timedelta(seconds=1), "new": BEFORE}.items():
        await pushed.store(CallRecord(call_id=name, start_time=moment))
    assert filling.stored_keys() == ids(filling, before=False) | {"new"}


@of_every_kind
async def test_a_store_of_an_earlier_version(filling: Filling, kind: str) -> None:
    await fill(filling)
    make_old(kind, filling.to)
    await prune(filling.to, BEFORE)
    assert filling.stored_keys() == ids(filling, before=False)
    assert (await filling.sync()).windows_lost == 0
    assert filling.stored_keys() == ids(filling, before=False)


@pytest.mark.first_of
@of_every_kind
async def test_a_loss_beside_it_is_still_found(filling: Filling, kind: str) -> None:
    await filling.backfill(at(1), at(4))
    await prune(filling.to, BEFORE)
    if kind in SQL:
        sql(kind, filling.to, "DELETE FROM calls")
    else:
        for file in files(filling.to):
            file.unlink()
    assert (await filling.sync()).windows_lost > 0
    assert filling.stored_keys() == ids(filling, before=False)


@pytest.mark.first_of("kind")
@pytest.mark.parametrize("kind", ON_DISK)
async def test_their_bytes_are_gone(filling: Filling, kind: str) -> None:
    marks = [f"somebody-{number:04}-private" for number in range(50)]
    for number, mark in enumerate(marks):
        moment = at(1, 2, number)
        filling.gateway.add_call(callId=mark, startTime=1000 * seconds(moment), endTime=1000 * seconds(moment) + 9)
    await filling.backfill(at(1), at(4))
    assert filling.stored_keys() >= set(marks)
    if kind in ("sqlite", "jsonl", "csv"):  # the others may compress them
        assert any(marks[7].encode() in content for content in beside(filling.to).values())
    size = sum(map(len, beside(filling.to).values()))
    await prune(filling.to, BEFORE)
    left = beside(filling.to)
    assert not [name for name, content in left.items() if any(mark.encode() in content for mark in marks)]
    assert sum(map(len, left.values())) <= size
    assert not [name for name in left if name.endswith(("-wal", ".wal", "-journal", ".part"))]


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_bytes_that_a_reader_keeps_are_told(filling: Filling, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(filling)
    old = min(ids(filling, before=True))
    monkeypatch.setattr(sqlite, "SECONDS_TO_WAIT", 0.1)
    with closing(sqlite3.connect(filling.to, isolation_level=None)) as reader:
        reader.execute("PRAGMA journal_mode = WAL")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM calls").fetchall()
        with pytest.raises(BusyError, match="still in its log"):
            await prune(filling.to, BEFORE)
        reader.execute("COMMIT")
    assert (await prune(filling.to, BEFORE)).rows == 0
    assert not any(old.encode() in content for content in beside(filling.to).values())


@pytest.mark.parametrize("kind", FOLDERS)
async def test_a_file_put_back_does_not_bring_them_back(filling: Filling) -> None:
    await fill(filling)
    kept = [(file, file.read_bytes()) for file in files(filling.to)]
    await prune(filling.to, BEFORE)
    for file, content in kept:
        if file.exists():
            file.write_bytes(content)
    await filling.sync()
    assert filling.stored_keys() == ids(filling, before=False)


@pytest.mark.parametrize("kind", ["duckdb"])
async def test_other_tables_of_a_duckdb_file_stay(filling: Filling, kind: str) -> None:
    await filling.backfill(at(1), at(4))
    sql(
        kind, filling.to, "CREATE TABLE mine AS SELECT 42 AS answer", "CREATE VIEW days AS SELECT start_time FROM calls"
    )
    mode = mode_of(filling.to)
    await prune(filling.to, BEFORE)
    assert sql(kind, filling.to, "SELECT answer FROM mine") == [(42,)]
    assert sql(kind, filling.to, "SELECT count(*) FROM days") == [(len(ids(filling, before=False)),)]
    assert mode_of(filling.to) == mode


@pytest.mark.parametrize("kind", FOLDERS)
async def test_one_that_is_cut_short_is_finished_by_the_next(filling: Filling, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(filling)
    rewritten, written = folder.FolderSink._rewritten, iter(range(1))

    def stop_at_the_second(*arguments: Any) -> Any:
        if next(written, None) is None:
            raise KeyboardInterrupt
        return rewritten(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(folder.FolderSink, "_rewritten", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            await prune(filling.to, BEFORE)
    assert (await filling.sync()).windows_lost == 0
    await prune(filling.to, BEFORE)
    assert filling.stored_keys() == ids(filling, before=False)


@pytest.mark.parametrize("kind", SQL)
async def test_a_table_that_is_gone_is_not_brought_back_whole(filling: Filling, kind: str) -> None:
    await filling.backfill(at(1), at(4))
    sql(kind, filling.to, "DROP TABLE calls")
    assert (await prune(filling.to, BEFORE)).rows == 0
    assert (await filling.sync()).windows_lost > 0
    assert filling.stored_keys() == ids(filling, before=False)


@of_every_kind
async def test_only_the_sources_that_are_named(filling: Filling) -> None:
    await filling.backfill(at(1), at(4))
    with pytest.raises(ConfigurationError, match="holds no did_calls or flash_calls"):
        await prune(filling.to, BEFORE, ["did", "flash"])
    assert len(filling.stored_keys()) == 400


@pytest.mark.first_of("told")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"before": date(2026, 1, 2)}, "give an aware datetime"),
        ({"before": datetime(2026, 1, 2)}, "give an aware datetime"),  # noqa: DTZ001 - that is what is wrong
        ({"before": datetime.now(UTC) + timedelta(days=1)}, "has yet to come"),
        ({"sources": []}, "sources is empty"),
        ({"sources": ["sms"]}, "source is 'sms'"),
        ({"dry_run": "no"}, "dry_run is 'no'"),
        ({"to": "none.sqlite"}, "none.sqlite holds no calls"),
    ],
)
async def test_what_cannot_be_meant_is_refused(arguments: dict[str, Any], told: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"to": tmp_path / "calls.sqlite", "before": BEFORE, **arguments}
    with pytest.raises(ConfigurationError, match=told):
        await prune(**given)


# The rule of the ledger.


def test_what_is_not_wanted_hinders_no_completeness() -> None:
    settle, day = 10, 100
    open_one, sealed, last = (
        LedgerEntry(Window(0, 50), 0),
        LedgerEntry(Window(80, day), 999),
        LedgerEntry(Window(day, 150), 999),
    )
    assert Ledger([open_one, sealed, last]).complete_until(settle) is None
    assert Ledger([open_one, sealed, last], pruned_before=90).complete_until(settle) == 150
    assert Ledger([open_one, sealed, last], pruned_before=60).complete_until(settle) == 50
    assert Ledger([open_one, sealed, last], pruned_before=20).complete_until(settle) is None

"""What the ledger claims is held against what is there, and nothing is made on the way to an error."""

import logging
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from nxcdr_async import (
    AuthenticationError,
    CallRecord,
    ConfigurationError,
    Credentials,
    NxcdrError,
    PushedCalls,
    backfill,
    sync,
    verify,
)
from nxcdr_async.records.arrow import CALLS
from nxcdr_async.testing import Gateway
from tests.ingest.filling import DAY, Filling, at
from tests.ingest.touched import (
    FOLDERS,
    SQL,
    contents,
    copy_ledger,
    copy_store,
    files,
    ledger_lines,
    make_old,
    sql,
    tables,
)
from tests.sessions import OpenSession
from tests.sinks.all_sinks import FOR_PUSHES, KINDS, ON_DISK, Places, opened
from tests.sinks.table_rows import ALL_TIME

pytestmark = pytest.mark.first_of


of_every_kind = pytest.mark.parametrize("kind", KINDS)
of_every_sql = pytest.mark.parametrize("kind", SQL)
of_every_folder = pytest.mark.parametrize("kind", FOLDERS)


@pytest.fixture
def gateway() -> object:
    with Gateway(calls=400, days=3) as running:
        running.clock.move_to(at(3, 12))
        running.switches.publish_delay = 0
        yield running


async def fill(filling: Filling) -> int:
    """Fill a store, and tell in how many windows."""
    report = await filling.backfill(at(1), at(4))
    assert report.windows >= 3
    assert (report.windows_lost, report.pruned_before) == (0, None)
    return report.windows


def all_ids(filling: Filling) -> set[str]:
    return set(filling.gateway.call_ids(None, at(3, 12)))


async def check_found_again(filling: Filling, lost: int | None = None) -> None:
    """Check that a sync tells what was lost and reads it again, and that the next has nothing to do with it."""
    report = await filling.sync()
    assert filling.stored_keys() == all_ids(filling)
    assert report.windows_lost == lost if lost is not None else report.windows_lost > 0
    assert (await filling.sync()).windows_lost == 0


# What was taken away is read again.


@of_every_sql
async def test_a_dropped_table(filling: Filling, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    await fill(filling)
    sql(kind, filling.to, "DROP TABLE calls")
    with caplog.at_level(logging.WARNING, "nxcdr_async"):
        await check_found_again(filling)
    assert "rows that were stored are gone" in caplog.text


@of_every_sql
async def test_a_dropped_table_of_an_earlier_version(filling: Filling, kind: str) -> None:
    await fill(filling)
    make_old(kind, filling.to)
    sql(kind, filling.to, "DROP TABLE calls")
    await check_found_again(filling)


@of_every_sql
async def test_a_dropped_table_and_a_backfill(filling: Filling, kind: str) -> None:
    windows = await fill(filling)
    sql(kind, filling.to, "DROP TABLE calls")
    report = await filling.backfill(at(1), at(4))
    assert filling.stored_keys() == all_ids(filling)
    # Those that never had a row lack none.
    assert (report.rows_new, report.windows_before) == (len(all_ids(filling)), windows - report.windows_lost)


@of_every_sql
async def test_a_failed_run_after_a_dropped_table(filling: Filling, kind: str, open_session: OpenSession) -> None:
    await fill(filling)
    sql(kind, filling.to, "DROP TABLE calls")
    there = tables(kind, filling.to)
    wrong = open_session(credentials=Credentials(filling.gateway.credentials.access_key, "wrong"))
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            await sync(wrong, "calls", filling.to)
        assert tables(kind, filling.to) == there
    await check_found_again(filling)


@of_every_sql
async def test_a_table_made_anew(filling: Filling, kind: str) -> None:
    await fill(filling)
    make_old(kind, filling.to)
    sql(kind, filling.to, "DELETE FROM calls")
    await check_found_again(filling)


@pytest.mark.first_of
@of_every_sql
async def test_deleted_rows(filling: Filling, kind: str) -> None:
    await fill(filling)
    sql(
        kind,
        filling.to,
        "DELETE FROM calls WHERE start_time >= '2026-01-01T06:00:00' AND start_time < '2026-01-01T07'"
        if kind == "sqlite"
        else "DELETE FROM calls WHERE start_time >= '2026-01-01 06:00:00+00' AND start_time < '2026-01-01 07:00:00+00'",
    )
    before = filling.ledger().complete_until(24 * 3600)
    report = await filling.sync()
    assert report.windows_lost == 1
    assert report.rows_new > 0
    assert filling.stored_keys() == all_ids(filling)
    assert filling.ledger().complete_until(24 * 3600) == before


@of_every_sql
async def test_rows_lost_outside_of_a_backfill_are_not_complete(filling: Filling, kind: str) -> None:
    await fill(filling)
    first = min(filling.ledger().entries, key=lambda entry: entry.window)
    sql(kind, filling.to, "DELETE FROM calls")
    report = await filling.backfill(at(3), at(4))
    assert report.complete_until is None or report.complete_until.timestamp() <= first.window.start
    await check_found_again(filling)


@of_every_sql
async def test_a_push_hides_no_loss(filling: Filling, kind: str) -> None:
    await fill(filling)
    victim, other, *_ = filling.gateway.history.calls()
    sql(kind, filling.to, f"DELETE FROM calls WHERE call_id = '{victim['callId']}'")
    pushed = PushedCalls(filling.session, filling.to)
    converter = filling.session.converter
    row = {**other, "callId": "pushed by hand"}
    await pushed.store(converter.structure(row, CallRecord))
    report = await filling.sync()
    assert report.windows_lost == 1
    assert filling.stored_keys() == all_ids(filling) | {"pushed by hand"}


@of_every_sql
async def test_pushed_rows_count(filling: Filling, kind: str) -> None:
    await fill(filling)
    row = {**next(iter(filling.gateway.history.calls())), "callId": "pushed by hand"}
    await PushedCalls(filling.session, filling.to).store(filling.session.converter.structure(row, CallRecord))
    sql(kind, filling.to, "DELETE FROM calls WHERE call_id = 'pushed by hand'")
    assert (await filling.sync()).windows_lost == 1


@of_every_sql
async def test_rows_of_the_user_stay(filling: Filling, kind: str) -> None:
    await fill(filling)
    sql(kind, filling.to, "INSERT INTO calls (call_id, start_time) SELECT 'mine', min(start_time) FROM calls")
    report = await filling.sync()
    assert report.windows_lost == 0
    assert filling.stored_keys() == all_ids(filling) | {"mine"}


@pytest.mark.parametrize("kind", ON_DISK)
async def test_a_store_put_back_from_a_backup(filling: Filling, kind: str, tmp_path: Path) -> None:
    await filling.backfill(at(1), at(2))
    backup = tmp_path / f"backup.{kind}"
    copy_store(filling.to, backup)
    await filling.backfill(at(1), at(4))
    copy_store(backup, filling.to)
    report = await filling.sync()
    assert report.windows_lost == 0
    assert filling.stored_keys() == all_ids(filling)


@of_every_folder
async def test_a_file_that_is_gone(filling: Filling) -> None:
    await fill(filling)
    files(filling.to)[0].unlink()
    await check_found_again(filling, lost=1)


@of_every_folder
async def test_a_file_replaced_by_an_older_one(filling: Filling) -> None:
    await filling.backfill(at(1), at(4))
    file = files(filling.to)[0]
    older = file.read_bytes()
    for number in range(10):
        filling.add_call(at(1, 1, number))
    sealed = await filling.backfill(at(1), at(4), settle=100 * DAY)
    assert sealed.rows_new == 0
    await verify(filling.session, filling.to, sample=None, fix=True)
    assert file.read_bytes() != older
    file.write_bytes(older)
    await check_found_again(filling, lost=1)


@pytest.mark.parametrize("kind", FOLDERS)
async def test_a_changed_file_is_known_however_often_one_asks(filling: Filling) -> None:
    await fill(filling)
    first, second = files(filling.to)[:2]
    shutil.copyfile(first, second)
    with opened(str(filling.to)) as sink:
        assert sink.lost(CALLS) == sink.lost(CALLS) != []


@pytest.mark.parametrize("kind", FOLDERS)
async def test_a_file_replaced_by_that_of_another_window(filling: Filling) -> None:
    await fill(filling)
    first, second = files(filling.to)[:2]
    shutil.copyfile(first, second)
    assert (await filling.sync()).windows_lost == 1
    assert filling.stored_keys() == all_ids(filling)
    with opened(str(filling.to)) as sink:
        assert sink.scan(CALLS, ALL_TIME).num_rows == len(all_ids(filling))


@pytest.mark.parametrize("kind", ["jsonl"])
async def test_a_file_cut_off_between_lines(filling: Filling) -> None:
    await fill(filling)
    file = files(filling.to)[0]
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:3]))
    await check_found_again(filling, lost=1)


@of_every_folder
async def test_a_damaged_file_is_told_with_the_way_out(filling: Filling) -> None:
    await fill(filling)
    file, asked = files(filling.to)[0], filling.session.stats.requests
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ConfigurationError, match=r"is damaged or was not made by this version.*move it away"):
        await filling.sync()
    assert filling.session.stats.requests == asked
    file.unlink()
    await check_found_again(filling, lost=1)


@of_every_folder
async def test_a_mere_copy_is_no_other_file(filling: Filling) -> None:
    await fill(filling)
    for file in files(filling.to):
        file.write_bytes(file.read_bytes())
    assert (await filling.sync()).windows_lost == 0


@pytest.mark.first_of
@of_every_kind
async def test_a_ledger_of_another_store(filling: Filling, kind: str, places: Places) -> None:
    await fill(filling)
    other = Filling(filling.gateway, filling.session, places.fresh(kind))
    await other.backfill(at(3), at(4))
    if kind in SQL:
        columns = "source, start_second, end_second, read_at, row_count, bad_rows, saturated, stored"
        found = sql(kind, filling.to, f"SELECT {columns} FROM nxcdr_windows")
        values = ", ".join(str(tuple("NULL" if v is None else v for v in row)) for row in found)
        sql(kind, other.to, "DELETE FROM nxcdr_windows", f"INSERT INTO nxcdr_windows ({columns}) VALUES {values}")
    else:
        for file in files(other.to):
            file.unlink()
        copy_ledger(filling.to, other.to)
    await check_found_again(other)


@of_every_sql
async def test_a_verification_always_reads_what_was_lost(filling: Filling, kind: str) -> None:
    await fill(filling)
    filling.gateway.clock.move_to(at(6))
    await filling.sync()
    victim = next(iter(filling.gateway.history.calls()))["callId"]
    sql(kind, filling.to, f"DELETE FROM calls WHERE call_id = '{victim}'")
    for seed in range(3):
        found = await verify(filling.session, filling.to, sample=1, seed=seed)
        assert found.sources[0].missing == 1
    mended = await verify(filling.session, filling.to, sample=1, fix=True)
    assert mended.sources[0].fixed == 1
    assert (await filling.sync()).windows_lost == 0


# Stores of earlier versions.


@pytest.mark.first_of
@of_every_kind
async def test_a_store_of_an_earlier_version_goes_on(filling: Filling, kind: str) -> None:
    await fill(filling)
    make_old(kind, filling.to)
    asked = filling.session.stats.requests
    report = await filling.sync()
    assert (report.windows_lost, report.rows_new) == (0, 0)
    assert filling.session.stats.requests - asked < 20
    assert filling.stored_keys() == all_ids(filling)
    if kind in SQL:
        stored = sql(kind, filling.to, "SELECT sum(stored), count(*) - count(stored) FROM nxcdr_windows")
        assert [int(number) for number in stored[0]] == [len(all_ids(filling)), 0]
        ((noted,),) = sql(kind, filling.to, "SELECT gateway FROM nxcdr_sources")
    else:
        noted = [line["origin"].get("gateway") for line in ledger_lines(filling.to) if "origin" in line][-1]
    assert noted == filling.gateway.url


# Nothing is made or changed on the way to an error.


@pytest.fixture
def place(places: Places, kind: str) -> str:
    return places.fresh(kind)


def left(kind: str, to: str) -> object:
    """Return all that is at a place and beside it."""
    return tables(kind, to) if kind == "postgresql" else contents(Path(to).parent)


async def check_leaves_nothing(kind: str, to: str, *attempts: Callable[[], object]) -> None:
    before = left(kind, to)
    for attempt in attempts:
        with pytest.raises(NxcdrError):
            await attempt()  # type: ignore[misc]
        assert left(kind, to) == before


@of_every_kind
async def test_a_run_that_comes_to_nothing_leaves_nothing(
    place: str, kind: str, gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session()
    wrong = open_session(credentials=Credentials(gateway.credentials.access_key, "wrong"))
    keyless = open_session(credentials=None)
    await check_leaves_nothing(
        kind,
        place,
        lambda: sync(session, "calls", place),
        lambda: backfill(session, "calls", at(20), at(21), place),
        lambda: backfill(keyless, "calls", at(1), at(2), place),
        lambda: backfill(wrong, "calls", at(1), at(2), place),
        lambda: verify(session, place),
    )


@pytest.mark.parametrize("kind", FOR_PUSHES)
async def test_an_emptied_store_is_left_as_it_is(filling: Filling, kind: str) -> None:
    await fill(filling)
    sql(kind, filling.to, "DROP TABLE calls", "DROP TABLE nxcdr_windows", "DROP TABLE nxcdr_sources")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="holds no calls yet"):
            await filling.sync()
        assert tables(kind, filling.to) == set()


@of_every_sql
async def test_a_table_with_other_columns_is_left_as_it_is(filling: Filling, kind: str) -> None:
    if kind == "sqlite":
        sql(kind, filling.to, "PRAGMA journal_mode = WAL", "CREATE TABLE calls (name TEXT)")
    else:
        sql(kind, filling.to, "CREATE TABLE calls (name TEXT)")
    with pytest.raises(ConfigurationError, match="was not made by this version"):
        await filling.backfill(at(1), at(2))
    assert tables(kind, filling.to) == {"calls"}
    if kind == "sqlite":
        assert sql(kind, filling.to, "PRAGMA journal_mode") == [("wal",)]


# A store is bound to its gateway.


@of_every_kind
async def test_a_lost_binding_is_told(filling: Filling, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    await fill(filling)
    if kind in SQL:
        sql(kind, filling.to, "DROP TABLE nxcdr_sources")
    else:
        (Path(filling.to) / "_ledger.ndjson").unlink()
    with caplog.at_level(logging.WARNING, "nxcdr_async"):
        await filling.sync()
        assert "which gateway and key its rows come from" in caplog.text
        caplog.clear()
        await filling.sync()
    assert not caplog.records


@of_every_kind
async def test_another_gateway_is_refused(filling: Filling, kind: str, open_session: OpenSession) -> None:
    await fill(filling)
    before = left(kind, filling.to), filling.stored_keys()
    with Gateway(calls=335, days=3, seed=7) as other:
        other.clock.move_to(at(3, 12))
        moved = open_session(gateway=other.url)
        told = f"was read from {filling.gateway.url}, not {other.url}: .*--new-gateway"
        with pytest.raises(ConfigurationError, match=told):
            await sync(moved, "calls", filling.to)
        with pytest.raises(ConfigurationError, match=told):
            await verify(moved, filling.to, fix=True)
        assert (left(kind, filling.to), filling.stored_keys()) == before
        await sync(moved, "calls", filling.to, new_gateway=True)
        await sync(moved, "calls", filling.to)
    with pytest.raises(ConfigurationError, match="new-gateway"):
        await filling.sync()


@pytest.mark.parametrize("kind", FOR_PUSHES)
async def test_a_push_of_another_gateway_is_refused(filling: Filling, open_session: OpenSession) -> None:
    await fill(filling)
    moved = open_session(gateway="https://elsewhere.example")
    call = CallRecord(call_id="pushed", start_time=at(3) + timedelta(seconds=1))
    with pytest.raises(ConfigurationError, match="new-gateway"):
        await PushedCalls(moved, filling.to).store(call)
    await PushedCalls(moved, filling.to, new_gateway=True).store(call)
    assert "pushed" in filling.stored_keys()

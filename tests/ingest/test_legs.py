"""Several rows under one call id, such as the legs of a transfer: every sink holds each of them, once."""

import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nxcdr_async import CallRecord, CdrSession, ConfigurationError, PushedCalls, backfill, make_converter, sync, verify
from nxcdr_async.testing import Gateway
from tests.ingest.filling import HOUR, at, seconds
from tests.ingest.stored_calls import Values, known_rows, stored_rows
from tests.sessions import OpenSession
from tests.sinks.all_sinks import FOR_PUSHES, KINDS, Places

SECOND = timedelta(seconds=1)

of_every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=600, days=2) as running:
        running.clock.move_to(at(2, 12))
        running.switches.publish_delay = 60
        yield running


@pytest.fixture
def session(open_session: OpenSession) -> CdrSession:
    return open_session()


def add_leg(gateway: Gateway, call_id: str, start: datetime, **values: Any) -> str:
    moment = 1000 * seconds(start)
    return gateway.add_call(callId=call_id, startTime=moment, endTime=moment + 30_000, **values)


def beside_another(rows: list[Values]) -> int:
    return len(rows) - len({row["call_id"] for row in rows})


@of_every_kind
async def test_all_legs_are_stored_once_and_counted(
    kind: str, places: Places, gateway: Gateway, session: CdrSession
) -> None:
    to = places.fresh(kind)
    gateway.switches.legs = 3
    gateway.clock.move_to(at(9))
    first = await backfill(session, "calls", at(1), at(3), to)
    known = known_rows(gateway)
    assert stored_rows(kind, to) == known
    assert (first.rows_new, first.legs) == (600, beside_another(known)) == (600, 400)
    again = await backfill(session, "calls", at(1), at(3), to)
    assert (again.rows, again.windows, again.windows_before) == (0, 0, first.windows)


@pytest.mark.first_of
@of_every_kind
async def test_legs_that_are_read_again_change_nothing(
    kind: str, places: Places, gateway: Gateway, session: CdrSession
) -> None:
    to = places.fresh(kind)
    gateway.switches.legs = 3
    await backfill(session, "calls", at(1), at(3), to)
    before = stored_rows(kind, to)
    report = await sync(session, "calls", to)
    assert report.rows_unchanged > 0
    assert (report.rows_new, report.rows_changed) == (0, 0)
    assert stored_rows(kind, to) == before


@pytest.mark.first_of
@of_every_kind
@pytest.mark.parametrize("apart", [SECOND, 90 * SECOND, 3 * HOUR], ids=str)
async def test_a_leg_that_turns_up_later_is_stored_beside_the_first(
    kind: str, apart: timedelta, places: Places, gateway: Gateway, session: CdrSession
) -> None:
    to = places.fresh(kind)
    call_id = add_leg(gateway, "a call with two legs", at(2, 8), caller="first")
    await backfill(session, "calls", at(1), at(3), to)
    add_leg(gateway, call_id, at(2, 8) + apart, caller="second")
    report = await sync(session, "calls", to)
    assert (report.rows_new, report.rows_changed) == (1, 0)
    assert stored_rows(kind, to) == [row for row in known_rows(gateway) if row["end_time"] < at(2, 11, 59)]


@pytest.mark.first_of
@of_every_kind
async def test_legs_either_side_of_a_window_s_edge_are_stored_once(
    kind: str, places: Places, gateway: Gateway, session: CdrSession
) -> None:
    to, edge = places.fresh(kind), at(1, 12)
    gateway.clock.move_to(at(9))
    for moment in (edge - SECOND, edge, edge + SECOND):
        add_leg(gateway, "over the edge", moment, caller=f"{moment}")
    await backfill(session, "calls", at(1), edge, to)
    await backfill(session, "calls", edge, at(3), to)
    assert stored_rows(kind, to) == known_rows(gateway)


async def test_legs_that_a_store_lacks_are_missing_and_mended(
    gateway: Gateway, session: CdrSession, tmp_path: Path
) -> None:
    to = tmp_path / "calls.sqlite"
    gateway.switches.legs = 3
    gateway.clock.move_to(at(9))
    await backfill(session, "calls", at(1), at(3), to)
    (unharmed,) = (await verify(session, to, sample=None)).sources
    assert (unharmed.missing, unharmed.different, unharmed.extra, unharmed.rows_compared) == (0, 0, 0, 600)
    with closing(sqlite3.connect(to)) as database, database:
        database.execute("DELETE FROM calls WHERE rowid IN (SELECT max(rowid) FROM calls GROUP BY call_id LIMIT 9)")
        database.execute("UPDATE calls SET caller = 'other' WHERE rowid IN (SELECT min(rowid) FROM calls)")
    (found,) = (await verify(session, to, sample=None, fix=True)).sources
    assert (found.missing, found.different, found.extra, found.fixed) == (9, 1, 0, 10)
    assert stored_rows("sqlite", str(to)) == known_rows(gateway)


async def test_a_leg_that_the_gateway_does_not_tell_any_more_is_extra(
    gateway: Gateway, session: CdrSession, tmp_path: Path
) -> None:
    to = tmp_path / "calls.sqlite"
    gateway.switches.legs = 3
    gateway.clock.move_to(at(9))
    await backfill(session, "calls", at(1), at(3), to)
    with closing(sqlite3.connect(to)) as database, database:
        columns = [name for _, name, *_ in database.execute("PRAGMA table_info(calls)")]
        others = ", ".join(name for name in columns if name != "start_time")
        database.execute(
            f"INSERT INTO calls (start_time, {others}) SELECT '2026-01-01T00:00:01.000000Z', {others} FROM calls "
            "ORDER BY start_time DESC LIMIT 1"
        )
    (found,) = (await verify(session, to, sample=None, fix=True)).sources
    assert (found.missing, found.different, found.extra) == (0, 0, 1)


def pushed(call_id: str, start: datetime, **values: Any) -> CallRecord:
    row = {"callId": call_id, "startTime": 1000 * seconds(start), **values}
    return make_converter().structure(row, CallRecord)


@pytest.mark.parametrize("kind", FOR_PUSHES)
async def test_pushed_legs_that_nobody_told_are_stored_each(kind: str, places: Places, session: CdrSession) -> None:
    to = places.fresh(kind)
    store = PushedCalls(session, to).store
    await store(pushed("a", at(1), caller="1"))
    await store(pushed("a", at(1) + 90 * SECOND, caller="2"))
    await store(pushed("a", at(1), callee="3"))
    found = [(row["start_time"], row["caller"], row["callee"]) for row in stored_rows(kind, to)]
    assert found == [(at(1), "1", "3"), (at(1) + 90 * SECOND, "2", None)]


@pytest.mark.parametrize("kind", FOR_PUSHES)
async def test_a_push_whose_time_is_cut_to_seconds_meets_its_leg(
    kind: str, places: Places, gateway: Gateway, session: CdrSession
) -> None:
    to = places.fresh(kind)
    gateway.switches.legs = 3
    gateway.clock.move_to(at(9))
    await backfill(session, "calls", at(1), at(3), to)
    before = stored_rows(kind, to)
    for row in (before[0], before[1]):
        cut = row["start_time"].replace(microsecond=0)
        await PushedCalls(session, to).store(pushed(row["call_id"], cut, dtmfKeys="12#"))
    changed = [row for row, old in zip(stored_rows(kind, to), before, strict=True) if row != old]
    told = [(row["call_id"], row["start_time"]) for row in before[:2] if row["dtmf_keys"] is None]
    assert [(row["call_id"], row["start_time"]) for row in changed] == told


@pytest.mark.first_of
@pytest.mark.parametrize("kind", FOR_PUSHES)
async def test_a_pushed_leg_of_a_call_that_was_told_is_left_to_the_sync(
    kind: str, places: Places, gateway: Gateway, session: CdrSession, caplog: pytest.LogCaptureFixture
) -> None:
    to = places.fresh(kind)
    add_leg(gateway, "transferred", at(2, 8))
    await backfill(session, "calls", at(1), at(3), to)
    before = stored_rows(kind, to)
    caplog.set_level(logging.INFO, "nxcdr_async")
    await PushedCalls(session, to).store(pushed("transferred", at(2, 8, 30)))
    assert stored_rows(kind, to) == before
    assert [record.getMessage() for record in caplog.records if "left to the next sync" in record.getMessage()]
    add_leg(gateway, "transferred", at(2, 8, 30))
    await sync(session, "calls", to)
    assert Counter(row["call_id"] for row in stored_rows(kind, to))["transferred"] == 2


def make_keys_unique(to: str) -> None:
    """Have a SQLite table as an earlier version made it, with what a user may have hung on it."""
    with closing(sqlite3.connect(to)) as database, database:
        (made,) = database.execute("SELECT sql FROM sqlite_schema WHERE name = 'calls'").fetchone()
        rows = database.execute("SELECT * FROM calls").fetchall()
        database.execute("DROP TABLE calls")
        database.execute(made.replace('"call_id" TEXT', '"call_id" TEXT UNIQUE'))
        database.executemany(f"INSERT INTO calls VALUES ({', '.join('?' * len(rows[0]))})", rows)
        database.execute("CREATE INDEX calls_time ON calls (start_time)")
        database.execute("CREATE INDEX by_caller ON calls (caller)")
        database.execute("CREATE VIEW callers AS SELECT DISTINCT caller FROM calls")
        database.execute("CREATE TABLE seen (call_id TEXT)")
        database.execute("CREATE TRIGGER see AFTER INSERT ON calls BEGIN INSERT INTO seen VALUES (new.call_id); END")


async def test_a_sqlite_store_of_an_earlier_version_takes_legs_and_keeps_what_hangs_on_it(
    gateway: Gateway, session: CdrSession, tmp_path: Path
) -> None:
    to = str(tmp_path / "calls.sqlite")
    call_id = add_leg(gateway, "transferred", at(2, 8))
    await backfill(session, "calls", at(1), at(3), to)
    make_keys_unique(to)
    await sync(session, "calls", to)
    indexes = "SELECT name FROM sqlite_schema WHERE tbl_name = 'calls' AND type <> 'table' ORDER BY name"
    with closing(sqlite3.connect(to)) as database:
        assert "sqlite_autoindex_calls_1" in {name for (name,) in database.execute(indexes)}
    add_leg(gateway, call_id, at(2, 9))
    report = await sync(session, "calls", to)
    assert (report.rows_new, report.rows_changed) == (1, 0)
    assert Counter(row["call_id"] for row in stored_rows("sqlite", to))[call_id] == 2
    with closing(sqlite3.connect(to)) as database:
        assert {name for (name,) in database.execute(indexes)} == {"by_caller", "calls_key", "calls_time", "see"}
        assert database.execute("SELECT count(*) > 0 FROM callers").fetchall() == [(1,)]
        assert database.execute("SELECT DISTINCT call_id FROM seen").fetchall() == [(call_id,)]


@pytest.mark.first_of
@pytest.mark.parametrize("is_referred_to", [False, True], ids=["of ours alone", "referred to"])
async def test_a_postgresql_store_of_an_earlier_version_takes_legs_or_tells_what_to_run(
    is_referred_to: bool, places: Places, gateway: Gateway, session: CdrSession
) -> None:
    to = places.fresh("postgresql")
    call_id = add_leg(gateway, "transferred", at(2, 8))
    await backfill(session, "calls", at(1), at(3), to)
    with psycopg.connect(to) as database:
        database.execute("DROP INDEX calls_call_id_idx")
        database.execute("ALTER TABLE calls ADD PRIMARY KEY (call_id)")
        if is_referred_to:
            database.execute("CREATE TABLE notes (call_id text REFERENCES calls)")
    await sync(session, "calls", to)
    before = stored_rows("postgresql", to)
    add_leg(gateway, call_id, at(2, 9))
    if is_referred_to:
        with pytest.raises(ConfigurationError, match=r'run ALTER TABLE "public"."calls" DROP CONSTRAINT calls_pkey;'):
            await sync(session, "calls", to)
        assert stored_rows("postgresql", to) == before
        return
    report = await sync(session, "calls", to)
    assert (report.rows_new, report.rows_changed) == (1, 0)
    assert Counter(row["call_id"] for row in stored_rows("postgresql", to))[call_id] == 2

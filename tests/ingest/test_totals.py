"""The totals of a verification, beside those of what the emulator knows."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from nxcdr_async import ConfigurationError, DayTotals, Totals, VerifiedSource, backfill, make_converter, verify
from nxcdr_async.ingest import verify as verification
from nxcdr_async.ingest.totals import TotalsByDay, totals_of
from nxcdr_async.records.arrow import CALLS, FLASH_CALLS
from nxcdr_async.records.models import CallRecord
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import Window
from tests.examples import examples
from tests.ingest.test_verify import DAYS, END, START, Filled, only
from tests.sessions import OpenSession
from tests.sinks.table_rows import table_of

HONG_KONG = timezone(timedelta(hours=8))
BEGIN = int(START.timestamp())


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=600, days=2, did_calls=60, flash_calls=60) as running:
        yield running


@pytest.fixture
async def filled(monkeypatch: pytest.MonkeyPatch, open_session: OpenSession, tmp_path: Path) -> Filled:
    monkeypatch.setattr(verification, "ROWS_AT_ONCE", 100)  # so that there are many edges
    path, session = tmp_path / "calls.sqlite", open_session()
    for hour in range(0, 48, 6):
        start = START + timedelta(hours=hour)
        await backfill(session, "calls", start, start + timedelta(hours=6), to=path)
    return Filled(path)


def known(gateway: Gateway, day: date, zone: Any = UTC) -> Totals:
    structure = make_converter().structure
    calls = [structure(row, CallRecord) for row in gateway.history.calls()]
    of_day = [call for call in calls if call.start_time.astimezone(zone).date() == day]
    cost = sum((call.total_customer_price or Decimal(0) for call in of_day), Decimal(0))
    return Totals(len(of_day), cost, sum(call.call_duration or 0 for call in of_day))


def of_days(source: VerifiedSource) -> dict[date, DayTotals]:
    return {totals.day: totals for totals in source.days}


@pytest.mark.parametrize("filter_by", ["start", "end"])
async def test_both_sides_are_what_the_gateway_knows(
    gateway: Gateway, filled: Filled, open_session: OpenSession, filter_by: Any
) -> None:
    gateway.switches.filter_by = filter_by
    source = only(await verify(open_session(), filled.path, totals=UTC, sample=1))
    assert source.windows_checked == source.windows_sealed > 3
    assert list(of_days(source)) == [date(2026, 1, 1), date(2026, 1, 2)]
    for totals in source.days:
        assert totals.stored == known(gateway, totals.day)
        if filter_by == "start":  # a call that ended after the range is told by nobody else
            assert (totals.found, totals.is_equal, totals.is_whole) == (totals.stored, True, True)
        else:
            assert totals.found.rows >= totals.stored.rows - 2


async def test_days_are_those_of_the_zone(gateway: Gateway, filled: Filled, open_session: OpenSession) -> None:
    source = only(await verify(open_session(), filled.path, totals=HONG_KONG))
    assert [totals.day.day for totals in source.days] == [1, 2, 3]
    assert all(totals.stored == totals.found == known(gateway, totals.day, HONG_KONG) for totals in source.days)
    assert sum(totals.stored.rows for totals in source.days) == 600


async def test_what_differs_shows_on_its_day(gateway: Gateway, filled: Filled, open_session: OpenSession) -> None:
    lost = filled.run("SELECT call_id FROM calls WHERE start_time > '2026-01-02' LIMIT 1")[0][0]
    filled.run("DELETE FROM calls WHERE call_id = ?", lost)
    dearer = filled.ids()[3]
    filled.run("UPDATE calls SET total_customer_price = '100', call_duration = 7 WHERE call_id = ?", dearer)
    source = only(await verify(open_session(), filled.path, totals=UTC, fix=True))
    first, second = source.days
    assert (first.is_equal, second.is_equal) == (False, False)
    assert first.found == known(gateway, first.day)
    assert first.stored.rows == first.found.rows
    assert first.stored.cost > Decimal(99)
    assert second.stored.rows == second.found.rows - 1
    again = only(await verify(open_session(), filled.path, totals=UTC))
    assert all(totals.is_equal for totals in again.days)


async def test_only_the_windows_of_a_range_are_read(
    gateway: Gateway, filled: Filled, open_session: OpenSession
) -> None:
    start, end = START + timedelta(hours=6), START + timedelta(hours=30)
    source = only(await verify(open_session(), filled.path, start=start, end=end, totals=UTC))
    assert source.windows_checked == source.windows_sealed < len(filled.run("SELECT * FROM nxcdr_windows"))
    stored = sum(totals.stored.rows for totals in source.days)
    assert stored == len(gateway.call_ids(start, end)) == sum(totals.found.rows for totals in source.days)
    assert all(totals.is_whole for totals in source.days)
    without = only(await verify(open_session(), filled.path, start=start, end=end, sample=None))
    assert (without.windows_checked, without.days) == (source.windows_checked, ())


async def test_a_day_that_is_not_sealed_to_its_end_is_told_as_that(filled: Filled, open_session: OpenSession) -> None:
    filled.run("DELETE FROM nxcdr_windows WHERE end_second > ?", int((END - timedelta(hours=9)).timestamp()))
    first, second = only(await verify(open_session(), filled.path, totals=UTC)).days
    assert (first.is_whole, second.is_whole) == (True, False)
    assert second.is_equal


async def test_did_and_flash_calls_have_totals(gateway: Gateway, filled: Filled, open_session: OpenSession) -> None:
    session = open_session()
    await backfill(session, "did", *DAYS, to=filled.path)
    await backfill(session, "flash", START - timedelta(days=1), END, to=filled.path)
    did = only(await verify(session, filled.path, "did", start=DAYS[0], end=DAYS[0], totals=HONG_KONG))
    assert [totals.day for totals in did.days] == [DAYS[0]]
    assert did.days[0].is_equal
    assert did.days[0].stored.cost > 0
    flash = only(await verify(session, filled.path, "flash", totals=UTC))
    assert {totals.found.talk_seconds for totals in flash.days} == {None}
    assert sum(totals.found.rows for totals in flash.days) == len(gateway.flash_ids())
    assert all(totals.is_equal for totals in flash.days)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"start": START}, "start and end go together"),
        ({"end": END}, "start and end go together"),
        ({"start": END, "end": START}, "must be after start"),
        ({"start": datetime(2026, 1, 1), "end": END}, "has no time zone"),  # noqa: DTZ001 - is refused
        ({"start": DAYS[0], "end": DAYS[1]}, "only DID calls are kept by days"),
        ({"totals": True}, "totals is True: give the zone"),
        ({"totals": "UTC"}, "totals is 'UTC': give the zone"),
    ],
)
async def test_what_cannot_work_is_refused(
    filled: Filled, open_session: OpenSession, options: dict[str, Any], told: str
) -> None:
    session = open_session()
    with pytest.raises(ConfigurationError, match=told):
        await verify(session, filled.path, "calls", **options)
    assert session.stats.requests == 0


def row(second: int, key: str) -> dict[str, Any]:
    moment = datetime.fromtimestamp(BEGIN + second, UTC)
    return {"call_id": key, "start_time": moment, "total_customer_price": Decimal("0.01"), "call_duration": 1}


@settings(examples(50))
@given(data=st.data())
def test_a_row_counts_once_whatever_window_brings_it(data: st.DataObject) -> None:
    edges = sorted(data.draw(st.sets(st.integers(1, 9_999), max_size=5)) | {0, 10_000})
    windows = [Window(BEGIN + start, BEGIN + end) for start, end in pairwise(edges)]
    seconds = data.draw(st.lists(st.integers(0, 9_999), max_size=30))
    calls = [row(second, f"{number}") for number, second in enumerate(seconds)]
    whole = Window(BEGIN, BEGIN + 10_000)
    totals = TotalsByDay(CALLS, UTC, [whole], whole)
    brought = [
        data.draw(st.sets(st.sampled_from(near), min_size=1))
        for second in seconds
        if (near := [n for n, w in enumerate(windows) if w.start - 3_600 <= BEGIN + second < w.end + 3_600])
    ]
    for number, window in enumerate(windows):
        inside = [
            call for call, second in zip(calls, seconds, strict=True) if window.start <= BEGIN + second < window.end
        ]
        given_with = [call for call, places in zip(calls, brought, strict=True) if number in places]
        totals.add(window, table_of(CALLS, inside), table_of(CALLS, given_with))
    expected = totals_of(CALLS, table_of(CALLS, calls))
    (day,) = totals.days()
    assert (day.stored, day.found, day.is_whole) == (expected, expected, True)
    assert expected.rows == len(calls)


def test_rows_of_no_price_cost_nothing() -> None:
    empty: pa.Table = FLASH_CALLS.empty()
    assert totals_of(FLASH_CALLS, empty) == Totals(0, Decimal(0), None)

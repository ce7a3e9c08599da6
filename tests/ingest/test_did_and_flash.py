"""DID and flash calls in a sink: days and saturated seconds, gaps that are never silent, and whose records they are."""

from collections.abc import Callable
from datetime import date, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from nxcdr_async import ConfigurationError, Credentials, Gap
from nxcdr_async.ingest import pipeline as engine
from nxcdr_async.records.arrow import TABLES
from nxcdr_async.records.models import SourceName
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import Window
from tests.ingest.filling import Filling, at, seconds
from tests.sessions import OpenSession
from tests.sinks.all_sinks import opened

FillingOf = Callable[..., Filling]

CROWDED = "2026-01-02 03:00:00"
"""A second of flash calls in local time: 19 o'clock of the day before in UTC."""

CROWDED_AT = at(1, 19)


@pytest.fixture
def filling_of(gateway: Gateway, open_session: OpenSession, tmp_path: Path) -> FillingOf:
    def make(source: SourceName, **changes: Any) -> Filling:
        return Filling(gateway, open_session(**changes), tmp_path / "calls.sqlite", source)

    return make


def days_of(source: SourceName) -> tuple[Any, Any]:
    return (date(2026, 1, 1), date(2026, 1, 2)) if source == "did" else (at(1) - timedelta(hours=8), at(3))


def known_keys(gateway: Gateway, source: SourceName) -> set[int]:
    return set({"did": gateway.did_ids, "flash": gateway.flash_ids}[source]())


@pytest.mark.parametrize("source", ["did", "flash"])
async def test_all_of_a_source_is_there_and_is_read_once(source: SourceName, filling_of: FillingOf) -> None:
    filling = filling_of(source)
    first = await filling.backfill(*days_of(source))
    assert filling.stored_keys() == known_keys(filling.gateway, source)
    assert first.rows_new == len(filling.stored_keys())
    again = await filling.backfill(*days_of(source))
    assert (again.windows, again.rows) == (0, 0)
    assert again.complete_until == first.complete_until is not None


async def test_without_a_time_to_settle_each_day_is_sealed_once_it_is_over(filling_of: FillingOf) -> None:
    filling = filling_of("did")
    await filling.backfill(*days_of("did"), settle=timedelta())
    filling.gateway.clock.move_to(at(9, 12))
    # The days of the vendor begin eight hours earlier.
    assert (await filling.sync(settle=timedelta())).complete_until == at(8, 16)


@pytest.mark.parametrize("source", ["calls", "did", "flash"])
async def test_a_window_may_stay_open_for_ever(source: SourceName, filling_of: FillingOf) -> None:
    filling = filling_of(source)
    report = await filling.backfill(*days_of(source), settle=timedelta.max)
    assert report.complete_until is None
    assert report.windows_open > 0
    assert (await filling.sync(settle=timedelta.max)).rows_new == 0


@pytest.mark.parametrize("source", ["did", "flash"])
async def test_a_source_goes_on_where_it_was_stopped(
    source: SourceName, filling_of: FillingOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ROWS_A_WINDOW", 20)
    monkeypatch.setattr(engine, "RECORDS_AT_ONCE", 20)
    days = (date(2026, 1, 1), date(2026, 1, 4)) if source == "did" else (at(1) - timedelta(hours=8), at(5))

    def stop(progress: Any) -> None:
        if progress.windows:
            raise LookupError

    with Gateway(calls=2_000, days=4) as gateway:
        filling, known = filling_of(source, gateway=gateway.url), known_keys(gateway, source)
        with pytest.raises(LookupError):
            await filling.backfill(*days, on_progress=stop)
        before = filling.stored_keys()
        assert 0 < len(before) < len(known)
        report = await filling.backfill(*days)
        assert report.rows_new == len(known) - len(before)
        assert filling.stored_keys() == known


async def test_days_are_stored_whole_and_a_day_that_is_not_over_is_read_again(filling_of: FillingOf) -> None:
    filling = filling_of("did")
    filling.gateway.clock.move_to(at(2, 4))
    first = await filling.backfill(date(2026, 1, 1), date(2026, 1, 31))
    assert first.end == at(2, 16)
    late = filling.gateway.add_did_call(startTime="2026-01-02 13:00:00")
    filling.gateway.clock.move_to(at(2, 8))
    report = await filling.sync()
    assert late in filling.stored_keys()
    assert report.rows_new == 1


async def test_rows_without_an_id_are_each_there_once_however_often_they_are_read(filling_of: FillingOf) -> None:
    filling = filling_of("did")
    for minute in (0, 0, 1):
        add_did_call_without_id(filling.gateway, minute)
    forever = timedelta(days=10_000)
    first = await filling.backfill(date(2026, 1, 1), date(2026, 1, 2), settle=forever)
    for _ in range(2):
        report = await filling.sync(settle=forever)
        assert (report.rows_new, report.rows_changed) == (0, 0)
    assert first.rows_new == len(list(filling.gateway.history.did_calls()))
    assert len(keyless_rows(filling)) == 3


def add_did_call_without_id(gateway: Gateway, minute: int) -> None:
    start = at(1, 2, minute)
    row = {**next(gateway.history.did_calls()), "startTime": f"2026-01-01 10:0{minute}:00"}
    del row["id"]
    gateway.history.did_timeline.add(row, row_id=-1, start_ms=1000 * seconds(start), end_ms=1000 * seconds(start))


def keyless_rows(filling: Filling) -> list[Any]:
    with opened(str(filling.to)) as sink:
        rows = sink.scan(TABLES["did"], Window(0, 2**33)).to_pylist()
    return [row for row in rows if row["id"] is None]


async def test_a_saturated_second_is_a_gap_of_this_run_and_of_each_that_covers_it(filling_of: FillingOf) -> None:
    filling = filling_of("flash")
    for _ in range(150):
        filling.gateway.add_flash_call(gmtCreate=CROWDED)
    gap = Gap("saturated second", CROWDED_AT, CROWDED_AT + timedelta(seconds=1), None)
    first = await filling.backfill(*days_of("flash"))
    assert first.gaps == (gap,)
    assert filling.stored_keys() >= set(filling.gateway.flash_ids(CROWDED_AT + timedelta(seconds=1), None))
    again = await filling.backfill(*days_of("flash"))
    assert (again.windows, again.gaps) == (0, (gap,))
    assert (await filling.sync()).gaps == (gap,)
    elsewhere = await filling.backfill(at(2), at(2, 1))
    assert elsewhere.gaps == ()


async def test_a_saturated_second_at_the_edge_of_two_windows_is_one_gap(filling_of: FillingOf) -> None:
    filling = filling_of("flash")
    for _ in range(150):
        filling.gateway.add_flash_call(gmtCreate=CROWDED)
    start, end = days_of("flash")
    for edge in (CROWDED_AT, CROWDED_AT + timedelta(seconds=1)):
        fresh = evolve(filling, to=filling.to.with_name(f"{edge.second}.sqlite"))
        await fresh.backfill(start, edge)
        await fresh.backfill(edge, end)
        report = await fresh.sync()
        assert report.gaps == (Gap("saturated second", CROWDED_AT, CROWDED_AT + timedelta(seconds=1), None),)


@pytest.mark.parametrize("source", ["calls", "did", "flash"])
async def test_bad_rows_that_are_skipped_are_gaps(source: SourceName, filling_of: FillingOf) -> None:
    filling = filling_of(source)
    gateway = filling.gateway
    {
        "calls": lambda: gateway.add_call(callDuration="very long"),
        "did": lambda: gateway.add_did_call(callDuration="very long"),
        "flash": lambda: gateway.add_flash_call(price="much"),
    }[source]()
    days = (at(1), at(3)) if source == "calls" else days_of(source)
    told: list[Any] = []
    first = await filling.backfill(*days, on_bad_row="skip", bad_row_callback=told.append)
    assert [(gap.kind, gap.rows) for gap in first.gaps] == [("bad rows", 1)]
    assert len(told) == 1
    again = await filling.backfill(*days, on_bad_row="skip")
    assert (again.windows, again.gaps) == (0, first.gaps)


async def test_days_of_another_zone_are_refused(filling_of: FillingOf) -> None:
    await filling_of("did").backfill(*days_of("did"))
    other = filling_of("did", naive_zone=timezone(timedelta(hours=7)))
    with pytest.raises(ConfigurationError, match="naive_zone"):
        await other.backfill(*days_of("did"))
    with pytest.raises(ConfigurationError, match="naive_zone"):
        await other.sync(new_key=True)


async def test_calls_of_another_account_are_refused_unless_its_key_is_new(filling_of: FillingOf) -> None:
    filling = filling_of("calls")
    await filling.backfill(at(1), at(2))
    before = filling.stored_keys()
    other = filling_of("calls", credentials=Credentials("AnotherKey", "another-secret"))
    with pytest.raises(ConfigurationError, match="new_key=True") as raised:
        await other.backfill(at(1), at(3))
    assert "AnotherKey" not in str(raised.value)
    assert filling.stored_keys() == before


async def test_a_new_key_of_the_same_account_goes_on(filling_of: FillingOf) -> None:
    filling = filling_of("calls")
    await filling.backfill(at(1), at(2))
    before = filling.ledger().entries
    renamed = Gateway(calls=2_000, days=2)
    renamed.credentials = Credentials("emulatorKey03", "a-new-secret-of-no-value")
    with renamed:
        other = filling_of("calls", gateway=renamed.url, credentials=renamed.credentials)
        report = await other.backfill(at(1), at(3), new_key=True, new_gateway=True)
        assert report.windows_before == len(before)
        assert other.stored_keys() == set(renamed.call_ids())
        # From now on it is the key of the sink.
        assert (await other.sync()).rows_new == 0
    with pytest.raises(ConfigurationError, match="another access key"):
        await filling.sync()

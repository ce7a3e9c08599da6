"""Backfills of gateways that refuse wide and old ranges and show answers to a depth only: what is missing is a gap."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nxcdr_async import Gap, verify
from nxcdr_async.records.models import SourceName
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import Window
from tests.ingest.filling import DAY, Filling, at, seconds
from tests.sessions import OpenSession

FillingOf = Callable[..., Filling]
NOON = at(2, 12)
LATER = datetime(2026, 3, 1, tzinfo=UTC)
SINKS = ["c.duckdb", "c.sqlite", "c.jsonl"]

into_each = pytest.mark.parametrize("to", SINKS)


@pytest.fixture
def month() -> Any:
    with Gateway(calls=3_000, days=30, flash_calls=300, did_calls=300) as gateway:
        gateway.clock.move_to(LATER)
        yield gateway


@pytest.fixture
def filling_of(month: Gateway, open_session: OpenSession, tmp_path: Path) -> FillingOf:
    def make(to: str = "c.duckdb", source: SourceName = "calls") -> Filling:
        session = open_session(gateway=month.url, credentials=month.credentials, flash_app=month.flash_app)
        return Filling(month, session, tmp_path / to, source)

    return make


def crowd(gateway: Gateway, calls: int) -> None:
    for number in range(calls):
        gateway.add_call(startTime=seconds(NOON) * 1000 + 1 + number % 999)


SATURATED = (Gap("saturated second", NOON, NOON + timedelta(seconds=1), None),)


@into_each
async def test_a_saturated_second_of_calls_is_a_gap(to: str, filling_of: FillingOf) -> None:
    filling = filling_of(to)
    filling.gateway.switches.depth_cap = 300
    crowd(filling.gateway, 400)
    report = await filling.backfill(at(1), at(31))
    assert report.gaps == SATURATED
    assert report.complete_until == at(31)
    lost = set(filling.gateway.call_ids()) - filling.stored_keys()
    assert 0 < len(lost) <= 100
    again = await filling.backfill(at(1), at(31))
    assert (again.rows, again.gaps) == (0, SATURATED)


@into_each
async def test_what_is_too_old_is_a_gap_and_all_else_is_stored(to: str, filling_of: FillingOf) -> None:
    filling = filling_of(to)
    filling.gateway.switches.retention = 45 * DAY.total_seconds()
    report = await filling.backfill(at(1), at(31))
    (gap,) = report.gaps
    assert (gap.kind, gap.start, gap.rows) == ("refused range", at(1), None)
    assert LATER - 45 * DAY <= gap.end < LATER - 45 * DAY + timedelta(minutes=1)
    assert filling.stored_keys() == set(filling.gateway.call_ids(gap.end))
    assert report.complete_until == at(31)
    refused = [part for entry in filling.ledger().entries for part in entry.refused]
    assert refused == [Window(seconds(gap.start), seconds(gap.end))]


async def test_what_is_too_old_is_not_asked_for_again(filling_of: FillingOf) -> None:
    filling = filling_of()
    filling.gateway.switches.retention = 45 * DAY.total_seconds()
    first = await filling.backfill(at(1), at(31))
    filling.gateway.log.clear()
    again = await filling.backfill(at(1), at(31))
    assert again.gaps == first.gaps
    assert filling.gateway.log.requests == 1
    synced = await filling.sync()
    assert synced.gaps == first.gaps
    assert 41_000 not in {seen.code for seen in filling.gateway.log.recent}


async def test_sync_goes_on_behind_a_border(filling_of: FillingOf) -> None:
    filling = filling_of()
    filling.gateway.switches.retention = 10 * DAY.total_seconds()
    filling.gateway.clock.move_to(at(15))
    await filling.backfill(at(1), at(15))
    filling.gateway.clock.move_to(at(20))
    report = await filling.sync()
    assert [gap.kind for gap in report.gaps] == ["refused range"]
    assert set(filling.gateway.call_ids(at(6), at(20))) <= filling.stored_keys()
    assert report.complete_until == at(19)


async def test_a_range_that_is_too_old_as_a_whole_is_one_gap(filling_of: FillingOf) -> None:
    filling = filling_of()
    filling.gateway.switches.retention = DAY.total_seconds()
    report = await filling.backfill(at(1), at(31))
    assert report.gaps == (Gap("refused range", at(1), at(31), None),)
    assert (report.rows, report.complete_until) == (0, at(31))


@pytest.mark.parametrize(
    ("source", "days"), [("flash", (at(1), at(31))), ("did", (date(2026, 1, 1), date(2026, 1, 30)))]
)
async def test_other_sources_have_that_gap_too(source: SourceName, days: Any, filling_of: FillingOf) -> None:
    filling = filling_of(source=source)
    filling.gateway.switches.retention = 45 * DAY.total_seconds()
    (gap,) = (await filling.backfill(*days)).gaps
    assert gap.kind == "refused range"
    known = filling.gateway.flash_ids(gap.end) if source == "flash" else filling.gateway.did_ids(gap.end)
    assert filling.stored_keys() == set(known)


@pytest.mark.first_of
@pytest.mark.parametrize("code", [1002, 41_000])
@pytest.mark.parametrize("span", [DAY, 7 * DAY])
async def test_a_narrow_gateway_is_filled_from_and_synced(span: timedelta, code: int, filling_of: FillingOf) -> None:
    filling = filling_of()
    switches = filling.gateway.switches
    switches.max_span, switches.max_span_code = span.total_seconds(), code
    report = await filling.backfill(at(1), at(20))
    assert (report.gaps, report.complete_until) == ((), at(20))
    await filling.sync()
    assert filling.stored_keys() == set(filling.gateway.call_ids())


async def test_width_age_and_depth_at_once(filling_of: FillingOf) -> None:
    filling = filling_of()
    switches = filling.gateway.switches
    switches.max_span, switches.retention, switches.depth_cap = DAY.total_seconds(), 45 * DAY.total_seconds(), 200
    (gap,) = (await filling.backfill(at(1), at(31))).gaps
    assert filling.stored_keys() == set(filling.gateway.call_ids(gap.end))


@pytest.mark.first_of
@into_each
@pytest.mark.parametrize("fix", [False, True])
async def test_rows_that_are_told_no_more_are_a_gap_of_a_verification(
    fix: bool, to: str, filling_of: FillingOf
) -> None:
    filling = filling_of(to)
    await filling.backfill(at(1), at(31))
    filling.gateway.switches.retention = 45 * DAY.total_seconds()
    report = await verify(filling.session, filling.to, sample=None, fix=fix)
    (verified,) = report.sources
    assert (verified.missing, verified.different, verified.extra) == (0, 0, 0)
    assert {gap.kind for gap in verified.gaps} == {"refused range"}
    assert verified.gaps[0].start == at(1)
    assert filling.stored_keys() == set(filling.gateway.call_ids())
    assert not any(entry.refused for entry in filling.ledger().entries)


async def test_what_was_refused_and_is_told_again_is_missing_until_it_is_mended(filling_of: FillingOf) -> None:
    filling = filling_of()
    filling.gateway.switches.retention = 45 * DAY.total_seconds()
    await filling.backfill(at(1), at(31))
    filling.gateway.switches.retention = None
    # Another session: one that has learned of a border asks for nothing behind it any more.
    again = filling_of()
    (verified,) = (await verify(again.session, again.to, sample=None, fix=True)).sources
    assert verified.fixed == verified.missing > 0
    assert verified.gaps == ()
    assert again.stored_keys() == set(again.gateway.call_ids())
    assert not any(entry.refused for entry in again.ledger().entries)


async def test_a_deeper_answer_than_a_verification_is_shown_is_a_gap(filling_of: FillingOf) -> None:
    filling = filling_of()
    crowd(filling.gateway, 400)
    await filling.backfill(at(1), at(31))
    filling.gateway.switches.depth_cap = 300
    (verified,) = (await verify(filling.session, filling.to, sample=None)).sources
    assert (verified.missing, verified.different, verified.extra) == (0, 0, 0)
    assert verified.gaps == SATURATED


async def test_a_day_of_did_calls_that_is_not_shown_whole_is_a_gap_until_it_is(filling_of: FillingOf) -> None:
    filling = filling_of(source="did")
    start = datetime(2026, 1, 10, tzinfo=filling.session.naive_zone)
    for minute in range(400):
        filling.gateway.add_did_call(startTime=f"2026-01-10 10:{minute % 60:02}:00")
    filling.gateway.switches.depth_cap = 300
    gap = Gap("saturated day", start.astimezone(UTC), start.astimezone(UTC) + DAY, None)
    days = date(2026, 1, 8), date(2026, 1, 12)
    for rows in (300, 0):
        report = await filling.backfill(*days)
        assert (report.gaps, report.complete_until) == ((gap,), start.astimezone(UTC) + 3 * DAY)
        assert report.rows_new >= rows
    stored = filling.stored_keys()
    (verified,) = (await verify(filling.session, filling.to, sample=None)).sources
    assert (verified.missing, verified.different, verified.extra, verified.gaps) == (0, 0, 0, (gap,))
    filling.gateway.switches.depth_cap = None
    (mended,) = (await verify(filling.session, filling.to, sample=None, fix=True)).sources
    assert (mended.fixed, mended.gaps) == (len(filling.stored_keys() - stored), ())
    assert mended.fixed > 100
    assert (await filling.backfill(*days)).gaps == ()

"""A `Date` that is not the gateway's clock ends no backfill early, seals nothing early, and hides no row of a sync."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nxcdr_async.testing import Gateway
from tests.ingest.filling import DAY, HOUR, Filling, at, seconds
from tests.sessions import OpenSession

MINUTE = timedelta(minutes=1)
DAYS = 86_400.0
WRONG: list[dict[str, Any]] = [
    {"date_offset": 2 * DAYS},
    {"date_offset": -2 * DAYS},
    {"date_offset": 90.0},
    {"date_offset": -50 * 365 * DAYS},
    {"date_offset": 73 * 365 * DAYS},
    {"date": "absent"},
    {"date": "frozen"},
    {"date_drift": 10 / 60},
    {"date_drift": 100.0},
    {"relays": (0.0, 2 * DAYS, -2 * DAYS)},
    {"relays": (-2 * DAYS, 0.0)},
]


@pytest.fixture
def filling(gateway: Gateway, open_session: OpenSession, tmp_path: Path) -> Filling:
    """Two days of calls, seen a day and a half after they begin, by a machine whose clock is right."""
    gateway.clock.move_to(at(2, 12))
    gateway.switches.publish_delay = 60
    session = open_session()
    session._transport.now = session._transport.wall = gateway.clock.now
    return Filling(gateway, session, tmp_path / "calls.sqlite")


@pytest.mark.first_of
@pytest.mark.parametrize("values", WRONG, ids=str)
async def test_a_backfill_and_a_sync_go_by_the_right_time(values: dict[str, Any], filling: Filling) -> None:
    for name, value in values.items():
        setattr(filling.gateway.switches, name, value)
    first = await filling.backfill(at(1), at(9))
    assert abs(first.end - at(2, 12)) < 2 * MINUTE
    assert first.complete_until is not None
    assert abs(first.complete_until - at(1, 12)) < 2 * MINUTE
    late = filling.add_call(at(1, 20))
    for moment in (at(2, 20), at(3, 12)):
        filling.gateway.clock.move_to(moment)
        report = await filling.sync()
        assert abs(report.end - moment) < 2 * MINUTE
        assert all(entry.read_at <= seconds(moment + 2 * MINUTE) for entry in filling.ledger().entries)
    assert filling.stored_keys() == {late, *filling.gateway.call_ids()}
    assert report.complete_until is not None
    assert at(3, 12) - DAY - HOUR <= report.complete_until <= at(3, 12) - DAY + 2 * MINUTE
    assert filling.session.stats.clock_refusals <= 3


@pytest.mark.parametrize("offset", [2 * DAYS, -2 * DAYS])
async def test_a_report_says_that_the_date_was_not_believed(offset: float, filling: Filling) -> None:
    filling.gateway.switches.date_offset = offset
    assert (await filling.backfill(at(1), at(2))).clock_source == "timestamps"


@pytest.mark.parametrize("offset", [2 * DAYS, -2 * DAYS])
@pytest.mark.parametrize("who", ["machine", "date"])
async def test_flash_calls_are_read_to_the_latest_and_sealed_by_the_earliest_of_two_clocks_that_nothing_proves(
    who: str, offset: float, filling: Filling
) -> None:
    # Requests for flash calls have no timestamp that the gateway could judge.
    now = filling.gateway.clock.now
    if who == "date":
        filling.gateway.switches.date_offset = offset
    else:
        filling.session._transport.now = filling.session._transport.wall = lambda: now() + offset
    flash = Filling(filling.gateway, filling.session, filling.to, source="flash")
    report = await flash.backfill(at(1), at(9))
    assert report.end >= at(2, 12)
    assert set(flash.gateway.flash_ids(at(1), at(2, 12))) <= flash.stored_keys()
    for entry in flash.ledger().entries:
        assert entry.read_at <= seconds(at(2, 12) + MINUTE)


async def test_flash_calls_go_by_the_clock_that_signed_requests_proved(filling: Filling) -> None:
    filling.gateway.switches.date_offset = 2 * DAYS
    await filling.backfill(at(1), at(2))
    flash = Filling(filling.gateway, filling.session, filling.to, source="flash")
    assert abs((await flash.backfill(at(1), at(9))).end - at(2, 12)) < MINUTE

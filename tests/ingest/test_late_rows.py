"""Calls that turn up late are found as long as their window is open, and not a moment is called complete too early."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from nxcdr_async.testing import Gateway
from tests.ingest.filling import DAY, HOUR, Filling, at, seconds
from tests.sessions import OpenSession


@pytest.fixture
def filling(gateway: Gateway, open_session: OpenSession, tmp_path: Path) -> Filling:
    """Two days of calls, seen a day and a half after they begin."""
    gateway.clock.move_to(at(2, 12))
    gateway.switches.publish_delay = 60
    return Filling(gateway, open_session(), tmp_path / "calls.sqlite")


def calls_over_by(filling: Filling, moment: datetime) -> set[str]:
    """Return the calls that show up by a moment."""
    latest = 1000 * (seconds(moment) - 60)
    return {row["callId"] for row in filling.gateway.history.calls() if row["endTime"] <= latest}


async def test_calls_that_were_not_over_yet_are_found_by_the_next_sync(filling: Filling) -> None:
    first = await filling.backfill(at(1), at(3))
    assert first.end <= at(2, 12) + timedelta(seconds=30)
    assert filling.stored_keys() >= calls_over_by(filling, at(2, 12))
    filling.gateway.clock.move_to(at(3, 12))
    report = await filling.sync()
    assert filling.stored_keys() == set(filling.gateway.call_ids())
    assert report.rows_new > 0
    assert report.rows_changed == 0


@pytest.mark.parametrize("age", [HOUR, 23 * HOUR])
async def test_a_call_that_is_added_to_an_open_window_is_found(age: timedelta, filling: Filling) -> None:
    await filling.backfill(at(1), at(3))
    late = filling.add_call(at(2, 12) - age)
    report = await filling.sync()
    assert late in filling.stored_keys()
    assert report.rows_new >= 1


@pytest.mark.slow
async def test_a_call_that_turns_up_within_the_time_to_settle_is_never_missed_by_a_sync_now_and_then(
    filling: Filling,
) -> None:
    await filling.backfill(at(1), at(3))
    added = []
    for hours in range(0, 72, 5):
        now = at(2, 12) + timedelta(hours=hours)
        filling.gateway.clock.move_to(now)
        # Just over, but begun long ago.
        added.append(filling.add_call(now - 23 * HOUR, end=now - HOUR))
        await filling.sync()
        assert filling.stored_keys() >= {*added, *calls_over_by(filling, now)}


async def test_what_was_sealed_by_a_clock_that_was_ahead_is_read_again(filling: Filling) -> None:
    filling.gateway.clock.move_to(at(9))
    await filling.backfill(at(1), at(2))
    filling.gateway.clock.move_to(at(2, 1))
    late = filling.add_call(at(1, 20))
    report = await filling.sync()
    assert late in filling.stored_keys()
    assert report.complete_until is None


@pytest.mark.slow
async def test_a_sync_every_few_minutes_leaves_no_window_for_each_of_them(filling: Filling) -> None:
    await filling.backfill(at(1), at(3))
    before = len(filling.ledger().entries)
    for minutes in range(3, 90, 3):
        filling.gateway.clock.move_to(at(2, 12, 0) + timedelta(minutes=minutes))
        report = await filling.sync()
    assert len(filling.ledger().entries) <= before + 3
    assert report.windows <= 30


async def test_a_sealed_window_is_not_read_again(filling: Filling) -> None:
    await filling.backfill(at(1), at(3))
    too_late = filling.add_call(at(1, 6))
    await filling.sync()
    assert too_late not in filling.stored_keys()


async def test_settle_says_how_long_a_window_stays_open(filling: Filling) -> None:
    await filling.backfill(at(1), at(3), settle=3 * DAY)
    late = filling.add_call(at(1, 6))
    report = await filling.sync(settle=3 * DAY)
    assert late in filling.stored_keys()
    assert report.complete_until is None


async def test_complete_until_is_never_beyond_what_has_settled_and_only_goes_forward(filling: Filling) -> None:
    reached = [(await filling.backfill(at(1), at(3))).complete_until]
    for hours in (0, 1, 5, 30, 31, 80):
        now = at(2, 12) + timedelta(hours=hours)
        filling.gateway.clock.move_to(now)
        report = await filling.sync()
        reached.append(report.complete_until)
        assert report.complete_until is not None
        assert now - DAY - HOUR <= report.complete_until <= now - DAY + timedelta(minutes=1)
        assert set(filling.gateway.call_ids(None, report.complete_until)) <= filling.stored_keys()
    assert reached == sorted(reached)


async def test_a_backfill_run_again_reads_only_what_can_be_sealed_now(filling: Filling) -> None:
    await filling.backfill(at(1), at(2, 12))
    same = await filling.backfill(at(1), at(2, 12))
    assert (same.windows, same.rows) == (0, 0)
    assert same.windows_open > 0
    filling.gateway.clock.move_to(at(3, 13))
    later = await filling.backfill(at(1), at(2, 12))
    assert later.windows_open == 0
    assert later.complete_until == at(2, 12)
    assert 0 < later.rows < len(filling.stored_keys())
    assert (await filling.backfill(at(1), at(2, 12))).windows == 0


@pytest.mark.parametrize("off", [-DAY, DAY])
async def test_a_clock_of_ours_that_is_a_day_wrong_seals_nothing_too_early(off: timedelta, filling: Filling) -> None:
    # The emulator's clock against ours is what ours is against the vendor's.
    now = datetime.now(tz=at(1).tzinfo)
    filling.gateway.clock.move_to(now - off)
    start = now - off - 2 * DAY
    report = await filling.backfill(start, now + 10 * DAY)
    assert abs(report.end - (now - off)) < timedelta(minutes=1)
    assert report.complete_until is not None
    assert abs(report.complete_until - (now - off - DAY)) < timedelta(minutes=1)
    for entry in filling.ledger().entries:
        assert entry.read_at <= seconds(now - off) + 30

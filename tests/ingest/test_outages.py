"""What was not read for a week, or between two backfills, is read by one sync, and nothing twice."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from nxcdr_async import ConfigurationError
from nxcdr_async.ingest import pipeline as engine
from nxcdr_async.testing import Gateway
from tests.ingest.filling import DAY, HOUR, Filling, at, seconds, window
from tests.sessions import OpenSession


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=4_000, days=12) as running:
        running.clock.move_to(at(12, 12))
        running.switches.publish_delay = 0
        yield running


@pytest.fixture
def filling(gateway: Gateway, open_session: OpenSession, tmp_path: Path) -> Filling:
    return Filling(gateway, open_session(), tmp_path / "calls.sqlite")


async def test_one_sync_catches_up_after_a_week_of_outage(filling: Filling) -> None:
    filling.gateway.clock.move_to(at(3, 6))
    await filling.backfill(at(1), at(3, 6))
    late = filling.add_call(at(3, 1), end=at(4))
    filling.gateway.clock.move_to(at(10, 6))
    report = await filling.sync()
    assert late in filling.stored_keys()
    assert filling.stored_keys() >= {*filling.gateway.call_ids(None, at(10, 5))}
    assert not filling.ledger().missing(window(at(1), at(10, 6)))
    assert report.complete_until is not None
    assert at(9, 5) <= report.complete_until <= at(9, 6) + timedelta(minutes=1)


async def test_a_sync_reads_nothing_that_was_sealed(filling: Filling) -> None:
    await filling.backfill(at(1), at(11))
    report = await filling.sync()
    assert report.start == at(1)
    assert report.rows <= len(filling.gateway.call_ids(at(11), None)) + 1


async def test_holes_between_two_backfills_are_filled_by_a_sync(filling: Filling) -> None:
    await filling.backfill(at(1), at(3))
    report = await filling.backfill(at(6), at(8))
    assert report.complete_until == at(3)
    report = await filling.sync()
    assert filling.stored_keys() >= set(filling.gateway.call_ids(None, at(12, 11)))
    assert not filling.ledger().missing(window(at(1), at(12, 12)))
    assert report.complete_until is not None
    assert report.complete_until > at(11)


async def test_a_range_that_overlaps_an_earlier_one_has_only_the_rest_read(filling: Filling) -> None:
    await filling.backfill(at(3), at(5))
    report = await filling.backfill(at(2), at(7))
    read = [*filling.gateway.call_ids(at(2), at(3)), *filling.gateway.call_ids(at(5), at(7))]
    assert len(read) <= report.rows <= len(read) + 4
    assert filling.stored_keys() >= set(filling.gateway.call_ids(at(2), at(7)))
    assert report.complete_until == at(7)


async def test_a_range_inside_an_earlier_one_has_nothing_read(filling: Filling) -> None:
    await filling.backfill(at(2), at(7))
    report = await filling.backfill(at(3), at(5))
    assert (report.rows, report.windows) == (0, 0)


async def test_a_backfill_before_the_first_makes_one_whole_of_both(filling: Filling) -> None:
    await filling.backfill(at(3), at(5))
    report = await filling.backfill(at(1), at(3))
    assert report.complete_until == at(5)


async def test_an_end_in_the_future_is_cut_at_the_present(filling: Filling) -> None:
    report = await filling.backfill(at(11), at(30))
    assert abs(report.end - at(12, 12)) < timedelta(minutes=1)
    filling.gateway.clock.move_to(at(12, 18))
    report = await filling.backfill(at(11), at(30))
    assert filling.stored_keys() >= set(filling.gateway.call_ids(at(12, 13), at(12, 17)))


async def test_a_range_wholly_in_the_future_is_an_error(filling: Filling) -> None:
    with pytest.raises(ConfigurationError, match=r"2026-01-20.* has yet to come"):
        await filling.backfill(at(20), at(21))
    assert filling.ledger().entries == ()


async def test_a_sync_of_an_empty_sink_says_what_to_do(filling: Filling) -> None:
    with pytest.raises(ConfigurationError, match="holds no calls yet"):
        await filling.sync()


@pytest.mark.slow
async def test_a_sync_every_hour_keeps_all_there_is(filling: Filling) -> None:
    filling.gateway.clock.move_to(at(2))
    await filling.backfill(at(1), at(2))
    for hour in range(1, 30):
        filling.gateway.clock.move_to(at(2) + hour * HOUR)
        await filling.sync()
    assert filling.stored_keys() >= set(filling.gateway.call_ids(None, at(3, 4)))
    until = filling.ledger().complete_until(seconds(at(2)) - seconds(at(1)))
    assert until is not None
    assert until >= seconds(at(3, 5) - DAY) - 60


PECULIARITIES = {
    "filter by end": {"filter_by": "end"},
    "descending": {"order": "descending"},
    "shuffled": {"order": "shuffled"},
    "capped": {"page_cap": 37},
    "arrivals": {"arrivals_per_page": 2},
    "ends left out": {"start_inclusive": False, "end_inclusive": False},
    "whole seconds": {"compare_whole_seconds": True},
    "by end, shuffled": {"filter_by": "end", "order": "shuffled"},
}


@pytest.mark.first_of
@pytest.mark.parametrize("name", PECULIARITIES)
async def test_a_peculiar_gateway_interrupted_again_and_again_is_read_whole(
    name: str, filling: Filling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ROWS_A_WINDOW", 200)
    monkeypatch.setattr(engine, "RECORDS_AT_ONCE", 200)
    monkeypatch.setattr("nxcdr_async.sources.calls.MOST_ROWS", 200)
    monkeypatch.setattr("nxcdr_async.sources.calls.MOST_AT_ONCE", 200)
    for switch, value in PECULIARITIES[name].items():
        setattr(filling.gateway.switches, switch, value)
    forever = 10_000 * DAY

    def fail(progress: object) -> None:
        if getattr(progress, "windows", 0) >= 1:
            raise LookupError

    failed = 0
    for _ in range(50):
        try:
            await filling.backfill(at(1), at(12), on_progress=fail, settle=forever)
            break
        except LookupError:
            failed += 1
    assert failed >= 3
    filling.gateway.switches.arrivals_per_page = 0
    filling.gateway.clock.move_to(at(14))  # every call has ended, so that the next sync finds none that just did
    await filling.sync(settle=forever)
    assert filling.stored_keys() >= set(filling.gateway.call_ids(at(1), at(12)))
    again = await filling.sync(settle=forever)
    assert again.rows_new == again.rows_changed == 0

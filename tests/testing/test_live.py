"""A live tenant: calls go on arriving by a clock, here one that a test sets."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from nxcdr_async.testing import EmulatorClock, Gateway, Switches

NOW = datetime(2026, 3, 10, 3, tzinfo=UTC)


def live(**arguments: Any) -> Gateway:
    clock = EmulatorClock(NOW.timestamp)
    return Gateway(**({"calls": 600, "days": 3, "live": True, "clock": clock} | arguments))


def test_its_days_are_the_last_and_end_now() -> None:
    gateway = live()
    assert (gateway.history.first_day, gateway.first_call.date()) == (date(2026, 3, 8), date(2026, 3, 8))
    assert NOW - timedelta(hours=1) < gateway.last_call <= NOW
    assert 0 < len(gateway.call_ids()) < 600


def test_calls_go_on_at_the_same_pace_for_a_year() -> None:
    gateway = live(calls=1_400, days=7, first_day=date(2026, 3, 1))
    before = gateway.call_ids()
    counts: list[int] = []
    for _ in range(3):
        gateway.clock.move(7 * 86_400)
        counts.append(len(gateway.call_ids()) - len(before) - sum(counts))
    assert gateway.call_ids()[: len(before)] == before
    assert all(1_300 < count < 1_500 for count in counts)
    gateway.clock.move(300 * 86_400)
    assert gateway.clock.now() - gateway.last_call.timestamp() < 86_400


def test_a_history_that_is_over_goes_on_to_now() -> None:
    settled = Gateway(calls=600, days=3, first_day=date(2026, 2, 1))
    gateway = live(first_day=date(2026, 2, 1))
    assert gateway.call_ids()[:600] == settled.call_ids()
    assert gateway.last_call > NOW - timedelta(hours=3)


def test_so_many_arrive_each_minute() -> None:
    gateway = live(calls_per_minute=30)
    hour = NOW - timedelta(hours=1)
    assert len(gateway.call_ids(hour, NOW)) == 1_800
    gateway.clock.move(120)
    assert len(gateway.call_ids(NOW)) == 60
    with pytest.raises(ValueError, match="calls_per_minute is for a live tenant"):
        Gateway(calls_per_minute=30)


async def test_a_call_is_shown_once_it_is_over(client_of: Callable[[Gateway], Any]) -> None:
    with live(calls_per_minute=30) as gateway:
        client = client_of(gateway)

        async def shown() -> set[str]:
            start = int(NOW.timestamp()) - 7200
            return set(await client.all_pages(startTime=start, endTime=start + 14_400))

        def over() -> set[str]:
            newest = (gateway.clock.now() - 5) * 1000
            rows = gateway.history.calls(NOW - timedelta(hours=2))
            return {row["callId"] for row in rows if row["endTime"] <= newest}

        first = await shown()
        assert first == over()
        gateway.clock.move(60)
        second = await shown()
        assert second == over()
        assert 5 < len(second - first) < 60


async def test_did_and_flash_calls_arrive_too(client_of: Callable[[Gateway], Any]) -> None:
    with live(calls=0, did_calls=3_000, flash_calls=3_000) as gateway:
        client = client_of(gateway)
        first = (await client.did(date="2026-03-10")).json["data"]
        assert first["totalRow"] == len(first["list"]) > 0
        gateway.clock.move(3600)
        assert (await client.did(date="2026-03-10")).json["data"]["totalRow"] > first["totalRow"]
        rows = (await client.flash("2026-03-10 11:50:00", "2026-03-10 13:00:00")).json["cdrs"]
        assert rows
        assert rows[-1]["gmtCreate"] <= "2026-03-10 11:59:55"


def test_the_switches_may_say_when_it_is_shown() -> None:
    assert live().switches.publish_delay == 5
    assert live(switches=Switches(publish_delay=0.0)).switches.publish_delay == 0


def test_the_announcement_counts_what_has_started() -> None:
    with live() as gateway:
        assert gateway.announcement()["calls"] == len(gateway.call_ids())

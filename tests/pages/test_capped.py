"""The flash-call list on the real emulator."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nxcdr_async import CdrSession, FlashCallRecord, SaturatedSecondError
from nxcdr_async.testing import Gateway

OpenSession = Callable[..., CdrSession]
DAY = timedelta(days=1)
ENDS = [(True, True), (True, False), (False, True), (False, False)]
NOON = datetime(2026, 1, 1, 4, tzinfo=UTC)
NOON_LOCAL = "2026-01-01 12:00:00"


async def read_all(session: CdrSession, gateway: Gateway) -> list[FlashCallRecord]:
    return await session.flash_calls(gateway.first_call - DAY, gateway.last_call + DAY).collect()


def on(gateway: Gateway) -> dict[str, Any]:
    return {"gateway": gateway.url, "flash_app": gateway.flash_app}


@pytest.mark.parametrize(("start_inclusive", "end_inclusive"), ENDS)
async def test_every_flash_call_comes_once_and_sorted_for_each_kind_of_range_ends(
    start_inclusive: bool, end_inclusive: bool, open_session: OpenSession
) -> None:
    with Gateway(calls=100, flash_calls=3_000, days=2) as gateway:
        gateway.switches.start_inclusive, gateway.switches.end_inclusive = start_inclusive, end_inclusive
        calls = await read_all(open_session(**on(gateway)), gateway)
        assert sorted(call.id for call in calls) == sorted(gateway.flash_ids())
        assert calls == sorted(calls, key=lambda call: (call.gmt_create, call.id))


@pytest.mark.parametrize(("start_inclusive", "end_inclusive"), [ends for ends in ENDS if any(ends)])
async def test_a_crowded_second_just_under_the_cap_is_read_whole(
    start_inclusive: bool, end_inclusive: bool, open_session: OpenSession
) -> None:
    with Gateway(calls=10, flash_calls=10, days=1) as gateway:
        gateway.switches.start_inclusive, gateway.switches.end_inclusive = start_inclusive, end_inclusive
        for second in (0, 1, 2):
            for _ in range(99):
                gateway.add_flash_call(gmtCreate=f"2026-01-01 12:00:0{second}")
        calls = await read_all(open_session(**on(gateway)), gateway)
        assert sorted(call.id for call in calls) == sorted(gateway.flash_ids())


@pytest.mark.parametrize(("start_inclusive", "end_inclusive"), ENDS)
async def test_a_full_second_is_named_after_the_calls_before_it(
    start_inclusive: bool, end_inclusive: bool, open_session: OpenSession
) -> None:
    with Gateway(calls=10, flash_calls=50, days=1) as gateway:
        gateway.switches.start_inclusive, gateway.switches.end_inclusive = start_inclusive, end_inclusive
        for _ in range(100):
            gateway.add_flash_call(gmtCreate=NOON_LOCAL)
        session = open_session(**on(gateway))
        read: list[int] = []
        with pytest.raises(SaturatedSecondError) as caught:
            async for call in session.flash_calls(gateway.first_call - DAY, gateway.last_call + DAY):
                read.append(call.id)  # noqa: PERF401 - what came before the error is the point
        assert caught.value.second == NOON
        assert set(gateway.flash_ids(end=NOON)) <= set(read)


async def test_money_and_odd_numbers_survive(gateway: Gateway, open_session: OpenSession) -> None:
    calls = await read_all(open_session(), gateway)
    assert any(call.msisdn and call.msisdn.startswith(" ") for call in calls)
    assert all(call.gmt_create.tzinfo is UTC for call in calls)

"""Seconds with more flash calls than the list can tell: noted, once each, and read as far as it goes."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from nxcdr_async import CdrSession, FlashCallRecord, SaturatedSecondError
from nxcdr_async.testing import Gateway
from tests.sessions import OpenSession

DAY = timedelta(days=1)
CAP = 100
ENDS = [(True, True), (True, False), (False, True), (False, False)]
NOON = datetime(2026, 1, 1, 4, tzinfo=UTC)
SECOND = timedelta(seconds=1)

CROWDED = {0: 150, 1: CAP, 2: CAP - 1, 5: 3 * CAP, 6: 1, 59: CAP + 1}
"""Flash calls a second, of some seconds after noon."""

SATURATED = [NOON + second * SECOND for second, calls in CROWDED.items() if calls >= CAP]

of_all_ends = pytest.mark.parametrize(("start_inclusive", "end_inclusive"), ENDS)


@pytest.fixture
def crowded(start_inclusive: bool, end_inclusive: bool) -> Iterator[Gateway]:
    with Gateway(calls=10, flash_calls=50, days=1) as gateway:
        gateway.switches.start_inclusive, gateway.switches.end_inclusive = start_inclusive, end_inclusive
        for second, calls in CROWDED.items():
            for _ in range(calls):
                gateway.add_flash_call(gmtCreate=f"2026-01-01 12:00:{second:02}")
        yield gateway


async def read(session: CdrSession, gateway: Gateway) -> tuple[list[FlashCallRecord], list[SaturatedSecondError]]:
    told: list[SaturatedSecondError] = []
    paginator = session.flash_calls(gateway.first_call - DAY, gateway.last_call + DAY, on_saturated_second=told.append)
    return await paginator.collect(), told


def on(gateway: Gateway) -> Mapping[str, object]:
    return {"gateway": gateway.url, "flash_app": gateway.flash_app}


@of_all_ends
async def test_each_saturated_second_is_told_once_and_no_other(crowded: Gateway, open_session: OpenSession) -> None:
    _, told = await read(open_session(**on(crowded)), crowded)
    assert sorted(error.second for error in told) == SATURATED


@of_all_ends
async def test_all_other_seconds_are_handed_out_whole(crowded: Gateway, open_session: OpenSession) -> None:
    calls, _ = await read(open_session(**on(crowded)), crowded)
    lost = set(crowded.flash_ids()) - {call.id for call in calls}
    full = {each for second in SATURATED for each in crowded.flash_ids(second, second + SECOND)}
    assert lost
    assert lost <= full


@of_all_ends
async def test_what_the_list_tells_of_a_saturated_second_is_handed_out(
    crowded: Gateway, open_session: OpenSession
) -> None:
    calls, _ = await read(open_session(**on(crowded)), crowded)
    for second in SATURATED:
        assert sum(call.gmt_create == second for call in calls) >= CAP


@of_all_ends
async def test_calls_around_saturated_seconds_come_once_and_sorted(crowded: Gateway, open_session: OpenSession) -> None:
    calls, _ = await read(open_session(**on(crowded)), crowded)
    assert calls == sorted(calls, key=lambda call: (call.gmt_create, call.id))
    assert len({call.id for call in calls}) == len(calls)


@pytest.mark.parametrize(("start_inclusive", "end_inclusive"), [(True, False)])
async def test_an_error_of_the_callback_comes_out(crowded: Gateway, open_session: OpenSession) -> None:
    def refuse(_: SaturatedSecondError) -> None:
        raise ZeroDivisionError

    session = open_session(**on(crowded))
    with pytest.raises(ZeroDivisionError):
        await session.flash_calls(NOON - DAY, NOON + DAY, on_saturated_second=refuse).collect()

"""One session shared by many: exports do not starve look-ups, over real HTTP. Waits are counted in requests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from nxcdr_async import CdrSession, Paginator
from nxcdr_async.testing import Gateway
from tests.sessions import OpenSession

Export = Callable[[CdrSession, Gateway], Paginator[object]]
SECOND = timedelta(seconds=1)
ORDER_ID = "order-of-a-look-up"
LOOK_UPS = 5


def calls(session: CdrSession, gateway: Gateway) -> Paginator[object]:
    return session.calls(gateway.first_call, gateway.last_call + SECOND)  # type: ignore[return-value] # of any kind


def flash_calls(session: CdrSession, gateway: Gateway) -> Paginator[object]:
    return session.flash_calls(gateway.first_call, gateway.last_call + SECOND)  # type: ignore[return-value] # of any kind


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=20_000, days=20, flash_calls=6_000) as running:
        running.switches.latency = (0.05, 0.05)
        running.add_call(orderId=ORDER_ID)
        yield running


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that happens in the emulator's thread."""
    while not is_so():  # noqa: ASYNC110 - nothing of this loop tells of it
        await asyncio.sleep(0.01)


@asynccontextmanager
async def exporting(session: CdrSession, gateway: Gateway, exports: list[Export]) -> AsyncIterator[None]:
    """Read exports beside the block, which begins once the gateway is well in use and ends before they do."""
    tasks = [asyncio.create_task(export(session, gateway).collect()) for export in exports]
    try:
        await until(lambda: gateway.log.requests >= 3 * len(exports))
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def requests_before_a_look_up(session: CdrSession, gateway: Gateway) -> int:
    """Look up an order; return how many other requests that had not started yet arrived at the gateway before it."""
    had_started = session.stats.in_flight - gateway.log.in_flight
    gateway.log.clear()
    found = await session.calls_by_order(ORDER_ID, tenant_id=gateway.tenant_id)
    assert [call.order_id for call in found] == [ORDER_ID]
    return [request.endpoint for request in gateway.log.recent].index("order") - had_started


@pytest.mark.first_of
@pytest.mark.parametrize(
    ("exports", "bounds"),
    [
        pytest.param([calls], {"rate": 20}, id="one export, 20 a second"),
        pytest.param([calls], {"concurrency": 2}, id="one export, 2 at once"),
        pytest.param([calls] * 4, {"concurrency": 4}, id="four exports, 4 at once"),
        pytest.param([calls] * 10, {"rate": 20}, id="ten exports, 20 a second"),
        pytest.param([flash_calls], {"rate": 20}, id="an export of another API, 20 a second"),
        pytest.param([flash_calls], {"concurrency": 1}, id="an export of another API, 1 at once"),
    ],
)
async def test_a_look_up_waits_for_about_one_request_of_each_export(
    exports: list[Export], bounds: dict[str, float], gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session(**bounds)
    async with exporting(session, gateway, exports):
        before = [await requests_before_a_look_up(session, gateway) for _ in range(LOOK_UPS)]
    # One of each client, and one that the gateway had not counted yet.
    assert max(before) <= len(exports) + 1


async def test_an_export_goes_on_beside_many_look_ups(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session(rate=40)

    async def look_up_for_ever() -> None:
        while True:
            await session.calls_by_order(ORDER_ID, tenant_id=gateway.tenant_id)

    async with exporting(session, gateway, [calls]), asyncio.TaskGroup() as group:
        lookers = [group.create_task(look_up_for_ever()) for _ in range(6)]
        await asyncio.sleep(0.5)
        gateway.log.clear()
        await until(lambda: gateway.log.requests >= 40)
        seen = gateway.log.by_endpoint.copy()
        for looker in lookers:
            looker.cancel()
    assert seen["calls"] >= 40 / 7 - 1
    assert seen["order"] >= 20


async def test_readers_cancelled_at_any_moment_leave_no_request_and_no_turn_behind(
    gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session(concurrency=2)
    for moment in range(12):
        reading = [asyncio.create_task(calls(session, gateway).collect()) for _ in range(3)]
        await asyncio.sleep(moment * 0.013)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        assert session.stats.in_flight == 0
    async with asyncio.timeout(5):
        assert await session.calls_by_order(ORDER_ID, tenant_id=gateway.tenant_id)
        await until(lambda: gateway.log.in_flight == 0)

"""Several rows under one call id, over real HTTP."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest

from nxcdr_async import CdrSession
from nxcdr_async.testing import Gateway
from nxcdr_async.testing.emulator.switches import Order
from tests.sessions import OpenSession


async def read(gateway: Gateway, session: CdrSession) -> list[str]:
    calls = await session.calls(gateway.first_call, gateway.last_call + timedelta(days=1)).collect()
    return [call.call_id for call in calls]


@pytest.mark.parametrize("legs", [2, 3])
@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
async def test_every_leg_comes_once(legs: int, order: Order, gateway: Gateway, open_session: OpenSession) -> None:
    gateway.switches.legs, gateway.switches.order = legs, order
    assert Counter(await read(gateway, open_session())) == Counter(gateway.call_ids())


async def test_legs_with_pages_that_overlap_come_once(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.switches.legs, gateway.switches.page_overlap = 2, 10
    assert Counter(await read(gateway, open_session())) == Counter(gateway.call_ids())


async def test_legs_come_once_while_others_arrive(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.switches.legs, gateway.switches.arrivals_per_page = 2, 2
    there = Counter(gateway.call_ids())
    came = Counter(await read(gateway, open_session()))
    assert not there - came
    assert not came - Counter(gateway.call_ids())


@pytest.mark.parametrize("apart", [timedelta(), timedelta(milliseconds=400), timedelta(seconds=1), timedelta(hours=2)])
async def test_the_cost_of_all_legs_is_there(apart: timedelta, gateway: Gateway, open_session: OpenSession) -> None:
    begun = gateway.first_call
    for leg, agent in enumerate(("Ann", "Bob", "Eve")):
        gateway.add_call(
            callId="transferred", startTime=begun + apart * leg, agentName=agent, totalCustomerPrice="0.20"
        )
    stream = open_session().calls(gateway.first_call, gateway.last_call)
    legs = [call for call in await stream.collect() if call.call_id == "transferred"]
    assert sum(call.total_customer_price or 0 for call in legs) == Decimal("0.60")
    assert stream.stats.legs == 2


async def test_rows_that_are_the_same_in_all_are_several_calls(gateway: Gateway, open_session: OpenSession) -> None:
    for _ in range(3):
        gateway.add_call(callId="thrice")
    assert Counter(await read(gateway, open_session()))["thrice"] == 3


async def test_an_order_has_all_its_legs(gateway: Gateway, open_session: OpenSession) -> None:
    for agent in ("Ann", "Bob"):
        gateway.add_call(callId="transferred", orderId="mine", agentName=agent)
    calls = await open_session().calls_by_order("mine", tenant_id=gateway.tenant_id)
    assert {call.agent_name for call in calls} == {"Ann", "Bob"}

from collections.abc import Callable
from typing import Any

import pytest

from nxcdr_async.testing import Gateway

Row = dict[str, Any]


def ids_of(gateway: Gateway, admits: Callable[[Row], bool]) -> list[str]:
    """Return the ids of those a filter admits, newest first as the emulator answers."""
    return [row["callId"] for row in gateway.history.calls() if admits(row)][::-1]


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
@pytest.mark.parametrize(("asked", "answered"), [(2, True), (1, False), (True, True), (False, False)])
async def test_answered_is_a_number_or_a_boolean(
    client: Any,
    gateway: Gateway,
    order: str,
    asked: object,
    answered: bool,
) -> None:
    gateway.switches.order = order
    expected = ids_of(gateway, lambda row: row["answered"] is answered)
    assert sorted(await client.all_pages(answered=asked)) == sorted(expected)
    assert 0 < len(expected) < 300


@pytest.mark.parametrize(("asked", "replied"), [(1, 0), (2, 1), (3, 2)])
async def test_direction_is_asked_one_higher_than_it_is_replied(
    client: Any, gateway: Gateway, asked: int, replied: int
) -> None:
    assert await client.all_pages(direction=asked) == ids_of(gateway, lambda row: row["direction"] == replied)


async def test_zero_and_empty_mean_no_filter(client: Any, gateway: Gateway) -> None:
    nothing = {"answered": 0, "direction": 0, "name": "", "caller": "", "callee": "", "callId": "", "orderId": None}
    assert await client.all_pages(**nothing) == gateway.call_ids()[::-1]


@pytest.mark.parametrize(("parameter", "key"), [("name", "agentName"), ("caller", "caller"), ("callee", "callee")])
async def test_people_can_be_filtered(client: Any, gateway: Gateway, parameter: str, key: str) -> None:
    wanted = next(row[key] for row in gateway.history.calls() if row.get(key))
    assert await client.all_pages(**{parameter: wanted}) == ids_of(gateway, lambda row: row.get(key) == wanted)


async def test_filters_add_up(client: Any, gateway: Gateway) -> None:
    expected = ids_of(gateway, lambda row: row["direction"] == 0 and not row["answered"])
    assert await client.all_pages(direction=1, answered=1, size=7) == expected


async def test_every_call_is_found_by_its_id(client: Any, gateway: Gateway) -> None:
    for call_id in gateway.call_ids()[:40]:
        assert (await client.calls(callId=call_id)).ids == [call_id]
    assert (await client.calls(callId="nobody")).ids == []


async def test_a_call_outside_the_range_is_not_found_by_its_id(client: Any, gateway: Gateway) -> None:
    assert (await client.calls(startTime=1, endTime=2, callId=gateway.call_ids()[0])).ids == []


async def test_an_odd_id_is_found_too(client_of: Any) -> None:
    with Gateway(calls=2_000) as gateway:
        odd = next(call_id for call_id in gateway.call_ids() if "/" in call_id)
        assert (await client_of(gateway).calls(callId=odd)).ids == [odd]


async def test_added_calls_are_filtered_like_any_other(client: Any, gateway: Gateway) -> None:
    call_id = gateway.add_call(callId="mine/1@host", caller="4444", orderId="ORDER-1")
    gateway.add_call(caller="5555")
    assert (await client.calls(caller="4444")).ids == [call_id]
    assert (await client.calls(callId=call_id)).ids == [call_id]
    assert (await client.calls(orderId="ORDER-1")).ids == [call_id]


async def test_an_order_is_found_with_all_its_calls(client: Any, gateway: Gateway) -> None:
    orders = [row["orderId"] for row in gateway.history.calls() if row.get("orderId")]
    shared = next(order for order in orders if orders.count(order) == 2)
    expected = ids_of(gateway, lambda row: row.get("orderId") == shared)
    assert (await client.order(tenantId=gateway.tenant_id, orderId=shared)).ids == expected[::-1]
    assert (await client.calls(orderId=shared)).ids == expected


async def test_an_order_nobody_knows_has_no_calls(client: Any, gateway: Gateway) -> None:
    assert (await client.order(tenantId=gateway.tenant_id, orderId="NXO9999999999")).json["data"] == []


async def test_an_added_call_is_found_by_its_order(client: Any, gateway: Gateway) -> None:
    call_id = gateway.add_call(orderId="ORDER-1")
    assert (await client.order(tenantId=gateway.tenant_id, orderId="ORDER-1")).ids == [call_id]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"tenantId": 145, "orderId": "x"}, 1002),
        ({"tenantId": "144", "orderId": "x"}, 1002),
        ({"orderId": "x"}, 41000),
        ({"tenantId": 144}, 41000),
    ],
)
async def test_an_order_of_another_tenant_is_refused(client: Any, body: dict[str, Any], code: int) -> None:
    assert (await client.order(**body)).code == code


@pytest.mark.parametrize("missing", ["startTime", "endTime", "page", "size"])
async def test_what_is_required_must_be_there(client: Any, missing: str) -> None:
    assert (await client.calls(**{missing: None})).code == 41000


async def test_a_missing_end_is_refused_in_the_vendors_words(client: Any) -> None:
    reply = (await client.calls(endTime=None)).json
    assert reply.keys() == {"reqId", "code", "msg", "data"}
    assert (reply["msg"], reply["data"]) == ("End date cannot be empty", {})


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 101},
        {"size": 0},
        {"page": 0},
        {"page": "1"},
        {"answered": 3},
        {"direction": 4},
        {"startTime": 1.5},
        {"caller": 4444},
    ],
)
async def test_a_wrong_parameter_is_refused(client: Any, wrong: dict[str, Any]) -> None:
    assert (await client.calls(**wrong)).code == 1002

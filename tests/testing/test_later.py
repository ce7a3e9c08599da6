"""What shows up later than a call: its row, its price, the address of its recording; and what is changed afterwards."""

from decimal import Decimal
from typing import Any

import pytest

from nxcdr_async.testing import Gateway, Switches

SECOND = 1_767_240_000  # 2026-01-01 04:00:00 UTC


async def row_of(client: Any, call_id: str) -> dict[str, Any]:
    (row,) = (await client.calls(callId=call_id)).json["data"]
    return row


@pytest.fixture
def ended(gateway: Gateway) -> str:
    """A call that ends right now by the emulator's clock."""
    call_id = gateway.add_call(startTime=1000 * (SECOND - 60), endTime=1000 * SECOND, totalCustomerPrice=Decimal("0.2"))
    gateway.clock.move(SECOND - gateway.clock.now())
    return call_id


async def test_a_price_comes_later_than_its_row(client: Any, gateway: Gateway, ended: str) -> None:
    gateway.switches.price_delay = 600
    assert (await row_of(client, ended))["totalCustomerPrice"] == 0
    gateway.clock.move(601)
    assert (await row_of(client, ended))["totalCustomerPrice"] == 0.2


async def test_addresses_come_later_than_their_row(client: Any, gateway: Gateway, ended: str) -> None:
    gateway.switches.record_url_delay = 600
    assert (await row_of(client, ended))["recordUrl"] is None
    gateway.clock.move(601)
    assert (await row_of(client, ended))["recordUrl"] == gateway.history.call(ended)["recordUrl"]


async def test_some_calls_show_up_later_than_the_others(client: Any, gateway: Gateway) -> None:
    gateway.switches.publish_delay, gateway.switches.late_calls = 0, ((0.2, 3600.0), (0.1, 7200.0))
    gateway.clock.move(gateway.last_call.timestamp() - gateway.clock.now() + 6 * 3600)
    added = gateway.add_calls(300, startTime=int((gateway.clock.now() - 20) * 1000))
    gateway.clock.move(600)
    shown = [len(set(added) & set(await client.all_pages(endTime=SECOND + 200_000)))]
    for _ in range(2):
        gateway.clock.move(3600)
        shown.append(len(set(added) & set(await client.all_pages(endTime=SECOND + 200_000))))
    assert 180 < shown[0] < 240 < shown[1] < shown[2] == 300


@pytest.mark.parametrize("kind", ["seeded", "added"])
async def test_a_call_can_be_changed(client: Any, gateway: Gateway, kind: str) -> None:
    call_id = gateway.call_ids()[7] if kind == "seeded" else gateway.add_call(startTime=1000 * SECOND)
    assert (await client.calls(name="somebody")).ids == []
    gateway.change_call(call_id, agentName="somebody", totalCustomerPrice=Decimal("0.50"))
    gateway.change_call(call_id, answered=False)
    row = await row_of(client, call_id)
    assert (row["agentName"], row["totalCustomerPrice"], row["answered"]) == ("somebody", 0.5, False)
    assert (await client.calls(name="somebody")).ids == [call_id]
    assert gateway.history.call(call_id)["agentName"] == "somebody"


def test_what_cannot_be_changed_is_refused(gateway: Gateway) -> None:
    call_id = gateway.call_ids()[0]
    with pytest.raises(ValueError, match="startTime is what a call is found by"):
        gateway.change_call(call_id, startTime=1)
    with pytest.raises(ValueError, match="write it agentName"):
        gateway.change_call(call_id, agent_name="x")
    with pytest.raises(LookupError, match="there is no call 'nobody'"):
        gateway.change_call("nobody", answered=False)


async def test_rows_can_be_denied(client: Any, gateway: Gateway) -> None:
    gateway.fail_next("no-rows", times=3)
    denied = (await client.calls()).json
    assert (denied["code"], denied["data"]) == (0, [])
    assert (await client.did()).json["data"]["totalRow"] == 0
    assert (await client.flash("2026-01-01 00:00:00", "2026-01-02 00:00:00")).json["cdrs"] == []
    assert len((await client.calls()).ids) == 100


async def test_explanations_may_be_english(client: Any, gateway: Gateway) -> None:
    assert (await client.calls(size=101)).json["msg"] == "参数错误"
    gateway.switches.language = "en"
    assert (await client.calls(size=101)).json["msg"] == "Parameter error"
    assert (await client.did(page=0)).json["message"] == "Parameter error"
    gateway.fail_next("99")
    assert (await client.calls()).json["msg"] == "System error"


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("price_delay", -1),
        ("record_url_delay", "5"),
        ("late_calls", ((0.5, 1.0), (0.6, 1.0))),
        ("late_calls", (0.02, 3600.0)),
        ("language", "de"),
    ],
)
def test_a_value_that_cannot_work_is_refused(switch: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{switch} is"):
        setattr(Switches(), switch, value)

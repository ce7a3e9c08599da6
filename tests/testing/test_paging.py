from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from nxcdr_async.testing import Gateway

ORDERS = ["ascending", "descending", "shuffled"]
SECOND = 1_767_240_000  # 2026-01-01 04:00:00 UTC


@pytest.fixture
def edges(gateway: Gateway) -> dict[str, str]:
    """Calls at and beside the ends of [SECOND, SECOND + 1], by name."""
    offsets = {
        "before": -1,
        "at start": 0,
        "after start": 1,
        "inside": 500,
        "at end": 1000,
        "after end": 1001,
        "next": 2000,
    }
    return {gateway.add_call(startTime=1000 * SECOND + offset): name for name, offset in offsets.items()}


async def found(client: Any, edges: dict[str, str]) -> list[str]:
    answer = await client.calls(startTime=SECOND, endTime=SECOND + 1)
    return [edges[call_id] for call_id in answer.ids[::-1] if call_id in edges]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1, 7, 100])
async def test_pages_give_every_call_once_in_any_order(client: Any, gateway: Gateway, order: str, size: int) -> None:
    gateway.switches.order = order
    ids = await client.all_pages(size=size)
    assert len(ids) == 300
    assert set(ids) == set(gateway.call_ids())


async def test_the_orders_are_what_they_are_called(client: Any, gateway: Gateway) -> None:
    assert await client.all_pages() == gateway.call_ids()[::-1]
    gateway.switches.order = "ascending"
    assert await client.all_pages() == gateway.call_ids()
    gateway.switches.order = "shuffled"
    assert await client.all_pages() not in (gateway.call_ids(), gateway.call_ids()[::-1])


@pytest.mark.parametrize("order", ORDERS)
async def test_added_calls_take_their_place_in_any_order(client: Any, gateway: Gateway, order: str) -> None:
    gateway.switches.order = order
    for minute in range(0, 900, 60):
        gateway.add_call(startTime=int((gateway.first_call + timedelta(minutes=minute)).timestamp() * 1000))
    ids = await client.all_pages()
    assert len(ids) == 315
    assert set(ids) == set(gateway.call_ids())


async def test_a_reply_tells_no_total_and_no_page(client: Any) -> None:
    assert set((await client.calls()).json) == {"reqId", "code", "msg", "data"}


async def test_both_ends_of_the_range_belong_to_it_by_default(client: Any, edges: dict[str, str]) -> None:
    assert await found(client, edges) == ["at start", "after start", "inside", "at end"]


async def test_both_ends_can_be_left_out(client: Any, gateway: Gateway, edges: dict[str, str]) -> None:
    gateway.switches.start_inclusive = gateway.switches.end_inclusive = False
    assert await found(client, edges) == ["after start", "inside"]


async def test_milliseconds_can_be_dropped_before_comparing(
    client: Any, gateway: Gateway, edges: dict[str, str]
) -> None:
    gateway.switches.compare_whole_seconds = True
    assert await found(client, edges) == ["at start", "after start", "inside", "at end", "after end"]
    gateway.switches.start_inclusive = False
    assert await found(client, edges) == ["at end", "after end"]


async def test_the_range_can_be_about_the_end_of_calls(client: Any, gateway: Gateway) -> None:
    long_call = gateway.add_call(startTime=1000 * (SECOND - 7200), endTime=1000 * SECOND + 500)
    assert long_call not in (await client.calls(startTime=SECOND, endTime=SECOND + 1)).ids
    gateway.switches.filter_by = "end"
    assert long_call in (await client.calls(startTime=SECOND, endTime=SECOND + 1)).ids
    expected = [
        row["callId"] for row in gateway.history.calls() if 1000 * SECOND <= row["endTime"] <= 1000 * (SECOND + 3600)
    ]
    assert (await client.calls(startTime=SECOND, endTime=SECOND + 3600)).ids == expected[::-1]


async def test_a_call_shows_up_some_time_after_its_end(client: Any, gateway: Gateway) -> None:
    gateway.switches.publish_delay = 60
    now = gateway.clock.now()
    window = {"startTime": int(now) - 7200, "endTime": int(now) + 10}
    call_id = gateway.add_call(startTime=int(now * 1000) - 3_600_000, endTime=int(now * 1000))
    assert (await client.calls(**window)).ids == []
    gateway.switches.publish_delay = 0
    assert (await client.calls(**window)).ids == [call_id]


@pytest.mark.parametrize("order", ORDERS)
async def test_of_the_seeded_history_only_calls_that_are_over_show_up(
    client: Any, gateway: Gateway, order: str
) -> None:
    gateway.switches.order, gateway.switches.publish_delay = order, 30
    noon = datetime(2026, 1, 1, 4, tzinfo=UTC)
    gateway.clock.move_to(noon)
    over = [row["callId"] for row in gateway.history.calls() if row["endTime"] <= (noon.timestamp() - 30) * 1000]
    assert 0 < len(over) < 300
    assert set(await client.all_pages()) == set(over)


async def test_a_page_beyond_the_end_is_empty_or_the_last_one_again(client: Any, gateway: Gateway) -> None:
    assert (await client.calls(page=9)).json["data"] == []
    gateway.switches.repeat_last_page = True
    assert (await client.calls(page=9, size=70)).ids == (await client.calls(page=5, size=70)).ids
    assert len((await client.calls(page=9, size=70)).ids) == 20


async def test_the_page_number_can_be_ignored(client: Any, gateway: Gateway) -> None:
    gateway.switches.ignore_page = True
    assert (await client.calls(page=3)).ids == (await client.calls(page=1)).ids


async def test_the_range_can_be_ignored(client: Any, gateway: Gateway) -> None:
    gateway.switches.ignore_range = True
    assert (await client.calls(startTime=1, endTime=2)).ids == gateway.call_ids()[:-101:-1]


async def test_pages_can_overlap(client: Any, gateway: Gateway) -> None:
    gateway.switches.page_overlap = 10
    first, second = (await client.calls(page=1)).ids, (await client.calls(page=2)).ids
    assert first[-10:] == second[:10]


async def test_calls_can_arrive_while_somebody_reads(client: Any, gateway: Gateway) -> None:
    gateway.switches.arrivals_per_page = 3
    ids = await client.all_pages()
    assert set(gateway.history.call_ids()) - set(gateway.added_ids) <= set(ids)
    assert len(gateway.added_ids) == 3 * gateway.log.requests
    gateway.switches.arrivals_per_page = 0
    assert set(await client.all_pages()) == set(gateway.call_ids())


@pytest.mark.parametrize(("empty_as", "data"), [("list", []), ("null", None), ("object", {})])
async def test_no_rows_can_be_written_in_three_ways(client: Any, gateway: Gateway, empty_as: str, data: Any) -> None:
    gateway.switches.empty_as = empty_as
    assert (await client.calls(startTime=1, endTime=2)).json["data"] == data


async def test_extra_keys_are_merged_into_each_row(client: Any, gateway: Gateway) -> None:
    gateway.switches.extra_keys = {"newInTheYear": [1]}
    assert all(row["newInTheYear"] == [1] for row in (await client.calls()).json["data"])


async def test_any_page_of_a_whole_year_is_quick(client_of: Any) -> None:
    with Gateway(calls=3_650_000, days=365, did_calls=0, flash_calls=0) as gateway:
        client = client_of(gateway)
        assert len((await client.calls(page=20_000)).ids) == 100
        gateway.switches.order = "shuffled"
        assert len((await client.calls(page=36_500)).ids) == 100


async def test_money_reaches_the_wire_as_exact_text(client: Any, gateway: Gateway) -> None:
    gateway.add_call(startTime=1000 * SECOND, totalCustomerPrice=Decimal("0.20280000"))
    answer = await client.calls(startTime=SECOND, endTime=SECOND, caller="85238531117")
    assert '"totalCustomerPrice":0.20280000' in answer.text

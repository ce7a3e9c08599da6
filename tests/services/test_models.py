"""Routes of FastAPI that take and return records as they are, asked over real HTTP."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from shared.service import UVICORN, Service

from nxcdr_async import CdrSession, json_lines
from nxcdr_async.testing import Gateway
from tests.services.running_service import running_on, trouble_of


@pytest.fixture
def service(gateway: Gateway, tmp_path: Path) -> Iterator[Service]:
    with running_on(gateway, tmp_path, *UVICORN, "tests.services.models_service:app") as service:
        yield service
    assert not trouble_of(service)


def order_at(gateway: Gateway, service: Service) -> str:
    return f"{service.url}/tenants/{gateway.tenant_id}/orders/ORDER-1"


async def test_calls_come_as_a_list_of_what_json_lines_writes(gateway: Gateway, service: Service) -> None:
    gateway.add_call(orderId="ORDER-1", totalCustomerPrice="0.20280000", direction=7, brandNew=[1])
    gateway.add_call(orderId="ORDER-1", hangupCode=11042, totalCustomerPrice="0E-8")
    reply = await asyncio.to_thread(httpx.get, order_at(gateway, service))
    async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as session:
        calls = await session.calls_by_order("ORDER-1", tenant_id=gateway.tenant_id)
    assert (reply.status_code, len(calls)) == (200, 2)
    assert reply.json() == [msgspec.json.decode(line) for line in json_lines(calls).splitlines()]


def test_calls_that_came_can_be_sent_back(gateway: Gateway, service: Service) -> None:
    gateway.add_call(callId="a", orderId="ORDER-1", totalCustomerPrice="12345678901234567.12345678", direction=0)
    calls = httpx.get(order_at(gateway, service)).json()
    reply = httpx.post(f"{service.url}/prices", json=calls)
    assert reply.json() == {"a": "12345678901234567.12345678"}


def test_what_is_no_call_is_the_clients_fault(service: Service) -> None:
    call = {"call_id": "a", "start_time": "2026-01-01T00:00:00Z", "total_customer_price": 0.1}
    reply = httpx.post(f"{service.url}/prices", json=[call])
    assert reply.status_code == 422
    assert [fault["loc"] for fault in reply.json()["detail"]] == [["body", 0, "total_customer_price"]]


def test_openapi_tells_what_a_call_is(service: Service) -> None:
    told = httpx.get(f"{service.url}/openapi.json").json()
    answers = told["paths"]["/tenants/{tenant}/orders/{order_id}"]["get"]["responses"]["200"]
    (written,) = _properties(told, answers["content"]["application/json"]["schema"]["items"])
    assert written["start_time"]["format"] == "date-time"
    money, _ = written["total_customer_price"]["anyOf"]
    assert (money["type"], "pattern" in money) == ("string", True)
    assert written["queue_wait"]["anyOf"][0]["type"] == "number"


def _properties(told: dict[str, Any], reference: dict[str, str]) -> list[dict[str, Any]]:
    name = reference["$ref"].removeprefix("#/components/schemas/")
    return [told["components"]["schemas"][name]["properties"]]

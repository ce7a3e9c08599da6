"""The FastAPI service, asked over real HTTP."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from shared.service import UVICORN, Service

from nxcdr_async.testing import FaultKind, Gateway
from tests.services.running_service import SERVERS, running_on

NEXT_DAY = datetime(2026, 1, 2, tzinfo=UTC)


def day(service: Service) -> str:
    return f"{service.url}/calls/{NEXT_DAY.date()}"


def ids_in(lines: str) -> list[str]:
    return [json.loads(line)["call_id"] for line in lines.splitlines()]


def test_the_calls_of_a_day_come_as_lines_in_order_each_once(gateway: Gateway, service: Service) -> None:
    reply = httpx.get(day(service))
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert ids_in(reply.text) == gateway.call_ids(NEXT_DAY, NEXT_DAY + timedelta(days=1))


def test_a_day_without_calls_has_no_lines(service: Service) -> None:
    reply = httpx.get(f"{service.url}/calls/2025-06-01")
    assert (reply.status_code, reply.content) == (200, b"")


def test_faults_that_pass_are_not_seen(gateway: Gateway, service: Service) -> None:
    faults: list[FaultKind] = ["503", "truncated", "close", "99"]
    for page, fault in enumerate(faults, 2):
        gateway.fail_next(fault, page=page)
    reply = httpx.get(day(service), timeout=600)
    assert ids_in(reply.text) == gateway.call_ids(NEXT_DAY, NEXT_DAY + timedelta(days=1))
    assert set(gateway.log.faults) == set(faults)


@pytest.mark.first_of
@pytest.mark.parametrize("wrong", ["2026-02-30", "yesterday", "9999-12-31", "1969-07-20"])
def test_a_day_that_cannot_be_asked_for_is_the_clients_fault(gateway: Gateway, service: Service, wrong: str) -> None:
    assert httpx.get(f"{service.url}/calls/{wrong}").status_code in {400, 422}
    assert gateway.log.requests == 0


def test_the_calls_of_an_order_come_as_lines(gateway: Gateway, service: Service) -> None:
    ids = [gateway.add_call(orderId="ORDER-1"), gateway.add_call(orderId="ORDER-1")]
    reply = httpx.get(f"{service.url}/orders/ORDER-1?tenant={gateway.tenant_id}")
    assert reply.status_code == 200
    assert sorted(ids_in(reply.text)) == sorted(ids)


def test_an_order_nobody_knows_has_no_lines(gateway: Gateway, service: Service) -> None:
    reply = httpx.get(f"{service.url}/orders/nobody's?tenant={gateway.tenant_id}")
    assert (reply.status_code, reply.content) == (200, b"")


def test_a_tenant_that_the_gateway_refuses_is_the_clients_fault(gateway: Gateway, service: Service) -> None:
    reply = httpx.get(f"{service.url}/orders/ORDER-1?tenant={gateway.tenant_id + 1}")
    assert reply.status_code == 400
    assert "code 1002" in reply.json()["error"]


def test_a_gateway_that_is_down_is_unavailable(gateway: Gateway, service: Service) -> None:
    gateway.stop()
    for url in (day(service), f"{service.url}/orders/ORDER-1?tenant={gateway.tenant_id}"):
        reply = httpx.get(url, timeout=600)
        assert reply.status_code == 503
        assert set(reply.json()) == {"error"}


def test_an_error_before_the_first_call_has_a_status_of_its_own(gateway: Gateway, service: Service) -> None:
    gateway.fail_next("1004", 10_000)
    assert httpx.get(day(service), timeout=600).status_code == 502


@pytest.mark.first_of
@pytest.mark.parametrize("server", SERVERS)
def test_a_stream_that_breaks_in_the_middle_is_not_taken_for_a_whole_one(tmp_path: Path, server: str) -> None:
    with (
        Gateway(calls=12_000) as gateway,
        running_on(gateway, tmp_path, *UVICORN, "--http", server, "tests.services.fastapi_service:app") as service,
    ):
        gateway.add_call(startTime=int(gateway.last_call.timestamp() * 1000), totalCustomerPrice="lots")
        with httpx.stream("GET", f"{service.url}/calls/{gateway.first_call.date()}", timeout=600) as reply:
            assert reply.status_code == 200
            lines = reply.iter_lines()
            next(lines)
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                list(lines)
        service.stop()
        assert "RecordError" in service.output

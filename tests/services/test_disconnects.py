"""Clients of a stream that go away, or do not read: what they leave behind, and what they hold up."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from http.client import IncompleteRead
from pathlib import Path

import httpx
import pytest
from shared.service import UVICORN, Service

from nxcdr_async.testing import Gateway
from tests.services.running_service import SERVERS, RunService, running_on
from tests.services.stream_client import StreamClient

CALLS = 60_000
MOST_PAGES_AHEAD = 350
"""Some 24,000 calls may be held, and the system's buffers hold a few thousand more."""

SECONDS_AT_MOST = 10.0
SECONDS_OF_QUIET = 0.5


def until(holds: Callable[[], object], what: str) -> None:
    give_up = time.monotonic() + SECONDS_AT_MOST
    while not holds():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


def requests_once_quiet(gateway: Gateway) -> int:
    """Return how many requests the emulator has seen when no more have come for a while."""
    seen, quiet_since = -1, time.monotonic()
    while time.monotonic() < quiet_since + SECONDS_OF_QUIET:
        if gateway.log.requests != seen or gateway.log.in_flight:
            seen, quiet_since = gateway.log.requests, time.monotonic()
        time.sleep(0.02)
    return seen


def nothing_goes_on(gateway: Gateway, service: Service) -> bool:
    inside = httpx.get(f"{service.url}/inside").json()
    return gateway.log.in_flight == 0 and inside == {"in_flight": 0, "paginators": 0}


@pytest.fixture
def busy_day() -> Iterator[Gateway]:
    with Gateway(calls=CALLS) as gateway:
        gateway.add_call(orderId="ORDER-1")
        yield gateway


def day_of(gateway: Gateway, service: Service) -> str:
    return f"{service.url}/calls/{gateway.first_call.date()}"


@pytest.mark.first_of
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("leave", [StreamClient.close, StreamClient.reset])
def test_a_client_that_leaves_in_mid_stream_ends_the_requests_of_its_stream(
    busy_day: Gateway, run_service: RunService, server: str, leave: Callable[[StreamClient], None]
) -> None:
    busy_day.switches.latency = (0.05, 0.05)
    service = run_service(busy_day, "--http", server)
    client = StreamClient(day_of(busy_day, service))
    assert all(json.loads(line) for line in client.read_lines(50))
    leave(client)
    until(lambda: nothing_goes_on(busy_day, service), "the stream goes on without its client")
    asked = requests_once_quiet(busy_day)
    assert asked < CALLS / 100
    order = httpx.get(f"{service.url}/orders/ORDER-1?tenant={busy_day.tenant_id}")
    assert (order.status_code, busy_day.log.requests) == (200, asked + 1)


@pytest.mark.first_of
@pytest.mark.parametrize("server", SERVERS)
def test_a_client_that_leaves_while_the_next_page_is_awaited_ends_its_requests(
    busy_day: Gateway, run_service: RunService, server: str
) -> None:
    service = run_service(busy_day, "--http", server)
    busy_day.switches.latency = (0.02, 0.02)
    client = StreamClient(day_of(busy_day, service))
    busy_day.fail_next("hang", 10_000)
    client.read_lines(1)
    until(lambda: busy_day.log.recent[-1].fault == "hang", "nothing hangs")
    client.close()
    until(lambda: nothing_goes_on(busy_day, service), "the stream goes on without its client")


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_a_client_that_does_not_read_is_waited_for_and_gets_all_when_it_reads_on(
    busy_day: Gateway, run_service: RunService, server: str
) -> None:
    service = run_service(busy_day, "--http", server)
    client = StreamClient(day_of(busy_day, service))
    lines = client.read_lines(1)
    assert requests_once_quiet(busy_day) < MOST_PAGES_AHEAD
    lines += client.read_rest()
    client.close()
    calls = [json.loads(line) for line in lines]
    came = [(datetime.fromisoformat(call["start_time"]), call["call_id"]) for call in calls]
    assert came == sorted(came)
    assert sorted(call_id for _, call_id in came) == sorted(busy_day.call_ids())
    until(lambda: nothing_goes_on(busy_day, service), "something is left of the stream")


@pytest.mark.slow
def test_a_client_that_leaves_without_ever_reading_on_leaves_nothing_behind(
    busy_day: Gateway, run_service: RunService
) -> None:
    service = run_service(busy_day)
    client = StreamClient(day_of(busy_day, service))
    requests_once_quiet(busy_day)
    client.reset()
    until(lambda: nothing_goes_on(busy_day, service), "the stream goes on without its client")


@pytest.mark.slow
def test_twenty_clients_that_leave_one_after_the_other_leave_nothing_behind(
    busy_day: Gateway, run_service: RunService
) -> None:
    busy_day.switches.latency = (0.02, 0.02)
    service = run_service(busy_day)
    for number in range(20):
        client = StreamClient(day_of(busy_day, service))
        client.read_lines(1 + 5 * number)
        (client.close if number % 2 else client.reset)()
    until(lambda: nothing_goes_on(busy_day, service), "streams go on without their clients")
    asked = requests_once_quiet(busy_day)
    reply = httpx.get(f"{service.url}/orders/ORDER-1?tenant={busy_day.tenant_id}")
    assert (reply.status_code, busy_day.log.requests) == (200, asked + 1)


def test_a_service_that_is_told_to_end_in_mid_stream_ends_in_time(busy_day: Gateway, tmp_path: Path) -> None:
    with running_on(busy_day, tmp_path, *UVICORN, "tests.services.fastapi_service:app") as service:
        client = StreamClient(day_of(busy_day, service))
        client.read_lines(1)
        assert service.stop() < SECONDS_AT_MOST
        assert busy_day.log.in_flight == 0
        with pytest.raises((IncompleteRead, ConnectionError)):
            client.read_rest()
        client.close()
        # uvicorn itself tells of each answer that it cut off; nothing of ours may show.
        assert "Application shutdown complete" in service.output
        assert "nxcdr_async" not in service.output
        assert "Warning" not in service.output

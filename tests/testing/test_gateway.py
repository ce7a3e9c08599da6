import asyncio
import gc
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from nxcdr_async import CdrSession
from nxcdr_async.testing import FAULT_KINDS, Gateway, Switches

ASKED = {"startTime": 1, "endTime": 2, "page": 1, "size": 1}


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not come true within two seconds")


def refuses_connections(url: str) -> bool:
    address = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) != 0


def test_starting_and_stopping_leaves_nothing() -> None:
    threads = set(threading.enumerate())
    with Gateway(calls=500) as gateway:
        url = gateway.url
        assert not refuses_connections(url)
    assert refuses_connections(url)
    assert set(threading.enumerate()) == threads


@pytest.mark.slow
def test_a_connection_made_just_before_the_end_is_closed_too() -> None:
    for _ in range(20):
        with Gateway(calls=5) as gateway:
            address = urlsplit(gateway.url)
            with socket.create_connection((address.hostname, address.port)) as connection:
                connection.sendall(b"POST /api/did/cdr HTTP/1.1\r\nHost: gateway\r\nContent-Length: 50\r\n\r\n{")
                gateway.stop()
                assert connection.recv(1) == b""
        gc.collect()  # what was left open would warn now, and a warning is an error


def test_a_gateway_can_be_started_again() -> None:
    gateway = Gateway(calls=5)
    for _ in range(2):
        with gateway:
            assert not refuses_connections(gateway.url)


def test_a_gateway_that_does_not_run_has_no_address() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        _ = Gateway(calls=5).url


def test_a_running_gateway_is_not_started_twice() -> None:
    with Gateway(calls=5) as gateway, pytest.raises(RuntimeError, match="running already"):
        gateway.start()


def test_a_taken_port_is_reported_to_the_caller() -> None:
    with Gateway(calls=5) as gateway:
        port = urlsplit(gateway.url).port
        second = Gateway(calls=5, port=port or 0)
        with pytest.raises(OSError, match=str(port)):
            second.start()


async def test_a_gateway_serves_inside_an_asyncio_program(client_of: Any) -> None:
    gateway = Gateway(calls=50)
    async with gateway.serving():
        assert len((await client_of(gateway).calls()).ids) == 50


async def test_a_gateway_stops_while_a_request_hangs(client: Any, gateway: Gateway) -> None:
    gateway.fail_next("hang")
    hanging = asyncio.ensure_future(client.calls())
    await eventually(lambda: gateway.log.in_flight == 1)
    await asyncio.to_thread(gateway.stop)
    with pytest.raises(aiohttp.ClientError):
        await hanging
    assert gateway.log.in_flight == 0


async def test_a_hanging_request_ends_when_its_client_gives_up(client: Any, gateway: Gateway) -> None:
    gateway.fail_next("hang")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.calls(), 0.05)
    await eventually(lambda: gateway.log.in_flight == 0)
    assert (gateway.log.requests, gateway.log.faults["hang"]) == (1, 1)


def test_the_announcement_tells_all_a_client_needs() -> None:
    with Gateway(calls=20) as gateway:
        told = gateway.announcement()
        assert told["gateway"] == gateway.url
    assert (told["calls"], told["tenant_id"]) == (20, gateway.tenant_id)
    assert datetime.fromisoformat(told["first_call"]) == gateway.first_call
    assert datetime.fromisoformat(told["last_call"]) == gateway.last_call
    assert {"access_key", "access_secret", "flash_appkey", "flash_secretkey"} < set(told)


def test_the_first_and_last_call_are_those_of_the_history() -> None:
    gateway = Gateway(calls=20)
    rows = list(gateway.history.calls())
    moments = [datetime.fromtimestamp(row["startTime"] / 1000, UTC) for row in (rows[0], rows[-1])]
    assert [gateway.first_call, gateway.last_call] == moments


@pytest.mark.parametrize(
    ("kind", "status"),
    [("429", 429), ("429-retry-after", 429), ("429-retry-after-date", 429), ("503", 503), ("502", 502)],
)
async def test_a_fault_can_be_an_http_status(client: Any, gateway: Gateway, kind: Any, status: int) -> None:
    gateway.fail_next(kind)
    refused = await client.calls()
    assert refused.status == status
    assert ("Retry-After" in refused.headers) is ("retry-after" in kind)
    assert (await client.calls()).status == 200


@pytest.mark.parametrize("endpoint", ["calls", "did"])
@pytest.mark.parametrize("code", ["88", "99", "1004"])
async def test_a_fault_can_be_a_result_code(client: Any, gateway: Gateway, endpoint: str, code: Any) -> None:
    gateway.fail_next(code, endpoint=endpoint)
    assert (await getattr(client, endpoint)()).code == int(code)


@pytest.mark.parametrize(("kind", "text"), [("empty", ""), ("html", "<html>")])
async def test_a_fault_can_be_a_body_that_is_no_reply(client: Any, gateway: Gateway, kind: Any, text: str) -> None:
    gateway.fail_next(kind)
    answer = await client.calls()
    assert answer.status == 200
    assert answer.text[:6] == text


async def test_a_fault_can_be_a_body_cut_in_the_middle(client: Any, gateway: Gateway) -> None:
    gateway.fail_next("truncated")
    cut = await client.calls(callId=gateway.call_ids()[0])
    with pytest.raises(ValueError, match=r"."):
        _ = cut.json


async def test_a_pause_can_be_asked_for_as_a_date_by_the_gateways_own_clock(client: Any, gateway: Gateway) -> None:
    gateway.clock.move(-86_400)
    gateway.fail_next("429-retry-after-date")
    headers = (await client.calls()).headers
    told, now = (parsedate_to_datetime(headers[name]) for name in ("Retry-After", "Date"))
    assert 1 <= (told - now).total_seconds() <= 2


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("close", aiohttp.ServerDisconnectedError),
        ("reset", aiohttp.ClientPayloadError),
        ("cut-chunked", aiohttp.ClientPayloadError),
    ],
)
async def test_a_fault_can_be_a_broken_connection(client: Any, gateway: Gateway, kind: Any, error: Any) -> None:
    gateway.fail_next(kind)
    # A body may break off before its headers were looked at.
    with pytest.raises((error, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await client.calls()
    assert (await client.calls()).code == 0


async def test_a_fault_can_be_a_body_that_stalls_after_its_headers(client: Any, gateway: Gateway) -> None:
    gateway.fail_next("stall")
    async with client.http.post(f"{gateway.url}/saas/cc/openapi/cdr/page", json=ASKED) as response:
        assert response.status == 200
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.read(), 0.05)
    await eventually(lambda: gateway.log.in_flight == 0)


async def test_every_reply_has_an_id_in_its_headers(client: Any, gateway: Gateway) -> None:
    gateway.fail_next("502")
    answers = [await client.calls() for _ in range(2)]
    ids = {value for answer in answers for name, value in answer.headers.items() if name.lower() == "x-request-id"}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("kind", "header", "value"),
    [
        ("wrong-content-type", "Content-Type", "text/html;charset=UTF-8"),
        ("gzip", "Content-Encoding", "gzip"),
        ("chunked", "Transfer-Encoding", "chunked"),
    ],
)
async def test_a_genuine_reply_can_be_packed_unusually(
    client: Any, gateway: Gateway, kind: Any, header: str, value: str
) -> None:
    gateway.fail_next(kind)
    answer = await client.calls()
    assert answer.headers[header] == value
    assert answer.ids == gateway.call_ids()[:-101:-1]


async def test_a_scripted_fault_waits_for_its_endpoint_and_page(client: Any, gateway: Gateway) -> None:
    gateway.fail_next("503", times=2, endpoint="calls", page=2)
    assert (await client.did(page=2)).status == 200
    assert [(await client.calls(page=page)).status for page in (1, 2, 2, 2)] == [200, 503, 503, 200]


@pytest.mark.parametrize(
    ("wrong", "named"), [({"times": 0}, "times"), ({"endpoint": "cals"}, "endpoint"), ({"times": 1.5}, "times")]
)
def test_a_fault_that_could_never_happen_is_refused_at_once(wrong: Any, named: str) -> None:
    with pytest.raises(ValueError, match=f"{named} is"):
        Gateway(calls=1).fail_next("503", **wrong)


async def test_a_fault_can_last_as_long_as_a_block(client: Any, gateway: Gateway) -> None:
    with gateway.failing("503", endpoint="calls"), gateway.failing("88", endpoint="did"):
        gateway.fail_next("99", endpoint="calls")
        answers = [await client.calls() for _ in range(3)]
        assert (await client.did()).code == 88
    assert [answer.status for answer in answers] == [503, 503, 503]
    assert [(await client.calls()).code for _ in range(2)] == [99, 0]
    assert (await client.did()).code == 0


async def test_a_fault_ends_with_a_block_that_fails(client: Any, gateway: Gateway) -> None:
    with pytest.raises(KeyError), gateway.failing("503"):
        raise KeyError
    assert (await client.calls()).status == 200


async def test_its_environment_leads_a_session_to_it(monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
    for name, value in gateway.environment().items():
        monkeypatch.setenv(name, value)
    async with CdrSession.from_env() as cdr:
        assert len(await cdr.calls(gateway.first_call, gateway.last_call).collect()) == len(gateway.call_ids())
        assert await cdr.flash_calls(gateway.first_call, gateway.last_call).collect()


async def test_faults_by_chance_are_as_frequent_as_asked_for(client: Any, gateway: Gateway) -> None:
    gateway.switches.fault_rate, gateway.switches.faults = 0.3, ["503", "88"]
    answers = [await client.post("calls", ASKED) for _ in range(100)]
    failed = sum(answer.status == 503 or answer.code == 88 for answer in answers)
    assert 15 <= failed <= 45
    assert set(gateway.log.faults) == {"503", "88"}
    assert gateway.log.refused.total() == failed


def test_a_fault_nobody_knows_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="earthquake"):
        Switches().faults = ["earthquake"]
    with pytest.raises(ValueError, match="earthquake"):
        Gateway(calls=1).fail_next("earthquake")
    assert len(FAULT_KINDS) == len(set(FAULT_KINDS)) == 19


async def test_too_many_requests_at_once_are_refused(client: Any, gateway: Gateway) -> None:
    gateway.switches.max_in_flight, gateway.switches.latency = 2, (0.05, 0.05)
    answers = await asyncio.gather(*(client.post("calls", ASKED) for _ in range(6)))
    statuses = [answer.status for answer in answers]
    assert 1 <= statuses.count(200) < 6
    assert statuses.count(429) == gateway.log.refused[429] == 6 - statuses.count(200)


async def test_too_many_requests_a_second_are_refused(client: Any, gateway: Gateway) -> None:
    gateway.switches.max_per_second, gateway.switches.retry_after = 2, 1
    answers = [await client.post("calls", ASKED) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "1"


async def test_replies_take_the_time_asked_for(client: Any, gateway: Gateway) -> None:
    gateway.switches.latency = (0.03, 0.04)
    began = time.perf_counter()
    await client.post("calls", ASKED)
    assert time.perf_counter() - began >= 0.03


async def test_requests_can_be_redirected(client: Any, gateway: Gateway) -> None:
    gateway.switches.redirect_to = "https://elsewhere.example/login"
    answer = await client.calls()
    assert (answer.status, answer.headers["Location"]) == (302, "https://elsewhere.example/login")


async def test_every_reply_tells_the_gateways_time(client: Any, gateway: Gateway) -> None:
    gateway.clock.move_to(datetime(2030, 6, 1, tzinfo=UTC))
    async with client.http.get(gateway.url + "/nowhere") as response:
        assert response.status == 404
        assert response.headers["Date"].startswith("Sat, 01 Jun 2030 00:00:0")


async def test_the_log_counts_and_keeps_no_secret(client: Any, gateway: Gateway) -> None:
    await client.calls(page=2)
    await client.flash("2026-01-01 00:00:00", "2026-01-01 00:00:01")
    await client.calls(size=101)
    log = gateway.log
    assert (log.requests, dict(log.by_endpoint), dict(log.refused)) == (3, {"calls": 2, "flash": 1}, {1002: 1})
    assert [seen.code for seen in log.recent] == [0, 0, 1002]
    assert log.recent[0].parameters["page"] == 2
    assert log.recent[0].ts is not None
    assert gateway.flash_app.secretkey not in repr(list(log.recent))
    log.clear()
    assert (log.requests, len(log.recent), log.in_flight) == (0, 0, 0)


async def test_the_log_knows_how_many_requests_were_in_flight_at_once(client: Any, gateway: Gateway) -> None:
    gateway.switches.latency = (0.05, 0.05)
    await asyncio.gather(*(client.post("calls", ASKED) for _ in range(5)))
    assert 2 <= gateway.log.peak_in_flight <= 5


async def test_calls_added_from_many_threads_are_all_there(gateway: Gateway) -> None:
    await asyncio.gather(*(asyncio.to_thread(lambda: [gateway.add_call() for _ in range(50)]) for _ in range(4)))
    assert len(set(gateway.call_ids())) == 500


async def test_two_gateways_do_not_know_each_other(client: Any, client_of: Any) -> None:
    with Gateway(calls=5, seed=2) as other:
        ids = (await client_of(other).calls()).ids
    assert len(ids) == 5
    assert not set(ids) & set(client.gateway.call_ids())


@pytest.mark.parametrize("latency", [0.1, (0.1,), (0.1, "0.2"), (True, 1)])
def test_a_latency_is_two_numbers(latency: Any) -> None:
    gateway = Gateway(calls=0)
    with pytest.raises(ValueError, match="give the least and the most seconds"):
        gateway.switches.latency = latency

"""Pushes as a receiver gets them: over real HTTP, and called directly."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiohttp import web
from attrs import define, evolve, field
from fastapi import FastAPI, Request

from nxcdr_async import ConfigurationError, Credentials, TimedOutError, TransportError, sign
from nxcdr_async.testing import PUSHED_KEYS, Gateway, Push, PushReply, send_push

ROW = {"callId": "c1", "startTime": 1_767_225_600_000, "agentNickName": "王小明"}
PAIR = Credentials("fme2na3kdi3ki", "abciiiko2k3")


@define
class Receiver:
    """Keeps what it is sent, and answers `status`."""

    url: str = ""
    status: int = 200
    got: list[tuple[dict[str, str], bytes]] = field(factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, text="taken", headers={"Location": "/elsewhere"})

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, body in self.got]


@asynccontextmanager
async def listening(handler: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/push", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/push"
        finally:
            await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    taking = Receiver()
    async with listening(taking.take) as taking.url:
        yield taking


def signature_of(headers: dict[str, str], body: bytes, credentials: Credentials) -> str:
    return sign(credentials, action=headers["action"], biz_type=headers["bizType"], ts=headers["ts"], body=body)


async def test_a_push_with_a_token_is_the_row_as_json(receiver: Receiver) -> None:
    reply = await send_push(receiver.url, ROW, token="shared")
    assert reply == PushReply(200, b"taken")
    assert (reply.accepted, reply.text) == (True, "taken")
    [(headers, body)] = receiver.got
    assert (headers["token"], headers["Content-Type"]) == ("shared", "application/json")
    assert json.loads(body) == ROW
    assert "王小明".encode() in body


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
async def test_a_signed_push_has_the_vendors_headers(receiver: Receiver, algorithm: Any) -> None:
    pair = evolve(PAIR, algorithm=algorithm)
    await send_push(receiver.url, ROW, credentials=pair, now=lambda: 1_655_710_885.431)
    [(headers, body)] = receiver.got
    told = [headers[name] for name in ("accessKey", "ts", "bizType", "action", "algorithm", "Content-Type")]
    assert told == ["fme2na3kdi3ki", "1655710885431", "8", "callback", algorithm, "application/json"]
    assert headers["sign"] == signature_of(headers, body, pair)
    assert "token" not in headers


def test_a_signature_is_over_the_text_the_vendor_documents() -> None:
    # "accessKey=fme2na3kdi3ki&action=callback&bizType=8&ts=1655710885431&body={"id":1}&accessSecret=abciiiko2k3"
    push = Push.signed({"id": 1}, PAIR, now=lambda: 1_655_710_885.431)
    assert push.body == b'{"id":1}'
    assert push.headers["sign"] == "432a1399afa1bf9c03aefdec0d7d5846"


async def test_the_same_push_can_be_sent_again(receiver: Receiver, gateway: Gateway) -> None:
    push = gateway.push_of(gateway.call_ids()[0])
    await push.send(receiver.url)
    await push.send(receiver.url)
    assert receiver.bodies == [push.body] * 2
    assert receiver.got[0][0]["sign"] == receiver.got[1][0]["sign"]


async def test_a_forged_push_keeps_the_signature_of_the_true_one(receiver: Receiver, gateway: Gateway) -> None:
    await evolve(gateway.push_of(gateway.call_ids()[0]), body=b'{"callId":"other"}').send(receiver.url)
    [(headers, body)] = receiver.got
    assert body == b'{"callId":"other"}'
    assert headers["sign"] != signature_of(headers, body, gateway.credentials)


def test_headers_can_be_changed_and_left_out() -> None:
    push = Push.signed(ROW, PAIR)
    changed = push.with_headers(sign=None, algorithm="sha1")
    assert "sign" not in changed.headers
    assert changed.headers["algorithm"] == "sha1"
    assert (push.headers["algorithm"], changed.body) == ("md5", push.body)


async def test_a_gateway_pushes_its_calls_as_far_as_the_vendor_tells_them(receiver: Receiver, gateway: Gateway) -> None:
    call_id = gateway.call_ids()[0]
    reply = await gateway.push_call(receiver.url, call_id)
    assert reply.accepted
    [(headers, body)] = receiver.got
    told, known = json.loads(body), gateway.history.call(call_id)
    assert told == {key: known[key] for key in PUSHED_KEYS}
    assert headers["accessKey"] == gateway.credentials.access_key
    assert headers["sign"] == signature_of(headers, body, gateway.credentials)
    assert abs(int(headers["ts"]) - gateway.clock.now_ms()) < 60_000


def test_what_is_pushed_by_default_is_as_much_as_the_vendors_sample() -> None:
    assert len(set(PUSHED_KEYS)) == 13
    assert {"callId", "startTime"} < set(PUSHED_KEYS)
    assert not {"answered", "hangupCode", "recordUrl"} & set(PUSHED_KEYS)


def test_a_gateway_pushes_added_calls_and_whole_rows_and_other_keys(gateway: Gateway) -> None:
    call_id = gateway.add_call(callId="mine@103.251.203.149", answered=False, note="票据")
    whole = json.loads(gateway.push_of(call_id, keys=None).body)
    assert whole == gateway.history.call(call_id)
    assert whole["note"] == "票据"
    assert json.loads(gateway.push_of(call_id, keys=["answered", "unheard"]).body) == {"answered": False}


def test_a_push_of_any_seeded_call_can_be_made(gateway: Gateway) -> None:
    told = [json.loads(gateway.push_of(call_id).body)["callId"] for call_id in gateway.call_ids()]
    assert told == gateway.call_ids()


def test_money_is_pushed_as_a_number_with_all_its_digits(gateway: Gateway) -> None:
    rows = list(gateway.history.calls())
    row = next(row for row in rows if str(row["totalCustomerPrice"]) == "0E-8")
    assert b'"totalCustomerPrice":0E-8' in gateway.push_of(row["callId"], keys=None).body


def test_a_moved_clock_makes_a_stale_push(gateway: Gateway) -> None:
    gateway.clock.move(-61)
    push = gateway.push_of(gateway.call_ids()[0])
    assert 60_000 < time.time() * 1000 - int(push.headers["ts"]) < 120_000


async def test_a_gateway_pushes_with_a_token_or_another_pair(receiver: Receiver, gateway: Gateway) -> None:
    call_id = gateway.call_ids()[0]
    await gateway.push_call(receiver.url, call_id, token="wrong")
    await gateway.push_call(receiver.url, call_id, credentials=PAIR)
    (first, _), (second, body) = receiver.got
    assert first["token"] == "wrong"
    assert "sign" not in first
    assert second["sign"] == signature_of(second, body, PAIR)


def test_a_call_that_is_not_there_cannot_be_pushed(gateway: Gateway) -> None:
    with pytest.raises(LookupError, match=r"no call 'nobody'.*call_ids"):
        gateway.push_of("nobody")


@pytest.mark.parametrize("given", [{}, {"token": "t", "credentials": PAIR}])
async def test_a_push_is_sent_in_one_of_the_two_modes(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="one of the two"):
        await send_push("http://127.0.0.1:1/", ROW, **given)


def test_a_gateways_push_is_made_in_one_of_the_two_modes(gateway: Gateway) -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        gateway.push_of(gateway.call_ids()[0], token="t", credentials=PAIR)


@pytest.mark.parametrize(("row", "told"), [(["c1"], "not list"), ({"callId": object()}, "written as JSON")])
def test_a_row_that_json_cannot_tell_is_refused(row: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Push.with_token(row, "t")


def test_a_token_that_no_header_can_carry_is_refused_unseen() -> None:
    with pytest.raises(ConfigurationError, match="header token") as refused:
        Push.with_token(ROW, "secret\r\nX: y")
    assert "secret" not in str(refused.value)


def test_a_repr_shows_no_secret() -> None:
    signed = Push.signed(ROW, PAIR)
    shown = repr(Push.with_token(ROW, "hidden-token")) + repr(signed)
    assert "hidden-token" not in shown
    assert signed.headers["sign"] not in shown
    assert "c1" in shown


@pytest.mark.parametrize("status", [302, 401, 500, 204])
async def test_anything_but_200_is_a_reply_that_did_not_accept(receiver: Receiver, status: int) -> None:
    receiver.status = status
    reply = await send_push(receiver.url, ROW, token="t")
    assert (reply.status, reply.accepted, len(receiver.got)) == (status, False, 1)


async def test_a_receiver_that_is_not_there_is_named_without_its_query() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(TransportError, match=f"127.0.0.1:{port}: cannot connect; is it running") as failed:
        await send_push(f"http://127.0.0.1:{port}/push?key=hidden", ROW, token="hidden")
    assert "hidden" not in str(failed.value)


async def test_a_receiver_that_takes_too_long_is_timed_out() -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with listening(hang) as url:
        with pytest.raises(TimedOutError, match=r"within 0\.05 s"):
            await Push.with_token(ROW, "t").send(url, timeout=0.05)


@pytest.mark.parametrize("url", ["/push", "ftp://127.0.0.1/push", "http://", "127.0.0.1:80", 7])
async def test_an_address_that_is_none_is_refused(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="like http://127"):
        await send_push(url, ROW, token="t")


async def test_the_query_of_an_address_reaches_the_receiver() -> None:
    asked: list[str] = []

    async def note(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        return web.Response()

    async with listening(note) as url:
        await send_push(f"{url}?tenant=a%20b", ROW, token="t")
    assert asked == ["/push?tenant=a%20b"]


async def test_code_without_a_loop_sends_pushes_too(receiver: Receiver) -> None:
    reply = await asyncio.to_thread(Push.with_token(ROW, "t").send_sync, receiver.url)
    assert reply.accepted
    assert json.loads(receiver.bodies[0]) == ROW


async def test_code_in_a_loop_is_told_to_await_instead(receiver: Receiver) -> None:
    with pytest.raises(ConfigurationError, match=r"await push\.send"):
        Push.with_token(ROW, "t").send_sync(receiver.url)
    assert not receiver.got


async def test_a_push_goes_into_an_asgi_app_without_a_server(gateway: Gateway) -> None:
    app, got = FastAPI(), []

    @app.post("/push")
    async def take(request: Request) -> None:
        got.append((request.headers["sign"], await request.body()))

    push = gateway.push_of(gateway.call_ids()[0])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        reply = await client.post("/push", content=push.body, headers=push.headers)
    assert reply.status_code == 200
    assert got == [(push.headers["sign"], push.body)]

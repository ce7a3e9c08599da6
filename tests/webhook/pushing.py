"""Pushes as the vendor sends them, and real servers that take them."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from aiohttp import web
from attrs import define

from nxcdr_async import CallRecord, Credentials, sign
from nxcdr_async.webhook import CallPushApp, call_push_app

TOKEN = "t0ken-of-the-console"
PAIR = Credentials("AKpush", "s3cret-of-the-pushes")
PARTIAL = {
    "callId": "0gQAAC8WSgEC/Waas@103.251.203.149",
    "startTime": 1690442492841,
    "endTime": 1690442499999,
    "answerTime": 0,
    "direction": 1,
    "caller": "+8613800000000",
    "callee": "NX09445G000025@43.134.225.234:5060",
    "agentName": "agent@example.com",
    "callDuration": 7,
    "hangupBy": 1,
    "orderId": "",
    "taskId": "1234567890123456789",
    "totalCustomerPrice": 0.20280000,
}
"""A push of 13 keys, without answered, hangupCode and recordUrl."""


def a_call(call_id: str = "call-1", **more: Any) -> bytes:
    return json.dumps({**PARTIAL, "callId": call_id, **more}).encode()


def token_headers(token: str = TOKEN) -> dict[str, str]:
    return {"token": token, "Content-Type": "application/json"}


def signed_headers(body: bytes, pair: Credentials = PAIR, *, seconds: float = 0.0, **changes: str) -> dict[str, str]:
    """Sign a push; `seconds` is how far its clock is ahead, `changes` are headers as they are to be sent."""
    told = {"bizType": "8", "action": "callback", "ts": str(int((time.time() + seconds) * 1000)), **changes}
    signature = sign(pair, action=told["action"], biz_type=told["bizType"], ts=told["ts"], body=body)
    common = {"accessKey": pair.access_key, "sign": signature, "algorithm": pair.algorithm}
    return {"Content-Type": "application/json", **common, **told}


@define(eq=False)
class Desk:
    """A user's callback: takes calls, fails or waits where it is told to."""

    calls: list[CallRecord]
    faults: list[Exception]
    go_on: threading.Event
    begun: int = 0
    at_once: int = 0
    most_at_once: int = 0

    @property
    def ids(self) -> list[str]:
        return [call.call_id for call in self.calls]

    async def has_begun(self, times: int = 1) -> None:
        """Wait until so many calls have come."""
        while self.begun < times:  # noqa: ASYNC110 - the desk may stand in another thread
            await asyncio.sleep(0.005)

    async def take(self, call: CallRecord) -> None:
        self.begun += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            while not self.go_on.is_set():  # noqa: ASYNC110 - the test that lets it go on may be in another thread
                await asyncio.sleep(0.005)
            if self.faults:
                raise self.faults.pop(0)
            self.calls.append(call)
        finally:
            self.at_once -= 1


def a_desk() -> Desk:
    go_on = threading.Event()
    go_on.set()
    return Desk([], [], go_on)


@define(eq=False)
class Stage:
    """An ASGI app that hands on to another, which may change while the server runs."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await (self.app or call_push_app(a_desk().take, token=TOKEN))(scope, receive, send)


@contextmanager
def under_uvicorn(app: Any, **settings: Any) -> Iterator[str]:
    """Run an ASGI app under uvicorn in a thread, and give its address."""
    config = uvicorn.Config(app, port=0, log_config=None, ws="none", lifespan="on", **settings)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        for _ in range(1_000):
            if server.started:
                break
            assert thread.is_alive(), "the server ended at its start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@asynccontextmanager
async def under_aiohttp(app: CallPushApp, path: str = "/") -> AsyncIterator[str]:
    """Run the handler under aiohttp's server, with a limit of its own that is far below ours, and give its address."""
    application = web.Application(client_max_size=100)
    application.router.add_route("*", path, app.handle_aiohttp)
    runner = web.AppRunner(application, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_connection(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


def raw_head(headers: dict[str, str], path: str = "/") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: here", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()

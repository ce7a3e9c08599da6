"""A client that knows nothing of the SDK: plain aiohttp against the emulator."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from attrs import define, field

from nxcdr_async.protocol.auth import sign
from nxcdr_async.testing import Gateway

PATHS = {
    "calls": ("/saas/cc/openapi/cdr/page", "8", "cc"),
    "order": ("/saas/cc/openapi/cdr/queryByOrderId", "8", "cc"),
    "did": ("/api/did/cdr", "4", "cdr"),
}


@define
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> int:
        return int(self.json["code"])

    @property
    def ids(self) -> list[str]:
        return [row["callId"] for row in self.json["data"]]


@define
class Client:
    """Asks one gateway; `whole_range` is what covers every call of its seeded history."""

    gateway: Gateway
    http: aiohttp.ClientSession
    whole_range: dict[str, int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        first, last = self.gateway.first_call, self.gateway.last_call
        self.whole_range = {"startTime": int(first.timestamp()), "endTime": int(last.timestamp()) + 1}

    def signed(self, body: bytes, biz_type: str, action: str) -> dict[str, str]:
        credentials, ts = self.gateway.credentials, self.gateway.clock.now_ms()
        signature = sign(credentials, action=action, biz_type=biz_type, ts=ts, body=body)
        return {
            "accessKey": credentials.access_key,
            "ts": str(ts),
            "bizType": biz_type,
            "action": action,
            "sign": signature,
            "Content-Type": "application/json",
        }

    async def post(self, endpoint: str, body: Any, headers: dict[str, str | None] | None = None) -> Answer:
        path, biz_type, action = PATHS[endpoint]
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {**self.signed(raw, biz_type, action), **(headers or {})}
        kept = {name: value for name, value in sent.items() if value is not None}
        skipped = ["Content-Type"] if "Content-Type" not in kept else []
        async with self.http.post(
            self.gateway.url + path, data=raw, headers=kept, skip_auto_headers=skipped, allow_redirects=False
        ) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def calls(self, **body: Any) -> Answer:
        return await self.post("calls", {**self.whole_range, "page": 1, "size": 100, **body})

    async def order(self, **body: Any) -> Answer:
        return await self.post("order", body)

    async def did(self, **body: Any) -> Answer:
        return await self.post("did", {"date": "2026-01-01", "page": 1, "pageSize": 999, **body})

    async def flash(self, start: str, end: str, **query: str) -> Answer:
        app = self.gateway.flash_app
        asked = {"appkey": app.appkey, "secretkey": app.secretkey, "start": start, "end": end, **query}
        async with self.http.get(f"{self.gateway.url}/otp/call/list", params=asked) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def flash_call(self, **query: str) -> Answer:
        app = self.gateway.flash_app
        asked = {"appkey": app.appkey, "secretkey": app.secretkey, **query}
        async with self.http.get(f"{self.gateway.url}/otp/call/get", params=asked) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def all_pages(self, **body: Any) -> list[str]:
        """Read pages until one is short, as a careful client would."""
        ids: list[str] = []
        page, size = 1, body.pop("size", 100)
        while True:
            found = (await self.calls(page=page, size=size, **body)).ids
            ids += found
            if len(found) < size:
                return ids
            page += 1


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=300) as gateway:
        yield gateway


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:
        yield Client(gateway, http)


@pytest.fixture
async def client_of() -> AsyncIterator[Callable[[Gateway], Client]]:
    """Make clients of gateways a test starts itself."""
    async with aiohttp.ClientSession() as http:
        yield lambda gateway: Client(gateway, http)

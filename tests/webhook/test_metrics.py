"""How many pushes came, as Prometheus and OpenTelemetry are told."""

import json
from typing import Any

from prometheus_client import CollectorRegistry

from nxcdr_async.prometheus import PushCollector
from nxcdr_async.webhook import call_push_app
from tests.webhook.pushing import PARTIAL, TOKEN, token_headers


async def test_pushes_are_counted_by_what_became_of_them(serve: Any, http: Any) -> None:
    registry = CollectorRegistry()
    registry.register(PushCollector())

    def counts() -> list[float]:
        outcomes = ("taken", "refused", "failed")
        return [registry.get_sample_value("nxcdr_pushes_total", {"outcome": outcome}) or 0 for outcome in outcomes]

    async def take(call: Any) -> None:
        if call.call_id == "unlucky":
            raise ValueError

    address = await serve(call_push_app(take, token=TOKEN))
    before = counts()
    body = json.dumps(PARTIAL).encode()
    for content, headers in (
        (body, token_headers()),
        (body, token_headers()),  # it is known already
        (body, {"token": "wrong"}),
        (b"no JSON", token_headers()),
        (json.dumps({**PARTIAL, "callId": "unlucky"}).encode(), token_headers()),
    ):
        await http.post(address, content=content, headers=headers)
    assert [after - earlier for after, earlier in zip(counts(), before, strict=True)] == [2, 2, 1]

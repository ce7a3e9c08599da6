"""The same look-up in other frameworks, under their own servers."""

import json
from pathlib import Path

import httpx
import pytest
from shared.service import AIOHTTP, UVICORN

from nxcdr_async.testing import Gateway
from tests.services.running_service import running_on, trouble_of

SERVICES = {
    "aiohttp": ((*AIOHTTP, "tests.services.aiohttp_service:make_app"), "/tenants/{tenant}/orders/{order}"),
    "litestar": ((*UVICORN, "tests.services.litestar_service:app"), "/orders/{order}?tenant={tenant}"),
}


@pytest.mark.first_of
@pytest.mark.parametrize("framework", SERVICES)
def test_an_order_is_looked_up(gateway: Gateway, tmp_path: Path, framework: str) -> None:
    command, path = SERVICES[framework]
    ids = [gateway.add_call(orderId="ORDER-1"), gateway.add_call(orderId="ORDER-1")]
    with running_on(gateway, tmp_path, *command) as service:
        replies = {
            order: httpx.get(service.url + path.format(order=order, tenant=gateway.tenant_id))
            for order in ("ORDER-1", "nobody's")
        }
        assert {reply.headers["content-type"] for reply in replies.values()} == {"application/x-ndjson"}
        assert {reply.status_code for reply in replies.values()} == {200}
        assert sorted(json.loads(line)["call_id"] for line in replies["ORDER-1"].text.splitlines()) == sorted(ids)
        assert replies["nobody's"].content == b""
        service.stop()
        assert not trouble_of(service)

"""The app inside the web frameworks, as users put it there, under a real server."""

import asyncio
from typing import Any

import fastapi
import httpx
import litestar
import pytest
import starlette.applications
from aiohttp import web
from starlette.routing import Mount

from nxcdr_async.webhook import call_push_app
from tests.webhook.pushing import TOKEN, Desk, a_call, token_headers, under_aiohttp, under_uvicorn


def in_fastapi(pushes: Any) -> Any:
    app = fastapi.FastAPI()
    app.mount("/nxcdr", pushes)
    return app


def in_fastapi_behind_a_proxy(pushes: Any) -> Any:
    app = fastapi.FastAPI()
    app.root_path = "/outside"  # as its argument, which it has begun to warn of
    app.mount("/nxcdr", pushes)
    return app


def in_starlette(pushes: Any) -> Any:
    return starlette.applications.Starlette(routes=[Mount("/api", routes=[Mount("/nxcdr", app=pushes)])])


def in_litestar(pushes: Any) -> Any:
    return litestar.Litestar([litestar.asgi("/nxcdr", is_mount=True, copy_scope=True)(pushes)], logging_config=None)


@pytest.mark.parametrize(
    ("framework", "prefix"),
    [
        (in_fastapi, "/nxcdr"),
        (in_fastapi_behind_a_proxy, "/nxcdr"),
        (in_fastapi_behind_a_proxy, "/outside/nxcdr"),
        (in_starlette, "/api/nxcdr"),
        (in_litestar, "/nxcdr"),
    ],
)
async def test_it_is_mounted_under_a_prefix(framework: Any, prefix: str, desk: Desk) -> None:
    pushes = call_push_app(desk.take, token=TOKEN, path="/calls")
    with under_uvicorn(framework(pushes)) as address:
        async with httpx.AsyncClient() as http:
            taken = await http.post(f"{address}{prefix}/calls", content=a_call(), headers=token_headers())
            assert (taken.status_code, taken.json()) == (200, {"result": "taken"})
            for other in ("", "/", "/calls/more", "/nxcdr/calls"):
                elsewhere = await http.post(f"{address}{prefix}{other}", content=a_call("b"), headers=token_headers())
                assert elsewhere.status_code in {404, 307}
            assert (await http.get(f"{address}{prefix}/calls")).status_code == 405
    assert desk.ids == ["call-1"]


async def test_behind_a_proxy_that_takes_a_prefix_off(desk: Desk) -> None:
    pushes = call_push_app(desk.take, token=TOKEN, path="/calls")
    with under_uvicorn(pushes, root_path="/outside") as address:
        async with httpx.AsyncClient() as http:
            taken = await http.post(f"{address}/calls", content=a_call(), headers=token_headers())
    assert taken.status_code == 200


async def test_aiohttps_router_decides_on_the_path(desk: Desk) -> None:
    pushes = call_push_app(desk.take, token=TOKEN, path="/never-asked")
    async with under_aiohttp(pushes, "/nxcdr/calls") as address, httpx.AsyncClient() as http:
        taken = await http.post(f"{address}/nxcdr/calls", content=a_call(), headers=token_headers())
        elsewhere = await http.post(f"{address}/calls", content=a_call(), headers=token_headers())
    assert (taken.status_code, elsewhere.status_code) == (200, 404)


async def test_a_body_that_a_middleware_of_aiohttp_has_read_is_taken(desk: Desk) -> None:
    @web.middleware
    async def read_first(request: web.Request, handler: Any) -> web.StreamResponse:
        await request.read()
        return await handler(request)

    application = web.Application(middlewares=[read_first])
    application.router.add_post("/", call_push_app(desk.take, token=TOKEN).handle_aiohttp)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with httpx.AsyncClient() as http:
            address = f"http://127.0.0.1:{runner.addresses[0][1]}"
            assert (await http.post(address, content=a_call(), headers=token_headers())).status_code == 200
    finally:
        await runner.cleanup()
    assert desk.ids == ["call-1"]


async def test_a_websocket_is_denied(desk: Desk) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0)
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        await asyncio.sleep(0)
        sent.append(message["type"])

    await call_push_app(desk.take, token=TOKEN)({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert sent == ["websocket.close"]

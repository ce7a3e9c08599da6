import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from nxcdr_async.webhook import CallPushApp
from tests.webhook.pushing import Desk, Stage, a_desk, under_aiohttp, under_uvicorn

Serve = Callable[[CallPushApp], Awaitable[str]]


@pytest.fixture
def desk() -> Desk:
    return a_desk()


@pytest.fixture(scope="module", params=["uvicorn with h11", "uvicorn with httptools", "aiohttp"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Stage, str] | None]:
    """Give a running uvicorn, whose app each test changes; None for aiohttp, which starts at once."""
    if request.param == "aiohttp":
        yield None
        return
    stage = Stage()
    with under_uvicorn(stage, http=request.param.split()[-1]) as address:
        yield stage, address


@pytest.fixture
async def serve(server: tuple[Stage, str] | None) -> AsyncIterator[Serve]:
    """Serve an app by each of the servers, and give its address."""
    async with contextlib.AsyncExitStack() as stack:

        async def served(app: CallPushApp) -> str:
            if server is None:
                return await stack.enter_async_context(under_aiohttp(app))
            stage, address = server
            stage.app = app
            return address

        yield served


@pytest.fixture
async def http() -> AsyncIterator[Any]:
    async with httpx.AsyncClient(timeout=20) as client:
        yield client

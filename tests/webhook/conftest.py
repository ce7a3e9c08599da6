import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from pushing import Desk, a_desk, under_aiohttp, under_uvicorn

from nxcdr_async.webhook import CallPushApp

Serve = Callable[[CallPushApp], Awaitable[str]]


@pytest.fixture
def desk() -> Desk:
    return a_desk()


@pytest.fixture(params=["uvicorn with h11", "uvicorn with httptools", "aiohttp"])
async def serve(request: pytest.FixtureRequest) -> AsyncIterator[Serve]:
    """Serve an app by each of the servers, and give its address."""
    async with contextlib.AsyncExitStack() as stack:

        async def served(app: CallPushApp) -> str:
            if request.param == "aiohttp":
                return await stack.enter_async_context(under_aiohttp(app))
            return stack.enter_context(under_uvicorn(app, http=request.param.split()[-1]))

        yield served


@pytest.fixture
async def http() -> AsyncIterator[Any]:
    async with httpx.AsyncClient(timeout=20) as client:
        yield client

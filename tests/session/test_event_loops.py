"""A session belongs to one event loop: another one gets a clear error, and disturbs nothing."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import uvicorn

from nxcdr_async import CdrSession, ConfigurationError
from nxcdr_async.testing import Gateway
from tests.sessions import OpenSession, all_calls, session_on

SECOND = timedelta(seconds=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
ELSEWHERE = "another event loop"


async def in_another_loop(act: Callable[[], Awaitable[Any]]) -> Any:
    """Do as a synchronous endpoint does that calls `asyncio.run`: in a thread, while this loop goes on."""

    async def run() -> Any:
        return await act()

    return await asyncio.to_thread(asyncio.run, run())


async def refused_in_another_loop(act: Callable[[], Awaitable[Any]]) -> None:
    with pytest.raises(ConfigurationError, match=ELSEWHERE):
        await in_another_loop(act)


async def test_another_loop_disturbs_nobody_who_reads(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.switches.latency = (0.01, 0.02)
    session = open_session(concurrency=2)
    read: list[str] = []
    async with all_calls(session, gateway) as calls:
        read.append((await anext(calls)).call_id)
        await refused_in_another_loop(lambda: session.calls_by_order("order", tenant_id=gateway.tenant_id))
        await refused_in_another_loop(all_calls(session, gateway).collect)
        await refused_in_another_loop(session.__aenter__)
        await refused_in_another_loop(calls.collect)
        await refused_in_another_loop(calls.aclose)
        await refused_in_another_loop(session.aclose)
        read += [call.call_id async for call in calls]
    assert sorted(read) == sorted(gateway.call_ids())


async def test_a_paginator_made_in_one_loop_is_refused_in_another(gateway: Gateway, open_session: OpenSession) -> None:
    async with open_session() as session:
        calls = all_calls(session, gateway)
        await refused_in_another_loop(calls.collect)
        assert session.stats.in_flight == session.stats.requests == 0


async def test_a_session_belongs_to_the_loop_that_opened_it_before_any_request(
    gateway: Gateway, open_session: OpenSession
) -> None:
    async with open_session() as session:
        await refused_in_another_loop(lambda: session.calls_by_order("order", tenant_id=gateway.tenant_id))
        assert await session.calls_by_order("order", tenant_id=gateway.tenant_id) == []


async def test_of_many_threads_that_are_the_first_to_ask_one_gets_the_session(gateway: Gateway) -> None:
    session = session_on(gateway)
    gateway.switches.latency = (0.05, 0.05)
    together = threading.Barrier(8)
    told: list[str] = []

    def ask() -> None:
        together.wait()
        try:
            asyncio.run(look_up_and_close())
        except ConfigurationError as refused:
            told.append(str(refused))
        else:
            told.append("answered")

    async def look_up_and_close() -> None:
        async with session:
            await session.calls_by_order("order", tenant_id=gateway.tenant_id)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert told.count("answered") == 1
    assert sum("another event loop" in one or "is closed" in one for one in told) == 7


def test_a_session_made_outside_of_any_loop_works_in_the_first_one(gateway: Gateway) -> None:
    session = session_on(gateway)
    calls = all_calls(session, gateway)

    async def main() -> int:
        async with session:
            return len(await calls.collect())

    assert asyncio.run(main()) == len(gateway.call_ids())


def test_a_second_run_with_a_session_of_the_first_is_told_to_open_another(gateway: Gateway) -> None:
    session = session_on(gateway)

    async def use() -> None:
        await session.calls_by_order("order", tenant_id=gateway.tenant_id)

    async def use_and_close() -> None:
        async with session:
            await use()

    asyncio.run(use_and_close())
    with pytest.raises(ConfigurationError, match="is closed: open a new CdrSession"):
        asyncio.run(use())
    asyncio.run(session.aclose())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of its connections, which nobody closed
def test_a_second_run_with_a_session_left_open_by_the_first_is_told_what_is_wrong(gateway: Gateway) -> None:
    use_in_two_runs(session_on(gateway), gateway)
    gc.collect()  # while the warning is expected


def use_in_two_runs(session: CdrSession, gateway: Gateway) -> None:
    async def use() -> None:
        await session.calls_by_order("order", tenant_id=gateway.tenant_id)

    asyncio.run(use())
    with pytest.raises(ConfigurationError, match=r"another event loop, which has ended: open a new CdrSession in each"):
        asyncio.run(use())
    asyncio.run(session.aclose())


def test_sessions_of_one_account_in_loops_of_two_threads_do_not_meet(gateway: Gateway) -> None:
    counts: list[int] = []

    async def main() -> int:
        async with session_on(gateway) as session:
            return len(await all_calls(session, gateway).collect())

    def read() -> None:
        counts.extend(asyncio.run(main()) for _ in range(3))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [len(gateway.call_ids())] * 9


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI application by uvicorn, in a thread with an event loop of its own; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:  # noqa: ASYNC110 - nothing of this loop tells of it
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join)


async def test_a_session_made_at_import_serves_an_app_under_uvicorn(gateway: Gateway) -> None:
    order_id = "order-of-the-app"
    gateway.add_call(orderId=order_id)
    session = session_on(gateway)

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001 - as ASGI has it
        if scope["path"] == "/close":
            await session.aclose()
            found = "closed"
        else:
            found = str(len(await session.calls_by_order(order_id, tenant_id=gateway.tenant_id)))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": found.encode()})

    async with served(app) as url, aiohttp.ClientSession() as client:

        async def get(path: str = "") -> str:
            async with client.get(url + path) as reply:
                return await reply.text()

        assert await asyncio.gather(*(get() for _ in range(10))) == ["1"] * 10
        with pytest.raises(ConfigurationError, match=ELSEWHERE):
            await session.aclose()
        assert await get() == "1"
        assert await get("close") == "closed"
    await session.aclose()
    assert session.stats.in_flight == 0


@pytest.mark.parametrize(
    "act",
    [
        CdrSession.__aenter__,
        lambda session: session.calls_by_order("order", tenant_id=1),
        lambda session: session.calls(START, START + SECOND).collect(),
    ],
    ids=["open", "look up", "read"],
)
def test_a_loop_that_is_not_of_asyncio_is_refused_in_words(act: Callable[[CdrSession], Any], gateway: Gateway) -> None:
    doing = act(session_on(gateway))
    with pytest.raises(ConfigurationError, match="no event loop of asyncio runs here"):
        doing.send(None)  # as trio does, in which no loop of asyncio runs

"""A real HTTP server whose replies are whatever a test says, and what reads all four APIs from it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from aiohttp import web
from attrs import define, field

from nxcdr_async import CdrSession, Credentials, FlashApp

START = datetime(2026, 1, 1, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = date(2026, 1, 1)
FIRST = int(START.timestamp()) * 1000
"""All rows made here start in the hour after START, which is noon of DAY in the vendor's zone."""

PATHS = {
    "/saas/cc/openapi/cdr/page": "calls",
    "/saas/cc/openapi/cdr/queryByOrderId": "order",
    "/api/did/cdr": "did",
    "/otp/call/list": "flash",
}
APIS = tuple(PATHS.values())
ORDER_ID = "7"
MOST_QUESTIONS = 5_000
"""No test here needs as many; a session that asks more is taken to ask for ever."""


@define
class Answer:
    """A reply as it goes out."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)


Script = Callable[[str, Mapping[str, Any]], Answer]
"""The name of an API and the parameters of a question to the answer."""


def row_of(api: str, number: int, **changes: Any) -> dict[str, Any]:
    """Return a genuine row of an API, a minute for each number."""
    minute, second = divmod(number, 60)
    if api == "did":
        local = f"2026-01-01 12:{minute:02}:{second:02}"
        return {"id": number + 1, "startTime": local, "number": "66820000001", "callType": 0, **changes}
    if api == "flash":
        return {"id": number + 1, "gmtCreate": f"2026-01-01 12:{minute:02}:{second:02}", "price": 0, **changes}
    return {"callId": f"{number}", "startTime": FIRST + number * 1000, "orderId": ORDER_ID, "answered": True, **changes}


def enveloped(api: str, rows: str, *, code: str = "0", total: str | None = None, pages: str = "1") -> bytes:
    """Return the body of a success, its rows and its code as they are given, in JSON."""
    if api == "flash":
        text = f'{{"cdrs": {rows}, "code": {code}}}'
    elif api == "did":
        text = f'{{"code": {code}, "data": {{"totalRow": {total}, "totalPage": {pages}, "list": {rows}}}}}'
    else:
        text = f'{{"reqId": "r", "code": {code}, "msg": "success", "data": {rows}}}'
    return text.encode("utf-8", "surrogatepass")


def reply_of(api: str, rows: list[Any], *, total: int | None = None) -> Answer:
    """Return a genuine answer."""
    return Answer(enveloped(api, json.dumps(rows), total=str(len(rows) if total is None else total)))


@asynccontextmanager
async def serving(script: Script, *, most_questions: int = MOST_QUESTIONS) -> AsyncIterator[str]:
    """Serve a script on loopback; beyond the most questions every reply is a refusal."""
    asked = 0

    async def handle(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked > most_questions:
            return web.json_response({"code": 1002, "msg": "asked for ever"})
        body = await request.read()
        parameters = json.loads(body) if body else dict(request.query)
        answer = script(PATHS[request.path], parameters)
        headers = {"Content-Type": "application/json", **answer.headers}
        return web.Response(body=answer.body, status=answer.status, headers=headers)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


Speak = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def speaking(speak: Speak) -> AsyncIterator[str]:
    """Serve bytes on loopback that need not be HTTP."""
    under_way: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way.add(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            await speak(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has had enough, which is what most tests are about
        finally:
            writer.close()
            under_way.discard(asyncio.current_task())

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in [task for task in under_way if task is not None]:
            await asyncio.wait([task], timeout=5)


def session_on(url: str, **changes: Any) -> CdrSession:
    """Open a session that does not wait between attempts."""
    session = CdrSession(
        gateway=url, credentials=Credentials("key", "secret"), flash_app=FlashApp("app", "s"), **changes
    )

    async def no_sleep(_: float) -> None:
        await asyncio.sleep(0)

    session._transport.sleep = no_sleep
    return session


async def read_all(session: CdrSession, api: str, **how: Any) -> list[Any]:
    """Read all that a server has to tell of one API."""
    match api:
        case "calls":
            return await session.calls(START, START + HOUR, **how).collect()
        case "did":
            return await session.did_calls(DAY, **how).collect()
        case "flash":
            return await session.flash_calls(START, START + HOUR, **how).collect()
        case _:
            return await session.calls_by_order(ORDER_ID, tenant_id=1, **how)


async def read_from(script: Script, api: str, **how: Any) -> list[Any]:
    """Read all of one API from a server that answers by a script."""
    async with serving(script) as url, session_on(url) as session:
        records = await asyncio.wait_for(read_all(session, api, **how), 60)
        assert session.stats.in_flight == 0
    return records


def known_by(record: Any) -> str:
    """Return the id of a record of any API."""
    return str(record.call_id if hasattr(record, "call_id") else record.id)

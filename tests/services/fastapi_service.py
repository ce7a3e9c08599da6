import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from nxcdr_async import CallRecord, CdrSession, NxcdrError, PushedCalls, errors, json_lines
from nxcdr_async.webhook import call_push_app

Pages = AsyncIterator[list[CallRecord]]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
    async with CdrSession.from_env() as cdr:  # one for all requests
        pushed = PushedCalls(cdr, os.environ["CALLS_STORE"])  # begun by `nxcdr backfill`, completed by `nxcdr sync`
        pushes = call_push_app(pushed.store, token=os.environ["CALL_PUSH_TOKEN"], path="/calls")
        yield {"cdr": cdr, "pushes": pushes}


async def take_push(scope: Scope, receive: Receive, send: Send) -> None:
    await scope["state"]["pushes"](scope, receive, send)


app = FastAPI(lifespan=lifespan)
app.mount("/push", take_push)


async def pages_of_day(day: date, request: Request) -> AsyncIterator[Pages]:
    start, end = datetime.combine(day, time.min, UTC), datetime.combine(day, time.max, UTC)
    async with request.state.cdr.calls(start, end) as calls:
        yield calls.pages()  # left when the answer is sent, or its client has gone


@app.get("/calls/{day}")
async def calls_of_day(pages: Annotated[Pages, Depends(pages_of_day)]) -> StreamingResponse:
    first: list[CallRecord] = await anext(pages, [])  # while an error can still have a status of its own

    async def lines() -> AsyncIterator[bytes]:
        yield json_lines(first)
        async for page in pages:
            yield json_lines(page)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@app.get("/stored/{day}")
def count_stored(day: date) -> dict[str, int]:  # no coroutine: FastAPI runs it in a thread
    of_day = "SELECT count(*) FROM calls WHERE start_time >= ? AND start_time < ?"  # times in UTC, as text
    with closing(sqlite3.connect(f"file:{os.environ['CALLS_STORE']}?mode=ro", uri=True)) as store:
        (calls,) = store.execute(of_day, [str(day), str(day + timedelta(days=1))]).fetchone()
    return {"calls": calls}


@app.get("/orders/{order_id}")
async def calls_of_order(order_id: str, tenant: int, request: Request) -> Response:
    calls = await request.state.cdr.calls_by_order(order_id, tenant_id=tenant)
    return Response(json_lines(calls), media_type="application/x-ndjson")


@app.exception_handler(NxcdrError)
async def answer_error(_: Request, error: NxcdrError) -> JSONResponse:
    match error:
        case errors.ConfigurationError() | errors.InvalidRequestError():
            status = 400  # what was asked for cannot be
        case errors.ServerError() | errors.ThrottledError() | errors.TransportError():
            status = 503  # may pass, but did not for a minute
        case _:
            status = 502
    return JSONResponse({"error": str(error)}, status)

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from nxcdr_async import (
    CallRecord,
    CdrSession,
    ConfigurationError,
    InvalidRequestError,
    NxcdrError,
    ServerError,
    ThrottledError,
    TransportError,
    json_lines,
)

Pages = AsyncIterator[list[CallRecord]]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, CdrSession]]:
    async with CdrSession.from_env() as cdr:  # one for all requests
        yield {"cdr": cdr}


app = FastAPI(lifespan=lifespan)


@app.exception_handler(NxcdrError)
async def answer_error(_: Request, error: NxcdrError) -> JSONResponse:
    match error:
        case ConfigurationError() | InvalidRequestError():  # what was asked for cannot be
            status = 400
        case ServerError() | ThrottledError() | TransportError():  # tried again for a minute, in vain
            status = 503
        case _:
            status = 502
    return JSONResponse({"error": str(error)}, status)


async def pages_of_day(day: date, request: Request) -> AsyncIterator[Pages]:
    start, end = datetime.combine(day, time.min, UTC), datetime.combine(day, time.max, UTC)
    async with request.state.cdr.calls(start, end) as calls:
        yield calls.pages()  # ended when the answer is, or its client has gone


@app.get("/calls/{day}")
async def calls_of_day(pages: Annotated[Pages, Depends(pages_of_day)]) -> StreamingResponse:
    first = await anext(pages, [])  # while an error can still have a status of its own

    async def lines() -> AsyncIterator[bytes]:
        yield json_lines(first)
        async for page in pages:
            yield json_lines(page)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@app.get("/orders/{order_id}")
async def calls_of_order(order_id: str, tenant: int, request: Request) -> Response:
    calls = await request.state.cdr.calls_by_order(order_id, tenant_id=tenant)
    if not calls:
        raise HTTPException(404, "no call of this order has ended")
    return Response(json_lines(calls), media_type="application/x-ndjson")

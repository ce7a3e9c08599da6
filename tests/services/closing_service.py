"""The FastAPI service behind a middleware that ends a broken stream as if it were whole, with a closed stream."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response, StreamingResponse

from nxcdr_async import closing_line, json_lines
from tests.services.fastapi_service import Pages, app, pages_of_day

__all__ = ["app"]


@app.middleware("http")
async def pass_on(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    return await call_next(request)


@app.get("/closed/{day}")
async def closed_calls_of_day(pages: Annotated[Pages, Depends(pages_of_day)]) -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        count = 0
        async for page in pages:
            yield json_lines(page)
            count += len(page)
        yield closing_line(count)

    return StreamingResponse(lines(), media_type="application/x-ndjson")

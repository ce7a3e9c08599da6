from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar, Response, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from nxcdr_async import CdrSession, json_lines


@asynccontextmanager
async def session(app: Litestar) -> AsyncIterator[None]:
    async with CdrSession.from_env() as cdr:  # one for all requests
        app.state.cdr = cdr
        yield


@get("/orders/{order_id:str}")
async def calls_of_order(order_id: FromPath[str], tenant: FromQuery[int], state: State) -> Response[bytes]:
    calls = await state.cdr.calls_by_order(order_id, tenant_id=tenant)
    return Response(json_lines(calls), media_type="application/x-ndjson")


app = Litestar([calls_of_order], lifespan=[session])

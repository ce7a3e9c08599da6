from collections.abc import AsyncIterator

from aiohttp import web

from nxcdr_async import CdrSession, json_lines

CDR = web.AppKey("CDR", CdrSession)


async def session(app: web.Application) -> AsyncIterator[None]:
    async with CdrSession.from_env() as cdr:  # one for all requests
        app[CDR] = cdr
        yield


async def calls_of_order(request: web.Request) -> web.Response:
    order_id, tenant = request.match_info["order_id"], int(request.match_info["tenant"])
    calls = await request.app[CDR].calls_by_order(order_id, tenant_id=tenant)
    return web.Response(body=json_lines(calls), content_type="application/x-ndjson")


def make_app(_: list[str]) -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_get(r"/tenants/{tenant:\d+}/orders/{order_id}", calls_of_order)
    return app

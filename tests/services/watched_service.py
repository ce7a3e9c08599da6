"""The FastAPI service, with one more address that tells what goes on in it."""

import asyncio

from fastapi import Request

from tests.services.fastapi_service import app

__all__ = ["app"]


@app.get("/inside")
async def inside(request: Request) -> dict[str, int]:
    paginators = [task for task in asyncio.all_tasks() if task.get_name() == "nxcdr_async paginator"]
    return {"in_flight": request.state.cdr.stats.in_flight, "paginators": len(paginators)}

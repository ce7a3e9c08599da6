from typing import Annotated

from fastapi import APIRouter, Body, Request

from nxcdr_async.pydantic import CallModel

router = APIRouter()  # app.include_router(router)


@router.get("/tenants/{tenant}/orders/{order_id}")
async def calls_of_order(tenant: int, order_id: str, request: Request) -> list[CallModel]:
    return await request.state.cdr.calls_by_order(order_id, tenant_id=tenant)


@router.post("/prices")
async def price(calls: Annotated[list[CallModel], Body()]) -> dict[str, str]:
    return {call.call_id: f"{call.total_customer_price or 0:f}" for call in calls}

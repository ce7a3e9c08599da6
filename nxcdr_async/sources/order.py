"""The calls of one order (cdr/queryByOrderId): all in one answer."""

from collections.abc import Callable, Mapping
from typing import Any

from nxcdr_async._util.validation import as_whole
from nxcdr_async.errors import ConfigurationError, RecordError
from nxcdr_async.paging.base import OnBadRow
from nxcdr_async.paging.page_reader import read_at_once
from nxcdr_async.protocol.endpoints import ORDER
from nxcdr_async.protocol.filter_check import Filter, id_filter
from nxcdr_async.records.models import CallRecord
from nxcdr_async.sources.base import SourceContext
from nxcdr_async.sources.checks import needed_text


def order_parameters(order_id: str, tenant_id: int) -> Mapping[str, Any]:
    """Return the parameters of cdr/queryByOrderId.

    Raises:
        ConfigurationError: no order id, or a tenant id that is no whole number.
    """
    order = needed_text("order_id", order_id, "the id of the order whose calls you want, as text")
    tenant = as_whole(tenant_id)
    if tenant is None:
        raise ConfigurationError(f"tenant_id is {tenant_id!r}: give the team's whole number from the vendor's console")
    return {"tenantId": tenant, "orderId": order}


def order_filters(order_id: str) -> tuple[Filter, ...]:
    """Return what every row of an answer of cdr/queryByOrderId has to be like."""
    return (id_filter("order_id", order_id, "orderId"),)


async def read_order(
    context: SourceContext,
    order_id: str,
    tenant_id: int,
    on_bad_row: OnBadRow,
    bad_row_callback: Callable[[RecordError], object] | None,
) -> list[CallRecord]:
    """Return the calls of an order, sorted by start time; the arguments are those of `CdrSession.calls_by_order`."""
    parameters = order_parameters(order_id, tenant_id)
    context.need_keys(ORDER)
    structurer = context.structurer(ORDER, on_bad_row, bad_row_callback)
    read_success = context.state.page_decoder(ORDER).page
    reader = context.reader(ORDER, structurer.stats, order_filters(order_id), read_success)
    found = await read_at_once(reader, structurer, parameters, f"of order {order_id!r}")
    return sorted(found, key=lambda call: (call.start_time, call.call_id))

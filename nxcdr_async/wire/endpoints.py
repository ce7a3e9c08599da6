"""The table of the vendor's APIs.

Adding an API is one `Endpoint` here, and one method of the session that names its query and its way of paging.
"""

from collections.abc import Callable, Hashable
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

from attrs import define

from nxcdr_async.records import CallRecord, DidCallRecord, FlashCallRecord

RecordT = TypeVar("RecordT")


@define(frozen=True)
class Endpoint(Generic[RecordT]):
    """One API of the vendor.

    Attributes:
        name: what it is called in logs and errors.
        path: appended to the base URL of its gateway.
        home: "region" for the region's own gateway, "shared" for the older one.
        biz_type: the signed header of the same name; None where the secret travels in the query instead.
        action: likewise.
        page_size: the most rows the vendor answers with at once.
        rows_at: the keys that lead to the rows of a reply.
        record_class: what a row becomes.
        moment: the time records are sorted by.
        finish: the other time a range may be about; None where the vendor says that it is `moment`.
        identity: the id by which a record is known, None where the vendor left it out.
        id_key: the vendor's key of that id.
        flash_codes: whether result codes mean what the flash-call page says instead of the common ones.
    """

    name: str
    path: str
    home: Literal["region", "shared"]
    biz_type: str | None
    action: str | None
    page_size: int
    rows_at: tuple[str, ...]
    record_class: type[RecordT]
    moment: Callable[[RecordT], datetime]
    finish: Callable[[RecordT], datetime | None] | None
    identity: Callable[[RecordT], Hashable | None]
    id_key: str
    flash_codes: bool = False

    def row_key(self, row: Any) -> str | None:
        """Return the id of a row that is not a record yet as text, None if it has none: 5, 5.0 and "5" are one."""
        found = row.get(self.id_key) if isinstance(row, dict) else None
        if isinstance(found, Decimal) and found == found.to_integral_value():
            return f"{found:.0f}"
        return str(found) if isinstance(found, str | int) and found != "" else None


def _call_start(call: CallRecord) -> datetime:
    return call.start_time


def _call_end(call: CallRecord) -> datetime | None:
    return call.end_time


def _call_id(call: CallRecord) -> str:
    return call.call_id


CALLS = Endpoint(
    name="calls",
    path="/saas/cc/openapi/cdr/page",
    home="region",
    biz_type="8",
    action="cc",
    page_size=100,
    rows_at=("data",),
    record_class=CallRecord,
    moment=_call_start,
    finish=_call_end,
    identity=_call_id,
    id_key="callId",
)
ORDER = Endpoint(
    name="order",
    path="/saas/cc/openapi/cdr/queryByOrderId",
    home="region",
    biz_type="8",
    action="cc",
    page_size=0,
    rows_at=("data",),
    record_class=CallRecord,
    moment=_call_start,
    finish=_call_end,
    identity=_call_id,
    id_key="callId",
)
DID = Endpoint(
    name="did",
    path="/api/did/cdr",
    home="shared",
    biz_type="4",
    action="cdr",
    page_size=999,
    rows_at=("data", "list"),
    record_class=DidCallRecord,
    moment=lambda call: call.start_time,
    finish=lambda call: call.end_time,
    identity=lambda call: call.id,
    id_key="id",
)
FLASH = Endpoint(
    name="flash",
    path="/otp/call/list",
    home="shared",
    biz_type=None,
    action=None,
    page_size=100,
    rows_at=("cdrs",),
    record_class=FlashCallRecord,
    moment=lambda call: call.gmt_create,
    finish=None,
    identity=lambda call: call.id,
    id_key="id",
    flash_codes=True,
)
ENDPOINTS: tuple[Endpoint[Any], ...] = (CALLS, ORDER, DID, FLASH)
"""Every API of the vendor this package reads."""

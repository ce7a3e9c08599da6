"""The table of the vendor's APIs.

Adding an API is one `Endpoint` here, and one method of the session that names its query and its way of paging.
"""

from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

from attrs import define, evolve

from nxcdr_async.records import CallRecord, DidCallRecord, FlashCallRecord, unread_row
from nxcdr_async.wire.codes import CODES, FLASH_CODES, CodeMeaning

RecordT = TypeVar("RecordT")


GatewayKind = Literal["region", "shared"]


@define(frozen=True)
class Signing:
    """The headers that tell the vendor which business a request is for; both are signed."""

    biz_type: str
    action: str


@define(frozen=True)
class Endpoint(Generic[RecordT]):
    """One API of the vendor.

    Attributes:
        name: what it is called in logs and errors.
        path: appended to the base URL of its gateway.
        gateway: "region" for the region's own gateway, "shared" for the older one.
        signing: the signed headers; None where the secret travels in the query instead.
        codes: what its result codes mean.
        page_size: the most rows the vendor answers with at once.
        rows_at: the keys that lead to the rows of a reply.
        record_class: what a row becomes.
        moment: the time records are sorted by.
        seconds: the same as epoch seconds, cheap where the record has not read its time yet.
        end_time: the other time a range may be about; None where the vendor says that it is `moment`.
        identity: the id by which a record is known, None where the vendor left it out.
        id_key: the vendor's key of that id.
    """

    name: str
    path: str
    gateway: GatewayKind
    signing: Signing | None
    codes: Mapping[int, CodeMeaning]
    page_size: int
    rows_at: tuple[str, ...]
    record_class: type[RecordT]
    moment: Callable[[RecordT], datetime]
    seconds: Callable[[RecordT], float]
    end_time: Callable[[RecordT], datetime | None] | None
    identity: Callable[[RecordT], Hashable | None]
    id_key: str

    def row_key(self, row: Any) -> str | None:
        """Return the id of a row that is not a record yet as text, None if it has none: 5, 5.0 and "5" are one."""
        found = row.get(self.id_key) if isinstance(row, dict) else getattr(row, self.id_key, None)
        if isinstance(found, str):
            return found or None
        if isinstance(found, Decimal) and found == found.to_integral_value():
            return f"{found:.0f}"
        return str(found) if isinstance(found, int) else None


def _start_seconds(call: CallRecord) -> float:
    row = unread_row(call)
    return call.start_time.timestamp() if row is None else row.startTime / 1000


CALLS: Endpoint[CallRecord] = Endpoint(
    name="calls",
    path="/saas/cc/openapi/cdr/page",
    gateway="region",
    signing=Signing(biz_type="8", action="cc"),
    codes=CODES,
    page_size=100,
    rows_at=("data",),
    record_class=CallRecord,
    moment=lambda call: call.start_time,
    seconds=_start_seconds,
    end_time=lambda call: call.end_time,
    identity=lambda call: call.call_id,
    id_key="callId",
)
ORDER = evolve(CALLS, name="order", path="/saas/cc/openapi/cdr/queryByOrderId")
DID: Endpoint[DidCallRecord] = Endpoint(
    name="did",
    path="/api/did/cdr",
    gateway="shared",
    signing=Signing(biz_type="4", action="cdr"),
    codes=CODES,
    page_size=999,
    rows_at=("data", "list"),
    record_class=DidCallRecord,
    moment=lambda call: call.start_time,
    seconds=lambda call: call.start_time.timestamp(),
    end_time=lambda call: call.end_time,
    identity=lambda call: call.id,
    id_key="id",
)
FLASH: Endpoint[FlashCallRecord] = Endpoint(
    name="flash",
    path="/otp/call/list",
    gateway="shared",
    signing=None,
    codes=FLASH_CODES,
    page_size=100,
    rows_at=("cdrs",),
    record_class=FlashCallRecord,
    moment=lambda call: call.gmt_create,
    seconds=lambda call: call.gmt_create.timestamp(),
    end_time=None,
    identity=lambda call: call.id,
    id_key="id",
)
ENDPOINTS: tuple[Endpoint[Any], ...] = (CALLS, ORDER, DID, FLASH)
"""Every API of the vendor this package reads."""

"""The table of the vendor's APIs as they are on the wire, which every floor from here on up reads.

What can be asked of one, and how its answers are paged, is in its file in `sources`.
"""

from collections.abc import Callable, Hashable, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar

from attrs import define, evolve

from nxcdr_async._util.moments import EPOCH
from nxcdr_async.protocol.auth import Auth, HeaderSignature, QuerySecret
from nxcdr_async.protocol.codes import CODES, FLASH_CODES, Meaning
from nxcdr_async.protocol.responses import Row, column_of, text_of
from nxcdr_async.records.converter import UnreadableRow
from nxcdr_async.records.models import CallRecord, DidCallRecord, FlashCallRecord

RecordT = TypeVar("RecordT")

_MILLISECOND = timedelta(milliseconds=1)

GatewayKind = Literal["region", "shared"]


@define(frozen=True)
class Endpoint(Generic[RecordT]):
    """One API of the vendor.

    Attributes:
        name: what it is called in logs.
        noun: what its records are called in errors.
        path: appended to the base URL of its gateway.
        gateway: "region" for the region's own gateway, "shared" for the older one.
        auth: how a request says who asks.
        codes: what its result codes mean.
        page_size: the most rows the vendor answers with at once.
        rows_at: the keys that lead to the rows of a response.
        record_class: what a row becomes.
        start_ms: the time a record is sorted by, epoch milliseconds; also of the values of one that is not made yet.
        end_ms: the other time a range may be about, of a call on its way; None where the vendor says that it is the
            start.
        identity: the id by which a record is known, None where the vendor left it out; likewise.
        id_key: the vendor's key of that id.
        start_key: the vendor's key of the time records are sorted by.
        is_single: whether one row stands where others have a list of them.
    """

    name: str
    noun: str
    path: str
    gateway: GatewayKind
    auth: Auth
    codes: Mapping[int, Meaning]
    page_size: int
    rows_at: tuple[str, ...]
    record_class: type[RecordT]
    start_ms: Callable[[RecordT], float]
    end_ms: Callable[[Row], float | None] | None
    identity: Callable[[RecordT], Hashable | None]
    id_key: str
    start_key: str
    is_single: bool = False

    @property
    def method(self) -> Literal["GET", "POST"]:
        """The method of its requests."""
        return self.auth.method

    def row_key(self, row: Any) -> str | None:
        """Return the id of a row that is not a record yet as text, None if it has none: 5, 5.0 and "5" are one.

        A row that is no JSON and does not tell its id is known by all of it.
        """
        if isinstance(row, UnreadableRow):
            return text_of(row.values.get(self.id_key)) or row.text
        (found,) = column_of([row], self.id_key)
        return text_of(found) or None


def _milliseconds(moment: datetime) -> float:
    return (moment - EPOCH) / _MILLISECOND


def _end_ms(row: Row) -> float | None:
    return _milliseconds(row.values.end_time) if row.values.end_time else None


CALLS: Endpoint[CallRecord] = Endpoint(
    name="calls",
    noun="calls",
    path="/saas/cc/openapi/cdr/page",
    gateway="region",
    auth=HeaderSignature(biz_type="8", action="cc"),
    codes=CODES,
    page_size=100,
    rows_at=("data",),
    record_class=CallRecord,
    start_ms=lambda call: _milliseconds(call.start_time),
    end_ms=_end_ms,
    identity=attrgetter("call_id"),
    id_key="callId",
    start_key="startTime",
)
ORDER = evolve(CALLS, name="order", path="/saas/cc/openapi/cdr/queryByOrderId")
DID: Endpoint[DidCallRecord] = Endpoint(
    name="did",
    noun="DID calls",
    path="/api/did/cdr",
    gateway="shared",
    auth=HeaderSignature(biz_type="4", action="cdr"),
    codes=CODES,
    page_size=999,
    rows_at=("data", "list"),
    record_class=DidCallRecord,
    start_ms=lambda call: _milliseconds(call.start_time),
    end_ms=_end_ms,
    identity=attrgetter("id"),
    id_key="id",
    start_key="startTime",
)
FLASH: Endpoint[FlashCallRecord] = Endpoint(
    name="flash",
    noun="flash calls",
    path="/otp/call/list",
    gateway="shared",
    auth=QuerySecret(),
    codes=FLASH_CODES,
    page_size=100,
    rows_at=("cdrs",),
    record_class=FlashCallRecord,
    start_ms=lambda call: _milliseconds(call.gmt_create),
    end_ms=None,
    identity=attrgetter("id"),
    id_key="id",
    start_key="gmtCreate",
)
FLASH_CALL = evolve(FLASH, name="flash_call", noun="flash call", path="/otp/call/get", rows_at=("cdr",), is_single=True)
CALL_PUSH = HeaderSignature(biz_type="8", action="callback")
"""What the vendor signs its pushes of finished calls for."""

ENDPOINTS: tuple[Endpoint[Any], ...] = (CALLS, ORDER, DID, FLASH, FLASH_CALL)
"""Every API of the vendor this package reads."""

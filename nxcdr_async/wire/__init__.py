"""The wire: the table of the vendor's APIs, questions to bytes, and bytes to rows or an error. No I/O, no clock."""

from nxcdr_async.wire.charset import in_utf8
from nxcdr_async.wire.codes import CodeMeaning, is_final, may_refuse_range
from nxcdr_async.wire.endpoints import CALL_PUSH, CALLS, DID, ENDPOINTS, FLASH, ORDER, Endpoint, GatewayKind, Signing
from nxcdr_async.wire.filters import FilterCheck
from nxcdr_async.wire.json_text import read_row
from nxcdr_async.wire.queries import (
    CallQuery,
    DidQuery,
    checked_days,
    flash_parameters,
    order_filters,
    order_parameters,
)
from nxcdr_async.wire.replies import (
    Dated,
    DatedRecord,
    Page,
    ReadTyped,
    Reply,
    read_page,
    request_id_in,
)
from nxcdr_async.wire.requests import Request, flash_request, signed_request
from nxcdr_async.wire.rows import TypedRows
from nxcdr_async.wire.verification import ALLOWED_SKEW_MS, SIGNED_HEADERS, HeaderFault, SignedHeaders, read_ts

__all__ = [
    "ALLOWED_SKEW_MS",
    "CALLS",
    "CALL_PUSH",
    "DID",
    "ENDPOINTS",
    "FLASH",
    "ORDER",
    "SIGNED_HEADERS",
    "CallQuery",
    "CodeMeaning",
    "Dated",
    "DatedRecord",
    "DidQuery",
    "Endpoint",
    "FilterCheck",
    "GatewayKind",
    "HeaderFault",
    "Page",
    "ReadTyped",
    "Reply",
    "Request",
    "SignedHeaders",
    "Signing",
    "TypedRows",
    "checked_days",
    "flash_parameters",
    "flash_request",
    "in_utf8",
    "is_final",
    "may_refuse_range",
    "order_filters",
    "order_parameters",
    "read_page",
    "read_row",
    "read_ts",
    "request_id_in",
    "signed_request",
]

"""Every call detail record of the NXLink / NXCloud call center, read concurrently and proven complete.

>>> async def main():
...     async with CdrSession(Region.HK, Credentials("AK…", "secret")) as cdr:
...         async for call in cdr.calls(start, end, direction=Direction.INBOUND, answered=True):
...             print(call.call_id, call.start_time, call.queue_wait, call.total_customer_price)
"""

from typing import TYPE_CHECKING

from nxcdr_async._util.late_imports import lazy_names
from nxcdr_async._version import __version__
from nxcdr_async.errors import (
    AuthenticationError,
    BusyError,
    CertificateError,
    ClockSkewError,
    ConfigurationError,
    GatewayError,
    IncompleteError,
    InvalidRequestError,
    MalformedReplyError,
    NxcdrError,
    ProxyError,
    RecordError,
    RefusedRangeError,
    SaturatedDayError,
    SaturatedSecondError,
    ServerError,
    SinkError,
    ThrottledError,
    TimedOutError,
    TransportError,
)

if TYPE_CHECKING:
    from nxcdr_async.config import Credentials, FlashApp, Region
    from nxcdr_async.ingest.api import backfill, prune, status, sync, verify
    from nxcdr_async.ingest.pushes import PushedCalls
    from nxcdr_async.ingest.report import (
        AgeCount,
        BackfillProgress,
        BackfillReport,
        DayTotals,
        Difference,
        Gap,
        LastRun,
        PrunedSource,
        PruneReport,
        SourceStatus,
        StoreStatus,
        Totals,
        VerifiedSource,
        VerifyReport,
    )
    from nxcdr_async.paging.follower import Follower
    from nxcdr_async.paging.paginator import Paginator
    from nxcdr_async.protocol.auth import sign
    from nxcdr_async.records.converter import make_converter
    from nxcdr_async.records.hangup import Hangup, HangupCategory, HangupParty, explain_hangup
    from nxcdr_async.records.json_lines import LineReader, closing_line, json_lines
    from nxcdr_async.records.models import CallRecord, DidCallRecord, Direction, FlashCallRecord
    from nxcdr_async.session import CdrSession
    from nxcdr_async.stats import PaginatorStats, SessionStats
else:
    # Each is imported as it is first used: whoever needs a few of them, or only the version, waits for no more.
    __getattr__ = lazy_names(
        __name__,
        {
            "nxcdr_async.config": ("Credentials", "FlashApp", "Region"),
            "nxcdr_async.ingest.api": ("backfill", "prune", "status", "sync", "verify"),
            "nxcdr_async.ingest.pushes": ("PushedCalls",),
            "nxcdr_async.ingest.report": (
                "AgeCount",
                "BackfillProgress",
                "BackfillReport",
                "DayTotals",
                "Difference",
                "Gap",
                "LastRun",
                "PrunedSource",
                "PruneReport",
                "SourceStatus",
                "StoreStatus",
                "Totals",
                "VerifiedSource",
                "VerifyReport",
            ),
            "nxcdr_async.paging.follower": ("Follower",),
            "nxcdr_async.paging.paginator": ("Paginator",),
            "nxcdr_async.protocol.auth": ("sign",),
            "nxcdr_async.records.converter": ("make_converter",),
            "nxcdr_async.records.hangup": ("Hangup", "HangupCategory", "HangupParty", "explain_hangup"),
            "nxcdr_async.records.json_lines": ("LineReader", "closing_line", "json_lines"),
            "nxcdr_async.records.models": ("CallRecord", "DidCallRecord", "Direction", "FlashCallRecord"),
            "nxcdr_async.session": ("CdrSession",),
            "nxcdr_async.stats": ("PaginatorStats", "SessionStats"),
        },
    )

__all__ = [
    "AgeCount",
    "AuthenticationError",
    "BackfillProgress",
    "BackfillReport",
    "BusyError",
    "CallRecord",
    "CdrSession",
    "CertificateError",
    "ClockSkewError",
    "ConfigurationError",
    "Credentials",
    "DayTotals",
    "DidCallRecord",
    "Difference",
    "Direction",
    "FlashApp",
    "FlashCallRecord",
    "Follower",
    "Gap",
    "GatewayError",
    "Hangup",
    "HangupCategory",
    "HangupParty",
    "IncompleteError",
    "InvalidRequestError",
    "LastRun",
    "LineReader",
    "MalformedReplyError",
    "NxcdrError",
    "Paginator",
    "PaginatorStats",
    "ProxyError",
    "PruneReport",
    "PrunedSource",
    "PushedCalls",
    "RecordError",
    "RefusedRangeError",
    "Region",
    "SaturatedDayError",
    "SaturatedSecondError",
    "ServerError",
    "SessionStats",
    "SinkError",
    "SourceStatus",
    "StoreStatus",
    "ThrottledError",
    "TimedOutError",
    "Totals",
    "TransportError",
    "VerifiedSource",
    "VerifyReport",
    "__version__",
    "backfill",
    "closing_line",
    "explain_hangup",
    "json_lines",
    "make_converter",
    "prune",
    "sign",
    "status",
    "sync",
    "verify",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

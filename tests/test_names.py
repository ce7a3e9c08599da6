"""Pins the public face: what users type must not change by accident."""

import inspect
import re
from typing import Any

import attrs
import pytest

import nxcdr_async
from nxcdr_async import (
    AgeCount,
    BackfillProgress,
    BackfillReport,
    CallRecord,
    CdrSession,
    Credentials,
    DayTotals,
    DidCallRecord,
    FlashApp,
    FlashCallRecord,
    Follower,
    Gap,
    LastRun,
    LineReader,
    Paginator,
    PaginatorStats,
    PushedCalls,
    Region,
    SessionStats,
    SourceStatus,
    StoreStatus,
    Totals,
    VerifyReport,
    backfill,
    closing_line,
    explain_hangup,
    json_lines,
    make_converter,
    prune,
    sign,
    status,
    sync,
    verify,
)
from nxcdr_async.webhook import CallPushApp, call_push_app

NAMES = """
    AuthenticationError BackfillProgress BackfillReport BusyError CallRecord CdrSession CertificateError ClockSkewError
    ConfigurationError Credentials
    DidCallRecord Difference Direction FlashApp FlashCallRecord Follower Gap GatewayError Hangup HangupCategory
    HangupParty IncompleteError InvalidRequestError LineReader MalformedReplyError NxcdrError Paginator PaginatorStats
    ProxyError
    PruneReport PrunedSource PushedCalls RecordError
    RefusedRangeError Region SaturatedDayError SaturatedSecondError ServerError SessionStats SinkError ThrottledError
    TimedOutError TransportError VerifiedSource VerifyReport __version__ backfill closing_line explain_hangup
    json_lines
    make_converter prune sign sync verify
    AgeCount DayTotals LastRun SourceStatus StoreStatus Totals status
"""
BAD_ROWS = (
    "on_bad_row: Literal['raise', 'skip'] = 'raise', bad_row_callback: Callable[[RecordError], object] | None = None"
)
ON_SATURATED_DAY = "on_saturated_day: Callable[[SaturatedDayError], object] | None = None"
ON_SATURATED_SECOND = "on_saturated_second: Callable[[SaturatedSecondError], object] | None = None"
ON_REFUSED_RANGE = "on_refused_range: Callable[[RefusedRangeError], object] | None = None"
SOURCE = "Literal['calls', 'did', 'flash']"
INTO_A_SINK = (
    "to: 'str | Path | Sink', on_progress: Callable[[BackfillProgress], object] | None = None, *, "
    f"settle: timedelta = timedelta(days=1), new_key: bool = False, new_gateway: bool = False, {BAD_ROWS}"
)
UTC_PLUS_8 = "timezone(timedelta(seconds=28800))"


def signature_of(function: Any) -> str:
    """Return a signature as text without the modules of its types, the same on each Python."""
    text = re.sub(r"<(\w+\.\w+): .*?>", r"\1", str(inspect.signature(function)))
    text = re.sub(r"<function (\w+) at \w+>", r"\1", text)
    text = re.sub(r"(?<![\w'])(?:[a-z_]\w*\.)+(?=\w)", "", text).replace("~", "")
    return re.sub(r"Optional\[(Literal\[.*?\])\]", r"\1 | None", text)


def test_exactly_these_names_are_public() -> None:
    assert sorted(nxcdr_async.__all__) == sorted(NAMES.split())


def test_every_public_name_is_there_and_sorted() -> None:
    assert all(hasattr(nxcdr_async, name) for name in nxcdr_async.__all__)
    assert nxcdr_async.__all__ == sorted(nxcdr_async.__all__)


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (
            CdrSession,
            (
                "(region: Region | str = Region.HK, credentials: Credentials | None = None, *, "
                "flash_app: FlashApp | None = None, gateway: str | None = None, concurrency: int | None = None, "
                f"rate: float | None = None, timeout: float = 30.0, naive_zone: tzinfo = {UTC_PLUS_8}, "
                "max_span: timedelta | None = None, proxy: str | ProxyRules | None = None, "
                "http: 'aiohttp.ClientSession | None' = None) -> None"
            ),
        ),
        (CdrSession.from_env, "(**overrides: Any) -> Self"),
        (
            CdrSession.calls,
            (
                "(self, start: datetime, end: datetime, *, direction: Direction | None = None, "
                "answered: bool | None = None, agent: str | None = None, caller: str | None = None, "
                "callee: str | None = None, call_id: str | None = None, order_id: str | None = None, "
                f"{BAD_ROWS}, {ON_SATURATED_SECOND}, {ON_REFUSED_RANGE}) -> Paginator[CallRecord]"
            ),
        ),
        (
            CdrSession.calls_by_order,
            f"(self, order_id: str, *, tenant_id: int, {BAD_ROWS}) -> list[CallRecord]",
        ),
        (
            CdrSession.did_calls,
            (
                "(self, first_day: date, last_day: date | None = None, *, did_number: str | None = None, "
                f"call_number: str | None = None, direction: Direction | None = None, {BAD_ROWS}, "
                f"{ON_SATURATED_DAY}, {ON_REFUSED_RANGE}) -> Paginator[DidCallRecord]"
            ),
        ),
        (CdrSession.flash_call, "(self, request_id: str) -> FlashCallRecord | None"),
        (
            CdrSession.flash_calls,
            (
                f"(self, start: datetime, end: datetime, *, {BAD_ROWS}, "
                f"{ON_SATURATED_SECOND}, {ON_REFUSED_RANGE}) -> Paginator[FlashCallRecord]"
            ),
        ),
        (
            CdrSession.follow,
            (
                f"(self, source: {SOURCE} = 'calls', *, since: datetime | None = None, "
                "position: Mapping[str, Any] | None = None, every: float = 60.0, settle: timedelta = "
                f"timedelta(days=1), {BAD_ROWS}, on_gap: Callable[[NxcdrError], object] | None = None, "
                "on_retry: Callable[[NxcdrError], object] | None = None, **filters: Any) -> Follower[Any]"
            ),
        ),
        (Follower.pages, "(self) -> PageIterator[RecordT]"),
        (Follower.aclose, "(self) -> None"),
        (CdrSession.aclose, "(self) -> None"),
        (Paginator.pages, "(self) -> 'PageIterator[RecordT]'"),
        (Paginator.collect, "(self) -> list[RecordT]"),
        (Paginator.to_arrow, "(self) -> 'pa.Table'"),
        (Paginator.to_pandas, "(self) -> 'pd.DataFrame'"),
        (Paginator.to_polars, "(self) -> 'pl.DataFrame'"),
        (Paginator.aclose, "(self) -> None"),
        (Paginator.__aiter__, "(self) -> Self"),
        (Paginator.__anext__, "(self) -> RecordT"),
        (Paginator.__aenter__, "(self) -> Self"),
        (
            sign,
            (
                "(credentials: Credentials, *, action: str, biz_type: str | int, ts: int | str, "
                "body: bytes | str = b'') -> str"
            ),
        ),
        (Credentials, "(access_key: str, access_secret: str, algorithm: str = 'md5') -> None"),
        (FlashApp, "(appkey: str, secretkey: str) -> None"),
        (
            verify,
            (
                "(session: CdrSession, to: 'str | Path | Sink', "
                "source: Literal['calls', 'did', 'flash'] | None = None, "
                "on_progress: Callable[[BackfillProgress], object] | None = None, *, start: date | None = None, "
                "end: date | None = None, totals: tzinfo | None = None, sample: int | None = 20, "
                "seed: int | None = None, fix: bool = False, settle: timedelta = timedelta(days=1), "
                f"new_key: bool = False, new_gateway: bool = False, {BAD_ROWS}) -> VerifyReport"
            ),
        ),
        (make_converter, f"(naive_zone: tzinfo = {UTC_PLUS_8}) -> Converter"),
        (json_lines, "(records: Iterable[Any]) -> bytes"),
        (closing_line, "(records: int) -> bytes"),
        (LineReader, "() -> None"),
        (LineReader.read, "(self, line: bytes | str) -> dict[str, Any] | None"),
        (LineReader.end, "(self) -> None"),
        (explain_hangup, "(code: int) -> Hangup"),
        (
            backfill,
            (f"(session: CdrSession, source: {SOURCE}, start: date, end: date, {INTO_A_SINK}) -> BackfillReport"),
        ),
        (
            call_push_app,
            (
                "(on_call: Callable[[CallRecord], Awaitable[object]], *, token: str | None = None, "
                "credentials: Credentials | None = None, path: str = '/', "
                "once_within: timedelta = timedelta(seconds=600), largest_body: int = 65536, "
                "timeout: float = 30.0, now: Callable[[], float] = wall) -> CallPushApp"
            ),
        ),
        (
            sync,
            f"(session: CdrSession, source: {SOURCE}, {INTO_A_SINK}, since: date | None = None) -> BackfillReport",
        ),
        (
            PushedCalls,
            (
                "(session: CdrSession, to: 'str | Path | Sink', *, new_key: bool = False, lock_timeout: float = 5.0, "
                "new_gateway: bool = False) -> None"
            ),
        ),
        (
            prune,
            (
                "(to: 'str | Path | Sink', before: datetime, "
                "sources: Iterable[Literal['calls', 'did', 'flash']] | None = None, "
                "*, dry_run: bool = False) -> PruneReport"
            ),
        ),
        (
            status,
            (
                "(to: 'str | Path | Sink', sources: Iterable[Literal['calls', 'did', 'flash']] | None = None) "
                "-> StoreStatus"
            ),
        ),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_a_signature_is_what_users_call(function: Any, signature: str) -> None:
    assert signature_of(function) == signature


def test_a_paginator_offers_nothing_else() -> None:
    assert {name for name in vars(Paginator) if not name.startswith("_")} == {
        "aclose",
        "collect",
        "complete_until",
        "pages",
        "stats",
        "to_arrow",
        "to_pandas",
        "to_polars",
    }


def test_a_follower_offers_nothing_else() -> None:
    assert {name for name in vars(Follower) if not name.startswith("_")} == {
        "aclose",
        "complete_until",
        "pages",
        "position",
        "read_until",
    }


def test_a_session_offers_nothing_else() -> None:
    assert {name for name in vars(CdrSession) if not name.startswith("_")} == {
        "aclose",
        "calls",
        "calls_by_order",
        "did_calls",
        "flash_call",
        "flash_calls",
        "follow",
        "from_env",
        "stats",
    }


def test_a_receiver_of_pushes_offers_nothing_else() -> None:
    assert {name for name in vars(CallPushApp) if not name.startswith("_")} == {"handle_aiohttp"}
    assert {name for name in vars(PushedCalls) if not name.startswith("_")} == {"store"}


def test_exactly_these_regions_are_known() -> None:
    assert [region.name for region in Region] == ["HK", "AMER", "IDN", "LEGACY"]


@pytest.mark.parametrize(
    ("record_class", "names"),
    [
        (
            CallRecord,
            (
                "call_id start_time end_time answer_time ring_time in_queue_time out_queue_time direction answered "
                "caller callee agent_name agent_nick_name call_duration ring_duration queue_duration hangup_by "
                "hangup_code hangup_reason call_status order_id task_id dtmf_keys intent other record_url "
                "leave_msg_url total_customer_price line_ip media_ip term_sip_code hangup_cause mos extra"
            ),
        ),
        (
            DidCallRecord,
            (
                "id start_time end_time number call_number call_type country_name call_duration fee_type "
                "fee_duration_minute call_price_unit call_price end_direction end_reason end_reason_name caller_ip "
                "callee_ip extra"
            ),
        ),
        (
            FlashCallRecord,
            (
                "id gmt_create gmt_modified call_start_at call_end_at callback_at customer_id app_id msisdn "
                "calling_number token request_id ip price call_status extra"
            ),
        ),
        (
            SessionStats,
            (
                "requests retries throttled clock_refusals in_flight peak_in_flight concurrency_limit rate_limit "
                "clock_skew clock_source gives_up_in"
            ),
        ),
        (PaginatorStats, "pages windows splits rereads records duplicates bad_rows out_of_order legs"),
        (
            BackfillReport,
            (
                "source sink start end rows_new rows_changed rows_unchanged windows windows_before windows_open "
                "requests waste retries throttled gaps complete_until seconds started finished clock_source legs "
                "windows_lost pruned_before rows_held"
            ),
        ),
        (
            BackfillProgress,
            (
                "source windows windows_expected share rows rows_read seconds rows_per_second seconds_left requests "
                "in_flight limit throttled retries reached complete_until rows_new rows_changed"
            ),
        ),
        (VerifyReport, "sink sources seed requests seconds started finished"),
        (Gap, "kind start end rows"),
        (StoreStatus, "sink size in_use sources"),
        (
            SourceStatus,
            (
                "source rows size start read_until complete_until windows windows_open settle evidence gaps last_run "
                "gateway pruned_before"
            ),
        ),
        (LastRun, "command outcome started finished rows_new rows_changed requests error"),
        (AgeCount, "up_to rows changes"),
        (DayTotals, "day stored found is_whole"),
        (Totals, "rows cost talk_seconds"),
    ],
)
def test_a_record_has_exactly_these_fields(record_class: type[Any], names: str) -> None:
    assert [attribute.name for attribute in attrs.fields(record_class)] == names.split()


def test_the_error_tree_is_as_documented() -> None:
    parents = {
        name: getattr(nxcdr_async, name).__bases__[0].__name__ for name in NAMES.split() if name.endswith("Error")
    }
    assert parents == {
        "NxcdrError": "Exception",
        "ConfigurationError": "NxcdrError",
        "BusyError": "ConfigurationError",
        "TransportError": "NxcdrError",
        "CertificateError": "TransportError",
        "ProxyError": "TransportError",
        "TimedOutError": "TransportError",
        "GatewayError": "NxcdrError",
        "AuthenticationError": "GatewayError",
        "ClockSkewError": "AuthenticationError",
        "InvalidRequestError": "GatewayError",
        "RefusedRangeError": "InvalidRequestError",
        "ThrottledError": "GatewayError",
        "ServerError": "GatewayError",
        "MalformedReplyError": "NxcdrError",
        "RecordError": "NxcdrError",
        "IncompleteError": "NxcdrError",
        "SaturatedDayError": "IncompleteError",
        "SaturatedSecondError": "NxcdrError",
        "SinkError": "NxcdrError",
    }

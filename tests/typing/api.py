"""The public face as a user writes it. Checked by mypy --strict, never run."""

from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, assert_type
from zoneinfo import ZoneInfo

import polars as pl
from aiohttp import web

from nxcdr_async import (
    BackfillProgress,
    BackfillReport,
    BusyError,
    CallRecord,
    CdrSession,
    ClockSkewError,
    ConfigurationError,
    Credentials,
    DidCallRecord,
    Difference,
    Direction,
    FlashApp,
    FlashCallRecord,
    Follower,
    Gap,
    GatewayError,
    Hangup,
    HangupCategory,
    HangupParty,
    LastRun,
    LineReader,
    NxcdrError,
    Paginator,
    PaginatorStats,
    PrunedSource,
    PruneReport,
    PushedCalls,
    RecordError,
    Region,
    SaturatedSecondError,
    SessionStats,
    SinkError,
    SourceStatus,
    StoreStatus,
    ThrottledError,
    VerifiedSource,
    VerifyReport,
    backfill,
    closing_line,
    explain_hangup,
    make_converter,
    prune,
    sign,
    status,
    sync,
    verify,
)
from nxcdr_async.pydantic import CallModel, DidCallModel, FlashCallModel
from nxcdr_async.webhook import CallPushApp, call_push_app

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=1)


async def calls(cdr: CdrSession) -> None:
    assert_type(cdr.calls(START, END), Paginator[CallRecord])
    async for call in cdr.calls(START, END, direction=Direction.INBOUND, answered=True, agent="NX0001"):
        assert_type(call, CallRecord)
        assert_type(call.call_id, str)
        assert_type(call.start_time, datetime)
        assert_type(call.queue_wait, timedelta | None)
        assert_type(call.total_customer_price, Decimal | None)
        assert_type(call.direction, Direction | None)
        assert_type(call.hangup, Hangup | None)
        assert_type(call.hangup_party, HangupParty)
    async for page in cdr.calls(START, END).pages():
        assert_type(page, list[CallRecord])
    async with aclosing(cdr.calls(START, END).pages()) as pages, aclosing(cdr.calls(START, END)) as calls:
        assert_type(await anext(pages), list[CallRecord])
        assert_type(await anext(calls), CallRecord)
    reader = LineReader()
    assert_type(reader.read(closing_line(0)), dict[str, Any] | None)
    assert_type(reader.end(), None)
    assert_type(
        await cdr.calls(START, END, caller="1", callee="2", call_id="3", order_id="4").collect(), list[CallRecord]
    )
    assert_type(await cdr.calls(START, END).to_polars(), pl.DataFrame)
    (await cdr.calls(START, END).to_arrow()).num_rows  # noqa: B018 - neither pyarrow nor pandas ships types
    (await cdr.calls(START, END).to_pandas()).dtypes  # noqa: B018 - as above
    assert_type(await cdr.calls_by_order("order", tenant_id=144), list[CallRecord])
    async with cdr.calls(START, END) as some:
        assert_type(some, Paginator[CallRecord])
        assert_type(await anext(some), CallRecord)
        assert_type(some.stats, PaginatorStats)
        assert_type(some.complete_until, datetime | None)
        await some.aclose()


async def did_calls(cdr: CdrSession) -> None:
    async for call in cdr.did_calls(date(2026, 1, 1), date(2026, 1, 2), did_number="1", direction=Direction.OUTBOUND):
        assert_type(call, DidCallRecord)
        assert_type(call.call_price, Decimal | None)
        assert_type(call.id, int | None)
    async for page in cdr.did_calls(date(2026, 1, 1)).pages():
        assert_type(page, list[DidCallRecord])
    assert_type(await cdr.did_calls(date(2026, 1, 1)).collect(), list[DidCallRecord])


async def flash_calls(cdr: CdrSession) -> None:
    bad_rows: list[RecordError] = []
    async for call in cdr.flash_calls(START, END, on_bad_row="skip", bad_row_callback=bad_rows.append):
        assert_type(call, FlashCallRecord)
        assert_type(call.gmt_create, datetime)
    async for page in cdr.flash_calls(START, END).pages():
        assert_type(page, list[FlashCallRecord])
    assert_type(await cdr.flash_calls(START, END).collect(), list[FlashCallRecord])


async def flash_call(cdr: CdrSession) -> None:
    assert_type(await cdr.flash_call("request"), FlashCallRecord | None)
    await cdr.flash_call(5)  # type: ignore[arg-type]


async def following(cdr: CdrSession) -> None:
    assert_type(cdr.follow(since=START, every=60), Follower[CallRecord])
    assert_type(cdr.follow("did", since=START, did_number="1", direction=Direction.INBOUND), Follower[DidCallRecord])
    assert_type(cdr.follow("flash", position={}, settle=timedelta(hours=2)), Follower[FlashCallRecord])
    async with cdr.follow("calls", agent="NX0001", on_retry=print, on_gap=print, on_bad_row="skip") as calls:
        assert_type(calls, Follower[CallRecord])
        async for call in calls:
            assert_type(call, CallRecord)
            assert_type(calls.position, dict[str, Any])
        async for page in calls.pages():
            assert_type(page, list[CallRecord])
        assert_type(calls.read_until, datetime)
        assert_type(calls.complete_until, datetime)
    cdr.follow("flash", agent="NX0001")  # type: ignore[call-overload]
    cdr.follow("sms")  # type: ignore[call-overload]


async def sessions() -> None:
    async with CdrSession(
        Region.AMER,
        Credentials("AK", "secret", "sha256"),
        flash_app=FlashApp("app", "secret"),
        gateway="https://relay.example",
        proxy="http://proxy.example:3128",
        concurrency=8,
        rate=2.5,
        timeout=10,
        naive_zone=ZoneInfo("Asia/Shanghai"),
        http=None,
    ) as cdr:
        assert_type(cdr, CdrSession)
        assert_type(cdr.stats, SessionStats)
        assert_type(cdr.stats.clock_skew, float | None)
        cdr.converter.register_structure_hook(Decimal, lambda value, _: Decimal(value))
    async with CdrSession.from_env(region="idn") as cdr:
        assert_type(cdr, CdrSession)
        await cdr.aclose()


async def verification(cdr: CdrSession) -> None:
    report = await verify(cdr, "calls.sqlite", "calls", sample=None, fix=True, settle=timedelta(hours=1))
    assert_type(report, VerifyReport)
    for source in report.sources:
        assert_type(source, VerifiedSource)
        assert_type(source.complete_until, datetime | None)
        assert_type(source.examples, tuple[Difference, ...])
    await verify(cdr, "calls.sqlite", "sms")  # type: ignore[arg-type]


async def pruning() -> None:
    report = await prune("calls.sqlite", START, ["calls"], dry_run=True)
    assert_type(report, PruneReport)
    assert_type(report.sources, tuple[PrunedSource, ...])
    assert_type(report.rows, int)
    await prune("calls.sqlite", START, ["sms"])  # type: ignore[list-item]


async def errors(cdr: CdrSession) -> datetime | None:
    try:
        await cdr.calls(START, END).collect()
    except ThrottledError as error:
        assert_type(error.retry_after, float | None)
    except ClockSkewError as error:
        assert_type(error.code, int | None)
    except GatewayError as error:
        assert_type(error.message, str)
        assert_type(error.request_id, str | None)
        assert_type(error.http_status, int | None)
    except RecordError as error:
        assert_type(error.path, str)
        assert_type(error.record_id, str | None)
    except SaturatedSecondError as error:
        assert_type(error.second, datetime)
    except NxcdrError as error:
        assert_type(error.asked_for, str | None)
        assert_type(error.attempts, int)
        assert_type(error.request_id, str | None)
        return error.complete_until
    return None


async def stores(cdr: CdrSession) -> None:
    def tell(progress: BackfillProgress) -> None:
        assert_type(progress.share, float)
        assert_type(progress.seconds_left, float | None)
        assert_type(progress.complete_until, datetime | None)

    report = await backfill(cdr, "calls", START, END, to="calls.duckdb", on_progress=tell)
    assert_type(report, BackfillReport)
    assert_type(report.rows, int)
    assert_type(report.complete_until, datetime | None)
    assert_type(report.finished - report.started, timedelta)
    for gap in report.gaps:
        assert_type(gap, Gap)
        assert_type(gap.kind, Literal["saturated second", "saturated day", "refused range", "bad rows", "never read"])
    await backfill(cdr, "did", date(2026, 1, 1), date(2026, 1, 31), Path("calls.parquet"), settle=timedelta(hours=48))
    bad_rows: list[RecordError] = []
    await backfill(cdr, "flash", START, END, to="a.csv", on_bad_row="skip", bad_row_callback=bad_rows.append)
    await backfill(cdr, "orders", START, END, to="a.csv")  # type: ignore[arg-type]
    await backfill(cdr, "calls", START, END)  # type: ignore[call-arg]
    try:
        assert_type(await sync(cdr, "calls", "calls.duckdb", print, new_key=True), BackfillReport)
        assert_type(await sync(cdr, "did", "calls.duckdb", since=date(2026, 1, 1)), BackfillReport)
    except BusyError as error:
        is_wrong_use: ConfigurationError = error
        raise is_wrong_use from None
    except SinkError as error:
        assert_type(error.complete_until, datetime | None)


async def looking() -> None:
    found = await status("calls.duckdb", ["calls"])
    assert_type(found, StoreStatus)
    assert_type(found.in_use, bool | None)
    for source in found.sources:
        assert_type(source, SourceStatus)
        assert_type(source.last_run, LastRun | None)
        assert_type(source.settle, timedelta)


async def pushes(cdr: CdrSession) -> None:
    async def store(call: CallRecord) -> int:
        return len(call.call_id)

    app = call_push_app(store, token="token", credentials=Credentials("AK", "secret"), once_within=timedelta(0))
    assert_type(app, CallPushApp)
    web.Application().router.add_post("/push", app.handle_aiohttp)
    call_push_app(print, token="token")  # type: ignore[arg-type]
    call_push_app(PushedCalls(cdr, Path("calls.sqlite"), lock_timeout=1).store, token="token")


async def saturated_seconds(cdr: CdrSession) -> None:
    found: list[SaturatedSecondError] = []
    paginator = cdr.flash_calls(START, END, on_saturated_second=found.append)
    assert_type(paginator, Paginator[FlashCallRecord])


def models(call: CallModel, did: DidCallModel, flash: FlashCallModel) -> list[CallModel]:
    assert_type(call, CallRecord)
    assert_type(did, DidCallRecord)
    assert_type(flash, FlashCallRecord)
    return [CallRecord(call_id="a", start_time=START)]


def pure() -> None:
    assert_type(sign(Credentials("AK", "secret"), action="cc", biz_type=8, ts=1, body=b"{}"), str)
    assert_type(explain_hangup(1103).category, HangupCategory)
    call = make_converter().structure({"callId": "a", "startTime": 1690442492841}, CallRecord)
    assert_type(call, CallRecord)
    call.nobody  # type: ignore[attr-defined]  # noqa: B018
    assert_type(Region.named("hk").gateway, str)
    assert_type(Region.LEGACY.website, str | None)

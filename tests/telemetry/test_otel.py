"""Spans and metrics of real requests to the emulator, as the SDK of OpenTelemetry sees them."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import aiohttp
import pytest
from attrs import define, field
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, Context, get_current, get_value
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from nxcdr_async import CdrSession, Credentials, FlashApp, NxcdrError, Region, __version__, backfill
from nxcdr_async.telemetry.log import _log_failed_telemetry
from nxcdr_async.telemetry.otel import OtelTelemetry
from nxcdr_async.telemetry.watch import SILENCE, telemetry_for
from nxcdr_async.testing import Gateway
from tests.sessions import OpenSession

SECOND = timedelta(seconds=1)


@define(eq=False)
class Recorder:
    """Takes what an application's providers would export."""

    exporter: InMemorySpanExporter = field(factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(factory=InMemoryMetricReader)
    tracers: TracerProvider = field(factory=TracerProvider)
    meters: MeterProvider = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])

    def watching(self, session: CdrSession, region: str = "custom") -> CdrSession:
        """Hand the providers to a session, and take the waiting out of its retries."""

        async def no_sleep(_: float) -> None:
            await asyncio.sleep(0)

        session._transport.telemetry = OtelTelemetry(region, tracer_provider=self.tracers, meter_provider=self.meters)
        session._transport.sleep = no_sleep
        return session

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    @property
    def pages(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name.startswith("nxcdr ")]

    @property
    def attempts(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.kind is SpanKind.CLIENT]

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What is exported at once: a gauge that was not set since has no point the next time."""
        told = self.reader.get_metrics_data()
        scopes = [scope for resource in told.resource_metrics for scope in resource.scope_metrics] if told else []
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, name: str) -> list[Any]:
        metric = self.metrics.get(name)
        return [] if metric is None else list(metric.data.data_points)

    def sum(self, name: str) -> float:
        return sum(point.value for point in self.points(name))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


def of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def read(session: CdrSession, gateway: Gateway) -> int:
    return len(await session.calls(gateway.first_call, gateway.last_call + SECOND).collect())


async def test_each_page_is_a_span_and_each_attempt_a_client_span_inside(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    session = recorder.watching(open_session())
    paginator = session.calls(gateway.first_call, gateway.last_call + SECOND)
    await paginator.collect()
    pages = {page.context.span_id: page for page in recorder.pages}
    assert len(pages) == paginator.stats.pages
    assert len(recorder.attempts) == session.stats.requests
    assert all(attempt.parent and attempt.parent.span_id in pages for attempt in recorder.attempts)
    assert {span.instrumentation_scope.name for span in recorder.spans if span.instrumentation_scope} == {"nxcdr_async"}
    assert {span.instrumentation_scope.version for span in recorder.spans if span.instrumentation_scope} == {
        __version__
    }


async def test_a_page_tells_what_was_asked_and_what_came(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    session = recorder.watching(open_session())
    start, end = gateway.first_call, gateway.first_call + timedelta(minutes=30)
    calls = await session.calls(start, end).collect()
    page = next(page for page in recorder.pages if of(page)["nxcdr.page"] == 1)
    assert page.name == "nxcdr calls page"
    assert page.kind is SpanKind.INTERNAL
    assert page.status.status_code is StatusCode.UNSET
    assert of(page) == {
        "nxcdr.region": "custom",
        "nxcdr.endpoint": "calls",
        "nxcdr.window.start": start.replace(microsecond=0).astimezone(UTC).isoformat(),
        "nxcdr.window.end": of(page)["nxcdr.window.end"],
        "nxcdr.page": 1,
        "nxcdr.attempt": 1,
        "nxcdr.code": 0,
        "nxcdr.rows": len(calls),
    }
    assert timedelta(0) <= datetime.fromisoformat(of(page)["nxcdr.window.end"]) - end <= SECOND


async def test_an_attempt_follows_the_conventions_of_http_clients(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    await recorder.watching(open_session()).calls_by_order("order", tenant_id=gateway.tenant_id)
    attempt = recorder.attempts[0]
    told = of(attempt)
    assert attempt.name == "POST"
    assert told.pop("nxcdr.wait.duration") >= 0
    assert told == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": int(gateway.url.rsplit(":", 1)[1]),
        "url.full": f"{gateway.url}/saas/cc/openapi/cdr/queryByOrderId",
        "http.response.status_code": 200,
        "nxcdr.region": "custom",
        "nxcdr.endpoint": "order",
        "nxcdr.attempt": 1,
        "nxcdr.code": 0,
    }


async def test_an_order_is_a_page_without_its_id(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.add_call(orderId="order of Ann")
    assert await recorder.watching(open_session()).calls_by_order("order of Ann", tenant_id=gateway.tenant_id)
    assert {page.name for page in recorder.pages} == {"nxcdr order page"}
    assert set(of(recorder.pages[0])) == {
        "nxcdr.region",
        "nxcdr.endpoint",
        "nxcdr.attempt",
        "nxcdr.code",
        "nxcdr.rows",
    }


async def test_a_page_of_did_calls_tells_its_day(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    await recorder.watching(open_session()).did_calls(gateway.first_call.date()).collect()
    assert of(recorder.pages[0])["nxcdr.day"] == gateway.first_call.date().isoformat()
    assert of(recorder.pages[0])["nxcdr.endpoint"] == "did"
    assert of(recorder.pages[0])["nxcdr.page"] == 1


async def test_a_list_of_flash_calls_shows_no_query(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    await recorder.watching(open_session()).flash_calls(gateway.first_call, gateway.first_call + SECOND * 60).collect()
    assert of(recorder.attempts[0])["url.full"] == f"{gateway.url}/otp/call/list"
    assert recorder.attempts[0].name == "GET"
    assert "nxcdr.page" not in of(recorder.pages[0])


async def test_attempts_count_up_and_say_what_failed(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.fault_rate, gateway.switches.faults = 0.3, ["reset", "503", "99"]
    session = recorder.watching(open_session())
    assert await read(session, gateway) == len(gateway.call_ids())
    failed = [attempt for attempt in recorder.attempts if attempt.status.status_code is StatusCode.ERROR]
    resent = [attempt for attempt in recorder.attempts if "http.request.resend_count" in of(attempt)]
    assert len(failed) == len(resent) == session.stats.retries > 0
    assert all(of(one)["http.request.resend_count"] == of(one)["nxcdr.attempt"] - 1 > 0 for one in resent)
    assert {of(one)["error.type"] for one in failed} <= {
        f"nxcdr_async.errors.{name}" for name in ("TransportError", "ServerError")
    }
    assert {one.status.description for one in failed} <= {None, "HTTP 503", "code 99, HTTP 200"}
    assert all("error.type" not in of(page) for page in recorder.pages)
    assert max(of(page)["nxcdr.attempt"] for page in recorder.pages) > 1


async def test_each_of_the_sessions_counts_is_a_metric(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.fault_rate, gateway.switches.faults = 0.3, ["reset", "503", "99"]
    session = recorder.watching(open_session())
    rows = await read(session, gateway)
    stats = session.stats
    assert recorder.sum("nxcdr.requests") == stats.requests
    assert recorder.sum("nxcdr.retries") == stats.retries
    assert recorder.sum("nxcdr.throttled") == stats.throttled > 0
    assert recorder.sum("nxcdr.rows") == sum(of(page)["nxcdr.rows"] for page in recorder.pages) >= rows
    assert recorder.points("nxcdr.concurrency.limit")[0].value == stats.concurrency_limit
    assert recorder.points("nxcdr.clock.skew")[0].value == stats.clock_skew
    assert sum(point.count for point in recorder.points("http.client.request.duration")) == stats.requests
    assert sum(point.count for point in recorder.points("nxcdr.page.rows")) == len(recorder.pages)


async def test_metrics_have_few_and_known_attributes(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.fault_rate, gateway.switches.faults = 0.3, ["reset", "503", "99", "html"]
    await read(recorder.watching(open_session()), gateway)
    found = {key for name in recorder.metrics for point in recorder.points(name) for key in point.attributes}
    assert found == {
        "nxcdr.region",
        "nxcdr.endpoint",
        "nxcdr.code",
        "server.address",
        "server.port",
        "http.request.method",
        "http.response.status_code",
        "error.type",
    }


async def test_a_refused_timestamp_is_an_attempt_with_its_code(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.clock.move(600)
    session = recorder.watching(open_session())
    await session.calls(gateway.first_call, gateway.first_call + SECOND).collect()
    refused = [attempt for attempt in recorder.attempts if of(attempt)["nxcdr.code"] == 1004]
    assert len(refused) == session.stats.clock_refusals == 1
    assert of(refused[0])["error.type"] == "nxcdr_async.errors.ClockSkewError"
    assert abs(recorder.points("nxcdr.clock.skew")[0].value - 600) < 5


async def test_a_page_that_fails_is_an_error_and_tells_no_message(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    wrong = Credentials(gateway.credentials.access_key, "wrong")
    session = recorder.watching(open_session(credentials=wrong))
    with pytest.raises(NxcdrError):
        await session.calls_by_order("order", tenant_id=gateway.tenant_id)
    page = recorder.pages[0]
    assert page.status.status_code is StatusCode.ERROR
    assert of(page)["error.type"] == "nxcdr_async.errors.AuthenticationError"
    assert page.status.description == f"code {of(page)['nxcdr.code']}, HTTP 200"
    assert "nxcdr.rows" not in of(page)
    assert not page.events


async def test_spans_are_children_of_the_span_a_paginator_is_read_in(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    session = recorder.watching(open_session())
    tracer = recorder.tracers.get_tracer("app")
    with tracer.start_as_current_span("export") as export:
        await read(session, gateway)
    with tracer.start_as_current_span("look-up") as look_up:
        await session.calls_by_order("order", tenant_id=gateway.tenant_id)
    parents = {(page.name, page.parent.span_id) for page in recorder.pages if page.parent}
    assert parents == {
        ("nxcdr calls page", export.get_span_context().span_id),
        ("nxcdr order page", look_up.get_span_context().span_id),
    }
    assert len([page for page in recorder.pages if page.parent]) == len(recorder.pages)


async def test_a_reading_that_is_given_up_ends_its_spans_and_is_no_error(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.latency = (0.5, 0.5)
    started = asyncio.Event()
    session = recorder.watching(open_session())
    begun = []

    class Begun(SimpleSpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ARG002 - the SDK's signature
            begun.append(span)
            if span.kind is SpanKind.CLIENT:
                started.set()

    recorder.tracers.add_span_processor(Begun(InMemorySpanExporter()))
    async with session.calls(gateway.first_call, gateway.last_call) as calls:
        reading = asyncio.ensure_future(anext(calls))
        await started.wait()
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
    assert len(begun) == len(recorder.spans) == 2
    assert {of(span)["error.type"] for span in recorder.spans} == {"cancelled"}
    assert {span.status.status_code for span in recorder.spans} == {StatusCode.UNSET}
    assert recorder.sum("nxcdr.requests") == session.stats.requests == 1


async def test_sessions_tell_their_regions_apart(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    for region in ("HK", "IDN"):
        await recorder.watching(open_session(), region).calls_by_order("order", tenant_id=gateway.tenant_id)
    assert {of(span)["nxcdr.region"] for span in recorder.spans} == {"HK", "IDN"}
    assert {point.attributes["nxcdr.region"] for point in recorder.points("nxcdr.requests")} == {"HK", "IDN"}


async def test_a_backfill_has_a_span_for_each_page(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession, tmp_path: Any
) -> None:
    session = recorder.watching(open_session())
    with recorder.tracers.get_tracer("app").start_as_current_span("backfill") as whole:
        await backfill(session, "calls", gateway.first_call, gateway.last_call, to=tmp_path / "calls.sqlite")
    assert recorder.sum("nxcdr.rows") >= len(gateway.call_ids()) - 1
    assert {page.parent.span_id for page in recorder.pages if page.parent} == {whole.get_span_context().span_id}


async def test_the_exchange_ends_with_the_reply_and_not_with_what_is_made_of_it(
    recorder: Recorder, gateway: Gateway, open_session: OpenSession
) -> None:
    await recorder.watching(open_session()).calls_by_order("order", tenant_id=gateway.tenant_id)
    point = recorder.points("http.client.request.duration")[0]
    attempts = [one for one in recorder.attempts if one.start_time and one.end_time]
    seconds = [(one.end_time - one.start_time) / 1e9 for one in attempts if one.end_time and one.start_time]
    assert point.sum == pytest.approx(sum(seconds), abs=0.01)
    assert len(seconds) == point.count


async def test_instrumentations_of_http_clients_leave_the_exchange_to_us(recorder: Recorder, gateway: Gateway) -> None:
    seen: list[object] = []

    async def look(*_: object) -> None:
        seen.append(get_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY))

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(look)  # type: ignore[arg-type]
    async with aiohttp.ClientSession(trace_configs=[tracing], cookie_jar=aiohttp.DummyCookieJar()) as http:
        session = recorder.watching(CdrSession(gateway=gateway.url, credentials=gateway.credentials, http=http))
        async with session:
            await session.calls_by_order("order", tenant_id=gateway.tenant_id)
        seen.append(get_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY))
    assert set(seen[:-1]) == {True}
    assert seen[-1] is None


async def test_a_code_beyond_all_codes_is_told_nobody(recorder: Recorder) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"code": 99999999999999999999, "msg": "no"}'
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with recorder.watching(CdrSession(gateway=url, flash_app=FlashApp("app", "secret"))) as session:
            with pytest.raises(NxcdrError):
                await session.flash_calls(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)).collect()
    assert recorder.spans
    assert not [span for span in recorder.spans if "nxcdr.code" in of(span)]


def test_a_session_names_its_region_and_a_gateway_by_hand_none() -> None:
    own, by_hand = CdrSession(Region.IDN), CdrSession(Region.IDN, gateway="https://gw.example")
    assert [session._transport.telemetry._region for session in (own, by_hand)] == ["IDN", "custom"]  # type: ignore[attr-defined]


def test_sessions_share_their_instruments() -> None:
    first, second = telemetry_for("HK"), telemetry_for("IDN")
    assert isinstance(first, OtelTelemetry)
    assert isinstance(second, OtelTelemetry)
    assert first.instruments is second.instruments


def test_an_api_that_cannot_be_used_is_told_of_once_and_costs_no_session(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class TooOldError(Exception):
        pass

    def fail(*_: object, **__: object) -> None:
        raise TooOldError

    monkeypatch.setattr("nxcdr_async.telemetry.otel.get_tracer", fail)
    assert telemetry_for("HK") is SILENCE
    assert telemetry_for("HK") is SILENCE
    assert len(caplog.records) == 1
    assert "TooOldError" in caplog.text


async def test_days_are_told_as_dates(recorder: Recorder, open_session: OpenSession) -> None:
    await recorder.watching(open_session()).did_calls(date(2026, 1, 1), date(2026, 1, 2)).collect()
    assert {of(page)["nxcdr.day"] for page in recorder.pages} == {"2026-01-01", "2026-01-02"}


class FailingSampler(Sampler):
    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        raise RuntimeError("sampler")

    def get_description(self) -> str:
        return "fails"


class FailingAtStart(SpanProcessor):
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        raise RuntimeError(f"{span} {parent_context}")


class FailingAtEnd(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError(f"{span}")


class FailingInstruments:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def break_sampler(telemetry: OtelTelemetry) -> None:
    telemetry.tracer = TracerProvider(sampler=FailingSampler()).get_tracer("fails")


def break_start(telemetry: OtelTelemetry) -> None:
    telemetry.tracer = tracer_with(FailingAtStart())


def break_end(telemetry: OtelTelemetry) -> None:
    telemetry.tracer = tracer_with(FailingAtEnd())


def break_instruments(telemetry: OtelTelemetry) -> None:
    telemetry.instruments = FailingInstruments()  # type: ignore[assignment]


def tracer_with(processor: SpanProcessor) -> Tracer:
    provider = TracerProvider()
    provider.add_span_processor(processor)
    return provider.get_tracer("fails")


@pytest.mark.parametrize("break_it", [break_sampler, break_start, break_end, break_instruments])
async def test_providers_that_fail_cost_their_telemetry_and_no_call(
    break_it: Callable[[OtelTelemetry], None],
    recorder: Recorder,
    gateway: Gateway,
    open_session: OpenSession,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gateway.fail_next("503", 2)
    session = recorder.watching(open_session())
    telemetry = session._transport.telemetry
    assert isinstance(telemetry, OtelTelemetry)
    break_it(telemetry)
    _log_failed_telemetry.cache_clear()
    around = get_current()
    assert await session.calls_by_order("nobody's", tenant_id=gateway.tenant_id) == []
    assert get_current() == around
    assert await read(session, gateway) == len(gateway.call_ids())
    assert [line.error_type for line in caplog.records if "OpenTelemetry" in line.message] == ["builtins.RuntimeError"]  # type: ignore[attr-defined]

"""Spans and metrics through the API of OpenTelemetry. Who makes and exports them, a user configures as always.

A page is a span; each attempt at it is an HTTP client span inside. Neither has an address with a query, a header, a
message of the gateway, or anything else that a secret or a number of a person might be in.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from attrs import define, field
from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.metrics import (
    CallbackOptions,
    Counter,
    Histogram,
    Meter,
    MeterProvider,
    Observation,
    _Gauge as Gauge,
    get_meter_provider,
)
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
    get_tracer,
    set_span_in_context,
)

from nxcdr_async._util.clocks import steady
from nxcdr_async._version import __version__
from nxcdr_async.errors import GatewayError, NxcdrError
from nxcdr_async.protocol.endpoints import Endpoint
from nxcdr_async.telemetry import names
from nxcdr_async.telemetry.log import log_failed_telemetry, type_name
from nxcdr_async.telemetry.names import Measurement, Metric
from nxcdr_async.telemetry.watch import Part, edges_of
from nxcdr_async.transport.retry import asks_for_less
from nxcdr_async.windows import Window

Attributes = dict[str, str | int | float]

_PAGE = contexts.create_key("nxcdr-page")
_OTHERS_ARE_SILENT = contexts._SUPPRESS_HTTP_INSTRUMENTATION_KEY  # noqa: SLF001 - the one all instrumentations look at
"""Instrumentations of HTTP clients leave an exchange to us: theirs record its query, which may hold a secret."""

_LARGEST_CODE = 2**31
"""No code of the vendor comes near; exporters cannot take in what some strange gateway may call one."""


class _Harmless:
    """Whatever fails in a user's samplers, span processors or instruments costs only their own data."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        log_failed_telemetry(error)
        return True


_HARMLESS = _Harmless()


@define(eq=False)
class _Instruments:
    """What records the metrics."""

    requests: Counter
    retries: Counter
    throttled: Counter
    rows: Counter
    duration: Histogram
    page_rows: Histogram
    limit: Gauge
    skew: Gauge

    @classmethod
    def of(cls, meter: Meter) -> Self:
        return cls(
            requests=_counter(meter, names.REQUESTS),
            retries=_counter(meter, names.RETRIES),
            throttled=_counter(meter, names.THROTTLED),
            rows=_counter(meter, names.FETCHED_ROWS),
            duration=_histogram(meter, names.DURATION),
            page_rows=_histogram(meter, names.PAGE_ROWS),
            limit=_gauge(meter, names.LIMIT),
            skew=_gauge(meter, names.SKEW),
        )


def _counter(meter: Meter, metric: Metric) -> Counter:
    return meter.create_counter(metric.name, metric.unit, metric.description)


def _histogram(meter: Meter, metric: Metric) -> Histogram:
    return meter.create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
    )


def _gauge(meter: Meter, metric: Metric) -> Gauge:
    return meter.create_gauge(metric.name, metric.unit, metric.description)


_INSTRUMENTS: WeakKeyDictionary[MeterProvider, _Instruments] = WeakKeyDictionary()
"""One set for all sessions: while no provider is set, the API keeps every instrument that was ever asked for."""


def _instruments(provider: MeterProvider) -> _Instruments:
    found = _INSTRUMENTS.get(provider)
    if found is None:
        meter = provider.get_meter(names.SCOPE, __version__, names.SCHEMA_URL)
        found = _INSTRUMENTS[provider] = _Instruments.of(meter)
    return found


def observe(
    measure: Callable[[], Iterable[Measurement]],
    *,
    counters: Iterable[Metric] = (),
    gauges: Iterable[Metric] = (),
    meter_provider: MeterProvider | None = None,
) -> None:
    """Have something be measured whenever metrics are exported, for as long as the process lives."""
    meter = (meter_provider or get_meter_provider()).get_meter(names.SCOPE, __version__, names.SCHEMA_URL)

    def observing(metric: Metric) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def observed(_: CallbackOptions) -> Iterator[Observation]:
            for measured in measure():
                if measured.metric == metric:
                    yield Observation(measured.value, measured.attributes)

        return observed

    for metric in counters:
        meter.create_observable_counter(metric.name, [observing(metric)], metric.unit, metric.description)
    for metric in gauges:
        meter.create_observable_gauge(metric.name, [observing(metric)], metric.unit, metric.description)


class OtelTelemetry:
    """Reports to OpenTelemetry what a session does.

    Args:
        region: the name of the session's region, or "custom".
        tracer_provider: None for the global one, which may be set later.
        meter_provider: likewise.
    """

    def __init__(
        self,
        region: str,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._region = region
        self._servers: dict[str, Attributes] = {}
        self._places: dict[tuple[str, str], tuple[Attributes, Attributes]] = {}
        self.tracer: Tracer = get_tracer(names.SCOPE, __version__, tracer_provider, names.SCHEMA_URL)
        self.instruments = _instruments(meter_provider or get_meter_provider())

    def page(self, endpoint: Endpoint[Any], part: Part, number: int | None) -> "_PageSpan":
        """Watch a page that is asked for."""
        attributes: Attributes = {names.REGION: self._region, names.ENDPOINT: endpoint.name}
        asked = {**attributes, **_attributes_of(part)}
        if number is not None:
            asked[names.PAGE] = number
        return _PageSpan(self, f"nxcdr {endpoint.name} page", attributes, asked)

    def attempt(self, endpoint: Endpoint[Any], gateway: str, *, number: int, waited: float) -> "_AttemptSpan":
        """Watch an attempt."""
        place, address = self._place(endpoint, gateway)
        sent = {**address, names.ATTEMPT: number, names.WAITED: waited}
        if number > 1:
            sent[names.RESENT] = number - 1
        return _AttemptSpan(self, endpoint, place, sent, number)

    def retried(self, endpoint: Endpoint[Any], gateway: str, fault: NxcdrError) -> None:
        """Count that a question will be asked again."""
        with _HARMLESS:
            self.instruments.retries.add(1, {**self._place(endpoint, gateway)[0], **_outcome(endpoint, fault)})

    def measured(self, gateway: str, *, limit: int, skew: float | None) -> None:
        """Record what is known of a gateway by now."""
        server = self._server(gateway)
        with _HARMLESS:
            self.instruments.limit.set(limit, server)
            if skew is not None:
                self.instruments.skew.set(skew, server)

    def _place(self, endpoint: Endpoint[Any], gateway: str) -> tuple[Attributes, Attributes]:
        """Return where a request goes, for metrics, and for the span of an attempt."""
        found = self._places.get((endpoint.name, gateway))
        if found is None:
            place = {**self._server(gateway), names.ENDPOINT: endpoint.name}
            address = {**place, names.METHOD: endpoint.method, names.URL: f"{gateway}{endpoint.path}"}
            found = self._places[endpoint.name, gateway] = place, address
        return found

    def _server(self, gateway: str) -> Attributes:
        server = self._servers.get(gateway)
        if server is None:
            parts = urlsplit(gateway)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            server = {names.REGION: self._region, names.SERVER: parts.hostname or "", names.PORT: port}
            self._servers[gateway] = server
        return server


@define(eq=False)
class _PageSpan:
    """A page that is asked for; the attempts at it, which find it in the context, report to it how they went.

    Attributes:
        telemetry: whose page it is.
        name: of its span.
        attributes: of its metrics.
        asked: of its span, as it begins.
        attempts: how many it took so far.
        code: of the last response.
        rows: of the answer.
    """

    telemetry: OtelTelemetry
    name: str
    attributes: Attributes
    asked: Attributes
    attempts: int = field(default=0, init=False)
    code: int | None = field(default=None, init=False)
    rows: int | None = field(default=None, init=False)
    _span: Span = field(default=INVALID_SPAN, init=False)
    _token: Token[Context] = field(init=False)

    def __enter__(self) -> Self:
        with _HARMLESS:
            self._span = self.telemetry.tracer.start_span(self.name, attributes=self.asked)
        self._token = contexts.attach(contexts.set_value(_PAGE, self, set_span_in_context(self._span)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _HARMLESS:
            if self.rows is not None:
                self.telemetry.instruments.rows.add(self.rows, self.attributes)
                self.telemetry.instruments.page_rows.record(self.rows, self.attributes)
        _leave(self._token, error)
        facts = {names.ATTEMPT: self.attempts, names.CODE: self.code, names.ROWS: self.rows}
        with _HARMLESS:
            _end(self._span, error, {name: value for name, value in facts.items() if value is not None})


@define(eq=False)
class _AttemptSpan:
    """One attempt.

    Attributes:
        telemetry: whose attempt it is.
        endpoint: the API.
        place: the attributes of its metrics.
        sent: those of its span, as it begins.
        number: 1 for the first.
    """

    telemetry: OtelTelemetry
    endpoint: Endpoint[Any]
    place: Attributes
    sent: Attributes
    number: int
    _page: object = field(init=False)
    _span: Span = field(default=INVALID_SPAN, init=False)
    _token: Token[Context] = field(init=False)
    _began: float = field(init=False)
    _seconds: float | None = field(default=None, init=False)
    _ended: int | None = field(default=None, init=False)
    _outcome: Attributes = field(factory=dict, init=False)

    def __enter__(self) -> Self:
        self._page = contexts.get_value(_PAGE)
        with _HARMLESS:
            method = self.endpoint.method
            self._span = self.telemetry.tracer.start_span(method, kind=SpanKind.CLIENT, attributes=self.sent)
        self._token = contexts.attach(contexts.set_value(_OTHERS_ARE_SILENT, True, set_span_in_context(self._span)))  # noqa: FBT003 - the value of a key
        self._began = steady()
        return self

    def responded(self, status: int) -> None:
        """Note that the response is there."""
        # What is done with it from now on is no part of the exchange.
        self._seconds, self._ended = steady() - self._began, time.time_ns()
        self._outcome = {names.STATUS: status}

    def answered(self, rows: int) -> None:
        """Note that the response is a success."""
        self._outcome[names.CODE] = 0
        if isinstance(self._page, _PageSpan):
            self._page.rows = rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _HARMLESS:
            self._record(error)
        _leave(self._token, error)
        code = _code_of(error) if error is not None else 0
        if isinstance(self._page, _PageSpan):
            self._page.attempts, self._page.code = self.number, code
        facts = self._outcome if code is None else {**self._outcome, names.CODE: code}
        with _HARMLESS:
            _end(self._span, error, facts, self._ended)

    def _record(self, error: BaseException | None) -> None:
        instruments = self.telemetry.instruments
        attributes = {**self.place, **self._outcome, **_outcome(self.endpoint, error)}
        instruments.requests.add(1, attributes)
        if isinstance(error, NxcdrError) and asks_for_less(error):
            instruments.throttled.add(1, attributes)
        seconds = steady() - self._began if self._seconds is None else self._seconds
        instruments.duration.record(seconds, {**attributes, names.METHOD: self.endpoint.method})


def _attributes_of(part: Part) -> Attributes:
    """Return attributes that say which part was asked for; nothing of an order, whose id may be a person's."""
    if isinstance(part, Window):
        start, end = edges_of(part)
        return {names.WINDOW_START: start, names.WINDOW_END: end}
    return {} if isinstance(part, str) else {names.DAY: part.isoformat()}


def _leave(token: Token[Context], error: BaseException | None) -> None:
    """Make the span before the current one again."""
    # A task that is dropped half-way is closed by whoever drops it, and its context went with it.
    if not isinstance(error, GeneratorExit):
        contexts.detach(token)


def _end(
    span: Span, error: BaseException | None, facts: Mapping[str, str | int | float], at: int | None = None
) -> None:
    """End a span, with what is known of it by then."""
    if span.is_recording():
        span.set_attributes(facts)
        if error is not None:
            span.set_attribute(names.ERROR_TYPE, _error_type(error))
        if isinstance(error, Exception):
            span.set_status(Status(StatusCode.ERROR, _description(error)))
    span.end(at)


def _error_type(error: BaseException) -> str:
    return type_name(error) if isinstance(error, Exception) else names.CANCELLED


def _description(error: Exception) -> str | None:
    """Return what a failure is in numbers: messages of a gateway may hold anything."""
    if not isinstance(error, GatewayError):
        return None
    numbers = (("code", _code_of(error)), ("HTTP", error.http_status))
    return ", ".join(f"{name} {value}" for name, value in numbers if value is not None)


def _outcome(endpoint: Endpoint[Any], error: BaseException | None) -> Attributes:
    """Return what a metric says of an error: only documented codes, as there may be no end of others."""
    if error is None:
        return {}
    code = _code_of(error)
    known: Attributes = {} if code is None or code not in endpoint.codes else {names.CODE: code}
    return {names.ERROR_TYPE: _error_type(error), **known}


def _code_of(error: BaseException) -> int | None:
    code = error.code if isinstance(error, GatewayError) else None
    return code if code is not None and abs(code) < _LARGEST_CODE else None

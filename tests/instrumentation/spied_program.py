"""A program under other people's instrumentation, which asks for flash calls and prints all that was recorded of it."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import elasticapm
import elasticapm.transport.base
import sentry_sdk
import sentry_sdk.transport
from opentelemetry.instrumentation import aiohttp_client
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from nxcdr_async import CdrSession, FlashApp, NxcdrError

START = datetime(2026, 1, 1, tzinfo=UTC)


@contextmanager
def sentry() -> Iterator[Callable[[], str]]:
    """Sentry with everything on: spans, breadcrumbs, what it holds to be personal, variables of every frame."""

    class Kept(sentry_sdk.transport.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.kept = io.BytesIO()

        def capture_envelope(self, envelope: Any) -> None:
            envelope.serialize_into(self.kept)

    kept = Kept()
    sentry_sdk.init(
        dsn="https://key@sentry.invalid/1",
        transport=kept,
        traces_sample_rate=1.0,
        send_default_pii=True,
        attach_stacktrace=True,
        include_local_variables=True,
        debug=True,
    )
    with sentry_sdk.start_transaction(name="program"):
        yield lambda: kept.kept.getvalue().decode()
        sentry_sdk.capture_message("the end")
    sentry_sdk.flush()


@contextmanager
def opentelemetry() -> Iterator[Callable[[], str]]:
    """OpenTelemetry's own instrumentation of aiohttp's client."""
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    # A session asks it to be silent, as it tells spans of its own. Here it does not listen, as if it were older.
    aiohttp_client.is_http_instrumentation_enabled = lambda: True  # type: ignore[attr-defined] - imported there
    aiohttp_client.AioHttpClientInstrumentor().instrument(
        tracer_provider=provider,
        request_hook=lambda span, params: span.set_attribute("hook", repr([params.url, params.headers])),
        response_hook=lambda span, params: span.set_attribute("hook of the reply", repr(params)),
    )
    yield lambda: "\n".join(span.to_json() for span in spans.get_finished_spans())


@contextmanager
def elastic() -> Iterator[Callable[[], str]]:
    """Elastic's agent, which patches the method that all requests of a client go through."""

    class Kept(elasticapm.transport.base.Transport):
        kept: list[object] = []  # noqa: RUF012 - the agent makes the one object that there is

        def queue(self, event_type: str, data: object, *_: object) -> None:
            self.kept.append([event_type, data])

        def start_thread(self, *_: object, **__: object) -> None:
            """Send nothing."""

        def close(self) -> None:
            """Send nothing."""

    sys.modules["kept_transport"] = type(sys)("kept_transport")
    sys.modules["kept_transport"].Kept = Kept  # type: ignore[attr-defined] - where the agent looks for it
    client = elasticapm.Client(
        transport_class="kept_transport.Kept", central_config=False, metrics_interval="0ms", cloud_provider="none"
    )
    elasticapm.instrument()
    client.begin_transaction("program")
    yield lambda: json.dumps(Kept.kept, default=str)
    client.end_transaction("program", "success")


TOOLS = {"sentry": sentry, "opentelemetry": opentelemetry, "elastic": elastic}


async def ask(url: str, app: FlashApp) -> None:
    async with CdrSession(gateway=url, flash_app=app) as cdr:
        async for call in cdr.flash_calls(START, START + timedelta(hours=1)):
            sys.stdout.write(f"read {call.request_id}\n")
    async with CdrSession(gateway=url, flash_app=FlashApp("another", app.secretkey)) as cdr:
        try:
            await cdr.flash_calls(START, START + timedelta(hours=1)).collect()
        except NxcdrError:
            logging.getLogger("program").exception("as programs log it")


def asked_for() -> tuple[str, str, FlashApp]:
    """Read tool, address and key pair, and keep the secret in no variable: Sentry records those of this program too."""
    tool, url, *pair = json.load(sys.stdin)
    return tool, url, FlashApp(*pair)


def main(tool: str, url: str, app: FlashApp) -> None:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
    with TOOLS[tool]() as recorded:
        asyncio.run(ask(url, app), debug=True)
    sys.stdout.write(f"recorded: {recorded()}\n")


if __name__ == "__main__":
    main(*asked_for())

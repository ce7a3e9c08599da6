"""A thief reads all a program may leave behind: logs, errors and their frames, spans. No secret may be in any of it.

The servers here send back what they know of us, in every part of a reply; everything that can be logged is.
"""

import asyncio
import gc
import html
import json
import logging
import os
import pickle
import re
import subprocess
import sys
import traceback
import warnings
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote, quote_plus

import aiohttp
import pytest
from attrs import define, field
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from nxcdr_async import CdrSession, ConfigurationError, Credentials, FlashApp, NxcdrError, sign
from nxcdr_async.protocol.endpoints import CALLS, FLASH
from nxcdr_async.session import context_of
from nxcdr_async.telemetry.otel import OtelTelemetry
from nxcdr_async.testing import FAULT_KINDS, Gateway

ACCESS_SECRET = 'acc/5ecret+&=~"A1b2C3d4E5f6G7h8'
FLASH_SECRET = 'app/5ecret+&=~"Z9y8X7w6V5u4T3s2R1q0-a-long-one'
PROXY_PASSWORD = 'pr/5ecret+&=~"M1n2B3v4C5x6Z7l8-a-long-one'
PROXY_TOKEN = b64encode(f"clerk:{PROXY_PASSWORD}".encode()).decode()
START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=1)

TIMES = ("startTime", "gmtCreate")

Ask = Callable[[CdrSession], Awaitable[object]]
Shape = Callable[[str], bytes]

ASKED: dict[str, Ask] = {
    "calls": lambda cdr: cdr.calls(START, END).collect(),
    "order": lambda cdr: cdr.calls_by_order("order", tenant_id=1),
    "did": lambda cdr: cdr.did_calls(date(2026, 1, 1)).collect(),
    "flash": lambda cdr: cdr.flash_calls(START, END).collect(),
    "flash_call": lambda cdr: cdr.flash_call("request"),
}


def spellings(secret: str) -> set[str]:
    """Return how a secret may be written in a text, and what a cut leaves of it."""
    whole = {secret, quote(secret, safe=""), quote_plus(secret), html.escape(secret), json.dumps(secret)[1:-1]}
    return whole | {quote(secret, safe="").lower(), secret.replace("/", "\\/"), secret[:20], secret[-20:]}


def reply(body: str, *, status: str = "200 OK", headers: str = "") -> bytes:
    raw = body.encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(raw)}\r\n{headers}Connection: close\r\n\r\n".encode() + raw


def refusal(told: str, **changes: Any) -> bytes:
    return reply(json.dumps({"code": 1002, "msg": told, "message": told, "reqId": told, "requestId": told, **changes}))


def rows(told: str, **columns: Any) -> bytes:
    return envelope({"callId": told, "id": told, **dict.fromkeys(TIMES, told), told: told, **columns})


def envelope(row: object) -> bytes:
    """Return a success with one row, wherever the vendor puts it: a reply of cdr/page, flash calls, or did/cdr."""
    return reply(json.dumps({"code": 0, "data": [row], "cdrs": [row], "cdr": row}))


SHAPES: dict[str, Shape] = {
    "a message": refusal,
    "a message of a failure": lambda told: refusal(told, code=99),
    "a code": lambda told: refusal("no", code=told),
    "a request id that is an object": lambda told: refusal("no", reqId={told: [told]}),
    "a message with a status": lambda told: reply(json.dumps({"msg": told}), status="500 Oops"),
    "a message in other words": lambda told: refusal(
        " ".join(
            (
                re.sub("%..", lambda code: code[0].lower(), quote(told, safe="")),
                html.escape(told),
                told.replace("/", "\\/"),
                json.dumps(told),
            )
        )
    ),
    "a row": rows,
    "a row with a text too long to be shown whole": lambda told: rows("1", **dict.fromkeys(TIMES, told.split()[-1])),
    "a row that is text": envelope,
    "a row with an object": lambda told: rows(told, startTime={told: told}, gmtCreate=[told]),
    "a row of DID calls": lambda told: reply(
        json.dumps({"code": 0, "data": {"list": [{"id": told, "startTime": told}]}, "cdrs": told, "cdr": told})
    ),
    "data that is text": lambda told: reply(json.dumps({"code": 0, "data": told, "cdrs": told, "cdr": told})),
    "a web page": lambda told: reply(f"<html>{told}</html>"),
    "a web page of a proxy": lambda told: reply(f"<html>{told}</html>", status="502 Bad Gateway"),
    "half a body": lambda told: reply(json.dumps({"code": 0, "msg": told})[:-9]),
    "a body that ends early": lambda told: reply(told).replace(b"Content-Length: ", b"Content-Length: 9"),
    "a status line": lambda told: f"HTTP/1.1 {told}\r\n\r\n".encode(),
    "a reason": lambda told: reply("", status=f"400 {told}"),
    "no HTTP at all": lambda told: f"{told}\r\n\r\n".encode(),
    "a header without a colon": lambda told: reply("{}", headers=f"{told}\r\n"),
    "a content type": lambda told: reply("{}", headers=f"Content-Type: {told}\r\n"),
    "a content encoding": lambda told: reply(told, headers="Content-Encoding: gzip\r\n"),
    "a content length": lambda told: f"HTTP/1.1 200 OK\r\nContent-Length: {told}\r\n\r\n".encode(),
    "the size of a chunk": lambda told: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{told}\r\n".encode(),
    "a cookie": lambda told: reply("{}", headers=f"Set-Cookie: {told}={told}; Domain={told}; Max-Age={told}\r\n"),
    "the name of a cookie": lambda told: reply("{}", headers=f"Set-Cookie: {quote(told, safe='')}, x=a\r\n"),
    "a date and a pause": lambda told: reply("", status="429 No", headers=f"Date: {told}\r\nRetry-After: {told}\r\n"),
    "a redirect": lambda told: reply("", status="302 Found", headers=f"Location: https://evil.example/{told}\r\n"),
    "silence": lambda _: b"",
}


@define
class Loot:
    """All that a program left behind, as text."""

    found: list[str] = field(factory=list)

    def take(self, where: str, *things: object) -> None:
        self.found += [f"{where}: {thing}" for thing in things]

    def take_error(self, error: BaseException) -> None:
        """Take an error, all it hangs together with, and the variables of all frames but those of the tests."""
        seen: set[int] = set()
        todo: list[BaseException | None] = [error]
        while todo:
            one = todo.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            todo += [one.__cause__, one.__context__]
            self.take("error", str(one), repr(one), vars(one), one.args, getattr(one, "__notes__", ()))
            self.take("pickle", pickle.dumps(one).decode("latin-1") if isinstance(one, NxcdrError) else "")
            for frame in traceback.StackSummary.extract(traceback.walk_tb(one.__traceback__), capture_locals=True):
                if frame.filename != __file__:
                    self.take(f"frame {frame.name} in {frame.filename}", frame.locals)

    def take_context(self, context: dict[str, Any]) -> None:
        """Take what a loop tells of what nobody caught."""
        self.take("loop", context, *context.values())
        if "exception" in context:
            self.take_error(context["exception"])

    def take_record(self, record: logging.LogRecord) -> None:
        self.take("log", logging.Formatter().format(record), vars(record), record.args)
        for told in record.args if isinstance(record.args, tuple) else ():
            if isinstance(told, BaseException):
                self.take_error(told)

    def holds(self, *secrets: str) -> list[str]:
        told = {spelling for secret in secrets for spelling in spellings(secret)}
        return [text[:1000] for text in self.found if any(spelling in text for spelling in told)]


@define(eq=False)
class Exported:
    """What a session's telemetry would be exported as."""

    spans: InMemorySpanExporter = field(factory=InMemorySpanExporter)
    metrics: InMemoryMetricReader = field(factory=InMemoryMetricReader)

    def watch(self, session: CdrSession) -> None:
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        session._transport.telemetry = OtelTelemetry(
            "custom", tracer_provider=tracers, meter_provider=MeterProvider([self.metrics])
        )

    def take_into(self, loot: Loot) -> None:
        """Take it as JSON, as exporters see it."""
        told = self.metrics.get_metrics_data()
        loot.take("metrics", told.to_json() if told else "none")
        for span in self.spans.get_finished_spans():
            loot.take("span", span.to_json(), span.attributes, span.status.description)


@contextmanager
def burglary() -> Iterator[Loot]:
    """Log everything at its most talkative level, and take it all, and what nobody awaited or caught."""
    loot = Loot()
    handler = logging.Handler(logging.NOTSET)
    handler.emit = loot.take_record  # type: ignore[method-assign]
    names = ["", "asyncio", "nxcdr_async", "aiohttp.client", "aiohttp.internal", "aiohttp.server", "aiohttp.web"]
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    loop, hook = asyncio.get_running_loop(), sys.unraisablehook
    for logger in loggers:
        logger.setLevel(1)
    loggers[0].addHandler(handler)
    loop.set_debug(True)
    loop.slow_callback_duration = 1e-9
    loop.set_exception_handler(lambda _, context: loot.take_context(context))
    sys.unraisablehook = lambda told: loot.take("unraisable", told.exc_value, told.err_msg, told.object)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            yield loot
        finally:
            loot.take("warning", *(warning.message for warning in told))
            sys.unraisablehook = hook
            loop.set_exception_handler(None)
            loop.set_debug(False)
            loggers[0].removeHandler(handler)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@asynccontextmanager
async def answering(answer: Callable[[str], bytes]) -> AsyncIterator[str]:
    """Serve raw bytes on loopback: what `answer` makes of the text of a whole request."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-l")), 0)
        writer.write(answer((head + await reader.readexactly(int(length))).decode()))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        # By a name, as aiohttp takes no cookie from an address.
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}"


def session_on(url: str, **changes: Any) -> CdrSession:
    """Return a session with both secrets that does not wait before it asks again."""
    session = CdrSession(
        gateway=url,
        credentials=Credentials("key", ACCESS_SECRET),
        flash_app=FlashApp("app", FLASH_SECRET),
        **{"timeout": 5.0, **changes},
    )

    async def no_sleep(_: float) -> None:
        await asyncio.sleep(0)

    session._transport.sleep = no_sleep
    return session


async def robbed(loot: Loot, session: CdrSession, ask: Ask) -> NxcdrError:
    """Ask, and take the error, the telemetry and everything there is of the session."""
    exported = Exported()
    exported.watch(session)
    task = asyncio.current_task()
    try:
        await ask(session)
    except NxcdrError as error:
        loot.take_error(error)
        caught = error
    else:
        pytest.fail("nothing went wrong")
    loot.take(
        "repr", repr(session), session._transport, session._connection, session._transport.limiter, session.stats, task
    )
    loot.take("repr", session.calls(START, END)._prefetcher, session.flash_calls(START, END)._prefetcher)
    exported.take_into(loot)
    assert any(text.startswith("span: ") for text in loot.found)
    assert any("nxcdr.requests" in text for text in loot.found if text.startswith("metrics: "))
    return caught


@pytest.mark.first_of("shape", "asked")
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_secret_that_a_gateway_sends_back_shows_nowhere(shape: str, asked: str, no_task_left: None) -> None:  # noqa: ARG001 - checks on leaving
    with burglary() as loot:
        async with (
            answering(lambda _: SHAPES[shape](f"{ACCESS_SECRET} {FLASH_SECRET}")) as url,
            session_on(url) as session,
        ):
            await robbed(loot, session, ASKED[asked])
    assert not loot.holds(ACCESS_SECRET, FLASH_SECRET)


@pytest.mark.parametrize("shape", SHAPES)
async def test_nor_does_it_over_a_client_of_the_callers(shape: str) -> None:
    with burglary() as loot:
        async with (
            answering(lambda _: SHAPES[shape](f"{ACCESS_SECRET} {FLASH_SECRET}")) as url,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
            session_on(url, http=http) as session,
        ):
            await robbed(loot, session, ASKED["flash"])
    assert not loot.holds(ACCESS_SECRET, FLASH_SECRET)


@pytest.mark.first_of("shape")
@pytest.mark.parametrize("gateway", ["http://127.0.0.1:9", "https://gateway.invalid"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_nor_does_the_password_of_a_proxy_that_sends_it_back(shape: str, gateway: str) -> None:
    seen: list[str] = []

    def answer(request: str) -> bytes:
        seen.append(request)
        return SHAPES[shape](f"{PROXY_PASSWORD} {PROXY_TOKEN}")

    with burglary() as loot:
        async with answering(answer) as url:
            named = url.replace("://", f"://clerk:{quote(PROXY_PASSWORD, safe='')}@")
            async with session_on(gateway, proxy=named) as session:
                await robbed(loot, session, ASKED["flash"])
    assert all(f"\r\nProxy-Authorization: Basic {PROXY_TOKEN}\r\n" in request for request in seen)
    assert not loot.holds(PROXY_PASSWORD, PROXY_TOKEN, FLASH_SECRET)


@pytest.mark.parametrize(
    "named", ["http://clerk:{}@127.0.0.1:9", "http://clerk:{}@proxy.invalid", "socks5://clerk:{}@x"]
)
async def test_nor_does_that_of_one_that_is_not_there(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", named.format(quote(PROXY_PASSWORD, safe="")))
    with burglary() as loot:
        with pytest.raises(NxcdrError) as caught:
            async with CdrSession.from_env(
                gateway="https://gateway.invalid", credentials=Credentials("key", ACCESS_SECRET)
            ) as session:
                session._transport.sleep = lambda _: asyncio.sleep(0)
                await ASKED["order"](session)
        loot.take_error(caught.value)
    assert loot.found
    assert not loot.holds(PROXY_PASSWORD, PROXY_TOKEN)


async def test_a_signature_sent_back_as_the_id_of_a_broken_reply_shows_nowhere() -> None:
    signatures: list[str] = []

    def echo(request: str) -> bytes:
        signatures.extend(line[6:] for line in request.split("\r\n") if line.startswith("sign: "))
        told = reply("{}", headers=f"X-Request-Id: id-{signatures[-1]}\r\n")
        return told.replace(b"Content-Length: ", b"Content-Length: 9")

    with burglary() as loot:
        async with answering(echo) as url, session_on(url) as session:
            error = await robbed(loot, session, ASKED["order"])
    assert "request id-…" in str(error)
    assert not [signature for signature in signatures if any(signature in text for text in loot.found)]


ABANDONED = """
import asyncio, gc, logging
from datetime import UTC, datetime, timedelta
from nxcdr_async import CdrSession

asked = asyncio.Event()

async def hang(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 500\\r\\n\\r\\n{")
    asked.set()
    await asyncio.sleep(30)

async def begin():
    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    session = CdrSession.from_env(gateway=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    asyncio.create_task(session.flash_calls(start, start + timedelta(hours=1)).collect())
    await asked.wait()
    for _ in range(50):  # in which the begin of the reply is read
        await asyncio.sleep(0)

logging.basicConfig(level=1)
loop = asyncio.new_event_loop()
loop.set_debug(True)
loop.run_until_complete(begin())
loop.close()
gc.collect()
"""


def test_a_loop_that_is_left_in_the_middle_of_a_reply_shows_no_secret() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", ABANDONED],
        env={**os.environ, "NXCDR_FLASH_APPKEY": "app", "NXCDR_FLASH_SECRETKEY": FLASH_SECRET},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Task was destroyed but it is pending!" in done.stderr
    assert not [spelling for spelling in spellings(FLASH_SECRET) if spelling in done.stdout + done.stderr]


@pytest.mark.parametrize("asked", ASKED)
async def test_a_request_that_a_gateway_sends_back_shows_neither_secret_nor_signature(asked: str) -> None:
    signatures: list[str] = []

    def echo(request: str) -> bytes:
        signatures.extend(line[6:] for line in request.split("\r\n") if line.startswith("sign: "))
        return refusal(request)

    with burglary() as loot:
        async with answering(echo) as url, session_on(url) as session:
            error = await robbed(loot, session, ASKED[asked])
    assert "HTTP/1.1" in str(error)
    assert asked.startswith("flash") == (not signatures)
    assert not loot.holds(ACCESS_SECRET, FLASH_SECRET)
    assert not [signature for signature in signatures if any(signature in text for text in loot.found)]


@pytest.mark.first_of("kind", "asked")
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("kind", [kind for kind in FAULT_KINDS if kind not in {"gzip", "chunked"}])
async def test_no_fault_of_the_line_or_the_gateway_shows_a_secret(kind: Any, asked: str) -> None:
    with burglary() as loot, Gateway(calls=5) as gateway:
        gateway.switches.fault_rate, gateway.switches.faults = 1.0, [kind]
        async with session_on(gateway.url, timeout=0.1) as session:
            if kind.startswith("429-retry-after"):
                session._transport.limiter.pause_for = lambda *_: None  # type: ignore[method-assign]
            await robbed(loot, session, ASKED[asked])
    assert not loot.holds(ACCESS_SECRET, FLASH_SECRET)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://127.0.0.1:9", "https://gateway.invalid"])
@pytest.mark.parametrize("asked", ASKED)
async def test_a_gateway_that_is_not_there_shows_no_secret(asked: str, url: str) -> None:
    with burglary() as loot:
        async with session_on(url) as session:
            await robbed(loot, session, ASKED[asked])
    assert not loot.holds(ACCESS_SECRET, FLASH_SECRET)


async def test_a_good_reply_leaves_no_secret_in_a_log() -> None:
    with burglary() as loot, Gateway(calls=300) as gateway:
        secrets = gateway.credentials.access_secret, gateway.flash_app.secretkey
        async with CdrSession(
            gateway=gateway.url, credentials=gateway.credentials, flash_app=gateway.flash_app
        ) as session:
            assert await session.calls(gateway.first_call, gateway.last_call).collect()
            assert await session.flash_calls(gateway.first_call, gateway.last_call).collect()
    assert any(text.startswith("log: Executing <") for text in loot.found), "asyncio was not in debug mode"
    assert any(text.startswith("log: calls: HTTP 200") for text in loot.found)
    assert not loot.holds(*secrets)


async def test_a_question_that_is_given_up_shows_no_secret() -> None:
    begun = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    with burglary() as loot:
        async with server, session_on(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as session:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(None) as given_up:
                    asking = asyncio.create_task(context_of(session).ask(FLASH, {}))
                    await begun.wait()
                    given_up.reschedule(0)
                    await asking
    # The first versions of Python 3.11 have it as the context only.
    assert isinstance(caught.value.__cause__ or caught.value.__context__, asyncio.CancelledError)
    loot.take_error(caught.value)
    assert not loot.holds(ACCESS_SECRET, FLASH_SECRET)


async def test_an_error_nobody_asks_for_shows_no_secret() -> None:
    with burglary() as loot:
        async with answering(refusal) as url, session_on(url) as session:
            asking = asyncio.create_task(context_of(session).ask(FLASH, {}))
            await asyncio.wait([asking])
            del asking
            gc.collect()
    assert any("Task exception was never retrieved" in text for text in loot.found)
    assert not loot.holds(ACCESS_SECRET, FLASH_SECRET)


@pytest.mark.parametrize("fault", [RuntimeError("on the way"), KeyError("on the way")])
async def test_an_error_of_the_callers_own_tracing_takes_no_frame_with_a_secret_along(fault: Exception) -> None:
    async def trace(*_: object) -> None:
        raise fault

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(trace)  # type: ignore[arg-type]
    with burglary() as loot:
        async with (
            aiohttp.ClientSession(trace_configs=[tracing]) as http,
            session_on("http://[::1]:9", http=http) as cdr,
        ):
            with pytest.raises(type(fault)) as caught:
                await context_of(cdr).ask(FLASH, {})
    loot.take_error(caught.value)
    assert not loot.holds(ACCESS_SECRET, FLASH_SECRET)


@pytest.mark.parametrize("gateway", ["http://127.0.0.1:9", "https://gateway.invalid"])
async def test_nor_does_one_of_tracing_that_fails_as_it_hears_of_another(
    gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = aiohttp.ClientSession._request

    def fail() -> None:
        raise KeyError("on the way")

    async def traced(*args: Any, **options: Any) -> aiohttp.ClientResponse:
        try:
            response = await request(*args, **options)
            response.raise_for_status()
        except aiohttp.ClientError:
            try:
                fail()
            except KeyError as failed:
                raise ExceptionGroup("tracing", [failed])  # noqa: B904 - as some do that hook in
        return response

    monkeypatch.setattr(aiohttp.ClientSession, "_request", traced)
    with burglary() as loot:
        async with answering(lambda _: reply("", status="403 Forbidden")) as url:
            named = url.replace("://", f"://clerk:{quote(PROXY_PASSWORD, safe='')}@")
            async with session_on(gateway, proxy=named) as session:
                with pytest.raises(ExceptionGroup) as caught:
                    await context_of(session).ask(FLASH, {})
    loot.take_error(caught.value)
    loot.take_error(caught.value.exceptions[0])
    assert not loot.holds(PROXY_PASSWORD, PROXY_TOKEN, FLASH_SECRET)


async def test_parameters_that_cannot_be_sent_show_no_secret() -> None:
    loot = Loot()
    for endpoint in (CALLS, FLASH):
        async with session_on("http://127.0.0.1:9") as session:
            with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it must not tell
                await context_of(session).ask(endpoint, {"\ud800": object()})
            loot.take_error(caught.value)
    assert not loot.holds(ACCESS_SECRET, FLASH_SECRET)


def test_a_digest_this_machine_forbids_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidding:
        @staticmethod
        def new(*_words: object, **_options: object) -> None:
            raise ValueError("disabled for FIPS")

    monkeypatch.setattr("nxcdr_async.protocol.auth.hashlib", Forbidding)
    loot = Loot()
    with pytest.raises(ValueError, match="FIPS") as caught:
        sign(Credentials("key", ACCESS_SECRET), action="cc", biz_type=8, ts=1, body="{}")
    loot.take_error(caught.value)
    assert not loot.holds(ACCESS_SECRET)


@pytest.mark.parametrize("holder", [Credentials, FlashApp])
def test_a_pair_that_is_refused_shows_neither_half(holder: type) -> None:
    loot = Loot()
    for pair in ((f"{ACCESS_SECRET}\n", "b"), ("a", f"{ACCESS_SECRET}\n"), (f"{ACCESS_SECRET} ", ACCESS_SECRET)):
        with pytest.raises(ConfigurationError) as refused:
            holder(*pair)
        loot.take_error(refused.value)
    assert not loot.holds(ACCESS_SECRET)


@pytest.mark.parametrize(
    "variables",
    [
        {"NXCDR_ACCESS_SECRET": ACCESS_SECRET},
        {"NXCDR_ACCESS_KEY": "key", "NXCDR_ACCESS_SECRET": f"{ACCESS_SECRET}\n"},
        {"NXCDR_FLASH_SECRETKEY": FLASH_SECRET},
        {"NXCDR_FLASH_APPKEY": "app", "NXCDR_FLASH_SECRETKEY": f"{FLASH_SECRET} "},
        {"NXCDR_ACCESS_KEY": "key", "NXCDR_ACCESS_SECRET": ACCESS_SECRET, "NXCDR_REGION": "moon"},
    ],
)
def test_an_environment_that_cannot_work_shows_no_secret(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ACCESS_KEY", "ACCESS_SECRET", "FLASH_APPKEY", "FLASH_SECRETKEY", "REGION", "GATEWAY"):
        monkeypatch.delenv(f"NXCDR_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    loot = Loot()
    with pytest.raises(ConfigurationError) as refused:
        CdrSession.from_env()
    loot.take_error(refused.value)
    assert not loot.holds(ACCESS_SECRET, FLASH_SECRET)

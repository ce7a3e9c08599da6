"""What other people's software hooks into aiohttp's client gets to see: no secret, of any request that has one."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from attrs import define, field
from yarl import URL

from nxcdr_async import CdrSession, FlashApp
from tests.transport import loopback

SECRET = "Flash+Secret/4=&?#-that-nobody-else-sees"
SPELLINGS = (SECRET, "Flash%2BSecret", "Flash+Secret")
START = datetime(2026, 1, 1, tzinfo=UTC)


@define
class Gateway:
    """A flash-call list on loopback, and a forwarding proxy: notes the addresses that it is asked for."""

    url: str = ""
    targets: list[str] = field(factory=list)
    drops: int = 0

    @property
    def secrets(self) -> set[tuple[str, str]]:
        """The secrets it was asked with, under both of their names."""
        queries = [URL(target, encoded=True).query for target in self.targets]
        return {(query["secretkey"], query["appsecret"]) for query in queries}

    async def answer(self, request: web.Request) -> web.Response:
        self.targets.append(request.raw_path)
        if self.drops:
            self.drops -= 1
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"code": "0", "cdrs": [], "cdr": None})


@asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[Gateway]:
    gateway = Gateway()
    async with loopback.serving(gateway.answer, context) as gateway.url:
        yield gateway


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with serving() as running:
        yield running


async def ask(url: str, http: aiohttp.ClientSession | None = None, times: int = 1) -> None:
    async with CdrSession(gateway=url, flash_app=FlashApp("app", SECRET), http=http) as cdr:
        for _ in range(times):
            await cdr.flash_calls(START, START + timedelta(hours=1)).collect()
            assert await cdr.flash_call("request") is None


@define
class Spy:
    """Keeps all it is shown, as text: arguments, and what can be reached from them."""

    seen: list[str] = field(factory=list)

    def look(self, *things: object) -> None:
        todo: list[tuple[object, int]] = [(thing, 0) for thing in things]
        while todo:
            thing, depth = todo.pop()
            self.seen += [repr(thing), str(thing)]
            if depth < 3 and not isinstance(thing, str | bytes | type):
                todo += [(value, depth + 1) for value in _parts_of(thing)]

    def saw_only(self, word: str) -> None:
        assert any(word in text for text in self.seen), "it saw no request at all"
        assert [text for text in self.seen if any(spelling in text for spelling in SPELLINGS)] == []


def _parts_of(thing: object) -> Iterator[object]:
    if isinstance(thing, dict):
        yield from thing.values()
    elif isinstance(thing, list | tuple):
        yield from thing
    for name in ("url", "real_url", "original_url", "request_info", "headers", "response", "exception", "kwargs"):
        yield getattr(thing, name, None)


def tracing(spy: Spy) -> aiohttp.TraceConfig:
    """Return a trace config that looks at everything aiohttp tells one."""
    config = aiohttp.TraceConfig()

    async def look(_session: object, _context: object, told: object) -> None:
        spy.look(told, [getattr(told, name) for name in dir(told) if not name.startswith("_")])

    signals = [name for name in dir(config) if name.startswith("on_")]
    assert len(signals) >= 15
    for name in signals:
        getattr(config, name).append(look)
    return config


async def test_the_gateway_gets_the_secret(gateway: Gateway) -> None:
    await ask(gateway.url)
    assert gateway.secrets == {(SECRET, SECRET)}


async def test_trace_configs(gateway: Gateway) -> None:
    spy = Spy()
    async with aiohttp.ClientSession(trace_configs=[tracing(spy)]) as http:
        await ask(gateway.url, http, times=2)
    spy.saw_only("/otp/call/list?")
    assert gateway.secrets == {(SECRET, SECRET)}


async def test_trace_configs_that_a_patched_constructor_adds(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    spy, plain = Spy(), aiohttp.ClientSession.__init__

    def construct(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **{**kwargs, "trace_configs": [tracing(spy)]})

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", construct)
    await ask(gateway.url)
    spy.saw_only("/otp/call/list?")
    assert gateway.secrets == {(SECRET, SECRET)}


@pytest.mark.parametrize(
    "patched",
    [
        (aiohttp.ClientSession, "_request"),
        (aiohttp.TCPConnector, "connect"),
        (aiohttp.TCPConnector, "_create_connection"),
        (aiohttp.ClientRequest, "__init__"),
        (aiohttp.ClientRequest, "send"),
        (aiohttp.ClientResponse, "__init__"),
        (aiohttp.ClientResponse, "start"),
    ],
    ids=lambda patched: f"{patched[0].__name__}.{patched[1]}",
)
async def test_patched_methods(patched: tuple[type, str], gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    spy, (owner, name) = Spy(), patched
    plain: Callable[..., Any] = getattr(owner, name)

    def spied(self: object, *args: Any, **kwargs: Any) -> Any:
        answer = plain(self, *args, **kwargs)
        spy.look(vars(self) if isinstance(self, aiohttp.ClientResponse) else self, args, kwargs)
        return answer

    monkeypatch.setattr(owner, name, spied)
    await ask(gateway.url)
    spy.saw_only("/otp/call/list?")
    assert gateway.secrets == {(SECRET, SECRET)}


async def test_middlewares_of_the_callers_client_are_called(gateway: Gateway) -> None:
    spy = Spy()

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        response = await handler(request)
        spy.look(request, response)
        return response

    async with aiohttp.ClientSession(middlewares=[middleware]) as http:
        await ask(gateway.url, http)
    spy.saw_only("/otp/call/list?")
    assert gateway.secrets == {(SECRET, SECRET)}


async def test_errors_that_a_trace_config_is_told(closed_url: str) -> None:
    spy, failed, config = Spy(), asyncio.Event(), aiohttp.TraceConfig()

    async def look(_session: object, _context: object, told: aiohttp.TraceRequestExceptionParams) -> None:
        spy.look(told.url, told.exception, vars(told.exception))
        failed.set()

    config.on_request_exception.append(look)
    async with aiohttp.ClientSession(trace_configs=[config]) as http:
        asked = asyncio.ensure_future(ask(closed_url, http))
        await failed.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    spy.saw_only("/otp/call/list?")


@pytest.fixture
async def closed_url() -> str:
    """An address on loopback where nobody listens."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"


async def test_a_connection_that_was_dropped_while_idle(gateway: Gateway) -> None:
    async with aiohttp.ClientSession() as http:
        await ask(gateway.url, http)
        gateway.drops = 1
        await ask(gateway.url, http)
    assert gateway.secrets == {(SECRET, SECRET)}


async def test_a_connection_that_takes_no_bytes_at_first(gateway: Gateway) -> None:
    """Then a task of aiohttp's writes the request later on."""

    class Crowded(aiohttp.TCPConnector):
        async def connect(self, *args: Any, **kwargs: Any) -> Any:
            connection = await super().connect(*args, **kwargs)
            assert connection.protocol is not None
            connection.protocol.pause_writing()
            asyncio.get_running_loop().call_later(0.01, connection.protocol.resume_writing)
            return connection

    async with aiohttp.ClientSession(connector=Crowded()) as http:
        await ask(gateway.url, http, times=2)
    assert gateway.secrets == {(SECRET, SECRET)}


async def test_a_connection_that_is_lost_before_it_is_written_to(gateway: Gateway) -> None:
    lost: list[aiohttp.connector.Connection] = []

    class Losing(aiohttp.TCPConnector):
        async def connect(self, *args: Any, **kwargs: Any) -> Any:
            connection = await super().connect(*args, **kwargs)
            assert connection.protocol is not None
            assert connection.protocol.transport is not None
            if not lost:
                lost.append(connection)
                connection.protocol.transport.abort()
                await asyncio.sleep(0)  # it is told in the next turn of the loop
                assert connection.protocol.transport is None
            return connection

    async with aiohttp.ClientSession(connector=Losing()) as http:
        await ask(gateway.url, http)
    assert len(lost) == 1
    assert gateway.secrets == {(SECRET, SECRET)}


async def test_over_tls() -> None:
    authority, context, trust = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(trust)
    async with serving(context) as gateway, aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http:
        await ask(gateway.url, http, times=2)
    assert gateway.secrets == {(SECRET, SECRET)}


async def test_through_a_forwarding_proxy(gateway: Gateway) -> None:
    spy = Spy()
    async with aiohttp.ClientSession(proxy=gateway.url, trace_configs=[tracing(spy)]) as http:
        await ask("http://127.0.0.1:9/below", http)
    assert {URL(target, encoded=True).path for target in gateway.targets} == {
        "/below/otp/call/list",
        "/below/otp/call/get",
    }
    assert gateway.secrets == {(SECRET, SECRET)}
    spy.saw_only("/below/otp/call/list?")

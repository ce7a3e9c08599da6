"""Who a session talks to: the host that was named, if its certificate proves it, and nobody else."""

import asyncio
import errno
import gc
import os
import resource
import ssl
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from attrs import define, field

from nxcdr_async import CdrSession, CertificateError, Credentials, FlashApp, InvalidRequestError, TransportError
from nxcdr_async.protocol.auth import Request
from nxcdr_async.transport.connection import Connection
from tests.transport import loopback

ACCESS_SECRET, FLASH_SECRET = "access-secret-for-nobody-else", "flash-secret-for-nobody-else"
START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime.now(UTC)
DAY = timedelta(days=1)

ASKED: dict[str, Callable[[CdrSession], Awaitable[object]]] = {
    "order": lambda cdr: cdr.calls_by_order("order", tenant_id=1),
    "flash": lambda cdr: cdr.flash_calls(START, START + timedelta(hours=1)).collect(),
    "flash_call": lambda cdr: cdr.flash_call("request"),
}


@define
class Host:
    """A server on loopback that notes each request, and answers all with one reply: nothing found, if not told."""

    status: int = 200
    headers: dict[str, str] = field(factory=dict)
    url: str = ""
    seen: list[web.Request] = field(factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        return web.json_response({"code": 0, "data": [], "cdrs": []}, status=self.status, headers=self.headers)


@asynccontextmanager
async def serving(host: Host, context: ssl.SSLContext | None = None) -> AsyncIterator[Host]:
    async with loopback.serving(host.answer, context) as host.url:
        yield host


def session_on(url: str, http: aiohttp.ClientSession | None = None) -> CdrSession:
    return CdrSession(
        gateway=url, credentials=Credentials("key", ACCESS_SECRET), flash_app=FlashApp("app", FLASH_SECRET), http=http
    )


def certified(authority: trustme.CA, host: str = "127.0.0.1", **dates: datetime) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host, **dates).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> aiohttp.TCPConnector:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return aiohttp.TCPConnector(ssl=context)


AUTHORITY = trustme.CA()
REFUSED: dict[str, ssl.SSLContext] = {
    "untrusted": certified(trustme.CA()),
    "of another host": certified(AUTHORITY, "gateway.example"),
    "of another address": certified(AUTHORITY, "127.0.0.2"),
    "expired": certified(AUTHORITY, not_before=NOW - 2 * DAY, not_after=NOW - DAY),
    "not valid yet": certified(AUTHORITY, not_before=NOW + DAY, not_after=NOW + 2 * DAY),
}


@pytest.mark.parametrize("asked", ASKED)
async def test_a_trusted_certificate_is_accepted_over_the_callers_own_client(asked: str) -> None:
    async with (
        serving(Host(), certified(AUTHORITY)) as host,
        aiohttp.ClientSession(connector=trusting(AUTHORITY)) as http,
    ):
        async with session_on(host.url, http) as cdr:
            assert not await ASKED[asked](cdr)
        assert not http.closed


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("certificate", REFUSED)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # asyncio's own, from the server's side of a refused handshake
async def test_a_certificate_that_proves_nothing_is_refused_at_once_and_gets_no_request(
    certificate: str, asked: str
) -> None:
    async with (
        serving(Host(), REFUSED[certificate]) as host,
        aiohttp.ClientSession(connector=trusting(AUTHORITY)) as http,
        session_on(host.url, http) as cdr,
    ):
        with pytest.raises(CertificateError) as refused:
            await ASKED[asked](cdr)
        assert cdr.stats.requests == 1
    assert not host.seen
    assert host.url.removeprefix("https://") in str(refused.value)
    assert "check the address, this machine's clock and its certificates" in str(refused.value)


@pytest.mark.first_of
@pytest.mark.parametrize(("authority", "code"), [(AUTHORITY, 0), (trustme.CA(), 1)], ids=["trusted", "untrusted"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # as above
async def test_the_sessions_own_client_trusts_whom_the_machine_trusts(
    authority: trustme.CA, code: int, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.pem"
    authority.cert_pem.write_to_path(trusted)
    async with serving(Host(), certified(AUTHORITY)) as host:
        variables = {
            "SSL_CERT_FILE": str(trusted),
            "NXCDR_GATEWAY": host.url,
            "NXCDR_ACCESS_KEY": "key",
            "NXCDR_ACCESS_SECRET": ACCESS_SECRET,
        }
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "nxcdr_async", "order", "1", "--tenant", "1"),
            env={**os.environ, **variables},
            stderr=asyncio.subprocess.PIPE,
        )
        _, told = await program.communicate()
    assert program.returncode == code
    assert bool(host.seen) == (code == 0)
    assert ("certificate" in told.decode()) == (code == 1)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # as above
async def test_certificates_that_a_variable_names_and_that_are_not_there_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    async with serving(Host(), certified(AUTHORITY)) as host, session_on(host.url) as cdr:
        with pytest.raises(CertificateError, match=r"SSL_CERT_FILE names '.*none\.pem', which is no file"):
            await ASKED["order"](cdr)


def test_a_log_of_tls_keys_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    code = "from nxcdr_async import CdrSession, ConfigurationError\n"
    code += "try: CdrSession()\nexcept ConfigurationError as refused: print(refused)"
    variables = {**os.environ, "SSLKEYLOGFILE": str(tmp_path / "none" / "keys")}
    told = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert told.stdout.startswith("SSLKEYLOGFILE names a file that cannot be written")


@contextmanager
def open_files_limit(most: int) -> Iterator[None]:
    """Have this process open no more files than this; those that are open stay so."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(("most", "connections"), [(40, 20), (1, 1)])
def test_connections_leave_as_many_files_to_all_else(most: int, connections: int) -> None:
    with open_files_limit(most):
        session = CdrSession(concurrency=200)
    assert session.stats.concurrency_limit == connections


async def test_a_connection_that_is_one_file_too_many_is_told_as_that() -> None:
    async with serving(Host()) as host:
        line = Connection(None, 5.0)
        try:
            with open_files_limit(1), pytest.raises(TransportError, match="may open no more files") as refused:
                await line.send(host.url, Request("GET", "/", {}))
            assert not host.seen
            assert os.strerror(errno.EMFILE) not in str(refused.value)
        finally:
            await line.aclose()


class OneReplyEach(asyncio.Protocol):
    """Answers the first request of each connection, leaves that open as it says, and closes it when the next comes."""

    def __init__(self, seen: list[bytes]) -> None:
        self.seen = seen
        self.is_used = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.seen.append(data)
        if self.is_used:
            self.transport.abort()
            return
        self.is_used = data.endswith(b"}")
        if self.is_used:
            body = b'{"code":0,"data":[]}'
            head = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n" % len(body)
            self.transport.write(head + body)


@pytest.mark.first_of
@pytest.mark.parametrize("asked", ASKED)
async def test_a_request_that_was_sent_is_not_kept(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[aiohttp.ClientRequest]] = []
    plain = aiohttp.ClientRequest.__init__

    def noted(self: aiohttp.ClientRequest, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        made.append(weakref.ref(self))

    monkeypatch.setattr(aiohttp.ClientRequest, "__init__", noted)
    async with serving(Host()) as host, session_on(host.url) as cdr:
        gc.collect()
        gc.disable()  # which would find what holds itself
        try:
            await ASKED[asked](cdr)
            kept = [request() is not None for request in made]
        finally:
            gc.enable()
    assert made
    assert not any(kept)


async def test_a_connection_that_was_closed_while_it_was_kept_costs_no_attempt() -> None:
    seen: list[bytes] = []
    server = await asyncio.get_running_loop().create_server(lambda: OneReplyEach(seen), "127.0.0.1", 0)
    async with server, session_on(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as cdr:
        for _ in range(10):
            assert await cdr.calls_by_order("order", tenant_id=1) == []
        assert cdr.stats.retries == 0
        assert len(seen) > cdr.stats.requests


class AnswersOnce(OneReplyEach):
    """Answers the first request of each connection, and never the next; tells when that came."""

    def __init__(self, seen: list[bytes], unanswered: asyncio.Event) -> None:
        super().__init__(seen)
        self.unanswered = unanswered

    def data_received(self, data: bytes) -> None:
        if not self.is_used:
            return super().data_received(data)
        self.seen.append(data)
        return self.unanswered.set()


async def test_what_is_on_its_way_over_a_kept_connection_is_not_sent_again_after_the_end() -> None:
    seen: list[bytes] = []
    unanswered = asyncio.Event()
    server = await asyncio.get_running_loop().create_server(lambda: AnswersOnce(seen, unanswered), "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        line, request = Connection(None, 5.0), Request("POST", "/", {}, b"{}")
        await line.send(url, request)
        asking = asyncio.create_task(line.send(url, request))
        await unanswered.wait()
        await line.aclose()
        with pytest.raises(TransportError):
            await asking
    assert len(seen) == 2


class Numbered(asyncio.Protocol):
    """Answers each request with its number."""

    def __init__(self, numbers: Iterator[int], lines: list[asyncio.Transport]) -> None:
        self.numbers, self.lines = numbers, lines

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.lines.append(transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"}"):
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % next(self.numbers))


@pytest.mark.parametrize("is_of_the_caller", [False, True])
@pytest.mark.parametrize("status", ["200 OK", "408 Request Timeout", "503 Service Unavailable"])
async def test_a_reply_that_nobody_asked_for_answers_nothing(status: str, is_of_the_caller: bool) -> None:
    numbers, lines = count(1), list[asyncio.Transport]()
    server = await asyncio.get_running_loop().create_server(lambda: Numbered(numbers, lines), "127.0.0.1", 0)
    async with server, aiohttp.ClientSession() as http:
        line, other = Connection(http if is_of_the_caller else None, 5.0), Connection(None, 5.0)
        url, request = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", Request("POST", "/", {}, b"{}")
        try:
            assert (await line.send(url, request)).body == b"1"
            lines[0].write(f"HTTP/1.1 {status}\r\nContent-Length: 1\r\n\r\n9".encode())
            assert (await other.send(url, request)).body == b"2"  # that has arrived by then
            if is_of_the_caller:
                with pytest.raises(TransportError, match="it closed the connection"):
                    await line.send(url, request)
            assert [(await line.send(url, request)).body for _ in range(2)] == [b"3", b"4"]
        finally:
            await line.aclose()
            await other.aclose()


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize("is_of_the_caller", [False, True])
async def test_a_redirect_takes_no_secret_and_no_signature_anywhere(
    status: int, is_of_the_caller: bool, asked: str
) -> None:
    async with (
        serving(Host()) as elsewhere,
        serving(Host(status, {"Location": f"{elsewhere.url}/?secretkey={FLASH_SECRET}"})) as host,
        aiohttp.ClientSession(raise_for_status=True) as http,
        session_on(host.url, http if is_of_the_caller else None) as cdr,
    ):
        with pytest.raises(InvalidRequestError, match="a redirect is never followed") as refused:
            await ASKED[asked](cdr)
    assert len(host.seen) == 1
    assert not elsewhere.seen
    assert elsewhere.url not in str(refused.value)


@pytest.mark.parametrize("location", ["/elsewhere", "//evil.example/", "http://evil.example", "", "?a=b"])
async def test_no_address_of_a_redirect_is_followed_on_the_same_host_either(location: str) -> None:
    async with serving(Host(302, {"Location": location})) as host, session_on(host.url) as cdr:
        with pytest.raises(InvalidRequestError):
            await ASKED["flash"](cdr)
    assert len(host.seen) == 1


@pytest.mark.parametrize(
    "headers",
    [{"Refresh": "0; url=http://127.0.0.2"}, {"Link": "</elsewhere>; rel=preload"}, {"Alt-Svc": 'h2="127.0.0.2:443"'}],
    ids=lambda headers: next(iter(headers)),
)
async def test_no_other_header_leads_elsewhere(headers: dict[str, str]) -> None:
    async with serving(Host(headers=headers)) as host, session_on(host.url) as cdr:
        for _ in range(2):
            await ASKED["flash"](cdr)
    assert {request.host for request in host.seen} == {host.url.removeprefix("http://")}


async def test_what_a_gateway_would_have_kept_is_not_sent_back() -> None:
    async with serving(Host(headers={"Set-Cookie": "follow=me; Path=/"})) as host, session_on(host.url) as cdr:
        for _ in range(2):
            await ASKED["order"](cdr)
    assert len(host.seen) >= 2
    assert not [request for request in host.seen if "Cookie" in request.headers]


async def test_the_access_secret_is_never_sent_and_the_flash_secret_only_where_it_is_wanted() -> None:
    sent: dict[str, Any] = {}
    for asked, ask in ASKED.items():
        async with serving(Host()) as host, session_on(host.url) as cdr:
            await ask(cdr)
        sent[asked] = " ".join(f"{request.rel_url} {request.headers}" for request in host.seen)
    assert ACCESS_SECRET not in "".join(sent.values())
    assert [asked for asked, line in sent.items() if FLASH_SECRET in line] == ["flash", "flash_call"]

"""A real HTTP proxy on loopback, and TLS in front of an emulator, so that a gateway of any name is behind it."""

import asyncio
import os
import ssl
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import trustme
from attrs import define, field

AUTHORITY = trustme.CA()
GATEWAY_HOST = "gateway.example"
"""A name that nobody knows but the proxy."""

USER, PASSWORD = "clerk", 'p/5s:w@rd+&=~"Q1w2E3r4T5y6U7i8'


@define(frozen=True)
class Seen:
    """What the proxy was asked: the method, what for, and the headers, their names in lower case."""

    method: str
    target: str
    headers: dict[str, str]


@define
class ProxyServer:
    """Tunnels what asks for it, and passes all else on.

    Attributes:
        password: of the one user it lets through; None lets everybody through.
        refuses: the status that it refuses everything with.
        challenge: the way to authenticate that it tells of.
        hosts: where the names are that it alone knows.
        seen: what it was asked.
    """

    password: str | None = None
    refuses: int | None = None
    challenge: str = 'Basic realm="the way out"'
    hosts: dict[str, str] = field(factory=lambda: {GATEWAY_HOST: "127.0.0.1"})
    seen: list[Seen] = field(factory=list)
    port: int = 0
    is_encrypted: bool = False

    @property
    def url(self) -> str:
        return f"{'https' if self.is_encrypted else 'http'}://127.0.0.1:{self.port}"

    @property
    def methods(self) -> set[str]:
        return {seen.method for seen in self.seen}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begin = await reader.readexactly(1)
        if not begin.isalpha():  # TLS, say
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        head = (begin + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        self.seen.append(Seen(method, target, headers))
        status = self._refusal(headers)
        if status:
            told = f"HTTP/1.1 {status} No\r\nProxy-Authenticate: {self.challenge}\r\nContent-Length: 0\r\n\r\n"
            writer.write(told.encode())
            await writer.drain()
            return
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host = parts.hostname or ""
        there, onward = await asyncio.open_connection(self.hosts.get(host, host), parts.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            kept = [line for line in lines if not line.lower().startswith(("proxy-", "connection"))]
            query = f"?{parts.query}" if parts.query else ""
            onward.write(
                "\r\n".join([f"{method} {parts.path}{query} HTTP/1.1", *kept, "Connection: close", "", ""]).encode()
            )
        await asyncio.gather(piped(reader, onward), piped(there, writer))

    def _refusal(self, headers: dict[str, str]) -> int | None:
        expected = f"Basic {b64encode(f'{USER}:{self.password}'.encode()).decode()}"
        if self.password is not None and headers.get("proxy-authorization") != expected:
            return 407
        return self.refuses


async def piped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying(proxy: ProxyServer, context: ssl.SSLContext | None = None) -> AsyncIterator[ProxyServer]:
    proxy.is_encrypted = context is not None
    async with serving(proxy.serve, context) as port:
        proxy.port = port
        yield proxy


@asynccontextmanager
async def behind_tls(url: str, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve an emulator by TLS, under a name that only the proxy knows; gives its base URL."""
    parts = urlsplit(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(piped(reader, onward), piped(there, writer))

    async with serving(serve, context or certified(GATEWAY_HOST)) as port:
        yield f"https://{GATEWAY_HOST}:{port}"


@asynccontextmanager
async def serving(serve: object, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Serve connections until the block ends, and then end those that are open."""
    tasks: set[asyncio.Task[None]] = set()

    async def kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)  # type: ignore[operator]
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(kept, "127.0.0.1", 0, ssl=context)
    async with AsyncExitStack() as stack:
        stack.callback(server.close)
        yield server.sockets[0].getsockname()[1]
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def certified(host: str, authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


async def run_nxcdr(folder: Path, *words: str, **variables: str) -> tuple[int, str, str]:
    """Run the command line in a process of its own; returns its code, stdout and stderr."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("NXCDR_") and not name.lower().endswith("_proxy")
    }
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nxcdr_async", *words),
        env={**inherited, "COLUMNS": "400", **variables},
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await program.communicate()
    return program.returncode or 0, out.decode(), err.decode()

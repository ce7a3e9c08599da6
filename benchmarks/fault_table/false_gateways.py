"""Gateways whose TLS certificate must not be accepted, and which count the bytes that are sent to them all the same."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import trustme
from attrs import define

_EXPIRED = datetime.now(UTC) - timedelta(days=1)


@define
class FalseGateway:
    """A TLS server that is no gateway.

    Attributes:
        url: where it is.
        trusting: a context for clients that trust the authority its certificate should be from.
        tried: connections that were attempted.
        received: bytes that came through TLS: each of them is one too many.
    """

    url: str
    trusting: ssl.SSLContext
    tried: int = 0
    received: int = 0


def certificates() -> dict[str, tuple[trustme.CA, trustme.LeafCert]]:
    """Return each way a certificate can be wrong: the authority a client trusts, and what it is shown."""
    trusted = trustme.CA()
    return {
        "TLS certificate of an unknown authority": (trusted, trustme.CA().issue_cert("localhost")),
        "TLS certificate expired": (trusted, trusted.issue_cert("localhost", not_after=_EXPIRED)),
        "TLS certificate of another host": (trusted, trusted.issue_cert("gateway.example")),
    }


@asynccontextmanager
async def false_gateway(authority: trustme.CA, shown: trustme.LeafCert) -> AsyncIterator[FalseGateway]:
    """Run one until the block ends."""
    served, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    shown.configure_cert(served)
    authority.configure_trust(trusting)
    gateway = FalseGateway("", trusting)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gateway.received += len(await reader.read(65_536))
        writer.close()

    def count(*_: object) -> None:
        gateway.tried += 1

    # Called for each client hello, so for handshakes that fail too.
    served.sni_callback = count
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=served)
    async with server:
        gateway.url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        yield gateway

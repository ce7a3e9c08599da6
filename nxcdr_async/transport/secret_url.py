"""A secret in an address, put in as its bytes leave: nothing that hooks into aiohttp's client gets to see it.

Trace configs, middlewares, a patched `_request` or connector, responses, errors and logs all get the address that
aiohttp was given, which has a word in the place of the secret. Only the transport gets the true one.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
from aiohttp import ClientHandlerType, ClientMiddlewareType
from attrs import define, field


def middlewares_of(http: aiohttp.ClientSession) -> Sequence[ClientMiddlewareType]:
    """Return the middlewares of a client session, whose place those of a request take."""
    # There is no public name for them.
    middlewares: Sequence[ClientMiddlewareType] = getattr(http, "_middlewares", ())
    return middlewares


def secret_url(shown: str, secret: str) -> Sequence[ClientMiddlewareType]:
    """Return the middlewares of a request whose address is shown in one way and written in another; none without."""
    return (_SecretUrl(shown.encode(), secret.encode()),) if secret else ()


@define(frozen=True)
class _SecretUrl:
    """A middleware that has a request written with another address than it knows."""

    shown: bytes
    secret: bytes = field(repr=False)

    async def __call__(self, request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        async def send(connection: Any) -> aiohttp.ClientResponse:
            vars(request).pop("send", None)  # that of the class is there again
            protocol = connection.protocol
            if protocol.transport is not None:  # it is None once the connection is lost
                protocol.transport = _Line(protocol, protocol.transport, self)
            return await request.send(connection)

        # The one place that knows both the request and its connection.
        request.send = send  # type: ignore[method-assign, assignment]
        return await handler(request)


@define(eq=False)
class _Line:
    """A transport that writes the true address in the first thing it is given, and then steps aside."""

    _protocol: Any = field(repr=False)
    _transport: asyncio.Transport
    _url: _SecretUrl

    def write(self, data: bytes) -> None:
        if self._protocol.transport is self:
            self._protocol.transport = self._transport
        # A view, as its repr shows nothing: variables of a transport that fails go into logs.
        self._transport.write(memoryview(data.replace(self._url.shown, self._url.secret, 1)))

    def writelines(self, parts: Sequence[bytes]) -> None:
        self.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

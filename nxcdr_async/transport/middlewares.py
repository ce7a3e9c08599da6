"""Two middlewares of aiohttp's client, of which nobody else that hooks into it gets to see anything.

Both stand in for the `send` of one request, which is where the request and its connection are first known together, and
nothing was written yet. One writes a secret into the address, the other drops a connection that is out of step.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp import ClientHandlerType, ClientMiddlewareType
from attrs import define, field


def middlewares_of(http: aiohttp.ClientSession) -> Sequence[ClientMiddlewareType]:
    """Return the middlewares of a client session, whose place those of a request take."""
    # There is no public name for them.
    middlewares: Sequence[ClientMiddlewareType] = getattr(http, "_middlewares", ())
    return middlewares


def secret_url(shown: str, secret: str) -> Sequence[ClientMiddlewareType]:
    """Return the middlewares of a request whose address is shown in one way and written in another; none without.

    The secret is put in as the bytes leave. Trace configs, middlewares, a patched `_request` or connector, responses,
    errors and logs all get the address that aiohttp was given, which has a word in its place.
    """
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
                protocol.transport = _FirstWrite(protocol, protocol.transport, self)
            return await request.send(connection)

        request.send = send  # type: ignore[method-assign, assignment]
        return await handler(request)


@define(eq=False)
class _FirstWrite:
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


@define(eq=False)
class StrayResponses:
    """The innermost middleware: a kept connection over which something came while it was idle is closed, not used.

    A gateway, or a proxy, that says there that it waited for too long would else shift each later answer by one.

    Attributes:
        used: the connections that earlier requests went over; None where that is not known, so that each may be one.
        is_over_kept: whether this request goes over one of them.
    """

    used: WeakSet[Any] | None = field(repr=False)
    is_over_kept: bool = field(default=False, init=False)

    async def __call__(self, request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        """Pass a request on, with a check of the connection that it gets."""
        send = request.send

        async def send_if_clean(connection: Any) -> aiohttp.ClientResponse:
            vars(request).pop("send", None)  # or the request would hold itself, until it is looked for
            if self.used is not None:
                self.is_over_kept = connection.protocol in self.used
                self.used.add(connection.protocol)
            if (self.used is None or self.is_over_kept) and connection.protocol.should_close:
                connection.close()
                raise aiohttp.ServerDisconnectedError
            return await send(connection)

        request.send = send_if_clean  # type: ignore[method-assign, assignment]
        return await handler(request)

"""Replies that nobody asked for, over a connection that is kept: none is taken for the answer to what comes next."""

from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import ClientHandlerType
from attrs import define, field


@define(frozen=True)
class StrayReplies:
    """The innermost middleware: a connection over which something came while it was idle is closed, not used.

    A gateway, or a proxy, that says there that it waited for too long would else shift each later answer by one.

    Attributes:
        is_kept: tells whether an earlier request went over the connection, as far as that is known.
    """

    is_kept: Callable[[], bool] = field(repr=False)

    async def __call__(self, request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        """Pass a request on, with a check of the connection that it gets."""
        send = request.send

        async def send_if_clean(connection: Any) -> aiohttp.ClientResponse:
            vars(request).pop("send", None)  # or the request would hold itself, until it is looked for
            if self.is_kept() and connection.protocol.should_close:
                connection.close()
                raise aiohttp.ServerDisconnectedError
            return await send(connection)

        # Here the connection is known, and nothing was written to it yet.
        request.send = send_if_clean  # type: ignore[method-assign, assignment]
        return await handler(request)

"""The ASGI side of a receiver: messages in, messages out."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from attrs import define

from nxcdr_async.webhook.head import Head, Headers, path_below
from nxcdr_async.webhook.receiver import ClientGoneError, Receiver

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def serve(receiver: Receiver, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one connection of an ASGI server.

    Raises:
        ValueError: the kind of connection is none that ASGI 3 knows.
    """
    kind = scope["type"]
    if kind == "http":
        return await _answer(receiver, scope, receive, send)
    if kind == "lifespan":
        return await _live(receive, send)
    if kind == "websocket":
        await receive()
        return await send({"type": "websocket.close"})  # before it was accepted: the server says 403
    raise ValueError(f"the ASGI scope is of type {kind!r}; known are http, websocket and lifespan")


async def _answer(receiver: Receiver, scope: Scope, receive: Receive, send: Send) -> None:
    # Starlette's name for what FastAPI(root_path=…) and others put before the path.
    path = path_below(scope["path"], scope.get("root_path", ""), scope.get("app_root_path", ""))
    head = Head(scope["method"], path, Headers.of(scope["headers"]))
    try:
        answer = await receiver.answer(head, _Body(receive).next_chunk)
    except ClientGoneError:
        return
    headers = answer.all_headers
    if answer.is_cut and scope.get("http_version", "1.1").startswith("1"):
        # Later versions of HTTP have no such header.
        headers["connection"] = "close"
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": answer.body})


async def _live(receive: Receive, send: Send) -> None:
    """Say that there is nothing to be started, nor to be stopped."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


@define(eq=False)
class _Body:
    receive: Receive
    is_whole: bool = False

    async def next_chunk(self) -> bytes | None:
        if self.is_whole:
            return None
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        self.is_whole = not message.get("more_body", False)
        return bytes(message.get("body", b""))

"""The app that receives call pushes: how it is made, and served as ASGI or by aiohttp.web."""

from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from attrs import define, field

from nxcdr_async._util.clocks import wall
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async._util.validation import as_number, as_text, as_whole
from nxcdr_async.config import Credentials
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.webhook.authenticate import Authenticator
from nxcdr_async.webhook.dedupe import SeenPushes
from nxcdr_async.webhook.http import Head, Headers, path_below
from nxcdr_async.webhook.receiver import ClientGoneError, OnCall, Receiver

if TYPE_CHECKING:
    from aiohttp import web

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ONCE_WITHIN = timedelta(minutes=10)
"""How long after a push was accepted others with the same values, or a part of them, say nothing new."""

LARGEST_PUSH = 65_536
"""Bytes; a published push has some 500."""


@define(eq=False, frozen=True)
class CallPushApp(Uncopied):
    """Receives the vendor's call pushes: an ASGI 3 application, and a handler for aiohttp.web. Made by `call_push_app`.

    It holds nothing that has to be opened or closed, and may serve several event loops one after another.
    """

    _instead = "make one in each process, by call_push_app()"

    _receiver: Receiver = field(repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of an ASGI server: HTTP and lifespan; websockets are denied."""
        await serve(self._receiver, scope, receive, send)

    async def handle_aiohttp(self, request: "web.Request") -> "web.Response":
        """Answer a request of aiohttp.web, whose router has decided on the path.

        `router.add_post("/nxcdr/calls", app.handle_aiohttp)`. The limit of the size is this app's own, not aiohttp's.
        """
        from nxcdr_async.webhook.aiohttp_web import answer_request  # noqa: PLC0415 - imports aiohttp's web server

        return await answer_request(self._receiver, request)


def call_push_app(
    on_call: OnCall,
    *,
    token: str | None = None,
    credentials: Credentials | None = None,
    path: str = "/",
    once_within: timedelta = ONCE_WITHIN,
    largest_body: int = LARGEST_PUSH,
    timeout: float = 30.0,
    now: Callable[[], float] = wall,
) -> CallPushApp:
    """Return an app that receives the vendor's call pushes, and hands each call to a callback.

    >>> async def store(call):
    ...     print(call.call_id, call.start_time)
    >>> app = call_push_app(store, token="as in the vendor's console", path="/nxcdr/calls")

    A push is answered with 200 only after the callback has finished. If that fails or takes too long, the answer is
    500, so that the vendor can send the push again, and the log has the traceback. What is not the vendor's (401), too
    large (413), too slow (408), cut short or no call (400, 422) never reaches the callback; the log says so, without
    secrets.

    Give a token, credentials, or both: then a push with the header `sign` is judged by its signature alone, any other
    by its token. A signature has to be over the exact body and not older or newer than 60 seconds; the header
    `algorithm` says whether it is MD5 (the default) or SHA-256. Upper and lower case make no difference to either. The
    same signed push once more is answered with 200, without the callback. Where push after push is too old or too new
    by about as much, the log says once an hour by how much this machine's clock, or the sender's, is off.

    The callback may get a call several times, each time with all values of the push: a push with more values than those
    before, or another value, goes to the callback as they did. One that comes again, or late with only a part of the
    values of another, does not.

    Args:
        on_call: gets each call as a record with aware times; what a push lacks, which is much, is None.
        token: what the header `token` has to be, as set in the vendor's console.
        credentials: the key pair that signs, if signed pushes were chosen there.
        path: where pushes are accepted, below the prefix that the app is mounted on; all else is 404. A slash at the
            end does not count.
        once_within: how long after the callback has handled a push others with the same values, or a part of them, are
            answered with 200 without it; `timedelta(0)` lets all through. While the callback has a call, other pushes
            of it wait for its outcome. Up to 100,000 calls are remembered, 100 pushes of each, and 3,000,000 of their
            values.
        largest_body: bytes of a push.
        timeout: seconds for the body to come, and again for the callback.
        now: returns epoch seconds, to judge timestamps by; for tests.

    Raises:
        ConfigurationError: an argument cannot work, or there is neither a token nor credentials.
    """
    fault = (
        _fault_of_secrets(token, credentials)
        or _fault_of_functions(on_call=on_call, now=now)
        or _fault_of_limits(path, once_within, largest_body, timeout)
    )
    if fault is not None:
        del token, credentials  # a traceback may show variables
        raise ConfigurationError(fault)
    return CallPushApp(
        Receiver(
            on_call=on_call,
            authenticator=Authenticator(None if token is None else str.__str__(token), credentials),
            path=str.__str__(path),
            seen_pushes=SeenPushes(once_within.total_seconds()),
            largest_body=int(largest_body),
            timeout=float(timeout),
            now=now,
        )
    )


def _fault_of_secrets(token: object, credentials: object) -> str | None:
    """Return, without showing it, why a token or credentials cannot authenticate pushes."""
    if token is None and credentials is None:
        return "without a token or credentials anybody could push calls: give one, or both"
    if credentials is not None and not isinstance(credentials, Credentials):
        return f"credentials is {type(credentials).__name__}: give Credentials(access_key, access_secret)"
    return None if token is None else _fault_of_token(token)


def _fault_of_token(token: object) -> str | None:
    text = as_text(token)
    if text is None:
        return f"token is of type {type(token).__name__}: give it as text"
    if not text:
        return "token is empty: copy it from the vendor's console"
    if not text.isascii() or not text.isprintable() or text != text.strip():
        return "token has a line break, a space at an end or a non-ASCII character: copy it again"
    return None


def _fault_of_functions(**functions: object) -> str | None:
    for name, function in functions.items():
        if not callable(function):
            return f"{name} is {type(function).__name__}, which cannot be called: give the function itself, uncalled"
    return None


def _fault_of_limits(path: object, once_within: object, largest_body: object, timeout: object) -> str | None:
    place, size, seconds = as_text(path), as_whole(largest_body), as_number(timeout)
    if place is None or not place.startswith("/") or "?" in place or "#" in place:
        return f"path is {path!r}: give a path that begins with /, such as '/calls'"
    if not isinstance(once_within, timedelta) or once_within < timedelta():
        return f"once_within is {once_within!r}: give a timedelta that is not negative"
    if size is None or size < 1:
        return f"largest_body is {largest_body!r}: give a whole number of bytes from 1 on"
    if seconds is None or not seconds > 0:
        return f"timeout is {timeout!r}: give a number of seconds above 0"
    return None


async def serve(receiver: Receiver, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one connection of an ASGI server.

    Raises:
        ValueError: the kind of connection is none that ASGI 3 knows.
    """
    kind = scope["type"]
    if kind == "http":
        return await _answer(receiver, scope, receive, send)
    if kind == "lifespan":
        return await _complete_lifespan(receive, send)
    if kind == "websocket":
        await receive()
        return await send({"type": "websocket.close"})  # before it was accepted: the server says 403
    raise ValueError(f"the ASGI scope is of type {kind!r}; known are http, websocket and lifespan")


async def _answer(receiver: Receiver, scope: Scope, receive: Receive, send: Send) -> None:
    # Starlette's name for what FastAPI(root_path=…) and others put before the path.
    path = path_below(scope["path"], scope.get("root_path", ""), scope.get("app_root_path", ""))
    head = Head(scope["method"], path, Headers.of(scope["headers"]))
    try:
        answer = await receiver.answer(head, _AsgiBody(receive).next_chunk)
    except ClientGoneError:
        return
    headers = answer.all_headers
    if answer.is_cut and scope.get("http_version", "1.1").startswith("1"):
        # Later versions of HTTP have no such header.
        headers["connection"] = "close"
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": answer.body})


async def _complete_lifespan(receive: Receive, send: Send) -> None:
    """Answer that there is nothing to start, nor to stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


@define(eq=False)
class _AsgiBody:
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

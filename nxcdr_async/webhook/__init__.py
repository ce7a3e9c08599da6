"""Call pushes: the vendor POSTs each finished call to an address of yours, and a callback of yours gets it.

>>> async def on_call(call) -> None:
...     print(call.call_id, call.start_time)
>>> pushes = call_push_app(on_call, token="the token of the vendor's console", path="/calls")

Then add it to the service, which takes pushes at `/nxcdr/calls`:

- FastAPI, Starlette: `app.mount("/nxcdr", pushes)`
- Litestar: `asgi("/nxcdr", is_mount=True, copy_scope=True)(pushes)` among its route handlers
- aiohttp.web: `app.router.add_post("/nxcdr/calls", pushes.handle_aiohttp)`
- alone: `uvicorn module:pushes`, for `/calls`

Whether the vendor sends a push again that failed is not documented, so a push is a hint: a backfill that is synced now
and then is the truth.
"""

from collections.abc import Callable
from datetime import timedelta

from nxcdr_async.arguments import as_number, as_text, as_whole
from nxcdr_async.credentials import Credentials
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.machine_clocks import wall
from nxcdr_async.webhook.app import CallPushApp
from nxcdr_async.webhook.checks import Doorkeeper
from nxcdr_async.webhook.memory import PushMemory
from nxcdr_async.webhook.receiver import OnCall, Receiver

__all__ = ["CallPushApp", "call_push_app"]

ONCE_WITHIN = timedelta(minutes=10)
"""How long after a push was taken another one that tells the same, or less, is no news."""

LARGEST_BODY = 65_536
"""Bytes; a published push has some 500."""


def call_push_app(
    on_call: OnCall,
    *,
    token: str | None = None,
    credentials: Credentials | None = None,
    path: str = "/",
    once_within: timedelta = ONCE_WITHIN,
    largest_body: int = LARGEST_BODY,
    timeout: float = 30.0,
    now: Callable[[], float] = wall,
) -> CallPushApp:
    """Return an app that receives the vendor's call pushes, and hands each call to a callback.

    A push is answered with 200 only after the callback has finished. If that fails or takes too long, the answer is
    500, so that the vendor can send the push again, and the log has the traceback. What is not the vendor's (401), too
    large (413), too slow (408), cut short or no call (400, 422) never reaches the callback; the log says so, without
    secrets.

    Give a token, credentials, or both: then a push with the header `sign` is judged by its signature alone, any other
    by its token. A signature has to be over the exact body and not older or newer than 60 seconds; the header
    `algorithm` says whether it is MD5 (as without it) or SHA-256. Upper and lower case make no difference to either.
    The same signed push once more is answered with 200 and goes no further. Where one after the other is too old or too
    new by about as much, the log says once an hour by how much this machine's clock, or the sender's, is off.

    A push that tells more of its call than those before, or something else, goes to the callback as they did: the
    callback may get a call several times, each time with all that the push tells. One that comes again, or late with no
    more than a part of what another told, tells nothing new.

    Args:
        on_call: gets each call, as an aware record; pushes lack many fields, which are None then.
        token: what the header `token` has to be, as set in the vendor's console.
        credentials: the key pair that signs, if signed pushes were chosen there.
        path: where pushes are taken, below the prefix that the app is mounted on; all else is 404. A slash at the end
            does not count.
        once_within: how long after the callback took a push others that tell the same of its call, or but a part of it,
            are answered with 200 and go no further; `timedelta(0)` lets all through. While the callback has a call,
            other pushes of it wait for its outcome. Up to 100,000 calls are remembered, 100 pushes of each, and
            3,000,000 of their values.
        largest_body: bytes of a push.
        timeout: seconds for the body to come, and again for the callback.
        now: epoch seconds, to judge timestamps by; for tests.

    Raises:
        ConfigurationError: an argument cannot work, or there is neither a token nor credentials.
    """
    told = (
        _fault_of_secrets(token, credentials)
        or _fault_of_functions(on_call=on_call, now=now)
        or _fault_of_limits(path, once_within, largest_body, timeout)
    )
    if told is not None:
        del token, credentials  # a traceback may show variables
        raise ConfigurationError(told)
    return CallPushApp(
        Receiver(
            on_call=on_call,
            doorkeeper=Doorkeeper(None if token is None else str.__str__(token), credentials),
            path=str.__str__(path),
            memory=PushMemory(once_within.total_seconds()),
            largest_body=int(largest_body),
            timeout=float(timeout),
            now=now,
        )
    )


def _fault_of_secrets(token: object, credentials: object) -> str | None:
    """Say, without showing it, why a token or credentials cannot tell the vendor's pushes from others."""
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

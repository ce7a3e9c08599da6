"""Call pushes as the vendor sends them, to test a receiver.

The vendor POSTs one JSON object for each finished call, with many keys missing. Its documentation has two modes: a
header `token`, or signed headers over the raw body.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Self

from attrs import define, evolve, field
from yarl import URL

from nxcdr_async._util.clocks import wall
from nxcdr_async._util.validation import as_number, as_text, plain
from nxcdr_async.config import Credentials
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.protocol.auth import Request, sign
from nxcdr_async.testing.emulator.replies import encode
from nxcdr_async.transport.connection import Connection

PUSHED_KEYS: tuple[str, ...] = (
    "callId",
    "caller",
    "callee",
    "direction",
    "agentName",
    "agentNickName",
    "startTime",
    "ringTime",
    "answerTime",
    "endTime",
    "callDuration",
    "orderId",
    "taskId",
)
"""The vendor's keys in a push: those of the sample in its documentation."""

_ACTION, _BIZ_TYPE = "callback", "8"
_ACCEPTED = 200


@define(frozen=True)
class PushReply:
    """A receiver's answer to a push.

    Attributes:
        status: of HTTP.
        body: as it came.
    """

    status: int
    body: bytes = b""

    @property
    def accepted(self) -> bool:
        """Whether the vendor counts the push as delivered, which it does with HTTP 200 only."""
        return self.status == _ACCEPTED

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    checked = {name: as_text(value) for name, value in headers.items()}
    for name, value in checked.items():
        if value is None or not value.isprintable():
            raise ConfigurationError(f"the header {name} of a push is no text that a header can carry")
    return {name: value for name, value in checked.items() if value is not None}


@define(frozen=True)
class Push:
    """One push, which can be sent as often as wanted: to a URL, or with its headers and body by any client.

        push = Push.with_token({"callId": "c1", "startTime": 1767225600000}, "secret")
        assert (await push.send("http://127.0.0.1:8000/push")).accepted
        await push.send(url)  # the very same bytes: a replay
        await attrs.evolve(push, body=b"{}").send(url)  # with a signature, a forgery
        await push.with_headers(token=None).send(url)
        http.post("/push", content=push.body, headers=push.headers)  # httpx, or a TestClient: no server needed

    `gateway.push_of(call_id)` makes one of a call of an emulator's history.

    Attributes:
        headers: with its token or signature, whose values no repr shows.
        body: the exact bytes.
    """

    headers: Mapping[str, str] = field(converter=_checked_headers, repr=lambda headers: f"<{', '.join(headers)}>")
    body: bytes

    @classmethod
    def with_token(cls, row: Mapping[str, Any], token: str) -> Self:
        """Make a push with a token, as set in the vendor's console.

        Args:
            row: the vendor's keys of a call.
            token: what the receiver expects, or anything else.

        Raises:
            ConfigurationError: JSON cannot hold the row, or a header the token.
        """
        return cls({"Content-Type": "application/json", "token": token}, _body_of(row))

    @classmethod
    def signed(cls, row: Mapping[str, Any], credentials: Credentials, *, now: Callable[[], float] = wall) -> Self:
        """Make a push that is signed over its body. Two of one row in one millisecond are the same push.

        Args:
            row: the vendor's keys of a call.
            credentials: the key pair that signs, and its algorithm.
            now: returns epoch seconds, which a receiver compares with its own clock.

        Raises:
            ConfigurationError: JSON cannot hold the row.
        """
        body, ts = _body_of(row), int(now() * 1000)
        headers = {
            "Content-Type": "application/json",
            "accessKey": credentials.access_key,
            "ts": str(ts),
            "bizType": _BIZ_TYPE,
            "action": _ACTION,
            "sign": sign(credentials, action=_ACTION, biz_type=_BIZ_TYPE, ts=ts, body=body),
            "algorithm": credentials.algorithm,
        }
        return cls(headers, body)

    def with_headers(self, **changes: str | None) -> Self:
        """Return the same push with other headers; None leaves one out."""
        headers = {**self.headers, **changes}
        return evolve(self, headers={name: value for name, value in headers.items() if value is not None})

    async def send(self, url: str, *, timeout: float = 30.0) -> PushReply:  # noqa: ASYNC109 - of HTTP, as a session's
        """Send it over HTTP; redirects are not followed.

        Args:
            url: of the receiver.
            timeout: seconds until a whole reply must be there.

        Raises:
            TransportError: no complete reply: nothing listens there, or the receiver closed the connection.
            TimedOutError: no reply in time.
            ConfigurationError: the URL is not a URL.
        """
        origin, path = _parted(url)
        seconds = as_number(timeout)
        if seconds is None or not seconds > 0:
            raise ConfigurationError(f"timeout is {timeout!r}: give seconds, more than 0")
        connection = Connection(http=None, timeout=seconds)
        try:
            reply = await connection.send(origin, Request("POST", path, self.headers, self.body))
        finally:
            await connection.aclose()
        return PushReply(reply.status, reply.body)

    def send_sync(self, url: str, *, timeout: float = 30.0) -> PushReply:
        """Send it from code without an event loop; else as `send`.

        Raises:
            ConfigurationError: also when called in a running event loop, where it could wait for itself.
        """
        if _in_event_loop():
            raise ConfigurationError("send_sync() was called in a running event loop: write await push.send(url)")
        # A loop of its own, so that the one a test's plugin may have set stays the current one.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(self.send(url, timeout=timeout))


async def send_push(
    url: str,
    row: Mapping[str, Any],
    *,
    token: str | None = None,
    credentials: Credentials | None = None,
    now: Callable[[], float] = wall,
) -> PushReply:
    """Push one call to a receiver.

    Args:
        url: of the receiver.
        row: the vendor's keys of a call: `callId`, `startTime` and more.
        token: sent as the header `token`; or
        credentials: sign the push. One of the two.
        now: returns epoch seconds, for the signature.

    Raises:
        TransportError: no complete reply.
        ConfigurationError: neither a token nor credentials, or both; or as `Push`.
    """
    if token is not None and credentials is None:
        return await Push.with_token(row, token).send(url)
    if credentials is not None and token is None:
        return await Push.signed(row, credentials, now=now).send(url)
    raise ConfigurationError("give a token or credentials, one of the two: a push carries a token or is signed")


def _body_of(row: Mapping[str, Any]) -> bytes:
    if not isinstance(row, Mapping):
        raise ConfigurationError(
            f"a push tells of one call: give a mapping of the vendor's keys, not {type(row).__name__}"
        )
    try:
        return encode({key: plain(value) for key, value in row.items()})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the row cannot be written as JSON: {error}") from None


def _parted(url: str) -> tuple[str, str]:
    """Return the origin and the rest of a receiver's address."""
    try:
        address = URL(as_text(url) or url)
        is_address = address.scheme in {"http", "https"} and bool(address.host) and address.port is not None
    except (ValueError, TypeError):
        address, is_address = URL(), False
    if not is_address:
        raise ConfigurationError("the receiver's address is no URL: write it like http://127.0.0.1:8000/push")
    return str(address.origin()), address.raw_path_qs


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True

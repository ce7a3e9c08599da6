"""One HTTP exchange with a gateway. The only room that imports aiohttp's client; none of its errors gets out."""

import asyncio
from threading import Lock
from typing import Any

import aiohttp
from attrs import define, field
from yarl import URL

from nxcdr_async._version import __version__
from nxcdr_async.errors import (
    CertificateError,
    ConfigurationError,
    MalformedReplyError,
    NxcdrError,
    TimedOutError,
    TransportError,
)
from nxcdr_async.secret_url import with_secret_url
from nxcdr_async.wire import Reply, Request, request_id_in

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes of one reply, once unpacked; the largest honest page (999 DID rows) is well under a hundredth of it."""

_BINDING = Lock()
"""Held while a connection gets its event loop: two threads may be the first to use it."""

_USER_AGENT = f"nxcdr_async/{__version__}"


@define(eq=False)
class Connection:
    """Sends requests over a client session of the caller's, never closed here, or over one of its own.

    Attributes:
        http: the caller's client session; None to open one at the first request.
        timeout: seconds one exchange may take, from connecting to the last byte.
    """

    http: aiohttp.ClientSession | None = field()
    timeout: float
    _own_http: aiohttp.ClientSession | None = field(default=None, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)

    @http.validator
    def _check_http(self, _: Any, http: object) -> None:
        if not isinstance(http, aiohttp.ClientSession | None):
            raise ConfigurationError(f"http is of type {type(http).__name__}: give an aiohttp.ClientSession")

    @property
    def limits(self) -> list[int]:
        """How many connections the caller's client session allows, where it sets a bound."""
        connector = self.http.connector if self.http is not None else None
        return [] if connector is None else [limit for limit in (connector.limit, connector.limit_per_host) if limit]

    async def send(self, gateway: str, request: Request) -> Reply:
        """Send a request below a base URL and read the reply to its end. Redirects are not followed.

        Raises:
            TransportError: no whole reply arrived.
            MalformedReplyError: the reply is far too long.
            ConfigurationError: closed, or used from another event loop.
        """
        try:
            outcome = await self._exchange(self._client(), gateway, request)
        except BaseException as stopped:
            # Cancelled, say, or an error of the caller's own tracing. It goes on without the frames of aiohttp, which
            # hold an address with a secret in its query.
            stopped.__traceback__ = None
            raise
        if isinstance(outcome, Reply):
            return outcome
        # Raised here, out of reach of what aiohttp raised, for the same reason.
        raise outcome

    async def _exchange(self, http: aiohttp.ClientSession, gateway: str, request: Request) -> Reply | NxcdrError:
        host = gateway.split("://", 1)[1]
        request_id: str | None = None
        failure: NxcdrError
        hidden: dict[str, Any] = {}
        if request.secret_url:
            hidden["middlewares"] = with_secret_url(http, request.url, request.secret_url)
        try:
            async with http.request(
                request.method,
                URL(f"{gateway}{request.url}", encoded=True),
                data=request.body or None,
                headers={**request.headers, "User-Agent": _USER_AGENT},
                allow_redirects=False,
                raise_for_status=False,
                timeout=aiohttp.ClientTimeout(total=self.timeout),
                **hidden,
            ) as response:
                request_id = request_id_in(response.headers)
                body = await _read_body(response)
                return Reply(response.status, response.headers, body)
        except aiohttp.ClientConnectorCertificateError:
            failure = CertificateError(
                f"the TLS certificate of {host} was not accepted: check the address, this machine's clock and its "
                "certificates",
            )
        except TimeoutError:
            failure = TimedOutError(f"no whole reply from {host} within {self.timeout:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = TransportError(f"no whole reply from {host}: {_reason(error)}")
        except MalformedReplyError as error:
            failure = error.with_traceback(None)
        except asyncio.CancelledError:
            if http.closed and not _is_cancelled():
                # aiohttp cancels who waits for a connection of a client session that is closed.
                closed = "the aiohttp.ClientSession given as http was closed while it was used"
                return ConfigurationError(closed)  # noqa: ASYNC104 - nobody cancelled this task
            raise
        failure.request_id = request_id
        return failure

    async def aclose(self) -> None:
        """Close the connections that were opened here, and no others."""
        self._closed = True
        if self._own_http is not None and self._loop is asyncio.get_running_loop():
            await self._own_http.close()

    def check_usable(self) -> None:
        """Check that a request could be sent from here.

        Raises:
            ConfigurationError: closed, or used from another event loop.
        """
        if self._closed:
            raise ConfigurationError("the session is closed: open a new CdrSession")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            with _BINDING:
                self._loop = self._loop or loop
        if self._loop.is_closed():
            raise ConfigurationError(
                "the session belongs to another event loop, which has ended: open a new CdrSession in each "
                "asyncio.run() and close it there"
            )
        if self._loop is not loop:
            raise ConfigurationError("the session belongs to another event loop: open one CdrSession in each loop")
        if self.http is not None and self.http.closed:
            raise ConfigurationError("the aiohttp.ClientSession given as http is closed")

    def check_closable(self) -> None:
        """Check that closing here takes nothing away from an event loop that is at work with it.

        Raises:
            ConfigurationError: it is used by another event loop, which is running.
        """
        loop = self._loop
        if loop is not None and loop is not asyncio.get_running_loop() and loop.is_running():
            raise ConfigurationError("the session belongs to another event loop, which is running: close it there")

    def _client(self) -> aiohttp.ClientSession:
        self.check_usable()
        if self.http is not None:
            return self.http
        if self._own_http is None:
            self._own_http = aiohttp.ClientSession(
                # The limiter is the only queue: a request that waited for a connection would carry an old timestamp.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._own_http


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > LARGEST_BODY:
            raise MalformedReplyError(f"the reply is longer than {LARGEST_BODY // 1024 // 1024} MiB")
        parts.append(part)
    return b"".join(parts)


def _reason(error: BaseException) -> str:
    """Say what went wrong without quoting the error's own text, which may hold the address."""
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    told = error.strerror if isinstance(error, OSError) else None
    return told or type(error).__name__


_REASONS: dict[type[BaseException], str] = {
    aiohttp.ClientConnectorDNSError: "its name is not known; is the gateway written right?",
    aiohttp.ClientConnectorSSLError: "it does not speak TLS as it should; is this an https address?",
    aiohttp.ClientConnectorError: "cannot connect; is it running, and are the address and the port right?",
    aiohttp.ServerDisconnectedError: "it closed the connection",
    aiohttp.ClientPayloadError: "the body was cut off or is not what its headers say",
}
"""From the most special kind to the most general."""

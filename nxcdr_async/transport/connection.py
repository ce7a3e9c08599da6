"""One HTTP exchange with a gateway. The only module that imports aiohttp's client; none of its errors gets out."""

import asyncio
import sys
from collections.abc import Mapping
from http import HTTPStatus
from threading import Lock
from typing import Any
from weakref import WeakSet

import aiohttp
from attrs import define, field
from yarl import URL

from nxcdr_async._util.clocks import move_on_after, timers_keep_time
from nxcdr_async._util.tasks import is_cancelled, running_loop
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async._version import __version__
from nxcdr_async.errors import ConfigurationError, MalformedReplyError, NxcdrError
from nxcdr_async.protocol.auth import Request
from nxcdr_async.protocol.responses import Response, request_id_in
from nxcdr_async.transport.faults import LARGEST_HEADER, MOST_HEADERS, fault_of, seal, timed_out
from nxcdr_async.transport.middlewares import StrayResponses, middlewares_of, secret_url
from nxcdr_async.transport.proxies import Proxy, Route
from nxcdr_async.transport.tunnel import forwarding_headers, proxy_fault, proxy_options, proxy_refusal

if sys.platform != "win32":
    import resource

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes of one response, once unpacked; the largest honest page (999 DID rows) is well under a hundredth of it."""

_BINDING = Lock()
"""Held while a connection gets its event loop: two threads may be the first to use it."""

_LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError)
"""What comes of a connection that is closed before the response begins."""

_SESSION_CLOSED = "the session is closed: open a new CdrSession"

_USER_AGENT = f"nxcdr_async/{__version__}"


@define(eq=False)
class Connection(Uncopied):
    """Sends requests over a client session of the caller's, never closed here, or over one of its own.

    Attributes:
        http: the caller's client session; None to open one at the first request.
        timeout: seconds one exchange may take, from connecting to the last byte.
        routes: how gateways are reached, by their base URLs; directly, if not named.
    """

    http: aiohttp.ClientSession | None = field()
    timeout: float
    routes: Mapping[str, Route] = field(factory=dict)
    _own_http: aiohttp.ClientSession | None = field(default=None, init=False)
    _unkept_http: aiohttp.ClientSession | None = field(default=None, init=False)
    _used: WeakSet[Any] = field(factory=WeakSet, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)

    @http.validator
    def _check_http(self, _: Any, http: object) -> None:
        if not isinstance(http, aiohttp.ClientSession | None):
            raise ConfigurationError(f"http is of type {type(http).__name__}: give an aiohttp.ClientSession")
        if http is not None and not http.auto_decompress:
            raise ConfigurationError(
                "the aiohttp.ClientSession given as http was made with auto_decompress=False, and replies come packed: "
                "give another one"
            )

    @property
    def limits(self) -> list[int]:
        """How many connections the caller's client session and this process allow, where they set a bound."""
        connector = self.http.connector if self.http is not None else None
        limits = () if connector is None else (connector.limit, connector.limit_per_host)
        return [limit for limit in (*limits, _most_by_open_files()) if limit]

    @property
    def secrets(self) -> tuple[str, ...]:
        """What the proxies on the way know of us that nobody else may."""
        return tuple(secret for route in self.routes.values() if route.proxy for secret in route.proxy.secrets)

    async def send(self, gateway: str, request: Request) -> Response:
        """Send a request below a base URL and read the response to its end. Redirects are not followed.

        Raises:
            TransportError: no whole response arrived.
            MalformedReplyError: the response is far too long.
            ConfigurationError: closed, or used from another event loop.
        """
        try:
            http = self._client()
            if timers_keep_time():
                until = asyncio.get_running_loop().time() + self.timeout
                outcome = await self._exchange(http, gateway, request, until)
            else:
                with move_on_after(self.timeout) as limit:
                    outcome = await self._exchange(http, gateway, request, None)
                if limit.cancelled_caught:
                    outcome = timed_out(self._way_to(gateway), self.timeout)
        except BaseException as stopped:
            # Cancelled, say, or an error of the caller's own tracing. It goes on without the frames of aiohttp, which
            # hold what a proxy knows us by.
            seal(stopped)
            raise
        if isinstance(outcome, Response):
            return outcome
        # Raised here, out of reach of what aiohttp raised, for the same reason.
        raise outcome

    async def _exchange(
        self, http: aiohttp.ClientSession, gateway: str, request: Request, until: float | None
    ) -> Response | NxcdrError:
        """Return the response or why there is none; given up by the loop's clock, without that by the caller."""
        proxy = self._proxy_to(gateway)
        response: aiohttp.ClientResponse | None = None
        failure: NxcdrError
        # Of the caller's client session, which others use too, each connection may be a kept one.
        stray = StrayResponses(None if http is self.http else self._used)
        try:
            async with http.request(
                request.method,
                URL(f"{gateway}{request.url}", encoded=True),
                data=request.body or None,
                headers={**request.headers, "User-Agent": _USER_AGENT, **forwarding_headers(proxy, gateway)},
                allow_redirects=False,
                max_line_size=LARGEST_HEADER,
                max_field_size=LARGEST_HEADER,
                max_headers=MOST_HEADERS,
                raise_for_status=False,
                timeout=aiohttp.ClientTimeout(total=None if until is None else _seconds_until(until)),
                middlewares=(*middlewares_of(http), *secret_url(request.url, request.secret_url), stray),
                **proxy_options(proxy),
            ) as response:
                # Within a tunnel it would be the gateway that says so.
                is_refused = response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
                if proxy is not None and is_refused and gateway.startswith("http:"):
                    wanted = response.headers.getall("Proxy-Authenticate", [])
                    return proxy_refusal(proxy, _target_of(gateway), response.status, wanted)
                return Response(response.status, response.headers, await _read_body(response))
        except (aiohttp.ClientError, OSError, ValueError, MalformedReplyError) as error:
            is_lost = stray.is_over_kept and response is None and isinstance(error, _LOST)
            # Closed here, it is not the gateway's doing, and a client opened now would stay open.
            if is_lost and not self._closed:
                # Closed by the gateway after the response before, or while idle, so that nobody read the request.
                return await self._exchange(self._unkept_client(), gateway, request, until)
            proxy_failure = None if proxy is None else proxy_fault(proxy, _target_of(gateway), error)
            failure = proxy_failure or fault_of(error, self._way_to(gateway), self.timeout)
        except asyncio.CancelledError:
            if http.closed and not is_cancelled():
                # aiohttp cancels who waits for a connection of a client session that is closed.
                closed = "the aiohttp.ClientSession given as http was closed while it was used"
                why = _SESSION_CLOSED if self._closed else closed
                return ConfigurationError(why)  # noqa: ASYNC104 - nobody cancelled this task
            raise
        failure.request_id = None if response is None else request_id_in(response.headers)
        return failure

    async def aclose(self) -> None:
        """Close the connections that were opened here, and no others."""
        self._closed = True
        if self._loop is asyncio.get_running_loop():
            for http in (self._own_http, self._unkept_http):
                if http is not None:
                    await http.close()

    def check_usable(self) -> None:
        """Check that a request could be sent from here.

        Raises:
            ConfigurationError: closed, or used from another event loop.
        """
        if self._closed:
            raise ConfigurationError(_SESSION_CLOSED)
        loop = running_loop()
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
            self._own_http = _client(force_close=False)
        return self._own_http

    def _proxy_to(self, gateway: str) -> Proxy | None:
        return self.routes[gateway].proxy if gateway in self.routes else None

    def _way_to(self, gateway: str) -> str:
        proxy = self._proxy_to(gateway)
        return _target_of(gateway) if proxy is None else f"{_target_of(gateway)} through the proxy {proxy.url}"

    def _unkept_client(self) -> aiohttp.ClientSession:
        """Return a client that opens a connection for each request: others that are kept may be closed too."""
        if self._unkept_http is None:
            self._unkept_http = _client(force_close=True)
        return self._unkept_http


def _client(*, force_close: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # The limiter is the only queue: a request that waited for a connection would carry an old timestamp.
        connector=aiohttp.TCPConnector(limit=0, force_close=force_close),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _seconds_until(moment: float) -> float:
    """Return the seconds that are left, some at least, as none would mean for ever."""
    return max(moment - asyncio.get_running_loop().time(), 0.001)


def _most_by_open_files() -> int | None:
    """Return how many connections leave as many of the files that this process may open to all else; None if endless.

    A connection that cannot be opened is asked for again later; a store whose file cannot be opened ends its run.
    """
    if sys.platform == "win32":
        return None
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if most == resource.RLIM_INFINITY else max(1, most // 2)


def _target_of(gateway: str) -> str:
    return gateway.split("://", 1)[1]


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await response.content.readany():
        size += len(part)
        if size > LARGEST_BODY:
            raise MalformedReplyError(f"the reply is longer than {LARGEST_BODY // 1024 // 1024} MiB")
        parts.append(part)
    return b"".join(parts)

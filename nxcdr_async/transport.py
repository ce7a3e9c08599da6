"""The line: slot, then sign, then send, then learn the clock. The only room that imports aiohttp's client."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import aiohttp
import anyio
from attrs import define, field
from yarl import URL

from nxcdr_async._version import __version__
from nxcdr_async.clock import GatewayClock
from nxcdr_async.credentials import Credentials, FlashApp
from nxcdr_async.errors import (
    CertificateError,
    ClockSkewError,
    ConfigurationError,
    MalformedReplyError,
    NxcdrError,
    ServerError,
    ThrottledError,
    TimedOutError,
    TransportError,
)
from nxcdr_async.limiter import Limiter, Slot
from nxcdr_async.retry import (
    LONGEST_RETRY_AFTER,
    MOST_ATTEMPTS,
    MOST_ATTEMPTS_UNHEARD,
    RetryBudget,
    delay_before,
    is_congestion,
    is_worth_retrying,
)
from nxcdr_async.stats import SessionStats
from nxcdr_async.wire import Endpoint, Page, Reply, Request, flash_request, read_page, signed_request

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes of one reply, once unpacked; the largest honest page (999 DID rows) is well under a hundredth of it."""

_log = logging.getLogger("nxcdr_async")


@define
class _Counts:
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    clock_refusals: int = 0
    heard: int = 0


def steady_clock() -> Callable[[], float]:
    """Return a clock in epoch seconds that does not jump when the machine's clock is set."""
    offset = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset


@define(eq=False)
class Transport:
    """Asks one question at a time of the gateways, as often as it takes; shared by all that a session does.

    Attributes:
        gateways: base URLs of the region's own gateway and of the shared one.
        limiter: slots, pace and pauses.
        timeout: seconds one attempt may take.
        http: a client session of the caller's, never closed here; None to open one.
        now: our clock, epoch seconds.
        sleep: how retries wait.
        chance: random numbers in [0, 1) for the jitter.
    """

    gateways: Mapping[Literal["region", "shared"], str]
    limiter: Limiter
    credentials: Credentials | None
    flash_app: FlashApp | None
    timeout: float
    http: aiohttp.ClientSession | None = None
    now: Callable[[], float] = field(factory=steady_clock)
    sleep: Callable[[float], Any] = anyio.sleep
    chance: Callable[[], float] = random.random
    clock: GatewayClock = field(factory=GatewayClock)
    _budget: RetryBudget = field(factory=RetryBudget, init=False)
    _counts: _Counts = field(factory=_Counts, init=False)
    _own_http: aiohttp.ClientSession | None = field(default=None, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)

    @property
    def stats(self) -> SessionStats:
        """The counts at this moment."""
        return SessionStats(
            requests=self._counts.requests,
            retries=self._counts.retries,
            throttled=self._counts.throttled,
            clock_refusals=self._counts.clock_refusals,
            in_flight=self.limiter.in_flight,
            peak_in_flight=self.limiter.peak_in_flight,
            limit=self.limiter.limit,
            clock_skew=self.clock.skew,
        )

    async def ask(self, endpoint: Endpoint[Any], parameters: Mapping[str, Any]) -> Page:
        """Ask an endpoint, again where that may help.

        Raises:
            NxcdrError: it did not help; see the tree in `errors`.
        """
        attempt, refused_clocks = 1, 0
        while True:
            try:
                page = await self._attempt(endpoint, parameters)
            except ClockSkewError as refused:
                refused_clocks += 1
                self._counts.clock_refusals += 1
                wait = self._wait_after_clock_refusal(refused, attempt, refused_clocks)
            except NxcdrError as fault:
                wait = self._wait_after(fault, attempt)
            else:
                return page
            attempt += 1
            self._counts.retries += 1
            await self.sleep(wait)

    async def aclose(self) -> None:
        """Close the connections this transport opened, and no others."""
        self._closed = True
        if self._own_http is not None:
            await self._own_http.close()

    def _wait_after_clock_refusal(self, refused: ClockSkewError, attempt: int, refused_clocks: int) -> float:
        """Ask again at once, by the clock just measured; later only if that clock did for other requests."""
        if refused_clocks == 1:
            return 0.0
        if not self.clock.was_accepted(self.clock.correction) or attempt >= MOST_ATTEMPTS:
            raise refused
        return delay_before(attempt + 1, chance=self.chance(), within_budget=self._budget.spend())

    def _wait_after(self, fault: NxcdrError, attempt: int) -> float:
        """Return how long to wait before asking again.

        Raises:
            NxcdrError: the fault, when asking again would not help.
        """
        if isinstance(fault, ThrottledError):
            self._counts.throttled += 1
        most = MOST_ATTEMPTS if self._counts.heard else MOST_ATTEMPTS_UNHEARD
        if not is_worth_retrying(fault) or attempt >= most:
            if attempt > 1:
                fault.add_note(f"after {attempt} attempts")
            raise fault
        if isinstance(fault, ThrottledError | ServerError) and fault.retry_after:
            self.limiter.hold(min(fault.retry_after, LONGEST_RETRY_AFTER))
        wait = delay_before(attempt + 1, chance=self.chance(), within_budget=self._budget.spend())
        _log.info("attempt %d failed with %s, next in %.2f s", attempt, type(fault).__name__, wait)
        return wait

    async def _attempt(self, endpoint: Endpoint[Any], parameters: Mapping[str, Any]) -> Page:
        http = self._client()
        async with self.limiter.slot() as slot:
            # Signed only now that it will be sent at once: no queue can age the timestamp.
            correction = self.clock.correction
            sent = self.now()
            request = self._build(endpoint, parameters, sent + correction)
            try:
                reply = await self._send(http, self.gateways[endpoint.home], request)
                return self._read(endpoint, reply, sent=sent, correction=correction)
            except NxcdrError as fault:
                self._note_congestion(fault, slot)
                raise
            finally:
                del request

    def _build(self, endpoint: Endpoint[Any], parameters: Mapping[str, Any], moment: float) -> Request:
        self._counts.requests += 1
        if endpoint.biz_type is None:
            return flash_request(endpoint, parameters, self.need_flash_app())
        return signed_request(endpoint, parameters, self.need_credentials(), ts=int(moment * 1000))

    def _read(self, endpoint: Endpoint[Any], reply: Reply, *, sent: float, correction: float) -> Page:
        received = self.now()
        self._counts.heard += 1
        self.clock.observe(
            sent=sent,
            received=received,
            date=reply.headers.get("date"),
            age=reply.headers.get("age"),
        )
        try:
            page = read_page(
                reply,
                rows_at=endpoint.rows_at,
                flash_codes=endpoint.flash_codes,
                now=received + self.clock.correction,
                secrets=self._secrets(),
            )
        except NxcdrError as refusal:
            # Its frames hold the reply, which may send a secret back: they go no further.
            failure = refusal.with_traceback(None)
        else:
            self.clock.accepted(correction)
            self._budget.earn()
            self.limiter.eased()
            return page
        if isinstance(failure, ClockSkewError):
            self.clock.refused(correction)
        raise failure

    def _note_congestion(self, fault: NxcdrError, slot: Slot) -> None:
        if is_congestion(fault):
            self.limiter.congested(slot)

    async def _send(self, http: aiohttp.ClientSession, gateway: str, request: Request) -> Reply:
        # The error is raised outside the except blocks, so that aiohttp's own, which may quote an address with a
        # secret in its query, is neither its cause nor its context.
        failure: NxcdrError
        host = _host(gateway)
        try:
            async with http.request(
                request.method,
                _url(gateway, request),
                data=request.body or None,
                headers={**request.headers, "User-Agent": f"nxcdr_async/{__version__}"},
                allow_redirects=False,
                raise_for_status=False,
                timeout=aiohttp.ClientTimeout(total=self.timeout),
            ) as response:
                body = await _read_body(response)
                return Reply(response.status, {name.lower(): value for name, value in response.headers.items()}, body)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError):
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
        raise failure

    def _client(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ConfigurationError("the session is closed: open a new CdrSession")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise ConfigurationError("the session belongs to another event loop: open one CdrSession in each loop")
        if self.http is not None:
            if self.http.closed:
                raise ConfigurationError("the aiohttp.ClientSession given as http is closed")
            return self._bounded(self.http)
        if self._own_http is None:
            self._own_http = aiohttp.ClientSession(
                # The limiter is the only queue: a request that waited for a connection would carry an old timestamp.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._own_http

    def _bounded(self, http: aiohttp.ClientSession) -> aiohttp.ClientSession:
        connector = http.connector
        for limit in (connector.limit, connector.limit_per_host) if connector is not None else ():
            if limit:
                self.limiter.lower_ceiling(limit)
        return http

    def need_credentials(self) -> Credentials:
        """Return the credentials.

        Raises:
            ConfigurationError: there are none.
        """
        if self.credentials is None:
            raise ConfigurationError(
                "no credentials: give CdrSession(credentials=Credentials(access_key, access_secret)), or set "
                "NXCDR_ACCESS_KEY and NXCDR_ACCESS_SECRET and use CdrSession.from_env()",
            )
        return self.credentials

    def need_flash_app(self) -> FlashApp:
        """Return the flash-call application.

        Raises:
            ConfigurationError: there is none.
        """
        if self.flash_app is None:
            raise ConfigurationError(
                "no flash-call application: give CdrSession(flash_app=FlashApp(appkey, secretkey)), or set "
                "NXCDR_FLASH_APPKEY and NXCDR_FLASH_SECRETKEY and use CdrSession.from_env()",
            )
        return self.flash_app

    def _secrets(self) -> tuple[str, ...]:
        kept = (
            self.credentials.access_secret if self.credentials else "",
            self.flash_app.secretkey if self.flash_app else "",
        )
        return tuple(secret for secret in kept if secret)


def _url(gateway: str, request: Request) -> URL:
    return URL(f"{gateway}{request.url}", encoded=True)


def _host(gateway: str) -> str:
    return gateway.split("://", 1)[1]


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
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known; is the gateway written right?"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect ({error.os_error.strerror or type(error.os_error).__name__})"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the body was cut off or is not what its headers say"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__

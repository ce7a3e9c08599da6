"""The line: slot, then sign, then send, then learn the clock; and again, where that may help."""

import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import anyio
from attrs import define, field

from nxcdr_async.clock import GatewayClock
from nxcdr_async.connection import Connection
from nxcdr_async.credentials import Credentials, FlashApp
from nxcdr_async.errors import (
    ClockSkewError,
    ConfigurationError,
    GatewayError,
    NxcdrError,
    ServerError,
    ThrottledError,
)
from nxcdr_async.limiter import Limiter, Slot
from nxcdr_async.retry import (
    MOST_ATTEMPTS,
    MOST_ATTEMPTS_UNHEARD,
    RetryBudget,
    delay_before,
    is_congestion,
    is_worth_retrying,
)
from nxcdr_async.stats import SessionStats
from nxcdr_async.wire import Endpoint, Page, Reply, Request, flash_request, read_page, signed_request

_log = logging.getLogger("nxcdr_async")


@define
class _Counts:
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    clock_refusals: int = 0
    is_heard: bool = False


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
        connection: sends one request.
        now: our clock, epoch seconds.
        sleep: how retries wait.
        chance: random numbers in [0, 1) for the jitter.
    """

    gateways: Mapping[Literal["region", "shared"], str]
    limiter: Limiter
    connection: Connection
    credentials: Credentials | None
    flash_app: FlashApp | None
    now: Callable[[], float] = field(factory=steady_clock)
    sleep: Callable[[float], Any] = anyio.sleep
    chance: Callable[[], float] = random.random
    clock: GatewayClock = field(factory=GatewayClock)
    _budget: RetryBudget = field(factory=RetryBudget, init=False)
    _counts: _Counts = field(factory=_Counts, init=False)

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
            self.connection.check_usable()
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
        most = MOST_ATTEMPTS if self._counts.is_heard else MOST_ATTEMPTS_UNHEARD
        if not is_worth_retrying(fault) or attempt >= most:
            if attempt > 1:
                fault.add_note(f"after {attempt} attempts")
            raise fault
        if isinstance(fault, ThrottledError | ServerError) and fault.retry_after:
            self.limiter.hold(fault.retry_after)
        wait = delay_before(attempt + 1, chance=self.chance(), within_budget=self._budget.spend())
        _log.info("attempt %d failed with %s, next in %.2f s", attempt, type(fault).__name__, wait)
        return wait

    async def _attempt(self, endpoint: Endpoint[Any], parameters: Mapping[str, Any]) -> Page:
        async with self.limiter.slot() as slot:
            # Signed only now that it will be sent at once: no queue can age the timestamp.
            correction = self.clock.correction
            sent = self.now()
            request = self._build(endpoint, parameters, sent + correction)
            try:
                reply = await self.connection.send(self.gateways[endpoint.home], request)
                return self._read(endpoint, reply, sent=sent, correction=correction)
            except NxcdrError as fault:
                self._note_congestion(fault, slot)
                raise

    def _build(self, endpoint: Endpoint[Any], parameters: Mapping[str, Any], moment: float) -> Request:
        self._counts.requests += 1
        if endpoint.biz_type is None:
            return flash_request(endpoint, parameters, self.need_flash_app())
        return signed_request(endpoint, parameters, self.need_credentials(), ts=int(moment * 1000))

    def _read(self, endpoint: Endpoint[Any], reply: Reply, *, sent: float, correction: float) -> Page:
        received = self.now()
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
            self._counts.is_heard = True
            self.clock.accepted(correction)
            self._budget.earn()
            self.limiter.eased()
            return page
        # A web page in place of an answer may come from anywhere; a refusal, if only by status, is a gateway's.
        self._counts.is_heard = self._counts.is_heard or isinstance(failure, GatewayError)
        if isinstance(failure, ClockSkewError):
            self.clock.refused(correction)
        raise failure

    def _note_congestion(self, fault: NxcdrError, slot: Slot) -> None:
        if is_congestion(fault):
            self.limiter.congested(slot)

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

"""The line: slot, then sign, then send, then learn the clock; and again, where that may help."""

import math
import random
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from attrs import define, field

from nxcdr_async._util import clocks as machine_clocks
from nxcdr_async._util.redaction import Redactor
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async.config import Credentials, FlashApp
from nxcdr_async.errors import ClockSkewError, ConfigurationError, GatewayError, NxcdrError, TimedOutError
from nxcdr_async.limits.limiter import Limiter
from nxcdr_async.protocol.auth import Request, flash_request, signed_request
from nxcdr_async.protocol.endpoints import CALLS, Endpoint, GatewayKind
from nxcdr_async.protocol.responses import LONGEST_RETRY_AFTER, Page, ReadTyped, Reply, read_page
from nxcdr_async.stats import SessionStats
from nxcdr_async.telemetry.log import log_clock_refusal, log_reply, log_retry
from nxcdr_async.telemetry.watch import SILENCE, Telemetry
from nxcdr_async.transport.clock_skew import Moment, Span
from nxcdr_async.transport.gateway import KnownGateway, steady_clock
from nxcdr_async.transport.retry import (
    MOST_ATTEMPTS,
    MOST_CLOCK_REFUSALS,
    Attempts,
    RetryBudget,
    asks_for_less,
    delay_before,
    is_worth_retrying,
    pause_asked_for,
)

if TYPE_CHECKING:
    from nxcdr_async.transport.connection import Connection


@define(eq=False)
class _Counts:
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    clock_refusals: int = 0


@define(eq=False)
class Transport(Uncopied):
    """Asks one question at a time of the gateways, as often as it takes; shared by all that a session does.

    Attributes:
        gateways: the region's own gateway and the shared one, which may be the same.
        limiter: slots, pace and pauses.
        connection: sends one request.
        credentials: for signed requests.
        flash_app: for the flash-call list.
        telemetry: who is told what happens.
        now: our clock, epoch seconds, which does not jump.
        wall: the machine's clock, epoch seconds, which people set.
        sleep: how retries wait.
        chance: random numbers in [0, 1) for the jitter.
    """

    gateways: Mapping[GatewayKind, KnownGateway]
    limiter: Limiter
    connection: "Connection"
    credentials: Credentials | None
    flash_app: FlashApp | None
    telemetry: Telemetry = SILENCE
    now: Callable[[], float] = field(factory=steady_clock)
    wall: Callable[[], float] = machine_clocks.wall
    sleep: Callable[[float], Awaitable[Any]] = machine_clocks.sleep
    chance: Callable[[], float] = random.random
    _budget: RetryBudget = field(factory=RetryBudget, init=False)
    _counts: _Counts = field(factory=_Counts, init=False)
    _answered_last: KnownGateway | None = field(default=None, init=False)
    _asked_last: tuple[str, str | None] | None = field(default=None, init=False)

    @property
    def redactor(self) -> Redactor:
        """What keeps the secrets out of errors."""
        access_secret = self.credentials.access_secret if self.credentials else ""
        flash_secret = self.flash_app.secretkey if self.flash_app else ""
        return Redactor((access_secret, flash_secret, *self.connection.secrets))

    @property
    def stats(self) -> SessionStats:
        """The counts at this moment."""
        lane = self._asked_last or self._lane(CALLS)
        pace = self.limiter.pace(*lane)
        clock = None if self._answered_last is None else self._answered_last.clock
        return SessionStats(
            requests=self._counts.requests,
            retries=self._counts.retries,
            throttled=self._counts.throttled,
            clock_refusals=self._counts.clock_refusals,
            in_flight=self.limiter.in_flight,
            peak_in_flight=self.limiter.peak_in_flight,
            limit=self.limiter.limit(*lane),
            pace=None if math.isinf(pace) else pace,
            clock_skew=None if clock is None else clock.skew,
            clock_source="machine" if clock is None else clock.source,
        )

    def time_at(self, endpoint: Endpoint[Any]) -> Span:
        """Return the earliest and the latest that it may be now by the clock of an API's gateway, epoch seconds."""
        clock = self.gateways[endpoint.gateway].clock_at(self._moment())
        bounds, now = clock.bounds, self.now()
        return Span(now + bounds.least, now + bounds.most)

    def worthwhile(self, endpoint: Endpoint[Any]) -> int:
        """Return how many questions to an API are worth asking at once."""
        return self.limiter.worthwhile(*self._lane(endpoint))

    async def ask(
        self,
        endpoint: Endpoint[Any],
        parameters: Mapping[str, Any],
        *,
        asker: Hashable | None = None,
        read_typed: ReadTyped | None = None,
    ) -> Page:
        """Ask an endpoint, again where that may help.

        Args:
            endpoint: the API to ask.
            parameters: in the vendor's terms.
            asker: whose question it is, such as a paginator's: askers take turns. None for an asker of its own.
            read_typed: as for `read_page`.

        Raises:
            NxcdrError: it did not help; see the tree in `errors`.
        """
        gateway = self.gateways[endpoint.gateway]
        attempts = Attempts()
        while True:
            self.connection.check_usable()
            try:
                return await self._attempt(endpoint, parameters, gateway, attempts, asker=asker, read_typed=read_typed)
            except NxcdrError as fault:
                if fault is attempts.last_fault:  # nothing more was sent
                    raise
                attempts.note(fault, self.now())
                gateway.note_failure(self.now(), timeout=self.connection.timeout)
                if isinstance(fault, ClockSkewError):
                    wait = self._plan_retry_by_clock(fault, endpoint, gateway, attempts)
                else:
                    wait = self._plan_retry(fault, endpoint, gateway, attempts)
                self.telemetry.retried(endpoint, gateway.url, fault)
            attempts.count += 1
            self._counts.retries += 1
            await self.sleep(wait)

    def _plan_retry_by_clock(
        self, refused: ClockSkewError, endpoint: Endpoint[Any], gateway: KnownGateway, attempts: Attempts
    ) -> float:
        """Ask again at once, by the clock just measured; then more slowly, and longer where that may still help.

        Raises:
            ClockSkewError: it does not.
        """
        attempts.clock_refusals += 1
        self._counts.clock_refusals += 1
        log_clock_refusal(endpoint, attempts, refused, gateway.clock.skew or 0.0)
        if attempts.clock_refusals == 1:
            return 0.0
        is_hopeless = attempts.clock_refusals >= MOST_CLOCK_REFUSALS and not gateway.clock.may_be_accepted
        if is_hopeless or attempts.count >= MOST_ATTEMPTS:
            raise refused
        return delay_before(attempts.count + 1, chance=self.chance(), within_budget=self._budget.spend())

    def _plan_retry(
        self, fault: NxcdrError, endpoint: Endpoint[Any], gateway: KnownGateway, attempts: Attempts
    ) -> float:
        """Return how long to wait before asking again.

        Raises:
            NxcdrError: the fault, when asking again would not help.
        """
        is_over = attempts.are_over(fault, is_heard=gateway.is_heard)
        fault.is_outage = self._is_outage(gateway, attempts)
        if is_over or fault.is_outage or not is_worth_retrying(fault):
            raise fault
        wait = delay_before(attempts.count + 1, chance=self.chance(), within_budget=self._budget.spend())
        log_retry(endpoint, attempts, fault, wait)
        return wait

    def _is_outage(self, gateway: KnownGateway, attempts: Attempts) -> bool:
        return attempts.is_outage(
            gateway.failed,
            alive=max(gateway.answered, gateway.failing_since),
            paused_until=gateway.paused_until,
            timeout=self.connection.timeout,
        )

    async def _attempt(
        self,
        endpoint: Endpoint[Any],
        parameters: Mapping[str, Any],
        gateway: KnownGateway,
        attempts: Attempts,
        *,
        asker: Hashable | None,
        read_typed: ReadTyped | None,
    ) -> Page:
        lane = self._lane(endpoint)
        queued = self.now()
        async with self.limiter.slot(*lane, asker) as slot:
            if attempts.last_fault is not None and self._is_outage(gateway, attempts):
                # An outage may have become plain while this waited for its slot, one of many.
                attempts.last_fault.is_outage = True
                raise attempts.last_fault
            try:
                async with nullcontext() if endpoint.signing is None else gateway.clock_gate.passed(self._moment):
                    slot.sent()
                    page = await self._exchange(endpoint, parameters, gateway, read_typed, attempts, queued=queued)
            except NxcdrError as fault:
                pause = min(pause_asked_for(fault), LONGEST_RETRY_AFTER)
                if asks_for_less(fault):
                    self._counts.throttled += 1
                    slot.refused(pause)
                elif isinstance(fault, TimedOutError):
                    slot.strained()
                if pause:
                    self.limiter.hold(*lane, pause)
                    gateway.paused_until = max(gateway.paused_until, self.now() + pause)
                raise
            else:
                slot.taken()
                return page
            finally:
                self.telemetry.measured(gateway.url, limit=self.limiter.limit(*lane), skew=gateway.clock.skew)

    async def _exchange(
        self,
        endpoint: Endpoint[Any],
        parameters: Mapping[str, Any],
        gateway: KnownGateway,
        read_typed: ReadTyped | None,
        attempts: Attempts,
        *,
        queued: float,
    ) -> Page:
        # Signed only now that it will be sent at once: no queue can age the timestamp.
        sent = self.now()
        correction = gateway.clock_at(self._moment()).correction
        request = self._build(endpoint, parameters, sent + correction)
        redactor = Redactor((*self.redactor.secrets, request.signature))
        self._counts.requests += 1
        self._asked_last = self._lane(endpoint)
        with self.telemetry.attempt(endpoint, gateway.url, number=attempts.count, waited=sent - queued) as watch:
            try:
                reply = await self.connection.send(gateway.url, request)
            except NxcdrError as failure:
                if failure.request_id:
                    failure.request_id = redactor.line(failure.request_id)
                raise
            watch.replied(reply.status)
            received = self.now()
            log_reply(endpoint, attempts, reply.status, received - sent)
            moments = {"sent": sent, "received": received, "correction": correction}
            page = self._read(endpoint, gateway, reply, redactor, read_typed, **moments)
            watch.answered(len(page.rows))
            return page

    def _lane(self, endpoint: Endpoint[Any]) -> tuple[str, str | None]:
        """Return where an API is asked, and which account's share of what is allowed there it counts in."""
        url = self.gateways[endpoint.gateway].url
        if endpoint.signing is None:
            return url, self.flash_app.appkey if self.flash_app else None
        return url, self.credentials.access_key if self.credentials else None

    def _moment(self) -> Moment:
        return Moment(steady=self.now(), wall=self.wall())

    def _build(self, endpoint: Endpoint[Any], parameters: Mapping[str, Any], moment: float) -> Request:
        if endpoint.signing is None:
            return flash_request(endpoint.path, parameters, self.need_flash_app())
        return signed_request(
            endpoint.path, parameters, self.need_credentials(), endpoint.signing, ts=int(moment * 1000)
        )

    def _read(
        self,
        endpoint: Endpoint[Any],
        gateway: KnownGateway,
        reply: Reply,
        redactor: Redactor,
        read_typed: ReadTyped | None,
        *,
        sent: float,
        received: float,
        correction: float,
    ) -> Page:
        clock = gateway.clock_at(self._moment())
        told_time = clock.observe(
            sent=sent, received=received, date=reply.headers.get("date"), age=reply.headers.get("age")
        )
        self._answered_last = gateway
        try:
            page = read_page(
                reply,
                rows_at=endpoint.rows_at,
                codes=endpoint.codes,
                now=received + (clock.skew or 0.0),
                redactor=redactor,
                read_typed=read_typed,
            )
        except NxcdrError as refusal:
            # Its frames hold the reply, which may send a secret back: they go no further.
            failure = refusal.with_traceback(None)
        else:
            gateway.is_heard = True
            gateway.answered = max(gateway.answered, received)
            if endpoint.signing is not None:
                clock.accepted(correction, sent=sent, received=received)
            gateway.learn_clock(endpoint, self._moment(), told_time=told_time or endpoint.signing is not None)
            self._budget.earn()
            return page
        # A web page in place of an answer may come from anywhere; a refusal, if only by status, is a gateway's.
        gateway.is_heard = gateway.is_heard or isinstance(failure, GatewayError)
        if isinstance(failure, ClockSkewError) and endpoint.signing is not None:
            clock.refused(correction, sent=sent, received=received)
        gateway.learn_clock(endpoint, self._moment(), told_time=told_time)
        raise failure

    def need_key(self, endpoint: Endpoint[Any]) -> str:
        """Return the public half of the key pair an API is asked with.

        Raises:
            ConfigurationError: there is none.
        """
        return self.need_flash_app().appkey if endpoint.signing is None else self.need_credentials().access_key

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

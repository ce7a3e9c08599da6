"""Asks one question of a gateway: slot, then sign, then send, then learn; and again, where that may help.

What decides whether a question is asked again, and after how long, stands in `retry`.
"""

import math
import random
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from attrs import define, field

from nxcdr_async._util import clocks
from nxcdr_async._util.redaction import Redactor
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async.config import KeyPairs
from nxcdr_async.errors import ClockSkewError, NxcdrError, TimedOutError
from nxcdr_async.limits.limiter import Limiter
from nxcdr_async.protocol.auth import Request
from nxcdr_async.protocol.endpoints import CALLS, Endpoint, GatewayKind
from nxcdr_async.protocol.responses import LONGEST_RETRY_AFTER, Page, ReadSuccess, Response, parse_page, plain_page
from nxcdr_async.stats import SessionStats
from nxcdr_async.telemetry.log import log_clock_refusal, log_response, log_retry
from nxcdr_async.telemetry.watch import SILENCE, Telemetry
from nxcdr_async.transport.clock_skew import Interval, Moment
from nxcdr_async.transport.gateway import GatewayState, Timing, steady_clock
from nxcdr_async.transport.retry import (
    FAILURE_REMEMBERED,
    Attempts,
    RetryQuota,
    asks_for_less,
    delay_before,
    is_due_at_once,
    pause_asked_for,
    should_retry,
)

if TYPE_CHECKING:
    from nxcdr_async.transport.connection import Connection

BudgetKey = tuple[str, str | None]
"""Where an API is asked, and which account's share of what is allowed there a question counts in."""


@define(eq=False)
class _Counts:
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    clock_refusals: int = 0


@define(eq=False)
class _Question:
    """One question, asked as often as it takes, and how the attempts at it went."""

    endpoint: Endpoint[Any]
    parameters: Mapping[str, Any]
    gateway: GatewayState
    budget_key: BudgetKey
    client: Hashable | None
    read_success: ReadSuccess | None
    attempts: Attempts = field(factory=Attempts)


@define(eq=False)
class GatewayClient(Uncopied):
    """Asks one question at a time of the gateways, as often as it takes; shared by all that a session does.

    Attributes:
        gateways: the region's own gateway and the shared one, which may be the same.
        limiter: slots, rate and pauses.
        connection: sends one request.
        keys: who asks.
        telemetry: what happens is reported there.
        now: our clock, epoch seconds, which does not jump.
        wall: the machine's clock, epoch seconds, which people set.
        sleep: how retries wait.
        chance: random numbers in [0, 1) for the jitter.
    """

    gateways: Mapping[GatewayKind, GatewayState]
    limiter: Limiter
    connection: "Connection"
    keys: KeyPairs
    telemetry: Telemetry = SILENCE
    now: Callable[[], float] = field(factory=steady_clock)
    wall: Callable[[], float] = clocks.wall
    sleep: Callable[[float], Awaitable[Any]] = clocks.sleep
    chance: Callable[[], float] = random.random
    _retry_quota: RetryQuota = field(factory=RetryQuota, init=False)
    _counts: _Counts = field(factory=_Counts, init=False)
    _answered_last: GatewayState | None = field(default=None, init=False)
    _asked_last: BudgetKey | None = field(default=None, init=False)

    @property
    def redactor(self) -> Redactor:
        """What keeps the secrets out of errors."""
        return Redactor((*self.keys.secrets, *self.connection.secrets))

    @property
    def stats(self) -> SessionStats:
        """The counts at this moment."""
        budget_key = self._asked_last or self._budget_key(CALLS)
        rate = self.limiter.rate(*budget_key)
        clock = None if self._answered_last is None else self._answered_last.clock
        return SessionStats(
            requests=self._counts.requests,
            retries=self._counts.retries,
            throttled=self._counts.throttled,
            clock_refusals=self._counts.clock_refusals,
            in_flight=self.limiter.in_flight,
            peak_in_flight=self.limiter.peak_in_flight,
            concurrency_limit=self.limiter.limit(*budget_key),
            rate_limit=None if math.isinf(rate) else rate,
            clock_skew=None if clock is None else clock.skew,
            clock_source="machine" if clock is None else clock.source,
            gives_up_in=self._gives_up_in(budget_key[0]),
        )

    def _gives_up_in(self, url: str) -> float | None:
        gateway = next(gateway for gateway in self.gateways.values() if gateway.url == url)
        return gateway.seconds_to_outage(self.now(), timeout=self.connection.timeout)

    def time_at(self, endpoint: Endpoint[Any]) -> Interval:
        """Return the earliest and the latest that it may be now by the clock of an API's gateway, epoch seconds."""
        clock = self.gateways[endpoint.gateway].clock_at(self._moment())
        bounds, now = clock.bounds, self.now()
        return Interval(now + bounds.least, now + bounds.most)

    def useful_concurrency(self, endpoint: Endpoint[Any]) -> int:
        """Return how many questions to an API are worth asking at once."""
        return self.limiter.useful_concurrency(*self._budget_key(endpoint))

    def has_failed_lately(self, endpoint: Endpoint[Any]) -> bool:
        """Return whether a request failed at an API's gateway so lately that it may still be under too much load."""
        return self.now() - self.gateways[endpoint.gateway].failed < FAILURE_REMEMBERED

    def need_key(self, endpoint: Endpoint[Any]) -> str:
        """Return the public half of the key pair an API is asked with.

        Raises:
            ConfigurationError: there is none.
        """
        return endpoint.auth.need_key(self.keys)

    async def ask(
        self,
        endpoint: Endpoint[Any],
        parameters: Mapping[str, Any],
        *,
        client: Hashable | None = None,
        read_success: ReadSuccess | None = None,
    ) -> Page:
        """Ask an endpoint, again where that may help.

        Args:
            endpoint: the API to ask.
            parameters: in the vendor's terms.
            client: whose question it is, such as a paginator's: clients take turns. None for a client of its own.
            read_success: a quicker way to read the body of a plain success; None for any other body.

        Raises:
            NxcdrError: it did not help; see the tree in `errors`.
        """
        gateway, budget_key = self.gateways[endpoint.gateway], self._budget_key(endpoint)
        question = _Question(endpoint, parameters, gateway, budget_key, client, read_success)
        while True:
            self.connection.check_usable()
            try:
                return await self._attempt(question)
            except NxcdrError as fault:
                if fault is question.attempts.last_fault:  # nothing more was sent
                    raise
                wait = self._wait_before_retry(question, fault)
                if wait is None:
                    raise
                self.telemetry.retried(endpoint, gateway.url, fault)
            question.attempts.count += 1
            self._counts.retries += 1
            await self.sleep(wait)

    def _wait_before_retry(self, question: _Question, fault: NxcdrError) -> float | None:
        """Return how long to wait before a question is asked again; None if that would not help."""
        endpoint, gateway, attempts = question.endpoint, question.gateway, question.attempts
        timeout = self.connection.timeout
        attempts.note(fault, self.now())
        gateway.note_failure(self.now(), timeout=timeout)
        if isinstance(fault, ClockSkewError):
            self._counts.clock_refusals += 1
            log_clock_refusal(endpoint, attempts, fault, gateway.clock.skew or 0.0)
        else:
            fault.is_outage = gateway.circuit_open(attempts, timeout=timeout)
        may_be_accepted = gateway.clock.may_be_accepted
        if not should_retry(fault, attempts, is_heard=gateway.is_heard, may_be_accepted=may_be_accepted):
            return None
        if is_due_at_once(fault, attempts):
            return 0.0
        wait = delay_before(attempts.count + 1, chance=self.chance(), within_budget=self._retry_quota.spend())
        if not isinstance(fault, ClockSkewError):
            log_retry(endpoint, attempts, fault, wait)
        return wait

    async def _attempt(self, question: _Question) -> Page:
        """Wait for a slot, and for the gateway's clock; ask; and report the outcome to the limiter."""
        gateway, budget_key, last_fault = question.gateway, question.budget_key, question.attempts.last_fault
        queued = self.now()
        async with self.limiter.slot(*budget_key, question.client) as slot:
            if last_fault is not None and gateway.circuit_open(question.attempts, timeout=self.connection.timeout):
                # An outage may have become plain while this waited for its slot, one of many.
                last_fault.is_outage = True
                raise last_fault
            try:
                async with self._clock_known(question):
                    slot.sent()
                    page = await self._exchange(question, queued=queued)
            except NxcdrError as fault:
                pause = min(pause_asked_for(fault), LONGEST_RETRY_AFTER)
                if asks_for_less(fault):
                    self._counts.throttled += 1
                    slot.on_throttled(pause)
                elif isinstance(fault, TimedOutError):
                    slot.on_timeout()
                if pause:
                    self.limiter.pause_for(*budget_key, pause)
                    gateway.paused_until = max(gateway.paused_until, self.now() + pause)
                raise
            else:
                slot.on_success()
                return page
            finally:
                self.telemetry.measured(gateway.url, limit=self.limiter.limit(*budget_key), skew=gateway.clock.skew)

    def _clock_known(self, question: _Question) -> AbstractAsyncContextManager[None]:
        """Wait, where it matters, until the gateway's clock is known or is to be measured by this very request."""
        clock_sync = question.gateway.clock_sync
        if not question.endpoint.auth.is_timestamped or not clock_sync.is_shut(self._moment()):
            return nullcontext()
        return clock_sync.ready_to_sign(self._moment)

    async def _exchange(self, question: _Question, *, queued: float) -> Page:
        """Sign, send, and read the response."""
        endpoint, gateway, attempts = question.endpoint, question.gateway, question.attempts
        # Signed only now that it will be sent at once: no queue can age the timestamp.
        moment = self._moment()
        signed, correction = moment.steady, gateway.clock_at(moment).correction
        ts = int((signed + correction) * 1000)
        request = endpoint.auth.request(endpoint.path, question.parameters, self.keys, ts=ts)
        self._counts.requests += 1
        self._asked_last = question.budget_key
        with self.telemetry.attempt(endpoint, gateway.url, number=attempts.count, waited=signed - queued) as watch:
            try:
                response = await self.connection.send(gateway.url, request)
            except NxcdrError as failure:
                if failure.request_id:
                    failure.request_id = self._redactor_for(request).line(failure.request_id)
                raise
            watch.responded(response.status)
            moment = self._moment()
            timing = Timing(sent=signed, received=moment.steady, correction=correction)
            log_response(endpoint, attempts, response.status, timing.received - timing.sent)
            page = self._read(question, request, response, timing, moment)
            watch.answered(len(page.rows))
            return page

    def _redactor_for(self, request: Request) -> Redactor:
        """Return what keeps the signature of a request out of errors too, beside the secrets of the session."""
        return Redactor((*self.redactor.secrets, request.signature))

    def _read(self, question: _Question, request: Request, response: Response, timing: Timing, moment: Moment) -> Page:
        """Return the rows of a response, and learn from it about its gateway."""
        endpoint, gateway = question.endpoint, question.gateway
        has_time = gateway.observe_clock(moment, timing, response.headers)
        self._answered_last = gateway
        try:
            page = None if question.read_success is None else plain_page(response, question.read_success)
            if page is None:
                page = parse_page(
                    response,
                    rows_at=endpoint.rows_at,
                    codes=endpoint.codes,
                    now=timing.received + (gateway.clock.skew or 0.0),
                    redactor=self._redactor_for(request),
                    is_single=endpoint.is_single,
                )
        except NxcdrError as refusal:
            # Its frames hold the response, which may send a secret back: they go no further.
            failure = refusal.with_traceback(None)
        else:
            gateway.note_answer(endpoint, moment, timing, has_time=has_time)
            self._retry_quota.earn()
            return page
        gateway.note_refusal(endpoint, moment, timing, failure, has_time=has_time)
        raise failure

    def _budget_key(self, endpoint: Endpoint[Any]) -> BudgetKey:
        return self.gateways[endpoint.gateway].url, endpoint.auth.public_key(self.keys)

    def _moment(self) -> Moment:
        return Moment(steady=self.now(), wall=self.wall())

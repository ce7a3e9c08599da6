"""The door: one method for each API of the vendor, and everything a session opens and closes."""

import os
from collections.abc import Callable
from datetime import date, datetime, timedelta, tzinfo
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

import anyio
from cattrs import Converter

from nxcdr_async._util.tasks import cancel_and_wait
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async._util.validation import as_number, as_text
from nxcdr_async._util.zones import checked_zone
from nxcdr_async.config import Credentials, FlashApp, KeyPairs, Region, checked_gateway, settings_from
from nxcdr_async.errors import (
    ConfigurationError,
    NxcdrError,
    RecordError,
    RefusedRangeError,
    SaturatedDayError,
    SaturatedSecondError,
)
from nxcdr_async.lateness import DEFAULT_SETTLE
from nxcdr_async.limits.limiter import Limiter
from nxcdr_async.paging.answer_limits import checked_span
from nxcdr_async.paging.base import OnBadRow
from nxcdr_async.paging.follower import Follower, Position
from nxcdr_async.paging.page_reader import bad_row_handler
from nxcdr_async.paging.paginator import Paginator
from nxcdr_async.records.converter import UTC_PLUS_8, make_converter
from nxcdr_async.records.models import CallRecord, DidCallRecord, Direction, FlashCallRecord, SourceName
from nxcdr_async.sources import SOURCES
from nxcdr_async.sources.base import FollowOptions, SourceContext, SourceState
from nxcdr_async.sources.calls import CallFilters, CallQuery, CallSource
from nxcdr_async.sources.did import DidFilters, DidQuery, DidSource
from nxcdr_async.sources.flash import FlashSource
from nxcdr_async.sources.flash_call import read_flash_call
from nxcdr_async.sources.follow import follow_source
from nxcdr_async.sources.order import read_order
from nxcdr_async.sources.units import checked_days
from nxcdr_async.stats import SessionStats
from nxcdr_async.telemetry.names import CUSTOM
from nxcdr_async.telemetry.watch import telemetry_for
from nxcdr_async.transport.client import GatewayClient
from nxcdr_async.transport.gateway import known_gateways
from nxcdr_async.transport.proxies import ProxyRules, Route
from nxcdr_async.windows import window_of

if TYPE_CHECKING:
    import aiohttp

    from nxcdr_async.transport.connection import Connection

SETTLE = timedelta(seconds=DEFAULT_SETTLE)
"""How long after its end a call may turn up: the longest call, and the delay of its publishing."""

LONGEST_TIMEOUT = 86_400.0
"""Seconds; an attempt that may take longer has no timeout worth the name."""


class CdrSession(Uncopied):
    """An open door to the gateways of one region; share one session in a whole app.

    >>> async def main():
    ...     async with CdrSession(Region.HK, Credentials("AK…", "secret")) as cdr:
    ...         async for call in cdr.calls(start, end, direction=Direction.INBOUND):
    ...             print(call.call_id, call.start_time, call.queue_wait)

    It may be opened in one task and closed in another, but belongs to one event loop. It adapts to what the gateway
    bears, tries again what may succeed, signs each attempt afresh and follows the gateway's clock.

    Args:
        region: where the account lives; a `Region` or its name.
        credentials: the key pair for call-center and DID records.
        flash_app: the key pair for flash calls.
        gateway: one base URL for every API instead of the region's: a new region, a proxy, an emulator. Https, but for
            loopback.
        concurrency: None adapts the number of requests in flight; a number is a fixed ceiling.
        rate: requests a second at most; None for no such bound.
        timeout: seconds one attempt of one request may take.
        naive_zone: the zone of the local times and days of DID and flash calls, also one of pytz or dateutil.
        max_span: the widest range the gateway accepts in one question, an hour or more; None to learn it where one is
            refused.
        proxy: the address of an HTTP proxy to go through, `http://user:password@host:port`; None for none. Where
            `from_env` is used, the environment names it if nothing is given here.
        http: an `aiohttp.ClientSession` of yours to send with, for special TLS; never closed here. It has its own
            proxy, or none.

    Raises:
        ConfigurationError: an argument cannot work; the message says how to mend it.
    """

    _instead = "open one in each process, such as by CdrSession.from_env(), and share it there"

    def __init__(
        self,
        region: Region | str = Region.HK,
        credentials: Credentials | None = None,
        *,
        flash_app: FlashApp | None = None,
        gateway: str | None = None,
        concurrency: int | None = None,
        rate: float | None = None,
        timeout: float = 30.0,
        naive_zone: tzinfo = UTC_PLUS_8,
        max_span: timedelta | None = None,
        proxy: str | ProxyRules | None = None,
        http: "aiohttp.ClientSession | None" = None,
    ) -> None:
        # First of all: no variable holds the password from here on, as a traceback may show them.
        proxy = ProxyRules.of(proxy)
        self.region = Region.named(region)
        self.naive_zone = checked_zone(naive_zone, "naive_zone")
        self.converter: Converter = make_converter(self.naive_zone)
        """Turns rows into records; register cattrs hooks of your own on it before the first request."""
        seconds = as_number(timeout)
        if seconds is None or not 0 < seconds < LONGEST_TIMEOUT:
            raise ConfigurationError(
                f"timeout is {timeout!r}: give the seconds of one attempt, above 0 and below a day"
            )
        max_seconds = checked_span(max_span)
        _checked(credentials, Credentials | None, "credentials", "Credentials(access_key, secret)")
        _checked(flash_app, FlashApp | None, "flash_app", "FlashApp(appkey, secretkey)")
        limiter = Limiter(concurrency=concurrency, rate=rate)
        gateways = known_gateways(self.region, None if gateway is None else checked_gateway(gateway))
        routes = {known.url: proxy.route_to(known.url) for known in gateways.values()}
        if http is not None and any(route.proxy for route in routes.values()):
            raise ConfigurationError("proxy and http are both given: give the proxy to the aiohttp.ClientSession")
        self._connection = _connection(http, seconds, routes)
        for limit in self._connection.limits:
            limiter.lower_ceiling(limit)
        self._transport = GatewayClient(
            gateways=gateways,
            limiter=limiter,
            connection=self._connection,
            keys=KeyPairs(credentials, flash_app),
            telemetry=telemetry_for(self.region.name if gateway is None else CUSTOM),
        )
        self._state = SourceState(max_seconds)

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Make a session from the environment; arguments given here win.

        Reads NXCDR_REGION, NXCDR_GATEWAY, NXCDR_ACCESS_KEY, NXCDR_ACCESS_SECRET, NXCDR_FLASH_APPKEY and
        NXCDR_FLASH_SECRETKEY; and HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY unless `proxy` or `http` is given.

        Raises:
            ConfigurationError: half a key pair, or a value that cannot work.
        """
        if "proxy" in overrides:
            overrides["proxy"] = ProxyRules.of(overrides["proxy"])
        elif overrides.get("http") is None:
            from urllib.request import getproxies_environment  # noqa: PLC0415 - slow to import, as aiohttp is

            overrides["proxy"] = ProxyRules(environment=getproxies_environment())
        return cls(**{**settings_from(os.environ, given=overrides), **overrides})

    @property
    def stats(self) -> SessionStats:
        """Counts of the whole session at this moment."""
        return self._transport.stats

    def calls(
        self,
        start: datetime,
        end: datetime,
        *,
        direction: Direction | None = None,
        answered: bool | None = None,
        agent: str | None = None,
        caller: str | None = None,
        callee: str | None = None,
        call_id: str | None = None,
        order_id: str | None = None,
        on_bad_row: OnBadRow = "raise",
        bad_row_callback: Callable[[RecordError], object] | None = None,
        on_saturated_second: Callable[[SaturatedSecondError], object] | None = None,
        on_refused_range: Callable[[RefusedRangeError], object] | None = None,
    ) -> Paginator[CallRecord]:
        """Read the calls of a range (cdr/page).

        No document says which ends of a range count, nor by which time it is filtered. So a call that a gateway gives
        for the second before `start`, or for `end` itself, is handed out too, rather than one lost.

        Args:
            start: aware; the first moment of the range.
            end: aware; the moment the range ends before.
            direction: only calls of this direction.
            answered: only answered calls, or only those that were not.
            agent: only calls of the agent with this account.
            caller: only calls from this number.
            callee: only calls to this number.
            call_id: only the call with this id.
            order_id: only calls of this order.
            on_bad_row: "raise" stops at a row that cannot be a record; "skip" counts it in `stats.bad_rows`.
            bad_row_callback: gets the RecordError of each row that was skipped.
            on_saturated_second: gets the SaturatedSecondError of each second that holds more calls than the gateway
                shows, instead of it being raised; what it shows is handed out, and the reading goes on.
            on_refused_range: gets the RefusedRangeError of what lies further back than the gateway tells, instead of it
                being raised before any record; the reading goes on with what is younger.

        Raises:
            ConfigurationError: a naive time, an end before the start, a filter of the wrong kind, no credentials.
        """
        query = CallQuery(
            direction=direction,
            answered=answered,
            agent=agent,
            caller=caller,
            callee=callee,
            call_id=call_id,
            order_id=order_id,
        )
        window = window_of(start, end)
        return CallSource(self._context).read(
            window,
            query,
            may_be_empty=window,
            on_bad_row=on_bad_row,
            bad_row_callback=bad_row_callback,
            on_saturated_second=on_saturated_second,
            on_refused_range=on_refused_range,
        )

    async def calls_by_order(
        self,
        order_id: str,
        *,
        tenant_id: int,
        on_bad_row: OnBadRow = "raise",
        bad_row_callback: Callable[[RecordError], object] | None = None,
    ) -> list[CallRecord]:
        """Read the calls of one order of yours (cdr/queryByOrderId), sorted by start time.

        Every row of the answer is a call of its own, also where several have one call id.

        Args:
            order_id: the id you gave when you started the calls.
            tenant_id: the number of the team, from the vendor's console.
            on_bad_row: as for `calls`.
            bad_row_callback: as for `calls`.

        Raises:
            NxcdrError: see `errors`.
        """
        return await read_order(self._context, order_id, tenant_id, on_bad_row, bad_row_callback)

    def did_calls(
        self,
        first_day: date,
        last_day: date | None = None,
        *,
        did_number: str | None = None,
        call_number: str | None = None,
        direction: Direction | None = None,
        on_bad_row: OnBadRow = "raise",
        bad_row_callback: Callable[[RecordError], object] | None = None,
        on_saturated_day: Callable[[SaturatedDayError], object] | None = None,
        on_refused_range: Callable[[RefusedRangeError], object] | None = None,
    ) -> Paginator[DidCallRecord]:
        """Read the calls over DID numbers of whole days (did/cdr).

        Args:
            first_day: the first day, in the session's `naive_zone`.
            last_day: the last day, inclusive; None for the first day alone.
            did_number: only calls over this number.
            call_number: only calls with this number at the other end.
            direction: only inbound or only outbound calls.
            on_bad_row: as for `calls`.
            bad_row_callback: as for `calls`.
            on_saturated_day: gets the SaturatedDayError of each day that has more calls than the gateway shows, instead
                of it being raised; all calls that it shows are handed out.
            on_refused_range: as for `calls`; it is whole days.

        Raises:
            ConfigurationError: not dates, a last day before the first, a wrong filter, no credentials.
        """
        query = DidQuery(did_number=did_number, call_number=call_number, direction=direction)
        return DidSource(self._context).read(
            *checked_days(first_day, last_day),
            query,
            on_bad_row=on_bad_row,
            bad_row_callback=bad_row_callback,
            on_saturated_day=on_saturated_day,
            on_refused_range=on_refused_range,
        )

    def flash_calls(
        self,
        start: datetime,
        end: datetime,
        *,
        on_bad_row: OnBadRow = "raise",
        bad_row_callback: Callable[[RecordError], object] | None = None,
        on_saturated_second: Callable[[SaturatedSecondError], object] | None = None,
        on_refused_range: Callable[[RefusedRangeError], object] | None = None,
    ) -> Paginator[FlashCallRecord]:
        """Read the flash calls of a range (otp/call/list).

        The vendor's list has no pages, stops at a hundred rows and knows whole seconds only. Where one second holds
        more than it can answer with, `SaturatedSecondError` names that second.

        Args:
            start: aware; the first moment of the range.
            end: aware; the moment the range ends before.
            on_bad_row: as for `calls`.
            bad_row_callback: as for `calls`.
            on_saturated_second: gets the SaturatedSecondError of each second that is too full instead of it being
                raised; what the list tells of that second is handed out, and the reading goes on.
            on_refused_range: as for `calls`.

        Raises:
            ConfigurationError: a naive time, an end before the start, no flash-call application, a `naive_zone` whose
                offset changes inside the range.
        """
        return FlashSource(self._context).read(
            window_of(start, end),
            on_bad_row=on_bad_row,
            bad_row_callback=bad_row_callback,
            on_saturated_second=on_saturated_second,
            on_refused_range=on_refused_range,
        )

    async def flash_call(self, request_id: str) -> FlashCallRecord | None:
        """Look up one flash call by the id of its request (otp/call/get).

        The vendor tells here what the call cost, too, which no attribute is for yet: `call.extra["cost"]`, as a
        `Decimal` where it has a fraction.

        >>> async def has_rung(cdr, request_id):
        ...     call = await cdr.flash_call(request_id)
        ...     return call is not None and call.call_start_at is not None

        Args:
            request_id: what the vendor answered with when the flash call was asked for; the `request_id` of a record.

        Returns:
            the flash call, or None if the gateway has none with this id: an answer without one is asked for twice, as
            a throttled gateway may answer with nothing.

        Raises:
            ConfigurationError: no id, or no flash-call application.
            IncompleteError: the gateway told another flash call than the one asked for.
            RecordError: what it told cannot be a record.
            NxcdrError: it refused, or could not be asked; see `errors`.
        """
        return await read_flash_call(self._context, request_id)

    @overload
    def follow(
        self,
        source: Literal["calls"] = "calls",
        *,
        since: datetime | None = None,
        position: Position | None = None,
        every: float = 60.0,
        settle: timedelta = SETTLE,
        on_bad_row: OnBadRow = "raise",
        bad_row_callback: Callable[[RecordError], object] | None = None,
        on_gap: Callable[[NxcdrError], object] | None = None,
        on_retry: Callable[[NxcdrError], object] | None = None,
        **filters: Unpack[CallFilters],
    ) -> Follower[CallRecord]: ...

    @overload
    def follow(
        self,
        source: Literal["did"],
        *,
        since: datetime | None = None,
        position: Position | None = None,
        every: float = 60.0,
        settle: timedelta = SETTLE,
        on_bad_row: OnBadRow = "raise",
        bad_row_callback: Callable[[RecordError], object] | None = None,
        on_gap: Callable[[NxcdrError], object] | None = None,
        on_retry: Callable[[NxcdrError], object] | None = None,
        **filters: Unpack[DidFilters],
    ) -> Follower[DidCallRecord]: ...

    @overload
    def follow(
        self,
        source: Literal["flash"],
        *,
        since: datetime | None = None,
        position: Position | None = None,
        every: float = 60.0,
        settle: timedelta = SETTLE,
        on_bad_row: OnBadRow = "raise",
        bad_row_callback: Callable[[RecordError], object] | None = None,
        on_gap: Callable[[NxcdrError], object] | None = None,
        on_retry: Callable[[NxcdrError], object] | None = None,
    ) -> Follower[FlashCallRecord]: ...

    def follow(
        self,
        source: SourceName = "calls",
        *,
        since: datetime | None = None,
        position: Position | None = None,
        every: float = 60.0,
        settle: timedelta = SETTLE,
        on_bad_row: OnBadRow = "raise",
        bad_row_callback: Callable[[RecordError], object] | None = None,
        on_gap: Callable[[NxcdrError], object] | None = None,
        on_retry: Callable[[NxcdrError], object] | None = None,
        **filters: Any,
    ) -> Follower[Any]:
        """Follow the calls of an API as they turn up, each once, also those that turn up hours later.

        A call shows up once it is over, and some show up much later, so whoever asks for the last minutes each minute
        misses them. Here each round reads the last ten minutes again, and what is older ever more seldom, until it has
        settled: a call is handed out in the next round after it shows up where it began at most ten minutes before, and
        else before it is twice as old.

        >>> async def watch(cdr):
        ...     async with cdr.follow("calls", since=datetime.now(UTC), every=60) as calls:
        ...         async for call in calls:
        ...             print(call.call_id, calls.position)

        The days of DID calls are asked for whole, so a larger `every` suits them.

        Args:
            source: "calls", "did" or "flash".
            since: aware; calls from then on, those there are at first and in order. None for now; a moment to come
                counts as now.
            position: the `position` of an earlier follower with the same source and filters, to go on from; `since` is
                not looked at then. None to begin.
            every: seconds from one round to the next, from 1 to a day.
            settle: how long after its end a call may turn up; what is older is not looked at any more.
            on_bad_row: as for `calls`; without "skip", a bad row ends each round.
            bad_row_callback: as for `calls`; it may get the error of one row in several rounds.
            on_gap: gets the SaturatedSecondError, SaturatedDayError or RefusedRangeError of what the gateway does not
                show, once, instead of it being raised; the following goes on.
            on_retry: gets the error of each round that failed, which is tried again for as long as it takes.
            **filters: for "calls" and "did", those of `calls` and `did_calls`.

        Raises:
            ConfigurationError: an argument cannot work, or a position of something else; no credentials.
        """
        if as_text(source) not in SOURCES:
            raise ConfigurationError(f"source is {source!r}: give one of {', '.join(map(repr, SOURCES))}")
        bad_row_handler(on_bad_row, bad_row_callback)
        return follow_source(
            SOURCES[source](self._context),
            filters,
            FollowOptions(on_bad_row, bad_row_callback, on_gap),
            since=since,
            position=position,
            every=every,
            settle=settle,
            on_retry=on_retry,
        )

    async def aclose(self) -> None:
        """Stop every paginator and close what this session opened. Closing twice does no harm.

        Raises:
            ConfigurationError: another event loop is at work with it, which goes on undisturbed.
        """
        self._connection.check_closable()
        try:
            await cancel_and_wait(list(self._state.tasks))
        finally:
            self._transport.limiter.leave()
            with anyio.CancelScope(shield=True):
                await self._connection.aclose()

    async def __aenter__(self) -> Self:
        # From here on it belongs to this event loop, before any other can be the first to ask.
        self._connection.check_usable()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def _context(self) -> SourceContext:
        # Made anew each time, as a user may set another converter.
        return SourceContext(self._transport, self._state, self.converter, self.naive_zone)

    def __repr__(self) -> str:
        # A traceback that shows variables asks this of a session that could not be made, too.
        transport = getattr(self, "_transport", None)
        return f"<CdrSession {transport.gateways['region'].url if transport else 'not made'}>"


def context_of(session: CdrSession) -> SourceContext:
    """Return the way of a session to its APIs, for what is built on sessions and not for users."""
    return session._context  # noqa: SLF001 - the one way in for ingest and the command line, so that users see nothing internal


def _connection(http: "aiohttp.ClientSession | None", timeout: float, routes: dict[str, Route]) -> "Connection":
    # aiohttp takes as long to import as all else together, so whoever needs no session is spared it.
    try:
        from nxcdr_async.transport.connection import Connection  # noqa: PLC0415 - slow to import
    except OSError as error:
        # It makes TLS ready as it is imported, and that opens the file such a variable names.
        if "SSLKEYLOGFILE" not in os.environ:
            raise
        raise ConfigurationError(
            f"SSLKEYLOGFILE names a file that cannot be written ({error.strerror}): unset it, or name another"
        ) from None
    return Connection(http=http, timeout=timeout, routes=routes)


def _checked(value: Any, kind: Any, name: str, wanted: str) -> Any:
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name} is of type {type(value).__name__}: give {wanted}")
    return value

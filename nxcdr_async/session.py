"""The door: one method for each API of the vendor, and everything a session opens and closes."""

import os
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, tzinfo
from functools import partial
from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
from cattrs import Converter

from nxcdr_async._util.tasks import cancel_and_wait
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async._util.validation import as_number
from nxcdr_async._util.zones import checked_zone
from nxcdr_async.config import Credentials, FlashApp, Region, checked_gateway, settings_from
from nxcdr_async.errors import (
    ConfigurationError,
    RecordError,
    RefusedRangeError,
    SaturatedDayError,
    SaturatedSecondError,
)
from nxcdr_async.limits.limiter import Limiter
from nxcdr_async.paging.answer_limits import checked_span
from nxcdr_async.paging.base import OnBadRow, in_words
from nxcdr_async.paging.capped import CappedList
from nxcdr_async.paging.counted import CountedPages
from nxcdr_async.paging.paginator import Paginator
from nxcdr_async.paging.single import read_at_once
from nxcdr_async.paging.uncounted import WindowedPages
from nxcdr_async.paging.window_pages import WindowPageReader
from nxcdr_async.protocol.endpoints import CALLS, DID, FLASH, ORDER, Endpoint
from nxcdr_async.protocol.filter_check import FilterCheck
from nxcdr_async.protocol.responses import Page
from nxcdr_async.records.converter import UTC_PLUS_8, make_converter
from nxcdr_async.records.models import CallRecord, DidCallRecord, Direction, FlashCallRecord
from nxcdr_async.sources.queries import (
    CallQuery,
    DidQuery,
    checked_days,
    flash_parameters,
    order_filters,
    order_parameters,
)
from nxcdr_async.sources.streams import Streams
from nxcdr_async.stats import SessionStats
from nxcdr_async.telemetry.names import CUSTOM
from nxcdr_async.telemetry.watch import telemetry_for
from nxcdr_async.transport.client import Transport
from nxcdr_async.transport.clock_skew import Span
from nxcdr_async.transport.gateway import known_gateways
from nxcdr_async.transport.proxies import ProxyRules, Route
from nxcdr_async.windows import check_offset, window_of

if TYPE_CHECKING:
    import aiohttp

    from nxcdr_async.transport.connection import Connection

LONGEST_TIMEOUT = 86_400.0
"""Seconds; an attempt that may take longer has no timeout worth the name."""

ROWS_A_WINDOW = 4_000
"""Calls a window should hold: at 100 a page, the short page at its end costs little, and memory holds some windows."""

ROWS_AT_ONCE = 10_000
"""Calls up to which a range is read as one window, which takes the fewest round trips."""

ROWS_A_LIST = 60
"""Flash calls a window should hold: safely under the hundred its answer is cut off at."""


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
        self._transport = Transport(
            gateways=gateways,
            limiter=limiter,
            connection=self._connection,
            credentials=credentials,
            flash_app=flash_app,
            telemetry=telemetry_for(self.region.name if gateway is None else CUSTOM),
        )
        self._streams = Streams(self._transport, max_seconds)

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
        self._transport.need_credentials()
        streams = self._streams
        rows = streams.typed_rows(CALLS, self.converter)
        structurer = streams.structurer(CALLS, rows.record, on_bad_row, bad_row_callback)
        source = WindowedPages(
            plan=streams.plan(CALLS, window, most_rows=ROWS_A_WINDOW, most_at_once=ROWS_AT_ONCE),
            pages=WindowPageReader(
                reader=streams.reader(CALLS, structurer.stats, FilterCheck(query.filters), rows.reading()),
                parameters=partial(query.page, size=CALLS.page_size),
                row_key=CALLS.row_key,
                page_size=streams.page_size(CALLS),
            ),
            structurer=structurer,
            end_ms=CALLS.end_ms,
            stats=structurer.stats,
            on_saturated_second=on_saturated_second,
        )
        bounded = streams.range_within_limits(CALLS, source, on_refused_range)
        return streams.paginator(CALLS, bounded, rows.records, structurer, in_words(window))

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
        parameters = order_parameters(order_id, tenant_id)
        self._transport.need_credentials()
        streams = self._streams
        rows = streams.typed_rows(ORDER, self.converter)
        structurer = streams.structurer(ORDER, rows.record, on_bad_row, bad_row_callback)
        reader = streams.reader(ORDER, structurer.stats, FilterCheck(order_filters(order_id)), rows.reading())
        found = await read_at_once(reader, structurer, parameters, f"of order {order_id!r}")
        return sorted(rows.records(found), key=lambda call: (call.start_time, call.call_id))

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
        first, last = checked_days(first_day, last_day)
        self._transport.need_credentials()
        streams = self._streams
        structure = streams.structure(DID, self.converter)
        structurer = streams.structurer(DID, structure, on_bad_row, bad_row_callback)
        source = CountedPages(
            first_day=first,
            last_day=last,
            zone=self.naive_zone,
            reader=streams.reader(DID, structurer.stats, FilterCheck(query.filters)),
            parameters=partial(query.page, size=DID.page_size),
            structurer=structurer,
            row_key=DID.row_key,
            page_size=DID.page_size,
            stats=structurer.stats,
            on_saturated_day=on_saturated_day,
        )
        bounded = streams.days_within_limits(DID, source, on_refused_range)
        return streams.paginator(DID, bounded, _records, structurer, f"{first} to {last}")

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
        window = window_of(start, end)
        check_offset(self.naive_zone, window)
        self._transport.need_flash_app()
        streams = self._streams
        structure = streams.structure(FLASH, self.converter)
        structurer = streams.structurer(FLASH, structure, on_bad_row, bad_row_callback)
        source = CappedList(
            plan=streams.plan(FLASH, window, most_rows=ROWS_A_LIST, most_at_once=ROWS_A_LIST),
            reader=streams.reader(FLASH, structurer.stats, FilterCheck()),
            parameters=partial(flash_parameters, zone=self.naive_zone),
            structurer=structurer,
            row_key=FLASH.row_key,
            page_size=streams.page_size(FLASH),
            stats=structurer.stats,
            on_saturated_second=on_saturated_second,
        )
        bounded = streams.range_within_limits(FLASH, source, on_refused_range)
        return streams.paginator(FLASH, bounded, _records, structurer, in_words(window))

    async def ask_page(self, endpoint: Endpoint[Any], parameters: Mapping[str, Any]) -> Page:
        """Ask one question of an API and return the raw rows of its answer.

        Args:
            endpoint: one of `nxcdr_async.wire`.
            parameters: in the vendor's terms.

        Raises:
            NxcdrError: see `errors`.
        """
        return await self._transport.ask(endpoint, parameters)

    def time_at(self, endpoint: Endpoint[Any]) -> Span:
        """Return the earliest and the latest that it may be now by the clock of an API's gateway, epoch seconds.

        One moment where timestamps that it accepted prove it; else from the least to the most of what its replies and
        this machine's clock say.
        """
        return self._transport.time_at(endpoint)

    def account_of(self, endpoint: Endpoint[Any]) -> str:
        """Return what tells the account that an API is asked for from others, without showing its key.

        Raises:
            ConfigurationError: no keys for it.
        """
        return sha256(self._transport.need_key(endpoint).encode()).hexdigest()[:16]

    def gateway_of(self, endpoint: Endpoint[Any]) -> str:
        """Return the base URL that an API is asked at."""
        return self._transport.gateways[endpoint.gateway].url

    def route_to(self, endpoint: Endpoint[Any]) -> Route:
        """Return how the gateway of an API is reached: through which proxy, and why, or why through none."""
        return self._connection.routes[self.gateway_of(endpoint)]

    async def aclose(self) -> None:
        """Stop every paginator and close what this session opened. Closing twice does no harm.

        Raises:
            ConfigurationError: another event loop is at work with it, which goes on undisturbed.
        """
        self._connection.check_closable()
        try:
            await cancel_and_wait(list(self._streams.tasks))
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

    def __repr__(self) -> str:
        # A traceback that shows variables asks this of a session that could not be made, too.
        transport = getattr(self, "_transport", None)
        return f"<CdrSession {transport.gateways['region'].url if transport else 'not made'}>"


def _connection(http: "aiohttp.ClientSession | None", timeout: float, routes: dict[str, Route]) -> "Connection":
    # aiohttp takes as long to import as all else together, so whoever needs no session is spared it.
    try:
        from nxcdr_async.transport.connection import Connection  # noqa: PLC0415
    except OSError as error:
        # It makes TLS ready as it is imported, and that opens the file such a variable names.
        if "SSLKEYLOGFILE" not in os.environ:
            raise
        raise ConfigurationError(
            f"SSLKEYLOGFILE names a file that cannot be written ({error.strerror}): unset it, or name another"
        ) from None
    return Connection(http=http, timeout=timeout, routes=routes)


def _records(calls: list[Any]) -> list[Any]:
    return [call.record for call in calls]


def _checked(value: Any, kind: Any, name: str, wanted: str) -> Any:
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name} is of type {type(value).__name__}: give {wanted}")
    return value

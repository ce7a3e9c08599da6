"""The HTTP side of the emulator: routes, throttling, and how replies and faults leave."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from secrets import token_hex
from typing import Any

import msgspec
from aiohttp import web
from attrs import define

from nxcdr_async._util.clocks import sleep, steady
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async.protocol.signed_headers import read_ts
from nxcdr_async.testing.data.history import CallHistory
from nxcdr_async.testing.emulator.catalog import Catalog
from nxcdr_async.testing.emulator.clock import DateHeader, EmulatorClock
from nxcdr_async.testing.emulator.faults import FaultPlan, refused_by, spoiled
from nxcdr_async.testing.emulator.log import GatewayLog, SeenRequest, without_secrets
from nxcdr_async.testing.emulator.recordings import PATH as RECORDINGS, RecordingServer
from nxcdr_async.testing.emulator.replies import EmulatedReply, RefusedError, Style, answer, refusal, web_page
from nxcdr_async.testing.emulator.requests import (
    CallQuestion,
    DidQuestion,
    FlashQuestion,
    flash_request_id,
    order_of_tenant,
)
from nxcdr_async.testing.emulator.security import RequestVerifier
from nxcdr_async.testing.emulator.spoiling import in_charset, with_row_faults
from nxcdr_async.testing.emulator.switches import EndpointName, FaultKind, Switches

_BREAKS_OFF = {"reset", "cut-chunked"}
_NOTHING_FOUND: dict[str, Any] = {"list": [], "null": None, "object": {}}


@define(frozen=True)
class ApiRoute:
    """One API.

    Attributes:
        name: its short name.
        path: where it is.
        style: how its replies are written.
        biz_type: the `bizType` header; "" where the key pair goes in the query instead.
        action: the `action` header.
    """

    name: EndpointName
    path: str
    style: Style
    biz_type: str = ""
    action: str = ""

    @property
    def is_signed(self) -> bool:
        """Whether requests are signed POSTs."""
        return bool(self.biz_type)


ROUTES = (
    ApiRoute("calls", "/saas/cc/openapi/cdr/page", "call center", "8", "cc"),
    ApiRoute("order", "/saas/cc/openapi/cdr/queryByOrderId", "call center", "8", "cc"),
    ApiRoute("did", "/api/did/cdr", "did", "4", "cdr"),
    ApiRoute("flash", "/otp/call/list", "flash"),
    ApiRoute("flash_call", "/otp/call/get", "flash call"),
)
"""The vendor's APIs; the regional gateways and the older one share the paths."""


class GatewayServer(Uncopied):
    """Answers the requests of one emulator. Everything here runs on the emulator's own event loop."""

    def __init__(
        self,
        *,
        history: CallHistory,
        switches: Switches,
        clock: EmulatorClock,
        log: GatewayLog,
        verifier: RequestVerifier,
        faults: FaultPlan,
        tenant_id: int,
        seed: int,
    ) -> None:
        self._history = history
        self._switches = switches
        self._clock = clock
        self._date = DateHeader(switches)
        self._log = log
        self._verifier = verifier
        self._faults = faults
        self._catalog = Catalog(history, switches, clock.now_ms)
        self._chance = Random(seed)  # noqa: S311 - latencies and late calls have to be repeatable, not secret
        self._latest: deque[float] = deque()
        self._closing = asyncio.Event()
        self._answers: dict[EndpointName, Callable[[dict[str, Any]], Any]] = {
            "calls": self._call_page,
            "order": lambda parameters: self._catalog.calls_of_order(order_of_tenant(parameters, tenant_id)),
            "did": lambda parameters: self._catalog.did_calls(DidQuestion.from_parameters(parameters)),
            "flash": lambda parameters: self._catalog.flash_calls(FlashQuestion.from_parameters(parameters)),
            "flash_call": lambda parameters: self._catalog.flash_call(flash_request_id(parameters)),
        }

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        application = web.Application()
        for route in ROUTES:
            method = "POST" if route.is_signed else "GET"
            application.router.add_route(method, route.path, self._handler(route))
        recordings = RecordingServer(self._history, self._switches, self._clock, self._log, self._faults, self._closing)
        application.router.add_get(RECORDINGS, recordings.handle)
        application.on_response_prepare.append(self._date_it)
        return application

    def close(self) -> None:
        """Let go of the requests that are kept hanging."""
        self._closing.set()

    async def _date_it(self, _request: web.Request, response: web.StreamResponse) -> None:
        date = self._date.at(self._clock.now())
        if date is None:
            response.headers.popall("Date", None)
        else:
            response.headers["Date"] = date

    def _handler(self, route: ApiRoute) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            parameters = _parameters(request, body)
            seen = SeenRequest(
                route.name,
                read_ts(request.headers.get("ts", "")),
                self._clock.now(),
                without_secrets(parameters),
            )
            with self._log.request(seen):
                return await self._respond(route, request, body, parameters, seen)

        return handle

    async def _respond(
        self, route: ApiRoute, request: web.Request, body: bytes, parameters: dict[str, Any], seen: SeenRequest
    ) -> web.StreamResponse:
        rejection = self._rejection()
        if rejection is not None:
            seen.status = rejection.status
            return await _sent(rejection, None, request)
        fault = seen.fault = self._faults.next_fault(route.name, parameters)
        if fault == "hang":
            return await self._hang(request)
        if fault == "close":
            return _closed(request)
        reply = refused_by(fault, route.style, self._clock.now(), self._switches.language) if fault else None
        if reply is None:
            genuine = self._genuine(route, request, body, parameters, is_empty=fault == "no-rows")
            reply = in_charset(genuine, self._switches)
        if fault:
            reply = spoiled(fault, reply)
        await self._wait_out_latency()
        seen.status, seen.code = reply.status, reply.code
        if fault == "stall":
            await _half_sent(reply, request, in_chunks=False)
            return await self._hang(request)
        return await _sent(reply, fault, request)

    def _rejection(self) -> EmulatedReply | None:
        """Return the answer to a request that is not looked at: a redirect, or too many requests."""
        switches = self._switches
        if switches.redirect_to is not None:
            return EmulatedReply(status=302, headers={"Location": switches.redirect_to})
        crowded = switches.max_in_flight is not None and self._log.in_flight > switches.max_in_flight
        if not crowded and not self._too_fast():
            return None
        wait = {} if switches.retry_after is None else {"Retry-After": str(switches.retry_after)}
        return web_page(429, "429 Too Many Requests", wait)

    def _too_fast(self) -> bool:
        limit = self._switches.max_per_second
        if limit is None:
            return False
        now = steady()
        # A limit below one a second is one request in as many seconds as it takes.
        span, allowed = (1.0, int(limit)) if limit >= 1 else (1 / limit, 1)
        while self._latest and self._latest[0] <= now - span:
            self._latest.popleft()
        if len(self._latest) >= allowed:
            return True
        self._latest.append(now)
        return False

    def _genuine(
        self, route: ApiRoute, request: web.Request, body: bytes, parameters: dict[str, Any], *, is_empty: bool
    ) -> EmulatedReply:
        language = self._switches.language
        try:
            if route.is_signed:
                self._verifier.check_signed(
                    request.headers,
                    body,
                    biz_type=route.biz_type,
                    action=route.action,
                    now_ms=self._clock.now_ms(),
                )
            else:
                self._verifier.check_flash(parameters)
            data = self._answers[route.name](parameters)
            if is_empty:
                data = _without_rows(data)
            return answer(route.style, with_row_faults(data, self._switches), language)
        except RefusedError as refused:
            return refusal(route.style, refused, language)

    def _call_page(self, parameters: dict[str, Any]) -> Any:
        question = CallQuestion.from_parameters(parameters)
        rows = self._catalog.calls(question)
        self._let_calls_arrive(*self._catalog.call_bounds(question))
        return rows or _NOTHING_FOUND[self._switches.empty_as]

    def _let_calls_arrive(self, from_ms: int, until_ms: int) -> None:
        until_ms = min(until_ms, self._clock.now_ms())  # no call starts in the future
        if until_ms <= from_ms:
            return
        for _ in range(self._switches.arrivals_per_page):
            self._history.add_call(startTime=self._chance.randrange(from_ms, until_ms))

    async def _wait_out_latency(self) -> None:
        latency = self._chance.uniform(*self._switches.latency)
        if latency > 0:
            await sleep(latency)

    async def _hang(self, request: web.Request) -> web.StreamResponse:
        await self._closing.wait()
        return _closed(request)


def _parameters(request: web.Request, body: bytes) -> dict[str, Any]:
    """Return what was asked for; nothing when the body is no JSON object."""
    if request.method == "GET":
        return dict(request.query)
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _without_rows(data: Any) -> Any:
    """Return the data of a reply as if nothing had been found."""
    if not isinstance(data, dict):
        return []
    return {**data, "totalRow": 0, "totalPage": 0, "list": []} if "list" in data else None


async def _sent(reply: EmulatedReply, fault: FaultKind | None, request: web.Request) -> web.StreamResponse:
    if fault in _BREAKS_OFF:
        await _half_sent(reply, request, in_chunks=fault == "cut-chunked")
        return _closed(request)
    response = web.Response(body=reply.body, status=reply.status, headers=_headers(reply))
    if fault == "gzip":
        response.enable_compression(web.ContentCoding.gzip)
    if fault == "chunked":
        response.enable_chunked_encoding()
    return response


async def _half_sent(reply: EmulatedReply, request: web.Request, *, in_chunks: bool) -> None:
    """Send the headers of a reply and half of its body."""
    response = web.StreamResponse(status=reply.status, headers=_headers(reply))
    if in_chunks:
        response.enable_chunked_encoding()
    else:
        response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])


def _headers(reply: EmulatedReply) -> dict[str, str]:
    return {"Content-Type": reply.content_type, "X-Request-Id": token_hex(16), **reply.headers}


def _closed(request: web.Request) -> web.Response:
    """Break the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()

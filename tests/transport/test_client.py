"""The line, on the real emulator and on real sockets: signing in time, clocks, faults."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from nxcdr_async import (
    AuthenticationError,
    CallRecord,
    CdrSession,
    CertificateError,
    ClockSkewError,
    ConfigurationError,
    Credentials,
    FlashApp,
    InvalidRequestError,
    MalformedReplyError,
    NxcdrError,
    ServerError,
    ThrottledError,
    TimedOutError,
    TransportError,
)
from nxcdr_async.limits.concurrency import FIRST_LIMIT
from nxcdr_async.limits.limiter import Limiter
from nxcdr_async.protocol.endpoints import ORDER
from nxcdr_async.protocol.responses import LONGEST_RETRY_AFTER
from nxcdr_async.session import context_of
from nxcdr_async.testing import Gateway
from nxcdr_async.transport import connection as line, gateway as gateways_room
from nxcdr_async.transport.gateway import GatewayState, steady_clock
from nxcdr_async.transport.retry import MOST_CLOCK_REFUSALS
from tests.sessions import OpenSession
from tests.timers import after
from tests.transport.loopback import Handler, serving

SECOND = timedelta(seconds=1)
SECRET = "s3cr3t-that-must-not-show"
DAY = datetime(2026, 1, 1, tzinfo=UTC)
DATE = "Fri, 02 Jan 2015 10:00:00 GMT"


async def read(session: CdrSession, gateway: Gateway) -> list[CallRecord]:
    return await session.calls(gateway.first_call, gateway.last_call + SECOND).collect()


def impatient(session: CdrSession) -> CdrSession:
    """Take the waiting out of a session's retries."""

    async def no_sleep(_: float) -> None:
        await asyncio.sleep(0)

    session._transport.sleep = no_sleep
    return session


async def asked_of(handler: Handler, **changes: Any) -> NxcdrError:
    """Return the error of one question to a server that answers like this."""
    async with (
        serving(handler) as url,
        CdrSession(
            gateway=url, credentials=Credentials("key", SECRET), flash_app=FlashApp("app", SECRET), **changes
        ) as cdr,
    ):
        with pytest.raises(NxcdrError) as caught:
            await impatient(cdr).calls_by_order("order", tenant_id=1)
    return caught.value


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
async def test_the_gateway_accepts_either_algorithm(
    algorithm: Any, gateway: Gateway, open_session: OpenSession
) -> None:
    keys = Credentials(gateway.credentials.access_key, gateway.credentials.access_secret, algorithm)
    assert await read(open_session(credentials=keys), gateway)


async def test_a_wrong_secret_says_to_check_it(gateway: Gateway, open_session: OpenSession) -> None:
    wrong = Credentials(gateway.credentials.access_key, "wrong")
    with pytest.raises(AuthenticationError, match="check the access secret") as caught:
        await read(open_session(credentials=wrong), gateway)
    assert caught.value.code == 1003
    assert caught.value.request_id


async def test_a_key_without_rights_says_so(gateway: Gateway, open_session: OpenSession) -> None:
    with pytest.raises(AuthenticationError, match="no right to this API") as caught:
        await read(open_session(credentials=gateway.credentials_without_rights), gateway)
    assert caught.value.code == 1005


async def test_refusals_are_not_tried_again(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session(credentials=Credentials(gateway.credentials.access_key, "wrong"))
    with pytest.raises(AuthenticationError):
        await read(session, gateway)
    assert session.stats.requests == 1


@pytest.mark.parametrize("skew", [86_400.0, -86_400.0, 300.0, -90.0])
async def test_a_clock_far_off_costs_one_refused_request(
    skew: float, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.clock.move(skew)
    session = open_session()
    assert len(await read(session, gateway)) == len(gateway.call_ids())
    assert session.stats.clock_refusals == 1
    assert session.stats.clock_skew == pytest.approx(skew, abs=2)


async def test_a_clock_that_jumps_in_mid_run_is_followed_and_followed_back(
    gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session(concurrency=1)
    for jump in (7200.0, -7200.0):
        gateway.clock.move(jump)
        before = session.stats.clock_refusals
        assert len(await read(session, gateway)) == len(gateway.call_ids())
        assert session.stats.clock_refusals - before <= 1
    assert session.stats.clock_skew == pytest.approx(0, abs=2)


async def test_a_small_skew_is_left_alone(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.clock.move(2.0)
    session = open_session()
    await read(session, gateway)
    assert session.stats.clock_refusals == 0
    assert session._transport.gateways["region"].clock.correction == 0


async def test_a_timestamp_is_made_after_the_wait_for_a_slot(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session(concurrency=1)
    now = time.time()
    session._transport.now = session._transport.wall = lambda: now
    async with session._transport.limiter.slot(gateway.url, gateway.credentials.access_key):
        waiting = asyncio.create_task(read(session, gateway))
        await asyncio.sleep(0.02)
        assert session.stats.requests == 0
        gateway.clock.move(3600)
        now += 3600
    assert await waiting
    assert session.stats.clock_refusals == 0


async def test_a_gateway_that_refuses_its_own_time_ends_in_clock_skew_error() -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"code": 1004, "msg": "时间戳超时", "reqId": "r1"}, headers={"Date": DATE})

    error = await asked_of(refuse)
    assert isinstance(error, ClockSkewError)
    assert error.message == "时间戳超时"
    assert error.attempts == MOST_CLOCK_REFUSALS
    assert "clock" in str(error)


async def test_a_date_header_that_lies_is_no_longer_followed() -> None:
    async def lie(request: web.Request) -> web.Response:
        off = abs(int(request.headers["ts"]) / 1000 - time.time())
        code = 0 if off < 60 else 1004
        return web.json_response({"code": code, "msg": "", "data": []}, headers={"Date": DATE})

    async with serving(lie) as url, CdrSession(gateway=url, credentials=Credentials("key", SECRET)) as cdr:
        for _ in range(5):
            await impatient(cdr).calls_by_order("order", tenant_id=1)
        assert cdr.stats.clock_refusals == 0


async def test_a_reply_that_never_comes_is_asked_for_again(gateway: Gateway, open_session: OpenSession) -> None:
    session = impatient(open_session(timeout=0.3))
    gateway.fail_next("hang")
    assert len(await read(session, gateway)) == len(gateway.call_ids())
    assert session.stats.retries >= 1  # a busy machine may let more replies come too late


async def test_a_timeout_names_host_and_seconds() -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    error = await asked_of(hang, timeout=0.05)
    assert isinstance(error, TimedOutError)
    assert "127.0.0.1" in str(error)
    assert "0.05 s" in str(error)


async def test_a_body_that_trickles_for_ever_ends_at_the_timeout() -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    assert isinstance(await asked_of(trickle, timeout=0.1), TimedOutError)


async def test_an_endless_body_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "LARGEST_BODY", 100_000)

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 10_000)

    error = await asked_of(flood)
    assert isinstance(error, MalformedReplyError)
    assert "longer than" in str(error)


async def test_a_web_page_instead_of_json_says_what_it_may_be() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    error = await asked_of(page)
    assert isinstance(error, MalformedReplyError)
    assert "web page" in str(error)
    assert "calls of order 'order': the reply is a web page" in str(error)
    assert "3 attempts" in str(error)


async def test_an_unknown_address_says_so() -> None:
    async def missing(_: web.Request) -> web.Response:
        return web.Response(status=404, text="not here")

    error = await asked_of(missing)
    assert isinstance(error, InvalidRequestError)
    assert "base URL" in str(error)


async def test_a_throttling_gateway_is_left_in_peace_for_as_long_as_it_asks() -> None:
    slept: list[float] = []
    replies = iter([web.Response(status=429, headers={"Retry-After": "7"})])

    async def throttle(_: web.Request) -> web.Response:
        return next(replies, web.json_response({"code": 0, "data": []}))

    async with serving(throttle) as url, CdrSession(gateway=url, credentials=Credentials("key", SECRET)) as cdr:
        moment = time.monotonic()

        async def sleep(seconds: float) -> None:
            nonlocal moment
            slept.append(seconds)
            moment += seconds

        impatient(cdr)
        cdr._transport.limiter = Limiter(now=lambda: moment, call_later=after(sleep))
        assert await cdr.calls_by_order("order", tenant_id=1) == []
        assert cdr.stats.throttled == 1
    assert sum(slept) == pytest.approx(7)


@pytest.mark.parametrize(("asked_for", "held"), [("7", 7.0), ("86400", LONGEST_RETRY_AFTER)])
async def test_the_pause_of_a_last_refusal_holds_others_too(asked_for: str, held: float) -> None:
    slept: list[float] = []

    async def throttle(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": asked_for})

    async with serving(throttle) as url, CdrSession(gateway=url, credentials=Credentials("key", SECRET)) as cdr:
        moment = time.monotonic()

        async def sleep(seconds: float) -> None:
            nonlocal moment
            slept.append(seconds)
            moment += seconds

        impatient(cdr)
        cdr._transport.limiter = Limiter(now=lambda: moment, call_later=after(sleep))
        with pytest.raises(ThrottledError):
            await cdr.calls_by_order("order", tenant_id=1)
        slept.clear()
        async with cdr._transport.limiter.slot(url, "key"):
            assert sum(slept) == pytest.approx(held)


@pytest.mark.parametrize("kind", ["429", "503", "99", "88"])
async def test_replies_that_ask_for_less_are_counted(kind: Any, gateway: Gateway, open_session: OpenSession) -> None:
    session = impatient(open_session())
    gateway.fail_next(kind)
    await session.calls_by_order("order", tenant_id=gateway.tenant_id)
    assert (session.stats.retries, session.stats.throttled) == (1, int(kind != "88"))


async def test_sessions_of_one_key_share_what_a_gateway_allows_whatever_other_keys_they_have(
    gateway: Gateway, open_session: OpenSession
) -> None:
    with_app, without = open_session(), open_session(flash_app=None)
    gateway.switches.latency = (0.05, 0.05)
    await asyncio.gather(
        *(
            session.calls_by_order("order", tenant_id=gateway.tenant_id)
            for session in (with_app, without)
            for _ in range(FIRST_LIMIT)
        )
    )
    assert gateway.log.peak_in_flight < 2 * FIRST_LIMIT


async def test_the_keys_of_one_session_have_limits_of_their_own(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    gateway.fail_next("503")
    await impatient(session).calls_by_order("order", tenant_id=gateway.tenant_id)
    assert session.stats.concurrency_limit < FIRST_LIMIT
    await session.flash_calls(gateway.first_call, gateway.first_call + SECOND).collect()
    assert session.stats.concurrency_limit >= FIRST_LIMIT


async def test_a_question_without_keys_is_no_request(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session(credentials=None)
    with pytest.raises(ConfigurationError, match="no credentials"):
        await context_of(session).ask(ORDER, {})
    assert session.stats.requests == gateway.log.requests == 0


async def test_a_pause_too_long_to_sleep_through_is_an_error() -> None:
    async def throttle(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "86400"})

    error = await asked_of(throttle)
    assert isinstance(error, ThrottledError)
    assert error.retry_after == 86_400


async def test_a_gateway_that_never_answered_is_given_up_soon() -> None:
    async with CdrSession(gateway="http://127.0.0.1:9", credentials=Credentials("key", SECRET)) as cdr:
        with pytest.raises(TransportError, match="cannot connect") as caught:
            await impatient(cdr).calls_by_order("order", tenant_id=1)
        assert cdr.stats.requests == 3
    assert caught.value.__context__ is None


async def test_a_host_without_a_name_says_so() -> None:
    async with CdrSession(gateway="https://gateway.invalid", credentials=Credentials("key", SECRET)) as cdr:
        with pytest.raises(TransportError, match=r"gateway\.invalid.*name is not known"):
            await impatient(cdr).calls_by_order("order", tenant_id=1)


async def test_in_a_storm_of_faults_every_retry_waits_long(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session(concurrency=8)
    await read(session, gateway)
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    session._transport.sleep = note
    session._transport.chance = lambda: 1.0
    gateway.switches.fault_rate, gateway.switches.faults = 1.0, ["88"]
    with pytest.raises(ServerError):
        await read(session, gateway)
    for _ in range(5):
        with pytest.raises(ServerError):
            await session.calls_by_order("order", tenant_id=gateway.tenant_id)
    assert waits[-1] == 20.0
    assert waits[-10] == 20.0


async def answer_empty(_: web.Request) -> web.Response:
    return web.json_response({"code": 0, "data": []})


async def test_connections_of_the_caller_bound_the_limit(gateway: Gateway) -> None:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=3)) as http,
        CdrSession(gateway=gateway.url, credentials=gateway.credentials, http=http, concurrency=20) as cdr,
    ):
        await read(cdr, gateway)
        assert cdr.stats.peak_in_flight <= 3


async def test_a_fixed_concurrency_is_never_exceeded(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session(concurrency=5)
    gateway.switches.latency = (0.005, 0.01)
    await asyncio.gather(*(read(session, gateway) for _ in range(3)))
    assert session.stats.peak_in_flight == 5
    assert gateway.log.peak_in_flight <= 5


async def test_a_closed_session_says_so(gateway: Gateway) -> None:
    session = CdrSession(gateway=gateway.url, credentials=gateway.credentials)
    await session.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await read(session, gateway)


async def test_a_session_belongs_to_one_loop(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    await session.calls_by_order("order", tenant_id=gateway.tenant_id)

    def elsewhere() -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            asyncio.run(session.calls_by_order("order", tenant_id=gateway.tenant_id))

    await asyncio.to_thread(elsewhere)


@pytest.mark.parametrize("skew", [0.0, 120.0])
async def test_one_refusal_for_no_reason_does_not_end_a_session(
    skew: float, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.clock.move(skew)
    session = impatient(open_session())
    await read(session, gateway)
    for times in (1, 2, 1):
        gateway.fail_next("1004", times=times)
        assert len(await read(session, gateway)) == len(gateway.call_ids())


async def test_two_refusals_for_no_reason_do_not_end_a_session_that_has_just_begun(
    gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.fail_next("1004", times=2)
    assert len(await read(impatient(open_session()), gateway)) == len(gateway.call_ids())


async def test_dates_at_the_end_of_time_are_no_crash() -> None:
    async def answer(_: web.Request) -> web.Response:
        headers = {"Date": "Fri, 31 Dec 9999 23:59:59 -2359", "Retry-After": "Fri, 31 Dec 9999 23:59:59 -2359"}
        return web.Response(status=503, headers=headers)

    assert isinstance(await asked_of(answer), ServerError)


async def test_a_vague_answer_about_an_order_is_asked_for_again() -> None:
    answers = iter([{"code": 0, "data": None}])

    async def answer(_: web.Request) -> web.Response:
        told = next(answers, {"code": 0, "data": [{"callId": "a", "startTime": 1690442492841, "answered": True}]})
        return web.json_response(told)

    async with serving(answer) as url, CdrSession(gateway=url, credentials=Credentials("key", SECRET)) as cdr:
        assert [call.call_id for call in await cdr.calls_by_order("order", tenant_id=1)] == ["a"]


async def test_each_gateway_has_a_clock_of_its_own() -> None:
    with Gateway(calls=500) as region, Gateway(calls=500) as shared:
        shared.clock.move(-600)
        async with CdrSession(gateway=region.url, credentials=region.credentials) as cdr:
            cdr._transport.gateways = {
                "region": GatewayState(region.url),
                "shared": GatewayState(shared.url),
            }
            for _ in range(5):
                await read(cdr, region)
                assert await cdr.did_calls(shared.first_call.date()).collect()
            assert cdr.stats.clock_refusals == 1


async def test_plain_http_behind_an_https_address_says_so() -> None:
    async with (
        serving(answer_empty) as url,
        CdrSession(gateway=url.replace("http:", "https:"), credentials=Credentials("key", SECRET)) as cdr,
    ):
        with pytest.raises(TransportError, match="https address") as caught:
            await impatient(cdr).calls_by_order("order", tenant_id=1)
    assert not isinstance(caught.value, CertificateError)


async def test_a_server_that_knows_no_such_request_is_not_asked_again() -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=501, text="<html>")

    error = await asked_of(refuse)
    assert isinstance(error, InvalidRequestError)
    assert "base URL" in str(error)


async def test_the_log_tells_of_each_reply_and_each_retry(
    gateway: Gateway, open_session: OpenSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="nxcdr_async")
    session = impatient(open_session())
    gateway.fail_next("503")
    await session.calls_by_order("order", tenant_id=gateway.tenant_id)
    told = [record.getMessage() for record in caplog.records if record.name == "nxcdr_async"]
    assert any(text.startswith("order: HTTP 503") for text in told)
    assert any(text.startswith("order: attempt 1 failed") for text in told)
    assert any(text.startswith("order: HTTP 200") for text in told)
    assert gateway.credentials.access_secret not in "".join(told)


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_the_steady_clock_does_not_jump_when_the_machines_clock_is_set(
    jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Machine:
        wall, uptime = 1_700_000_000.0, 500.0

    machine = Machine()
    monkeypatch.setattr(gateways_room, "wall", lambda: machine.wall)
    monkeypatch.setattr(gateways_room, "steady", lambda: machine.uptime)
    clock = steady_clock()
    assert clock() == machine.wall
    machine.uptime += 10
    machine.wall += 10 + jump
    assert clock() == 1_700_000_010.0

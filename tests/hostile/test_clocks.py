"""Clocks that are off, jump, drift and sleep, over real HTTP: hardly a request refused, and no row lost."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web

from nxcdr_async import CdrSession, ClockSkewError, Credentials
from nxcdr_async.testing import Gateway
from nxcdr_async.transport.clock_skew import LONGEST_UNHEARD, ClockEstimate
from tests.hostile.world import APIS, STREAMED, QuickTime, check_complete, order_of, until
from tests.sessions import OpenSession

DAY = 86_400.0


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=6_000, days=4, did_calls=3_000, flash_calls=600) as running:
        running.switches.latency = (0.002, 0.01)
        yield running


async def ask_at_once(session: CdrSession, gateway: Gateway, times: int = 16) -> None:
    """Ask many questions in one moment."""
    order, expected = order_of(gateway)
    asked = (session.calls_by_order(order, tenant_id=gateway.tenant_id) for _ in range(times))
    for calls in await asyncio.gather(*asked):
        assert [call.call_id for call in calls] == expected


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("skew", [DAY, -DAY])
async def test_a_machine_a_day_off_reads_everything_at_the_cost_of_one_refused_request(
    skew: float, name: str, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.clock.move(skew)
    session = open_session(concurrency=16)
    check_complete(APIS[name], await APIS[name].read(session, gateway).collect(), gateway)
    assert session.stats.clock_refusals == (0 if name == "flash" else 1)
    assert gateway.log.refused[1004] == session.stats.clock_refusals


@pytest.mark.parametrize("skew", [DAY, -DAY])
async def test_many_first_requests_at_once_are_not_all_refused(
    skew: float, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.clock.move(skew)
    session = open_session(concurrency=16)
    await ask_at_once(session, gateway)
    assert session.stats.clock_refusals == 1


async def test_flash_calls_teach_the_clock_before_the_first_request_is_signed(
    gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.clock.move(DAY)
    session = open_session()
    await APIS["flash"].read(session, gateway).collect()
    await ask_at_once(session, gateway)
    assert session.stats.clock_refusals == 0


async def test_a_burst_after_a_long_silence_is_not_all_refused(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session(concurrency=16)
    line = session._transport
    now, late = line.now, [0.0]
    line.now = lambda: now() + late[0]
    await ask_at_once(session, gateway)
    late[0] = LONGEST_UNHEARD + 1
    gateway.clock.move(3600)
    await ask_at_once(session, gateway)
    assert session.stats.clock_refusals == 1


async def test_a_burst_after_the_machine_slept_is_not_all_refused(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session(concurrency=16)
    line = session._transport
    wall = line.wall
    await ask_at_once(session, gateway)
    # What the machine sleeps through, its steady clock misses, and the rest of the world does not.
    gateway.clock.move(3600)
    line.wall = lambda: wall() + 3600
    await ask_at_once(session, gateway)
    assert session.stats.clock_refusals == 1


async def test_a_machine_whose_clock_is_set_in_mid_run_goes_on_unharmed(
    gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session(concurrency=16)
    line = session._transport
    wall, jumps = line.wall, [0.0]
    line.wall = lambda: wall() + jumps[0]
    reading = asyncio.create_task(APIS["calls"].read(session, gateway).collect())
    for jump in (DAY, -DAY, 0.0):
        asked = session.stats.requests
        await until(lambda: session.stats.requests > asked + 8 or reading.done())  # noqa: B023 - used at once
        jumps[0] = jump
    check_complete(APIS["calls"], await reading, gateway)
    assert session.stats.clock_refusals == 0


def first_refusal_of(session: CdrSession, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list that gets the machine's time, epoch milliseconds, at which a session first reads a refused one."""
    clock, seen = session._transport.gateways["region"].clock, list[float]()
    refused = type(clock).refused

    def noted(estimate: ClockEstimate, *args: Any, **kwargs: Any) -> None:
        refused(estimate, *args, **kwargs)
        if estimate is clock and not seen:
            seen.append(time.time() * 1000)

    monkeypatch.setattr(ClockEstimate, "refused", noted)
    return seen


@pytest.mark.first_of
@pytest.mark.parametrize("jump", [3600.0, -3600.0])
@pytest.mark.parametrize("latency", [(0.03, 0.07), (0.05, 0.05)], ids=["staggered", "in waves"])
async def test_a_gateway_whose_clock_jumps_in_mid_run_refuses_hardly_more_than_was_signed_before(
    latency: tuple[float, float],
    jump: float,
    gateway: Gateway,
    open_session: OpenSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway.switches.latency = latency
    session = open_session(concurrency=16)
    first_refusal = first_refusal_of(session, monkeypatch)
    reading = asyncio.create_task(APIS["calls"].read(session, gateway).collect())
    await until(lambda: gateway.log.requests > 30)
    gateway.clock.move(jump)
    check_complete(APIS["calls"], await reading, gateway)
    refused = [seen.ts for seen in gateway.log.recent if seen.code == 1004]
    assert len(refused) == session.stats.clock_refusals <= 16
    # Those on the wire until then are signed already, and none can foresee it; those signed later go by the new time.
    assert [stamp for stamp in refused if first_refusal[0] < stamp < first_refusal[0] + 1_800_000] == []
    await ask_at_once(session, gateway)
    assert session.stats.clock_refusals == len(refused)


@pytest.mark.parametrize("step", [1.7, -1.7])
async def test_a_gateway_that_drifts_with_each_request_refuses_none(
    step: float, gateway: Gateway, open_session: OpenSession
) -> None:
    answer = gateway.clock.now_ms

    def drifting() -> int:
        gateway.clock.move(step)
        return answer()

    gateway.clock.now_ms = drifting  # type: ignore[method-assign]
    session = open_session(concurrency=4)
    check_complete(APIS["calls"], await APIS["calls"].read(session, gateway).collect(), gateway)
    assert abs(gateway.clock.offset) > 90
    assert session.stats.clock_refusals == 0


async def test_requests_that_a_rate_holds_back_for_minutes_are_signed_when_they_go(
    gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session(rate=0.05)  # one in twenty seconds, so the last waits for five minutes
    quick = QuickTime()
    quick.rule_waits(session)
    quick.rule_clocks(session, gateway)
    began = quick.passed
    await ask_at_once(session, gateway)
    assert quick.passed - began > 200
    assert session.stats.clock_refusals == 0


async def test_requests_that_a_pause_holds_back_for_minutes_are_signed_when_they_go(
    gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session(concurrency=16)
    quick = QuickTime()
    quick.rule_waits(session)
    quick.rule_clocks(session, gateway)
    await ask_at_once(session, gateway)
    gateway.switches.retry_after = 240
    gateway.switches.max_in_flight = 8
    began = quick.passed
    await ask_at_once(session, gateway)
    assert quick.passed - began > 200
    assert session.stats.clock_refusals == 0


@pytest.mark.parametrize("skew", [DAY, -DAY])
async def test_a_pause_until_a_date_is_read_by_the_gateways_clock(
    skew: float, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.clock.move(skew)
    session = open_session()
    quick = QuickTime()
    quick.rule_waits(session)
    await ask_at_once(session, gateway, 1)
    gateway.fail_next("429-retry-after-date")
    quick.slept.clear()
    await ask_at_once(session, gateway, 1)
    assert 0 < max(quick.slept) <= 4


@asynccontextmanager
async def nodes_behind_one_address(skews: list[float], seed: int) -> AsyncIterator[str]:
    """Serve from several machines with clocks of their own; which of them answers is chance."""
    chance = random.Random(seed)

    async def answer(request: web.Request) -> web.Response:
        now = time.time() + chance.choice(skews)
        code = 1004 if abs(now * 1000 - int(request.headers["ts"])) > 60_000 else 0
        return web.json_response({"code": code, "msg": "", "data": []}, headers={"Date": formatdate(now, usegmt=True)})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("seed", range(5))
async def test_two_machines_behind_one_address_with_clocks_apart_are_read_all_the_same(seed: int) -> None:
    async with (
        nodes_behind_one_address([0.0, 300.0], seed) as url,
        CdrSession(gateway=url, credentials=Credentials("key", "secret")) as session,
    ):
        QuickTime().rule_waits(session)
        for _ in range(10):
            assert await session.calls_by_order("order", tenant_id=1) == []


def let_time_pass(session: CdrSession, gateway: Gateway, *, each_request: float) -> None:
    """Have some seconds pass with each signed request, for a session and its gateway alike, and no others."""
    now = [time.time()]
    stamped = gateway.clock.now_ms

    def later_ms() -> int:
        now[0] += each_request
        return stamped()

    gateway.clock.now = lambda: now[0] + gateway.clock.offset  # type: ignore[method-assign]
    gateway.clock.now_ms = later_ms  # type: ignore[method-assign]
    session._transport.now = session._transport.wall = lambda: now[0]


def seconds_until(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds()


WRONG_DATES: dict[str, tuple[Callable[[], dict[str, Any]], int]] = {
    "two days ahead": (lambda: {"date_offset": 2 * DAY}, 0),
    "two days behind": (lambda: {"date_offset": -2 * DAY}, 0),
    "two minutes ahead": (lambda: {"date_offset": 120.0}, 0),
    "in 1970": (lambda: {"date_offset": seconds_until(datetime(1970, 1, 2, tzinfo=UTC))}, 0),
    "in 2099": (lambda: {"date_offset": seconds_until(datetime(2099, 1, 1, tzinfo=UTC))}, 0),
    "absent": (lambda: {"date": "absent"}, 0),
    "frozen": (lambda: {"date": "frozen"}, 1),
    "frozen at another time": (lambda: {"date": "frozen", "date_offset": -DAY}, 0),
    "drifting slowly": (lambda: {"date_drift": 10 / 60}, 1),
    "drifting fast": (lambda: {"date_drift": 1.0}, 1),
    "drifting very fast": (lambda: {"date_drift": -1000.0}, 1),
    "of several relays": (lambda: {"relays": (0.0, DAY, -5 * DAY)}, 1),
    "of relays in a minute": (lambda: {"relays": (0.0, 40.0, -40.0)}, 2),
    "of relays that all lie": (lambda: {"relays": (DAY, 300.0, -5 * DAY)}, 0),
}
"""What `Date` says while timestamps are judged by the gateway's clock, and the refused requests that costs."""


def set_switches(gateway: Gateway, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(gateway.switches, name, value)


@pytest.mark.first_of
@pytest.mark.parametrize("name", WRONG_DATES)
async def test_a_stream_ends_whatever_the_date_says(name: str, gateway: Gateway, open_session: OpenSession) -> None:
    values, refused = WRONG_DATES[name]
    set_switches(gateway, values())
    # One at a time, as else the machine has a say in how late each is judged. The line may cost 15 s.
    session = open_session(concurrency=1)
    let_time_pass(session, gateway, each_request=13.0)
    for api in ("calls", "did", "calls"):
        check_complete(APIS[api], await APIS[api].read(session, gateway).collect(), gateway)
    assert session.stats.requests * 13 * 10 / 60 > 75, "too short for a slow drift"
    assert session.stats.clock_refusals == gateway.log.refused[1004] <= refused
    assert session.stats.clock_skew is not None
    assert abs(session.stats.clock_skew) <= 60
    assert session.stats.clock_source == "timestamps"


@pytest.mark.first_of
@pytest.mark.parametrize("skew", [5 * 3600.0, -3 * DAY])
@pytest.mark.parametrize(
    "values", [{}, {"relays": (0.0, DAY)}, {"relays": (DAY, 0.0)}, {"date": "frozen"}, {"date_drift": 1.0}], ids=str
)
async def test_a_machine_that_is_wrong_is_led_by_any_date_that_agrees_with_its_timestamps(
    values: dict[str, Any], skew: float, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.clock.move(skew)
    set_switches(gateway, values)
    session = open_session(concurrency=1)
    let_time_pass(session, gateway, each_request=8.0)
    check_complete(APIS["calls"], await APIS["calls"].read(session, gateway).collect(), gateway)
    assert 1 <= session.stats.clock_refusals <= 3
    assert session.stats.clock_skew is not None
    assert abs(session.stats.clock_skew - skew) <= 60


@pytest.mark.parametrize(
    "values", [{"date": "absent"}, {"date_offset": 2 * DAY}, {"date": "frozen", "date_offset": DAY}], ids=str
)
async def test_where_neither_clock_is_the_gateways_the_error_comes_soon(
    values: dict[str, Any], gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.clock.move(9 * DAY)
    set_switches(gateway, values)
    session = open_session()
    QuickTime().rule_waits(session)
    with pytest.raises(ClockSkewError):
        await APIS["calls"].read(session, gateway).collect()
    assert session.stats.clock_refusals <= 3


async def test_a_lie_that_begins_in_mid_run_costs_one_refused_request(
    gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session(concurrency=16)
    await ask_at_once(session, gateway)
    gateway.switches.date_offset = 2 * DAY
    for _ in range(3):
        await ask_at_once(session, gateway)
    assert session.stats.clock_refusals == 1
    assert session.stats.clock_skew == 0


async def test_a_wrong_date_is_told_in_one_line_of_the_log(
    gateway: Gateway, open_session: OpenSession, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.switches.date_offset = DAY
    session = open_session()
    for _ in range(3):
        await ask_at_once(session, gateway)
    (told,) = [record for record in caplog.records if hasattr(record, "clock_source")]
    assert (told.levelname, told.clock_source) == ("WARNING", "timestamps")

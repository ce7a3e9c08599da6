"""Faults of every kind and mix, over real HTTP: every row once, or a clear error after the rows before it."""

import asyncio
import pickle
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from nxcdr_async import CdrSession, NxcdrError, ServerError, ThrottledError, TransportError
from nxcdr_async.testing import FAULT_KINDS, FaultKind, Gateway
from nxcdr_async.transport.retry import LONGEST_OUTAGE, MOST_ATTEMPTS, MOST_ATTEMPTS_THROTTLED, asks_for_less
from tests.examples import examples
from tests.hostile.world import APIS, STREAMED, VENDOR_ZONE, Api, QuickTime, check_complete, order_of, until, upto_error
from tests.sessions import OpenSession

SILENT: tuple[FaultKind, ...] = ("hang", "stall")
"""Kinds that end by the timeout of the session only, so they take real time."""

PROMPT = tuple(kind for kind in FAULT_KINDS if kind not in SILENT)
SHORT = 0.15
"""Seconds; a timeout that a busy machine may now and then miss too, which is one more fault."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=900, days=2, did_calls=2_500, flash_calls=300) as running:
        yield running


def quick(session: CdrSession) -> QuickTime:
    """Let the waits of a session pass so many times as fast, at a gateway that it knows already."""
    time = QuickTime()
    time.rule_waits(session)
    for known in session._transport.gateways.values():
        known.is_heard = True
    return time


@pytest.mark.first_of("kind", "name")
@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("kind", FAULT_KINDS)
async def test_one_fault_of_each_kind_on_one_page_costs_no_row(
    kind: FaultKind, name: str, gateway: Gateway, open_session: OpenSession
) -> None:
    api = APIS[name]
    session = open_session(timeout=SHORT if kind in SILENT else 30.0)
    quick(session)
    gateway.fail_next(kind, endpoint=api.name, page=None if name == "flash" else 2)
    check_complete(api, await api.read(session, gateway).collect(), gateway)
    assert gateway.log.faults[kind] == 1


@pytest.mark.parametrize("kind", FAULT_KINDS)
async def test_one_fault_of_each_kind_costs_no_call_of_an_order(
    kind: FaultKind, gateway: Gateway, open_session: OpenSession
) -> None:
    order, expected = order_of(gateway)
    session = open_session(timeout=SHORT if kind in SILENT else 30.0)
    quick(session)
    gateway.fail_next(kind, endpoint="order")
    calls = await session.calls_by_order(order, tenant_id=gateway.tenant_id)
    assert [call.call_id for call in calls] == expected
    assert gateway.log.faults[kind] == 1


@pytest.mark.first_of("kind", "name")
@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("kind", PROMPT)
async def test_each_kind_at_three_replies_in_ten_costs_no_row(
    kind: FaultKind, name: str, gateway: Gateway, open_session: OpenSession
) -> None:
    api = APIS[name]
    session = open_session()
    quick(session)
    gateway.switches.fault_rate, gateway.switches.faults = 0.3, [kind]
    check_complete(api, await api.read(session, gateway).collect(), gateway)


@pytest.mark.first_of
@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("kind", SILENT)
async def test_silence_at_three_replies_in_ten_costs_no_row(
    kind: FaultKind, name: str, open_session: OpenSession
) -> None:
    api = APIS[name]
    with Gateway(calls=500, did_calls=2_500, flash_calls=150) as gateway:
        session = open_session(timeout=SHORT, gateway=gateway.url, concurrency=8)
        quick(session)
        gateway.switches.fault_rate, gateway.switches.faults = 0.3, [kind]
        check_complete(api, await api.read(session, gateway).collect(), gateway)


@pytest.mark.first_of("name")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", STREAMED)
async def test_all_kinds_mixed_at_three_replies_in_ten_cost_no_row(
    name: str, seed: int, open_session: OpenSession
) -> None:
    api = APIS[name]
    with Gateway(calls=900, days=2, did_calls=2_500, flash_calls=300, seed=seed) as gateway:
        session = open_session(timeout=SHORT, gateway=gateway.url)
        quick(session)
        gateway.switches.fault_rate, gateway.switches.faults = 0.3, list(FAULT_KINDS)
        check_complete(api, await api.read(session, gateway).collect(), gateway)
        assert gateway.log.faults.total()


@given(
    kinds=st.lists(st.sampled_from(PROMPT), min_size=1, max_size=6, unique=True),
    rate=st.floats(0.05, 0.3),
    name=st.sampled_from(STREAMED),
    seed=st.integers(0, 2**32),
)
@settings(examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_mix_of_faults_costs_a_row(
    kinds: list[FaultKind], rate: float, name: str, seed: int, gateway: Gateway
) -> None:
    api = APIS[name]
    gateway.switches.fault_rate, gateway.switches.faults = rate, kinds
    gateway._faults._chance = random.Random(seed)

    async def read() -> list[Any]:
        async with CdrSession(
            gateway=gateway.url, credentials=gateway.credentials, flash_app=gateway.flash_app
        ) as session:
            time = quick(session)
            records = await api.read(session, gateway).collect()
            assert session.stats.in_flight == 0
            await time.stopped()
            assert len(asyncio.all_tasks()) == 1
            return list(records)

    check_complete(api, asyncio.run(read()), gateway)


@pytest.mark.parametrize("name", STREAMED)
async def test_a_gateway_that_refuses_connections_for_a_while_costs_no_row(
    name: str, open_session: OpenSession
) -> None:
    api = APIS[name]
    with Gateway(calls=3_000, days=6, did_calls=1_000, flash_calls=600) as first:
        port = int(first.url.rpartition(":")[2])
        session = open_session(gateway=first.url, concurrency=2)
        quick(session)
        first.switches.latency = (0.005, 0.01)
        records: list[Any] = []
        reading = asyncio.create_task(upto_error(api.read(session, first), records))
        await until(lambda: first.log.requests >= 5)
        await asyncio.to_thread(first.stop)
        await until(lambda: session.stats.retries >= 3)
        first._port = port
        await asyncio.to_thread(first.start)
        await reading
        check_complete(api, records, first)


@pytest.mark.first_of
@pytest.mark.parametrize("name", STREAMED)
async def test_a_page_that_fails_for_ever_delivers_what_is_before_it_and_can_be_gone_on_from(
    name: str, open_session: OpenSession
) -> None:
    api = APIS[name]
    with Gateway(calls=30_000, days=6, did_calls=12_000, flash_calls=1_200) as gateway:
        session = open_session(gateway=gateway.url)
        quick(session)
        poison(gateway, api)
        before: list[Any] = []
        with pytest.raises(ServerError) as caught:
            await upto_error(api.read(session, gateway), before)
        whole_until = caught.value.complete_until
        assert whole_until is not None
        assert before
        assert before == sorted(before, key=api.order)
        found = [api.key(record) for record in before]
        assert len(found) == len(set(found)) < len(api.expected(gateway))
        heal(gateway)
        after = await api.read(session, gateway, whole_until).collect()
        assert set(found) | {api.key(record) for record in after} == set(api.expected(gateway))
        assert set(found) >= set(early(api, gateway, whole_until))


def poison(gateway: Gateway, api: Api) -> None:
    """Have something in the middle of the history fail for ever, with code 99."""
    middle = gateway.first_call + (gateway.last_call - gateway.first_call) / 2
    first = f"{gateway.first_call.astimezone(VENDOR_ZONE):%Y-%m-%d %H:%M:%S}"
    plan = gateway._faults
    honest = plan.next_fault

    def next_fault(endpoint: str, parameters: dict[str, Any]) -> FaultKind | None:
        if endpoint != api.name:
            return honest(endpoint, parameters)
        if endpoint == "calls":
            # A page that fails alone is read around; here the first ones of later windows fail as well.
            is_part = parameters["startTime"] > gateway.first_call.timestamp()
            is_poisoned = parameters["endTime"] > middle.timestamp() and (is_part or parameters["page"] >= 3)
        elif endpoint == "did":
            is_poisoned = parameters["date"] > f"{middle:%Y-%m-%d}" and parameters["page"] == 2
        else:
            moment = f"{middle.astimezone(VENDOR_ZONE):%Y-%m-%d %H:%M:%S}"
            is_poisoned = parameters["start"] <= moment < parameters["end"] and parameters["start"] > first
        return "99" if is_poisoned else honest(endpoint, parameters)

    plan.next_fault = next_fault  # type: ignore[method-assign]


def heal(gateway: Gateway) -> None:
    del gateway._faults.next_fault


def early(api: Api, gateway: Gateway, until: Any) -> list[Any]:
    known = {"calls": gateway.call_ids, "did": gateway.did_ids, "flash": gateway.flash_ids}
    return known[api.name](None, until)


WORDS = {
    "calls": r"page 1 of calls 2025-12-31T\d\d:.* to 2026-01-0\dT.*: ",
    "did": r"page 1 of DID calls of 2025-12-31: ",
    "flash": r"flash calls 2025-12-31T\d\d:.* to 2026-01-0\dT.*: ",
}
CAUSES: dict[FaultKind, tuple[type[NxcdrError], str]] = {
    "99": (ServerError, r"(code 99, HTTP 200|code 99)"),
    "502": (
        ServerError,
        r"there is no readable answer, but Bad Gateway \(HTTP 502, request [0-9a-f]{32}, 12 attempts\)",
    ),
    "429-retry-after": (ThrottledError, r"HTTP 429, request [0-9a-f]{32}, 40 attempts"),
    "reset": (TransportError, r"no whole reply from 127\.0\.0\.1:\d+: .* \(request [0-9a-f]{32}, 12 attempts\)"),
    "close": (TransportError, r"it closed the connection \(12 attempts\)|reset by peer \(12 attempts\)"),
    "empty": (NxcdrError, r"the reply is empty \(request [0-9a-f]{32}, 12 attempts\)"),
}


@pytest.mark.first_of("kind", "name")
@pytest.mark.parametrize("kind", CAUSES)
@pytest.mark.parametrize("name", STREAMED)
async def test_an_error_past_all_attempts_names_range_page_cause_request_and_attempts(
    name: str, kind: FaultKind, gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session()
    quick(session)
    gateway.fail_next(kind, times=10_000)
    error_class, cause = CAUSES[kind]
    with pytest.raises(error_class, match=f"^{WORDS[name]}.*{cause}") as caught:
        await APIS[name].read(session, gateway).collect()
    check_told(caught.value, gateway)


async def test_an_error_about_an_order_names_it(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    quick(session)
    gateway.fail_next("88", times=10_000)
    words = r"^calls of order 'order-7': .*\(code 88, HTTP 200, request [0-9A-F]{32}, 12 attempts\)"
    with pytest.raises(ServerError, match=words) as caught:
        await session.calls_by_order("order-7", tenant_id=gateway.tenant_id)
    check_told(caught.value, gateway)


def check_told(error: NxcdrError, gateway: Gateway) -> None:
    assert error.asked_for
    assert error.attempts == (MOST_ATTEMPTS_THROTTLED if asks_for_less(error) else MOST_ATTEMPTS)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    for secret in (gateway.credentials.access_secret, gateway.flash_app.secretkey):
        assert secret not in f"{error} {error!r} {vars(error)}"


@pytest.mark.first_of
@pytest.mark.parametrize("kind", ["refused", "503", "99", "hang"])
async def test_a_total_outage_ends_in_an_error_soon_and_without_a_storm(kind: Any, open_session: OpenSession) -> None:
    api = APIS["calls"]
    with Gateway(calls=30_000, days=6) as gateway:
        session = open_session(gateway=gateway.url, concurrency=4, timeout=0.3)
        time = quick(session)
        time.rule_clocks(session, gateway)
        gateway.switches.latency = (0.01, 0.02)
        records: list[Any] = []
        reading = asyncio.create_task(upto_error(api.read(session, gateway), records))
        await until(lambda: gateway.log.requests >= 40)
        began, retried = time.passed, session.stats.retries
        if kind == "refused":
            await asyncio.to_thread(gateway.stop)
        else:
            gateway.switches.fault_rate, gateway.switches.faults = 1.0, [kind]
        with pytest.raises(NxcdrError, match="attempts"):
            await reading
        assert time.passed - began < 2 * LONGEST_OUTAGE
        assert session.stats.retries - retried <= 4 * MOST_ATTEMPTS_THROTTLED
        assert session.stats.in_flight == 0


async def test_a_process_that_stood_still_asks_again(gateway: Gateway, open_session: OpenSession) -> None:
    """What the time away cost is no outage, also where the line is not there at once."""
    session = open_session(concurrency=1)
    time = quick(session)
    time.rule_clocks(session, gateway)

    async def stand_still(seconds: float) -> None:
        session._transport.sleep = time.sleep
        time._skipped += 100 * LONGEST_OUTAGE
        await time.sleep(seconds)

    session._transport.sleep = stand_still
    gateway.fail_next("502", 3)
    check_complete(APIS["calls"], await APIS["calls"].read(session, gateway).collect(), gateway)
    assert session.stats.retries == 3


async def test_faults_cost_no_more_requests_than_they_spoil(gateway: Gateway, open_session: OpenSession) -> None:
    api = APIS["calls"]
    session = open_session()
    quick(session)
    await api.read(session, gateway).collect()
    needed = session.stats.requests
    gateway.log.clear()
    gateway.switches.fault_rate, gateway.switches.faults = 0.3, ["88", "502", "empty", "close"]
    for _ in range(3):
        await api.read(session, gateway).collect()
    assert gateway.log.requests <= 3 * (needed + 3) + gateway.log.faults.total()


async def test_a_page_that_always_fails_is_read_around_and_leaves_the_others_their_quick_retries(
    gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session(concurrency=8)
    time = quick(session)
    session._transport.chance = lambda: 1.0
    gateway.fail_next("99", times=10_000, endpoint="calls", page=7)
    gateway.switches.fault_rate, gateway.switches.faults = 0.1, ["88"]
    check_complete(APIS["calls"], await APIS["calls"].read(session, gateway).collect(), gateway)
    time.slept.clear()
    gateway.switches.fault_rate = 0.0
    for endpoint in ("did", "flash"):
        gateway.fail_next("88", times=2, endpoint=endpoint)
    check_complete(APIS["did"], await APIS["did"].read(session, gateway).collect(), gateway)
    check_complete(APIS["flash"], await APIS["flash"].read(session, gateway).collect(), gateway)
    assert len(time.slept) == 4
    assert max(time.slept) <= 2

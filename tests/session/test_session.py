"""The door: what a session takes, refuses and opens."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest

from nxcdr_async import (
    CallRecord,
    CdrSession,
    ConfigurationError,
    Credentials,
    Direction,
    FlashApp,
    IncompleteError,
    RecordError,
    Region,
    make_converter,
)
from nxcdr_async.protocol.endpoints import CALLS, DID, FLASH, Endpoint
from nxcdr_async.session import context_of
from nxcdr_async.testing import Gateway
from tests.sessions import OpenSession

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEYS = Credentials("key", "secret")
VARIABLES = ("REGION", "GATEWAY", "ACCESS_KEY", "ACCESS_SECRET", "FLASH_APPKEY", "FLASH_SECRETKEY")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"NXCDR_{name}", raising=False)


@pytest.mark.parametrize("region", Region)
def test_each_region_has_its_own_gateway_and_the_shared_one(region: Region) -> None:
    session = CdrSession(region, KEYS)
    gateways = session._transport.gateways
    assert (gateways["region"].url, gateways["shared"].url) == (region.gateway, "https://api2.nxcloud.com")


def test_a_region_may_be_given_by_name() -> None:
    assert CdrSession("amer", KEYS).region is Region.AMER


def test_a_gateway_by_hand_serves_every_api() -> None:
    session = CdrSession(gateway="https://proxy.example/nx/", credentials=KEYS)
    gateways = session._transport.gateways
    assert gateways["region"] is gateways["shared"]
    assert gateways["region"].url == "https://proxy.example/nx"


@pytest.mark.parametrize(
    "wrong",
    [
        {"region": "mars"},
        {"gateway": "http://api-hk.nxlink.ai"},
        {"gateway": "api-hk.nxlink.ai"},
        {"credentials": ("key", "secret")},
        {"flash_app": "app"},
        {"concurrency": 0},
        {"concurrency": 2.5},
        {"rate": 0},
        {"rate": "fast"},
        {"timeout": 0},
        {"timeout": None},
        {"timeout": float("inf")},
        {"timeout": 10**400},
        {"concurrency": 10**400},
        {"naive_zone": 8},
        {"http": "client"},
    ],
    ids=str,
)
def test_an_argument_that_cannot_work_is_refused_before_anything_is_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        CdrSession(**wrong)


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        (START.replace(tzinfo=None), START, "start has no time zone"),
        (START, START.replace(tzinfo=None), "end has no time zone"),
        (START, START, "must be after"),
        (START, START - HOUR, "must be after"),
        ("2026-01-01", START, "must be a datetime"),
        (START.date(), START, "must be a datetime"),
    ],
)
def test_a_range_that_makes_no_sense_says_how_to_mend_it(start: Any, end: Any, told: str) -> None:
    session = CdrSession(credentials=KEYS, flash_app=FlashApp("app", "secret"))
    for ask in (session.calls, session.flash_calls):
        with pytest.raises(ConfigurationError, match=told):
            ask(start, end)


@pytest.mark.parametrize(
    "wrong",
    [
        {"direction": 1},
        {"answered": 1},
        {"agent": ""},
        {"caller": 4444},
        {"direction": Direction(7)},
        {"call_id": b"x"},
    ],
    ids=str,
)
def test_a_filter_of_the_wrong_kind_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        CdrSession(credentials=KEYS).calls(START, START + HOUR, **wrong)


def test_aicc_is_no_direction_of_did_calls() -> None:
    with pytest.raises(ConfigurationError, match=r"Direction\.INBOUND"):
        CdrSession(credentials=KEYS).did_calls(START.date(), direction=Direction.AICC)


async def test_missing_keys_say_where_to_put_them() -> None:
    session = CdrSession()
    for ask in (lambda: session.calls(START, START + HOUR), lambda: session.did_calls(START.date())):
        with pytest.raises(ConfigurationError, match="NXCDR_ACCESS_KEY"):
            ask()
    with pytest.raises(ConfigurationError, match="NXCDR_FLASH_APPKEY"):
        session.flash_calls(START, START + HOUR)
    with pytest.raises(ConfigurationError, match="NXCDR_ACCESS_KEY"):
        await session.calls_by_order("order", tenant_id=1)


def test_the_environment_makes_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(VARIABLES, ("idn", "https://gw.example", "k", "s", "a", "b"), strict=True):
        monkeypatch.setenv(f"NXCDR_{name}", value)
    session = CdrSession.from_env(concurrency=3)
    assert session.region is Region.IDN
    assert session._transport.keys.credentials == Credentials("k", "s")
    assert session._transport.keys.flash_app == FlashApp("a", "b")
    assert session._transport.gateways["region"].url == "https://gw.example"
    assert session.stats.concurrency_limit == 3


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NXCDR_REGION", "idn")
    assert CdrSession.from_env(region=Region.HK).region is Region.HK


def test_half_a_key_pair_does_not_matter_where_credentials_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NXCDR_ACCESS_KEY", "k")
    assert CdrSession.from_env(credentials=KEYS)._transport.keys.credentials == KEYS


def test_half_a_key_pair_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NXCDR_ACCESS_KEY", "k")
    with pytest.raises(ConfigurationError, match="NXCDR_ACCESS_SECRET is not set"):
        CdrSession.from_env()


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("quoted", ['"idn"', "'idn'"])
def test_quotation_marks_that_an_environment_keeps_are_refused(
    name: str, quoted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(f"NXCDR_{variable}", "idn")
    monkeypatch.setenv(f"NXCDR_{name}", quoted)
    with pytest.raises(ConfigurationError, match=f"NXCDR_{name} begins and ends with a quotation mark") as refused:
        CdrSession.from_env()
    assert quoted not in str(refused.value)


async def test_a_client_that_leaves_replies_packed_is_refused() -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        with pytest.raises(ConfigurationError, match="auto_decompress=False"):
            CdrSession(credentials=KEYS, http=http)


def test_a_repr_shows_no_secret() -> None:
    assert "secret" not in repr(CdrSession(credentials=KEYS))


@pytest.mark.parametrize("endpoint", [CALLS, DID, FLASH], ids=lambda endpoint: endpoint.name)
def test_what_tells_an_account_apart_shows_nothing_of_its_key(endpoint: Endpoint[Any]) -> None:
    session = CdrSession(credentials=Credentials("AKpublic", "secret"), flash_app=FlashApp("AKpublic", "secret"))
    told = context_of(session).account_of(endpoint)
    assert told
    assert "AKpublic" not in told
    assert "secret" not in told


def test_accounts_are_told_apart_by_their_keys_and_by_nothing_else() -> None:
    one = CdrSession(credentials=KEYS, flash_app=FlashApp("app", "secret"))
    same = CdrSession(
        "amer", Credentials("key", "another-secret", "sha256"), flash_app=FlashApp("app", "another-secret")
    )
    other = CdrSession(credentials=Credentials("key2", "secret"), flash_app=FlashApp("app2", "secret"))
    for endpoint in (CALLS, DID, FLASH):
        assert context_of(one).account_of(endpoint) == context_of(same).account_of(endpoint)
        assert context_of(one).account_of(endpoint) != context_of(other).account_of(endpoint)
    assert context_of(one).account_of(CALLS) == context_of(one).account_of(DID)
    assert context_of(one).account_of(CALLS) != context_of(one).account_of(FLASH)


@pytest.mark.parametrize("endpoint", [CALLS, FLASH], ids=lambda endpoint: endpoint.name)
def test_an_account_without_keys_cannot_be_told(endpoint: Endpoint[Any]) -> None:
    with pytest.raises(ConfigurationError):
        context_of(CdrSession()).account_of(endpoint)


async def test_an_order_gives_its_calls(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.add_call(orderId="order/1", callId="b", startTime=1_767_240_000_000)
    gateway.add_call(orderId="order/1", callId="a", startTime=1_767_250_000_000)
    calls = await open_session().calls_by_order("order/1", tenant_id=gateway.tenant_id)
    assert [call.call_id for call in calls] == ["b", "a"]


async def test_an_unknown_order_has_no_calls(gateway: Gateway, open_session: OpenSession) -> None:
    assert await open_session().calls_by_order("nobody", tenant_id=gateway.tenant_id) == []


@pytest.mark.parametrize("wrong", [{"order_id": ""}, {"order_id": None}, {"tenant_id": "144"}, {"tenant_id": True}])
async def test_an_order_that_cannot_be_asked_for_is_refused(wrong: dict[str, Any], open_session: OpenSession) -> None:
    with pytest.raises(ConfigurationError):
        await open_session().calls_by_order(**{"order_id": "order", "tenant_id": 1, **wrong})


async def test_a_bad_row_stops_the_stream_with_its_id_and_path(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.add_call(callId="bad", startTime=first_ms(gateway) + 50_000_000, answerTime="yesterday")
    with pytest.raises(RecordError) as caught:
        await read(open_session(), gateway)
    assert caught.value.record_id == "bad"
    assert caught.value.path == "answerTime"
    assert caught.value.row["callId"] == "bad"


async def test_a_bad_row_can_be_skipped_counted_and_looked_at(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.add_call(callId="bad", startTime=first_ms(gateway) + 1, answerTime="yesterday")
    bad: list[RecordError] = []
    calls = open_session().calls(
        gateway.first_call, gateway.last_call + HOUR, on_bad_row="skip", bad_row_callback=bad.append
    )
    collected = await calls.collect()
    assert sorted(call.call_id for call in collected) == sorted(set(gateway.call_ids()) - {"bad"})
    assert {error.record_id for error in bad} == {"bad"}
    assert calls.stats.bad_rows == len(bad) == 1


async def test_an_error_of_the_users_callback_comes_out_bare(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.add_call(callId="bad", startTime=first_ms(gateway) + 1, answerTime="yesterday")

    def refuse(bad: RecordError) -> None:
        raise LookupError(bad.path)

    with pytest.raises(LookupError, match="answerTime"):
        await (
            open_session()
            .calls(gateway.first_call, gateway.last_call, on_bad_row="skip", bad_row_callback=refuse)
            .collect()
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"on_bad_row": "ignore"},
        {"on_bad_row": ["skip"]},
        {"bad_row_callback": print},
        {"on_bad_row": "skip", "bad_row_callback": 5},
    ],
    ids=str,
)
def test_what_to_do_with_bad_rows_must_be_said_rightly(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        CdrSession(credentials=KEYS).calls(START, START + HOUR, **wrong)


async def test_a_hook_of_the_users_own_is_honoured(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    session.converter.register_structure_hook(str, lambda value, _: f"<{value}>")
    calls = await read(session, gateway)
    assert all(call.call_id.startswith("<") for call in calls)


async def test_a_hook_of_the_users_own_gets_the_rows_as_they_came(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    before = await read(session, gateway)
    make = session.converter.get_structure_hook(CallRecord)
    rows: list[dict[str, Any]] = []

    def keep(row: Any, kind: Any) -> Any:
        rows.append(row)
        return make(row, kind)

    session.converter.register_structure_hook(CallRecord, keep)
    assert await read(session, gateway) == before
    told = {row["callId"]: row for row in gateway.history.calls()}
    assert {row["callId"]: row.keys() for row in rows} == {key: row.keys() for key, row in told.items()}


async def test_a_converter_put_in_the_place_of_the_sessions_own_is_used(
    gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session()
    await read(session, gateway)
    session.converter = make_converter()
    session.converter.register_structure_hook(str, lambda value, _: f"<{value}>")
    calls = await read(session, gateway)
    assert all(call.call_id.startswith("<") for call in calls)


async def test_unknown_keys_are_kept(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.switches.extra_keys = {"flowName": "随访", "tags": [1, 2]}
    calls = await read(open_session(), gateway)
    assert all(call.extra == {"flowName": "随访", "tags": [1, 2]} for call in calls)


async def test_the_zone_of_local_times_can_be_told(gateway: Gateway, open_session: OpenSession) -> None:
    day = gateway.first_call.astimezone(timezone(8 * HOUR)).date()
    told = [
        (await open_session(naive_zone=zone).did_calls(day).collect())[0].start_time
        for zone in (ZoneInfo("Asia/Shanghai"), UTC)
    ]
    assert told[1] - told[0] == 8 * HOUR


def first_ms(gateway: Gateway) -> int:
    return int(gateway.first_call.timestamp() * 1000)


async def read(session: CdrSession, gateway: Gateway) -> list[CallRecord]:
    return await session.calls(gateway.first_call, gateway.last_call + HOUR).collect()


async def test_a_limit_that_fell_to_one_rises_again(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    limiter = session._transport.limiter
    while session.stats.concurrency_limit > 1:
        async with limiter.slot(gateway.url, gateway.credentials.access_key) as slot:
            slot.on_timeout()
    await session.calls(gateway.first_call, gateway.last_call).collect()
    assert session.stats.concurrency_limit > 1


async def test_an_order_of_which_other_calls_come_is_an_error(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.switches.ignore_filters = True
    with pytest.raises(IncompleteError, match="do not answer order_id='nothing'"):
        await open_session().calls_by_order("nothing", tenant_id=gateway.tenant_id)


@pytest.mark.parametrize("steps", range(9))
async def test_a_task_that_is_cancelled_twice_while_it_leaves_leaves_nothing_open(
    steps: int,
    gateway: Gateway,
    no_task_left: None,  # noqa: ARG001 - checks on leaving
) -> None:
    gateway.switches.latency = (0.05, 0.05)
    session = CdrSession(gateway=gateway.url, credentials=gateway.credentials)

    async def read_all() -> None:
        async with session:
            async for _ in session.calls(gateway.first_call, gateway.last_call):
                pass

    task = asyncio.create_task(read_all())
    while not session.stats.in_flight:  # noqa: ASYNC110 - a session tells nobody that it has begun
        await asyncio.sleep(0.001)
    task.cancel()
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    http = session._connection._own_http
    assert http is not None
    assert http.closed
    assert session.stats.in_flight == 0

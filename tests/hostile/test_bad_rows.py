"""Rows that are no JSON among others that are, and bodies in other charsets, over real HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from nxcdr_async import CdrSession, RecordError
from nxcdr_async.testing import Gateway
from nxcdr_async.testing.emulator.spoiling import row_fault
from tests.hostile.world import APIS, STREAMED, Api, check_complete, order_of, upto_error
from tests.sessions import OpenSession

UNREADABLE = ("bad-utf8", "nan", "broken")
RATE = 0.05
CHARSETS = ("gbk", "GB18030", "big5", "iso-8859-1", "utf-16", "utf-32", "utf-8-sig", "shift_jis")


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=900, days=2, did_calls=1_200, flash_calls=300) as running:
        yield running


def spoil(gateway: Gateway, *kinds: Any) -> None:
    gateway.switches.row_faults, gateway.switches.row_fault_rate = list(kinds), RATE


def spoiled_ids(api: Api, gateway: Gateway) -> set[Any]:
    key = "callId" if api.name == "calls" else "id"
    return {one for one in api.expected(gateway) if row_fault({key: one}, gateway.switches)}


def skipping(taken: list[RecordError]) -> dict[str, Any]:
    return {"on_bad_row": "skip", "bad_row_callback": taken.append}


def read_with(api: Api, session: CdrSession, gateway: Gateway, **options: Any) -> Any:
    """Read everything there is over an API, with options of its method."""
    method = {"calls": "calls", "did": "did_calls", "flash": "flash_calls"}[api.name]
    plain = getattr(session, method)
    setattr(session, method, lambda *range_: plain(*range_, **options))
    return api.read(session, gateway)


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("kind", UNREADABLE)
async def test_unreadable_rows_are_skipped_alone(
    kind: str, name: str, gateway: Gateway, open_session: OpenSession
) -> None:
    api, session, taken = APIS[name], open_session(), list[RecordError]()
    spoil(gateway, kind)
    spoiled = spoiled_ids(api, gateway)
    paginator = read_with(api, session, gateway, **skipping(taken))
    records = await paginator.collect()
    assert spoiled
    assert {api.key(record) for record in records} == set(api.expected(gateway)) - spoiled
    assert sorted(bad.record_id or "" for bad in taken) == sorted(map(str, spoiled))
    assert paginator.stats.bad_rows == len(spoiled)
    assert session.stats.retries == 0


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("kind", UNREADABLE)
async def test_an_unreadable_row_is_named_after_the_rows_before_it(
    kind: str, name: str, gateway: Gateway, open_session: OpenSession
) -> None:
    api, before = APIS[name], list[Any]()
    spoil(gateway, kind)
    spoiled = spoiled_ids(api, gateway)
    with pytest.raises(RecordError) as bad:
        await upto_error(api.read(open_session(), gateway), before)
    assert bad.value.record_id in set(map(str, spoiled))
    assert bad.value.row[api.identity if name != "calls" else "callId"] in spoiled
    assert bad.value.path == ("" if kind == "broken" else "remark")
    assert not spoiled & {api.key(record) for record in before}


@pytest.mark.parametrize("name", STREAMED)
async def test_raw_tabs_are_read(name: str, gateway: Gateway, open_session: OpenSession) -> None:
    api = APIS[name]
    spoil(gateway, "tab")
    records = await api.read(open_session(), gateway).collect()
    check_complete(api, records, gateway)
    told = {api.key(record) for record in records if record.extra == {"remark": "left\tright"}}
    assert told == spoiled_ids(api, gateway)


@pytest.mark.parametrize("kind", UNREADABLE)
async def test_an_unreadable_row_of_an_order_is_skipped_alone_or_named(
    kind: str, gateway: Gateway, open_session: OpenSession
) -> None:
    order, _ = order_of(gateway)
    gateway.add_calls(20, orderId=order)
    _, ids = order_of(gateway)
    session, taken = open_session(), list[RecordError]()
    gateway.switches.row_faults, gateway.switches.row_fault_rate = [kind], 0.5
    spoiled = {one for one in ids if row_fault({"callId": one}, gateway.switches)}
    assert 0 < len(spoiled) < len(ids)
    calls = await session.calls_by_order(order, tenant_id=gateway.tenant_id, **skipping(taken))
    assert {call.call_id for call in calls} == set(ids) - spoiled
    assert {bad.record_id for bad in taken} == spoiled
    with pytest.raises(RecordError, match=f"calls of order {order!r}: row ") as bad:
        await session.calls_by_order(order, tenant_id=gateway.tenant_id)
    assert bad.value.record_id in spoiled


@pytest.mark.first_of("name", "charset")
@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("charset", CHARSETS)
async def test_a_declared_charset_is_read_as_utf8_is(
    charset: str, name: str, gateway: Gateway, open_session: OpenSession
) -> None:
    api = APIS[name]
    gateway.switches.extra_keys = {"remark": "牛小信 é"}
    plain = await api.read(open_session(), gateway).collect()
    gateway.switches.charset = charset
    assert await api.read(open_session(), gateway).collect() == plain


@pytest.mark.parametrize("declared", ["gbk", "iso-8859-1", "us-ascii", "martian"])
async def test_a_wrong_charset_is_not_believed_of_a_body_that_is_plainly_utf8(
    declared: str, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.extra_keys = {"remark": "牛小信"}
    gateway.switches.declared_charset = declared
    records = await APIS["calls"].read(open_session(), gateway).collect()
    check_complete(APIS["calls"], records, gateway)
    assert {record.extra["remark"] for record in records} == {"牛小信"}


async def test_texts_that_are_in_another_charset_than_declared_make_their_rows_bad(
    gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.charset, gateway.switches.declared_charset = "gbk", "utf-8"
    gateway.switches.extra_keys = {"remark": "牛小信"}
    api, taken = APIS["flash"], list[RecordError]()
    assert not await read_with(api, open_session(), gateway, **skipping(taken)).collect()
    assert {bad.record_id for bad in taken} == set(map(str, gateway.flash_ids()))
    assert {bad.path for bad in taken} == {"remark"}


@pytest.mark.parametrize("name", STREAMED)
async def test_rows_of_which_all_are_bad_come_to_an_end(name: str, gateway: Gateway, open_session: OpenSession) -> None:
    api, taken = APIS[name], list[RecordError]()
    gateway.switches.row_faults, gateway.switches.row_fault_rate = ["nan"], 1.0
    assert not await read_with(api, open_session(), gateway, **skipping(taken)).collect()
    assert {bad.record_id for bad in taken} == set(map(str, api.expected(gateway)))


async def test_bad_rows_among_arriving_ones_are_skipped_once(gateway: Gateway, open_session: OpenSession) -> None:
    api, taken = APIS["calls"], list[RecordError]()
    spoil(gateway, *UNREADABLE)
    gateway.switches.arrivals_per_page = 2
    before = set(gateway.call_ids())
    records = await read_with(api, open_session(), gateway, **skipping(taken)).collect()
    spoiled = spoiled_ids(api, gateway)
    ids = {api.key(record) for record in records}
    assert before - spoiled <= ids <= set(gateway.call_ids()) - spoiled
    assert len({bad.record_id for bad in taken}) == len(taken)
    assert before & spoiled <= {bad.record_id for bad in taken}

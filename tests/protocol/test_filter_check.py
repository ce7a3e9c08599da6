"""Rows that answer another question than the one that was asked are noticed, and no others."""

import json
from typing import Any, Literal
from unicodedata import normalize

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import Direction, IncompleteError
from nxcdr_async.protocol.endpoints import CALLS
from nxcdr_async.protocol.filter_check import FEWEST_TO_JUDGE, ROWS_JUDGED, FilterCheck
from nxcdr_async.protocol.responses import Page, WireRow
from nxcdr_async.protocol.wire_rows import PageDecoder
from nxcdr_async.sources.calls import CallQuery
from nxcdr_async.sources.did import DidQuery
from nxcdr_async.sources.order import order_filters
from nxcdr_async.testing import CallHistory

ROW: dict[str, Any] = {"callId": "a", "startTime": 1690442492841}
Filters = Any


def page_of(*rows: dict[str, Any]) -> Page:
    """Return a page of wire rows."""
    body = json.dumps({"code": 0, "data": [ROW | row for row in rows]}).encode()
    page = PageDecoder(CALLS).page(body)
    assert page is not None
    return page


def judged(filters: Filters, *pages: Page) -> str:
    """Return what is wrong with the pages of a query, "" if nothing is."""
    check = FilterCheck(filters)
    try:
        for page in pages:
            check.check(page)
    except IncompleteError as error:
        return str(error)
    return ""


def judge(filters: Filters, *rows: dict[str, Any]) -> str:
    """Judge rows of a page both as wire rows and as dicts; they must tell the same."""
    wire, plain = page_of(*rows), Page([ROW | row for row in rows])
    assert all(isinstance(row, WireRow) for row in wire.rows)
    told = judged(filters, wire)
    assert judged(filters, plain) == told
    return told


EXACT = [
    (CallQuery(direction=Direction.INBOUND), "direction", [0], [1, 2]),
    (CallQuery(direction=Direction.OUTBOUND), "direction", [1], [0, 2]),
    (CallQuery(direction=Direction.AICC), "direction", [2], [0, 1]),
    (CallQuery(answered=True), "answered", [True], [False]),
    (CallQuery(answered=False), "answered", [False], [True]),
    (CallQuery(call_id="Ab 1"), "callId", ["Ab 1", "ab 1", " AB 1 "], ["Ab", "Ab 12", "b"]),
    (CallQuery(call_id="José"), "callId", ["José", "Jose\u0301", "JOSÉ"], ["Joan"]),
    (CallQuery(order_id="17"), "orderId", ["17", 17, "017"], ["", "1", "170", 18]),
    (CallQuery(order_id="00123"), "orderId", ["00123", 123, "123"], [124, "12300", "A123", "0"]),
    (CallQuery(order_id="0"), "orderId", [0, "00"], [1, ""]),
    (CallQuery(order_id="9" * 5_000), "orderId", ["9" * 5_000], ["9" * 4_999]),
]


@pytest.mark.parametrize(("query", "key", "right", "wrong"), EXACT)
def test_one_row_that_says_otherwise_contradicts_an_exact_filter(
    query: CallQuery, key: str, right: list[Any], wrong: list[Any]
) -> None:
    for value in right:
        assert not judge(query.filters, {key: value})
    for value in wrong:
        told = judge(query.filters, *[{key: right[0]}] * 99, {key: value})
        assert told.startswith("1 of 100 rows do not answer ")
        assert f"has {key} " in told


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (CallQuery(direction=Direction.INBOUND), [{}, {"direction": None}, {"direction": ""}, {"direction": 7}]),
        (CallQuery(answered=True), [{}, {"answered": None}, {"answered": ""}]),
        (CallQuery(order_id="17"), [{}, {"orderId": None}]),
        (CallQuery(agent="li"), [{}, {"agentName": None, "agentNickName": None}]),
    ],
)
def test_a_row_that_does_not_tell_contradicts_nothing(query: CallQuery, rows: list[dict[str, Any]]) -> None:
    assert not judge(query.filters, *rows)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("85235757568", "+852 3575-7568"),
        ("85235757568", "0085235757568"),
        ("+85235757568", " 85235757568"),
        ("85235757568", "35757568"),
        ("035757568", "85235757568"),
        ("NX09445G000025", "NX09445G000025@43.134.225.234:5060"),
        ("nx09445g000025@43.134.225.234", "NX09445G000025"),
        ("5757", "85235757568"),
        ("85235757568", "852****7568"),
        ("85235757568", "8523@*****.example"),
        ("85235757568", "852XXXX7568"),
        ("85235757568", "+852 xxxx-7568"),
        ("85235757568", "852####7568"),
        ("85235757568", "8523575XXXX"),
        ("85235757568", "8523575####@43.134.225.234:5060"),
        ("85235757568", "XXXXXXX7568"),
        ("85235757568", "852\uff38\uff38\uff38\uff387568"),
        ("85235757568", "\uff18\uff15\uff12\uff13\uff15\uff17\uff15\uff17\uff15\uff16\uff18"),
        ("85235757568", "\u0668\u0665\u0662\u0663\u0665\u0667\u0665\u0667\u0665\u0666\u0668"),
        ("85235757568", 85235757568),
    ],
)
def test_a_number_may_be_written_in_many_ways(asked: str, found: Any) -> None:
    assert not judge(CallQuery(callee=asked).filters, *[{"callee": found}] * FEWEST_TO_JUDGE)


@pytest.mark.parametrize(
    "found", ["85235757569", "1", "", "NX09445G000025@85.235.75.75:68", "NX5X1", "X5", "#5", "exx"]
)
def test_another_number_is_another_number(found: str) -> None:
    rows = [{"callee": found}] * FEWEST_TO_JUDGE
    assert "callee='85235757568'" in judge(CallQuery(callee="85235757568").filters, *rows)


def test_an_agent_may_go_by_either_name() -> None:
    filters = CallQuery(agent="Li").filters
    assert not judge(filters, {"agentName": "NX1", "agentNickName": "li wei"})
    assert not judge(filters, {"agentName": "li@example.com"})
    others = [{"agentName": "NX1", "agentNickName": "Wang"}] * FEWEST_TO_JUDGE
    assert "agentName and agentNickName 'NX1', 'Wang'" in judge(filters, *others)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Jos\u00e9", "Jose\u0301"),
        ("Jose\u0301", "JOS\u00c9"),
        ("Jos\u00e9", "jose"),
        ("\u0130pek", "ipek"),
        ("ipek", "\u0130PEK"),
        ("I\u015f\u0131k", "\u0131\u015fik"),
        ("\uff2c\uff49", "li"),
        ("Stra\u00dfe", "STRASSE"),
    ],
)
def test_a_name_may_be_spelled_in_other_characters(asked: str, found: str) -> None:
    assert not judge(CallQuery(agent=asked).filters, *[{"agentName": found}] * FEWEST_TO_JUDGE)


@given(st.text(min_size=1))
def test_a_name_is_the_same_in_every_normal_form(name: str) -> None:
    forms: list[Literal["NFC", "NFD", "NFKC", "NFKD"]] = ["NFC", "NFD", "NFKC", "NFKD"]
    for form in forms:
        page = Page([ROW | {"callId": normalize(form, name)}] * FEWEST_TO_JUDGE)
        assert not judged(CallQuery(call_id=name).filters, page)


def test_of_a_text_most_rows_have_to_say_otherwise() -> None:
    right, odd = {"agentName": "NX1"}, {"agentName": "NX2"}
    filters = CallQuery(agent="NX1").filters
    assert not judge(filters, *[right] * 5, *[odd] * 5)
    assert judge(filters, *[right] * 5, *[odd] * 6)


@pytest.mark.parametrize("query", [CallQuery(agent="NX1"), CallQuery(caller="85235757568"), CallQuery(callee="999")])
def test_a_text_is_not_judged_by_a_few_rows_but_by_those_of_several_pages(query: CallQuery) -> None:
    odd = page_of({"agentName": "Wang", "caller": "anonymous", "callee": "support"})
    assert not judged(query.filters, *[odd] * (FEWEST_TO_JUDGE - 1))
    told = judged(query.filters, *[odd] * FEWEST_TO_JUDGE)
    assert told.startswith(f"{FEWEST_TO_JUDGE} of {FEWEST_TO_JUDGE} rows do not answer ")


def test_few_odd_rows_on_a_last_page_are_seen_along_with_those_before() -> None:
    right, odd = page_of(*[{"agentName": "NX1"}] * 100), page_of(*[{"agentName": "NX2"}] * FEWEST_TO_JUDGE)
    filters = CallQuery(agent="NX1").filters
    assert not judged(filters, right, odd)
    assert judged(filters, odd)


def test_a_filter_that_is_ignored_from_some_page_on_is_noticed_there() -> None:
    right, odd = page_of(*[{"agentName": "NX1"}] * 100), page_of(*[{"agentName": "NX2"}] * 100)
    assert judged(CallQuery(agent="NX1").filters, *[right] * 1_000, odd)


def test_small_pages_of_other_rows_add_up() -> None:
    right, odd = page_of({"agentName": "NX1"}), page_of({"agentName": "NX2"})
    assert judged(CallQuery(agent="NX1").filters, *[right] * ROWS_JUDGED, *[odd] * (2 * ROWS_JUDGED))


def test_did_calls_and_orders_are_looked_at_too() -> None:
    row = {"number": "66820000001", "callNumber": "123456789", "callType": 0}
    assert not judged(DidQuery(did_number="66820000001", direction=Direction.INBOUND).filters, Page([row]))
    assert judged(DidQuery(did_number="66820000002").filters, Page([row] * FEWEST_TO_JUDGE))
    assert judged(DidQuery(call_number="987").filters, Page([row] * FEWEST_TO_JUDGE))
    assert judged(DidQuery(direction=Direction.OUTBOUND).filters, Page([row]))
    assert not judge(order_filters("17"), {"orderId": "17"})
    assert judge(order_filters("17"), {"orderId": "18"})


def test_without_a_filter_nothing_is_looked_at() -> None:
    assert CallQuery().filters == DidQuery().filters == ()
    FilterCheck().check(Page([{"callId": object()}]))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(),
    st.decimals(),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.text(), st.integers(), max_size=1),
    st.sampled_from([0, 1, 2, "0", "1", "true", True, "", 10**400]),
)
KEYS = ["direction", "answered", "agentName", "agentNickName", "caller", "callee", "callId", "orderId"]
ROWS = st.one_of(st.dictionaries(st.sampled_from(KEYS), VALUES), VALUES)
QUERIES = st.builds(
    CallQuery,
    direction=st.sampled_from([None, *Direction]),
    answered=st.sampled_from([None, True, False]),
    agent=st.none() | st.text(min_size=1),
    caller=st.none() | st.text("+0123 ", min_size=1),
    callee=st.none() | st.text("0123@.:", min_size=1),
    call_id=st.none() | st.text(min_size=1),
    order_id=st.none() | st.text(min_size=1),
)


@given(QUERIES, st.lists(st.lists(ROWS, max_size=5), max_size=5))
def test_rows_of_any_kind_are_judged_without_a_crash(query: CallQuery, pages: list[list[Any]]) -> None:
    judged(query.filters, *map(Page, pages))


def test_the_calls_an_honest_gateway_gives_are_never_doubted() -> None:
    rows = list(CallHistory(3_000).calls())
    asked = [CallQuery(direction=known) for known in Direction] + [CallQuery(answered=known) for known in (True, False)]
    for row in rows[::50]:
        asked += [CallQuery(call_id=row["callId"])]
        asked += [CallQuery(callee=row["callee"])] if row.get("callee") else []
        asked += [CallQuery(agent=row["agentName"])] if row.get("agentName") else []
        asked += [CallQuery(order_id=row["orderId"])] if row.get("orderId") else []
    names = {"direction": "direction", "answered": "answered", "call_id": "callId", "callee": "callee"}
    names |= {"agent": "agentName", "order_id": "orderId"}
    for query in asked:
        wanted = [(key, value) for name, key in names.items() if (value := getattr(query, name)) is not None]
        found = [row for row in rows if all(row.get(key) == value for key, value in wanted)]
        assert found
        assert not judged(query.filters, *[Page(found[place : place + 100]) for place in range(0, len(found), 100)])

"""Which empty answers are believed at once, and how many requests that spares a service of short ranges."""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import CdrSession, backfill, verify
from nxcdr_async.paging.empty_answers import (
    CHECKED_AFTER_A_LIE,
    LONGEST_BELIEVED,
    MOST_UNCHECKED,
    SUSPICIOUS_FROM,
    EmptyAnswers,
)
from nxcdr_async.testing import Gateway
from nxcdr_async.transport.retry import FAILURE_REMEMBERED
from nxcdr_async.windows import HOUR, Window
from tests.ingest.stored_calls import stored_calls
from tests.sessions import OpenSession
from tests.strange.server import (
    HOUR as AN_HOUR,
    ORDER_ID,
    START,
    Answer,
    enveloped,
    reply_of,
    row_of,
    serving,
    session_on,
)

BEGIN = 1_767_225_600
MINUTES = timedelta(minutes=5)


def five_minutes(number: int) -> Window:
    return Window(BEGIN + number * 300, BEGIN + (number + 1) * 300)


def told(*calls: float, filters: Any = None) -> EmptyAnswers:
    """Return what was learned from ranges of five minutes, one after the other, with so many calls."""
    answers = EmptyAnswers()
    for number, count in enumerate(calls):
        answers.note_range(five_minutes(number), filters, count)
    answers.note_checked(was_true=True)
    return answers


def believes(answers: EmptyAnswers, window: Window, filters: Any = None) -> bool:
    return answers.believe(answers.expected(window, filters))


def test_a_range_beside_a_quiet_one_may_be_empty() -> None:
    assert believes(told(0), five_minutes(1))
    assert believes(told(1, 0, 2, 0), five_minutes(4))


def test_a_range_beside_busy_ones_may_not() -> None:
    assert not believes(told(5, 3, 4), five_minutes(3))
    assert not believes(told(0, 20, 0), five_minutes(3))


def test_a_full_page_may_stand_for_any_number() -> None:
    assert not believes(told(0, 0, 0, math.inf, 0), five_minutes(5))


def test_ranges_far_away_prove_nothing() -> None:
    near, far = HOUR // 300, HOUR // 300 + 1
    assert believes(told(0), five_minutes(near))
    assert not believes(told(0), five_minutes(far + 1))


def test_nothing_is_believed_before_anything_is_known() -> None:
    assert not believes(EmptyAnswers(), five_minutes(0))


def test_a_long_range_is_neither_believed_nor_proves_anything() -> None:
    long, short = Window(BEGIN, BEGIN + LONGEST_BELIEVED + 1), five_minutes(1)
    assert not believes(told(0), long)
    answers = EmptyAnswers()
    answers.note_range(long, None, 0)
    assert answers.expected(short, None) == math.inf


def test_all_calls_bound_those_of_a_filter_and_not_the_other_way_round() -> None:
    assert believes(told(0), five_minutes(1), "of an agent")
    assert believes(told(0, filters="of an agent"), five_minutes(1), "of an agent")
    assert not believes(told(0, filters="of an agent"), five_minutes(1))
    assert not believes(told(0, filters="of an agent"), five_minutes(1), "of another")


def test_one_is_checked_first_and_after_each_so_many() -> None:
    answers = EmptyAnswers()
    assert not answers.believe(1.0)
    for _ in range(3):
        answers.note_checked(was_true=True)
        assert [answers.believe(1.0) for _ in range(MOST_UNCHECKED + 2)] == [True] * MOST_UNCHECKED + [False] * 2


def test_a_look_up_is_believed_without_a_check() -> None:
    answers = EmptyAnswers()
    assert all(answers.believe(0.0) for _ in range(10 * MOST_UNCHECKED))


@pytest.mark.parametrize("expected", [0.0, 1.0])
def test_after_a_lie_so_many_have_to_prove_true(expected: float) -> None:
    answers = told(0)
    answers.note_checked(was_true=False)
    for _ in range(CHECKED_AFTER_A_LIE):
        assert not answers.believe(expected)
        answers.note_checked(was_true=True)
    assert answers.believe(expected)


@given(st.lists(st.booleans()), st.floats(min_value=SUSPICIOUS_FROM))
def test_where_calls_are_due_nothing_makes_it_believed(checks: list[bool], expected: float) -> None:
    answers = EmptyAnswers()
    for was_true in checks:
        answers.note_checked(was_true=was_true)
    assert not answers.believe(expected)


@given(st.lists(st.sampled_from(["asked", "true", "lie"]), max_size=200))
def test_never_more_than_so_many_unchecked_and_none_soon_after_a_lie(story: list[str]) -> None:
    answers, unchecked, checks_since_lie = EmptyAnswers(), MOST_UNCHECKED, CHECKED_AFTER_A_LIE
    for event in story:
        if event == "asked":
            if answers.believe(1.0):
                unchecked += 1
                assert checks_since_lie >= CHECKED_AFTER_A_LIE
                assert unchecked <= MOST_UNCHECKED
        else:
            answers.note_checked(was_true=event == "true")
            unchecked = 0 if event == "true" else unchecked
            checks_since_lie = checks_since_lie + 1 if event == "true" else 0


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=400, days=1) as running:
        yield running


async def short_ranges(session: CdrSession, start: datetime, count: int) -> list[str]:
    """Read so many ranges of five minutes, and return the ids of their calls."""
    found: list[str] = []
    for number in range(count):
        found += [
            call.call_id async for call in session.calls(start + number * MINUTES, start + (number + 1) * MINUTES)
        ]
    return found


async def knowing_pages(session: CdrSession, gateway: Gateway) -> CdrSession:
    """Read a full page, so that a short one is known to be the last; and forget the requests of that."""
    assert len(await session.calls(gateway.first_call, gateway.last_call).collect()) > 100
    gateway.log.clear()
    return session


async def test_a_short_range_takes_one_request(gateway: Gateway, open_session: OpenSession) -> None:
    session = await knowing_pages(open_session(), gateway)
    for minutes in (5, 15, 30, 60):
        gateway.log.clear()
        assert await session.calls(gateway.first_call, gateway.first_call + timedelta(minutes=minutes)).collect()
        assert gateway.log.requests == 1


async def test_ranges_without_calls_take_hardly_more_than_one_request(
    gateway: Gateway, open_session: OpenSession
) -> None:
    session = await knowing_pages(open_session(), gateway)
    assert await short_ranges(session, gateway.last_call + AN_HOUR, 100) == []
    assert 100 < gateway.log.requests <= 110


async def test_calls_after_a_quiet_time_come_at_once(gateway: Gateway, open_session: OpenSession) -> None:
    session = await knowing_pages(open_session(), gateway)
    begin = gateway.last_call + AN_HOUR
    moment = begin + 9.5 * MINUTES
    gateway.add_call(callId="after a quiet time", startTime=int(moment.timestamp() * 1000))
    assert await short_ranges(session, begin, 10) == ["after a quiet time"]


@pytest.mark.parametrize("given", [{"call_id": "nobody"}, {"order_id": "nobody"}], ids=str)
async def test_an_id_that_nobody_has_takes_one_request(given: Any, gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    assert await session.calls(gateway.first_call, gateway.last_call, **given).collect() == []
    assert gateway.log.requests == 1


@pytest.mark.parametrize("given", [{}, {"call_id": "nobody"}], ids=str)
async def test_soon_after_a_failure_nothing_is_believed_at_once(
    given: Any, gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session()
    quiet = gateway.last_call + AN_HOUR
    await short_ranges(session, quiet, 1)
    gateway.fail_next("88")
    for number in range(1, 4):
        gateway.log.clear()
        await session.calls(quiet + number * MINUTES, quiet + (number + 1) * MINUTES, **given).collect()
        assert gateway.log.requests == 2 + gateway.log.faults.total()
    session._transport.gateways["region"].failed -= FAILURE_REMEMBERED
    gateway.log.clear()
    await session.calls(quiet + 4 * MINUTES, quiet + 5 * MINUTES, **given).collect()
    assert gateway.log.requests == 1


@pytest.mark.parametrize("empty_as", ["null", "object"])
async def test_what_may_mean_anything_is_asked_for_again(
    empty_as: Any, gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.switches.empty_as = empty_as
    session = open_session()
    assert await session.calls(gateway.first_call, gateway.last_call, call_id="nobody").collect() == []
    assert gateway.log.requests == 2


async def test_an_order_without_calls_takes_one_request() -> None:
    asked = []

    def script(api: str, parameters: Mapping[str, Any]) -> Answer:
        asked.append(parameters)
        return reply_of(api, [])

    async with serving(script) as url, session_on(url) as session:
        assert await session.calls_by_order(ORDER_ID, tenant_id=1) == []
    assert len(asked) == 1


@pytest.mark.parametrize("rows", ["null", "{}"])
async def test_an_order_with_an_answer_that_may_mean_anything_takes_two(rows: str) -> None:
    answers = [rows, json.dumps([row_of("order", 0)])]

    def script(api: str, _: Mapping[str, Any]) -> Answer:
        return Answer(enveloped(api, answers.pop(0)))

    async with serving(script) as url, session_on(url) as session:
        assert len(await session.calls_by_order(ORDER_ID, tenant_id=1)) == 1


@pytest.mark.parametrize("lies", [1, 3])
async def test_a_gateway_that_answers_nothing_under_load_loses_no_call_of_a_busy_hour(lies: int) -> None:
    """Each so many-th question of a short range is answered with nothing, though calls are there."""
    rows = [row_of("calls", number * 20) for number in range(180)]
    asked: list[str] = []

    def script(api: str, parameters: Mapping[str, Any]) -> Answer:
        question = str(sorted(parameters.items()))
        is_lie = question not in asked and len(set(asked)) % lies == 0
        asked.append(question)
        start, end = parameters["startTime"] * 1000, parameters["endTime"] * 1000
        inside = [row for row in rows if start <= row["startTime"] <= end and parameters["page"] == 1]
        return reply_of(api, [] if is_lie else inside)

    async with serving(script) as url, session_on(url) as session:
        found = await short_ranges(session, START, 12)
    assert set(found) == {row["callId"] for row in rows}


async def test_what_is_stored_is_asked_for_twice(tmp_path: Path) -> None:
    """Nothing is due in a quiet time, and each window is answered with nothing once, though a call is there."""
    call, to = row_of("calls", 630), tmp_path / "calls.sqlite"
    asked: list[str] = []

    def script(api: str, parameters: Mapping[str, Any]) -> Answer:
        question = str(sorted(parameters.items()))
        is_lie = question not in asked
        asked.append(question)
        is_inside = parameters["startTime"] * 1000 <= call["startTime"] <= parameters["endTime"] * 1000
        return reply_of(api, [call] if is_inside and parameters["page"] == 1 and not is_lie else [])

    async with serving(script) as url, session_on(url) as session:
        assert await short_ranges(session, START, 2) == []
        asked.clear()
        await backfill(session, "calls", START + 2 * MINUTES, START + 3 * MINUTES, to)
        assert stored_calls("sqlite", str(to)).keys() == {call["callId"]}
        asked.clear()
        (verified,) = (await verify(session, to)).sources
    assert (verified.rows_compared, verified.missing, verified.extra) == (1, 0, 0)

"""Ranges that a gateway refuses as too wide or too old, over HTTP: learned, told and read around."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from nxcdr_async import CdrSession, ConfigurationError, InvalidRequestError, RefusedRangeError
from nxcdr_async.testing import Gateway
from tests.sessions import OpenSession

HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 120
NOW = NEW_YEAR + (DAYS + 1) * DAY
MONTH = 31 * DAY

WIDTHS = [(MONTH, 1002), (MONTH, 41_000), (MONTH, 41_007), (DAY, 1002), (DAY, 41_000)]


@pytest.fixture
def gateway() -> Any:
    with Gateway(calls=3_000, days=DAYS, flash_calls=400, did_calls=400) as running:
        running.clock.move_to(NOW)
        yield running


async def read(session: CdrSession, **options: Any) -> list[str]:
    calls = await session.calls(NEW_YEAR, NEW_YEAR + DAYS * DAY, **options).collect()
    return [call.call_id for call in calls]


def limit(gateway: Gateway, **switches: Any) -> None:
    for name, value in switches.items():
        setattr(gateway.switches, name, value)


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
@pytest.mark.parametrize(("width", "code"), WIDTHS)
async def test_a_width_that_is_refused_is_halved(
    width: timedelta, code: int, order: Any, gateway: Gateway, open_session: OpenSession
) -> None:
    limit(gateway, max_span=width.total_seconds(), max_span_code=code, order=order)
    assert sorted(await read(open_session())) == sorted(gateway.call_ids())
    assert sum(seen.code == code for seen in gateway.log.recent) <= 8


async def test_a_width_is_learned_once_in_a_session(gateway: Gateway, open_session: OpenSession) -> None:
    limit(gateway, max_span=MONTH.total_seconds())
    session = open_session()
    await read(session)
    gateway.log.clear()
    await read(session)
    assert {seen.code for seen in gateway.log.recent} == {0}


@pytest.mark.parametrize("width", [HOUR, DAY, MONTH])
async def test_a_width_told_beforehand_is_never_exceeded(
    width: timedelta, gateway: Gateway, open_session: OpenSession
) -> None:
    limit(gateway, max_span=width.total_seconds())
    session = open_session(max_span=width)
    days = 3 if width == HOUR else DAYS
    calls = await session.calls(NEW_YEAR, NEW_YEAR + days * DAY).collect()
    assert sorted(call.call_id for call in calls) == sorted(gateway.call_ids(NEW_YEAR, NEW_YEAR + days * DAY))
    assert 1002 not in {seen.code for seen in gateway.log.recent}


async def test_a_width_that_becomes_narrower_is_learned_again(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    for width in (MONTH, 7 * DAY):
        limit(gateway, max_span=width.total_seconds())
        assert sorted(await read(session)) == sorted(gateway.call_ids())


@pytest.mark.parametrize("wrong", [timedelta(), -DAY, timedelta(minutes=59), 86_400, "31d"])
def test_a_width_of_nothing_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_span"):
        CdrSession(max_span=wrong)


@pytest.mark.parametrize("code", [1002, 41_000, 41_001])
async def test_another_reason_is_told_at_once(code: int, gateway: Gateway, open_session: OpenSession) -> None:
    limit(gateway, max_span=1, max_span_code=code)
    session = open_session()
    with pytest.raises(Exception, match=f"code {code}") as caught:
        await session.calls(datetime(2000, 1, 1, tzinfo=UTC), NOW).collect()
    assert not isinstance(caught.value, RefusedRangeError)
    assert session.stats.requests <= 5


async def test_a_refusal_of_what_is_too_old_names_the_part(gateway: Gateway, open_session: OpenSession) -> None:
    limit(gateway, retention=30 * DAY.total_seconds())
    session = open_session()
    came = []
    with pytest.raises(RefusedRangeError, match="ask from 2026-04-02T00:00:") as caught:
        async for call in session.calls(NEW_YEAR, NEW_YEAR + DAYS * DAY):
            came.append(call)  # noqa: PERF401 - those before the error are wanted
    assert came == []
    assert isinstance(caught.value, InvalidRequestError)
    assert caught.value.code == 41_000
    assert caught.value.start == NEW_YEAR
    border = NOW - 30 * DAY
    assert border <= caught.value.end < border + 60 * SECOND
    assert session.stats.requests <= 32


async def test_all_behind_the_border_comes_where_a_refusal_is_taken(
    gateway: Gateway, open_session: OpenSession
) -> None:
    limit(gateway, retention=30 * DAY.total_seconds())
    told: list[RefusedRangeError] = []
    found = await read(open_session(), on_refused_range=told.append)
    assert found == gateway.call_ids(told[-1].end)
    assert told[0].start == NEW_YEAR


async def test_a_border_is_learned_once_in_a_session(gateway: Gateway, open_session: OpenSession) -> None:
    limit(gateway, retention=30 * DAY.total_seconds())
    session = open_session()
    for most in (40, 8):
        before = session.stats.requests
        with pytest.raises(RefusedRangeError):
            await read(session)
        assert session.stats.requests - before <= most


async def test_a_border_that_moves_on_is_followed(gateway: Gateway, open_session: OpenSession) -> None:
    limit(gateway, retention=30 * DAY.total_seconds())
    session = open_session()
    await read(session, on_refused_range=lambda _: None)
    gateway.clock.move(DAY.total_seconds())
    told: list[RefusedRangeError] = []
    found = await read(session, on_refused_range=told.append)
    assert found == gateway.call_ids(told[-1].end)
    assert NOW - 29 * DAY <= told[-1].end < NOW - 27 * DAY


async def test_a_range_that_is_too_old_as_a_whole_is_told_so(gateway: Gateway, open_session: OpenSession) -> None:
    limit(gateway, retention=DAY.total_seconds() / 2)
    session = open_session()
    told: list[RefusedRangeError] = []
    calls = session.calls(NEW_YEAR, NEW_YEAR + DAYS * DAY, on_refused_range=told.append)
    assert await calls.collect() == []
    assert calls.complete_until == NEW_YEAR + DAYS * DAY
    assert [(error.start, error.end) for error in told] == [(NEW_YEAR, NEW_YEAR + DAYS * DAY)]
    assert session.stats.requests <= 5
    with pytest.raises(RefusedRangeError, match="nothing of this range is told"):
        await read(session)


async def test_a_gateway_that_answers_nothing_for_what_is_too_old_hides_nothing_else(
    gateway: Gateway, open_session: OpenSession
) -> None:
    limit(gateway, retention=30 * DAY.total_seconds(), retention_code=None)
    found = await read(open_session())
    assert set(gateway.call_ids(NOW - 30 * DAY + 60 * SECOND)) <= set(found)


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
@pytest.mark.parametrize("told_width", [None, 7 * DAY])
async def test_width_age_and_depth_at_once(
    order: Any, told_width: timedelta | None, gateway: Gateway, open_session: OpenSession
) -> None:
    limit(gateway, retention=60 * DAY.total_seconds(), max_span=7 * DAY.total_seconds(), depth_cap=200, order=order)
    told: list[RefusedRangeError] = []
    found = await read(open_session(max_span=told_width), on_refused_range=told.append)
    assert sorted(found) == sorted(gateway.call_ids(told[-1].end))
    assert len(told) <= 3


async def test_an_error_of_the_callback_comes_out(gateway: Gateway, open_session: OpenSession) -> None:
    limit(gateway, retention=30 * DAY.total_seconds())

    def refuse(_: RefusedRangeError) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await read(open_session(), on_refused_range=refuse)


@pytest.mark.parametrize("code", [7, 1002, 41_000])
async def test_flash_calls_are_asked_for_as_widely_as_is_accepted(
    code: int, gateway: Gateway, open_session: OpenSession
) -> None:
    limit(gateway, max_span=MONTH.total_seconds(), max_span_code=code)
    calls = await open_session().flash_calls(NEW_YEAR - DAY, NEW_YEAR + DAYS * DAY).collect()
    assert sorted(call.id or 0 for call in calls) == sorted(gateway.flash_ids())


async def test_flash_calls_behind_the_border_come(gateway: Gateway, open_session: OpenSession) -> None:
    limit(gateway, retention=30 * DAY.total_seconds(), retention_code=7)
    told: list[RefusedRangeError] = []
    session = open_session()
    calls = await session.flash_calls(NEW_YEAR, NEW_YEAR + DAYS * DAY, on_refused_range=told.append).collect()
    assert sorted(call.id or 0 for call in calls) == sorted(gateway.flash_ids(told[-1].end))


async def test_days_that_are_too_old_are_named(gateway: Gateway, open_session: OpenSession) -> None:
    limit(gateway, retention=30 * DAY.total_seconds())
    session = open_session()
    first, last = date(2026, 1, 1), date(2026, 4, 30)
    with pytest.raises(RefusedRangeError) as caught:
        await session.did_calls(first, last).collect()
    border = caught.value.end
    assert border.astimezone(session.naive_zone).hour == 0
    told: list[RefusedRangeError] = []
    calls = await session.did_calls(first, last, on_refused_range=told.append).collect()
    assert [error.end for error in told] == [border]
    assert sorted(call.id or 0 for call in calls) == sorted(gateway.did_ids(border))
    assert session.stats.requests < 70

"""did/cdr on the real emulator, and against scripted days where the emulator is too well-behaved."""

from collections.abc import Hashable
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from nxcdr_async import (
    ConfigurationError,
    Direction,
    GatewayError,
    IncompleteError,
    InvalidRequestError,
    RecordError,
    ServerError,
)
from nxcdr_async.paging.base import ReadResult
from nxcdr_async.paging.counted import CountedPager
from nxcdr_async.paging.page_reader import PageReader, RowStructurer
from nxcdr_async.protocol.endpoints import DID
from nxcdr_async.protocol.responses import Page
from nxcdr_async.records.converter import UTC_PLUS_8, make_converter
from nxcdr_async.sources.did import DidQuery
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import window_of_day
from tests.paging.model import results_of
from tests.sessions import OpenSession

DAY = date(2026, 1, 1)


def days(gateway: Gateway) -> tuple[date, date]:
    one = timedelta(days=1)
    return gateway.first_call.date() - one, gateway.last_call.date() + one


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
async def test_every_did_call_comes_once_and_sorted(order: Any, open_session: OpenSession) -> None:
    with Gateway(calls=100, did_calls=5_000, days=3) as gateway:
        gateway.switches.order = order
        session = open_session(gateway=gateway.url, credentials=gateway.credentials)
        calls = await session.did_calls(*days(gateway)).collect()
        assert sorted(call.id or 0 for call in calls) == sorted(gateway.did_ids())
        assert calls == sorted(calls, key=lambda call: (call.start_time, call.id or 0))


async def test_one_day_is_enough_to_ask_for(gateway: Gateway, open_session: OpenSession) -> None:
    day = gateway.first_call.astimezone(UTC_PLUS_8).date()
    calls = await open_session().did_calls(day).collect()
    assert calls
    assert {call.start_time.astimezone(UTC_PLUS_8).date() for call in calls} == {day}


async def test_did_filters_reach_the_gateway(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    calls = await session.did_calls(*days(gateway)).collect()
    one = next(call for call in calls if call.number)
    assert one in await session.did_calls(*days(gateway), did_number=one.number).collect()
    assert one in await session.did_calls(*days(gateway), call_number=one.call_number).collect()
    inbound = await session.did_calls(*days(gateway), direction=Direction.INBOUND).collect()
    assert {call.call_type for call in inbound} == {Direction.INBOUND}


async def test_local_times_become_utc(gateway: Gateway, open_session: OpenSession) -> None:
    call = (await open_session().did_calls(*days(gateway)).collect())[0]
    assert call.start_time.tzinfo is UTC


@pytest.mark.parametrize(
    ("first", "last"), [(DAY, DAY - timedelta(days=1)), ("2026-01-01", None), (DAY, 7)], ids=["order", "text", "number"]
)
async def test_days_that_make_no_sense_are_refused(first: Any, last: Any, open_session: OpenSession) -> None:
    with pytest.raises(ConfigurationError):
        open_session().did_calls(first, last)


class ScriptedDay:
    """A day of `rows` rows whose replies can be bent, without a network."""

    def __init__(self, rows: int, *, page_size: int = 10) -> None:
        self.page_size = page_size
        self.asked: list[int] = []
        self.rows = [{"id": number, "startTime": "2026-01-01 08:00:00"} for number in range(rows)]

    async def ask(self, parameters: Any) -> Page:
        self.asked.append(parameters["page"])
        return self.answer(parameters["page"])

    def answer(self, number: int) -> Page:
        start = (number - 1) * self.page_size
        return Page(
            self.rows[start : start + self.page_size],
            total_rows=len(self.rows),
            total_pages=-(-len(self.rows) // self.page_size),
        )

    async def read(self) -> ReadResult:
        stats = PaginatorStats()
        reader = CountedPager(
            first_day=DAY,
            last_day=DAY,
            zone=UTC_PLUS_8,
            reader=PageReader(self.ask, stats, "DID calls"),
            parameters=lambda day, number: DidQuery().page(day, number, self.page_size),
            structurer=RowStructurer(DID, make_converter(), None, stats),
            row_key=DID.row_key,
            page_size=self.page_size,
            stats=stats,
        )
        [(window, result)] = await results_of(reader)
        assert window == window_of_day(DAY, UTC_PLUS_8)
        return result


def ids(result: ReadResult) -> set[Hashable | None]:
    return {call.identity for call in result.records}


async def test_a_day_that_stands_still_takes_each_page_once() -> None:
    day = ScriptedDay(95)
    result = await day.read()
    assert result.error is None
    assert ids(result) == set(range(95))
    assert sorted(day.asked) == list(range(1, 11))


async def test_a_day_that_grows_while_it_is_read_is_read_again_in_order() -> None:
    class Growing(ScriptedDay):
        def answer(self, number: int) -> Page:
            if len(self.asked) == 4:
                self.rows.insert(0, {"id": 1000, "startTime": "2026-01-01 08:00:00"})
            return super().answer(number)

    day = Growing(95)
    result = await day.read()
    assert result.error is None
    assert ids(result) >= set(range(95))


async def test_a_total_that_is_never_reached_is_an_error() -> None:
    class Lying(ScriptedDay):
        def answer(self, number: int) -> Page:
            return Page(super().answer(number).rows, total_rows=96, total_pages=10)

    result = await Lying(95).read()
    assert isinstance(result.error, IncompleteError)
    assert "shows 95 of the 96 rows it tells of, and no page behind them: ask" in str(result.error)


async def test_an_id_that_comes_twice_is_an_error_that_does_not_contradict_itself() -> None:
    day = ScriptedDay(4)
    day.rows[3] = day.rows[2]
    result = await day.read()
    assert isinstance(result.error, IncompleteError)
    assert "4 rows came, 3 of them different, and the gateway tells of 4 rows: ask" in str(result.error)


async def test_totals_that_differ_are_all_told() -> None:
    class Wavering(ScriptedDay):
        def answer(self, number: int) -> Page:
            told = {1: 20, 2: 30}.get(number)
            return Page(super().answer(number).rows, total_rows=told, total_pages=3)

    result = await Wavering(25).read()
    assert "25 rows came, 25 of them different, and the gateway tells of 20 rows and of 30 rows" in str(result.error)


async def test_calls_of_the_days_beside_it_are_not_taken_for_an_ignored_date() -> None:
    day = ScriptedDay(3)
    for row, moment in zip(
        day.rows, ("2025-12-31 00:00:00", "2026-01-02 23:59:59", "2025-12-31 12:00:00"), strict=True
    ):
        row["startTime"] = moment
    result = await day.read()
    assert result.error is None
    assert len(result.records) == 3


async def test_a_row_that_cannot_be_a_record_is_an_error_that_names_its_page() -> None:
    day = ScriptedDay(30)
    day.rows[17] |= {"startTime": "yesterday"}
    result = await day.read()
    assert isinstance(result.error, RecordError)
    assert result.error.asked_for == "page 2 of DID calls of 2026-01-01"


async def test_pages_smaller_than_asked_for_are_all_read() -> None:
    class Small(ScriptedDay):
        def answer(self, number: int) -> Page:
            start = (number - 1) * 3
            return Page(self.rows[start : start + 3], total_rows=len(self.rows), total_pages=-(-len(self.rows) // 3))

    result = await Small(20).read()
    assert result.error is None
    assert ids(result) == set(range(20))


class Untold(ScriptedDay):
    """A day whose total is not told."""

    def answer(self, number: int) -> Page:
        return Page(super().answer(number).rows)


@pytest.mark.parametrize("rows", [0, 1, 10, 35])
async def test_without_totals_pages_are_read_until_one_is_empty(rows: int) -> None:
    result = await Untold(rows).read()
    assert result.error is None
    assert ids(result) == set(range(rows))


async def test_without_totals_a_cap_below_the_pages_asked_for_loses_nothing() -> None:
    class Capped(Untold):
        def answer(self, number: int) -> Page:
            return Page(self.rows[(number - 1) * 4 : number * 4])

    result = await Capped(30).read()
    assert result.error is None
    assert ids(result) == set(range(30))


async def test_without_totals_a_page_that_comes_for_ever_proves_nothing() -> None:
    class Stuck(Untold):
        def answer(self, number: int) -> Page:
            return super().answer(min(number, 1))

    for rows in (4, 95):
        result = await Stuck(rows).read()
        assert isinstance(result.error, IncompleteError)
        assert "tells of no total: ask" in str(result.error)


async def test_a_day_that_comes_empty_is_doubted_where_calls_are_due() -> None:
    class Throttled(ScriptedDay):
        def answer(self, number: int) -> Page:
            return super().answer(number) if len(self.asked) > 1 else Page([], total_rows=0, total_pages=0)

    day = Throttled(5)
    result = await day.read()
    assert result.error is None
    assert ids(result) == set(range(5))


async def test_a_day_without_calls_is_asked_for_twice(open_session: OpenSession) -> None:
    with Gateway(calls=0, did_calls=0, days=30) as gateway:
        session = open_session(gateway=gateway.url, credentials=gateway.credentials, concurrency=1)
        assert await session.did_calls(DAY, DAY + timedelta(days=29)).collect() == []
        assert session.stats.requests == 60


@pytest.mark.parametrize(
    "given",
    [{"did_number": "5"}, {"call_number": "999999"}, {"direction": Direction.OUTBOUND}],
    ids=lambda given: next(iter(given)),
)
async def test_a_filter_that_is_ignored_is_an_error(given: Any, gateway: Gateway, open_session: OpenSession) -> None:
    gateway.switches.ignore_filters = True
    with pytest.raises(IncompleteError, match=f"do not answer {next(iter(given))}="):
        await open_session().did_calls(*days(gateway), **given).collect()


async def test_an_ignored_date_is_an_error(open_session: OpenSession) -> None:
    with Gateway(calls=0, did_calls=500, days=9) as gateway:
        gateway.switches.ignore_range = True
        session = open_session(gateway=gateway.url, credentials=gateway.credentials)
        with pytest.raises(IncompleteError, match="ignores the time range"):
            await session.did_calls(*days(gateway)).collect()


async def test_a_last_page_repeated_for_ever_is_an_error_if_rows_are_missing() -> None:
    class Stuck(ScriptedDay):
        def answer(self, number: int) -> Page:
            first = min(number, 1)
            return Page(super().answer(first).rows, total_rows=95, total_pages=10)

    result = await Stuck(95).read()
    assert isinstance(result.error, IncompleteError)


async def test_rows_without_ids_are_never_merged() -> None:
    day = ScriptedDay(0)
    day.rows = [{"startTime": "2026-01-01 08:00:00"} for _ in range(25)]
    result = await day.read()
    assert result.error is None
    assert len(result.records) == 25


async def test_the_lowest_failing_page_is_the_error_and_the_pages_before_it_are_kept() -> None:
    class Failing(ScriptedDay):
        def answer(self, number: int) -> Page:
            if number >= 3:
                raise ServerError("down", code=99)
            return super().answer(number)

    result = await Failing(95).read()
    assert isinstance(result.error, ServerError)
    assert ids(result) == set(range(20))


@pytest.mark.parametrize("told", [0, 5, 91])
async def test_a_total_below_the_rows_that_came_is_an_error(told: int) -> None:
    class Understating(ScriptedDay):
        def answer(self, number: int) -> Page:
            return Page(super().answer(number).rows, total_rows=told)

    result = await Understating(95).read()
    assert isinstance(result.error, IncompleteError)


async def test_a_day_that_agrees_at_the_last_reading_is_whole() -> None:
    class Settling(ScriptedDay):
        def answer(self, number: int) -> Page:
            told = 2 if len(self.asked) < 4 else 3
            return Page(super().answer(number).rows, total_rows=told, total_pages=1)

    result = await Settling(3).read()
    assert result.error is None
    assert ids(result) == {0, 1, 2}


async def test_a_gateway_that_ignores_the_date_is_noticed() -> None:
    day = ScriptedDay(3)
    for row in day.rows:
        row["startTime"] = "2026-03-05 08:00:00"
    result = await day.read()
    assert isinstance(result.error, IncompleteError)
    assert "3 of 3 calls given for 2025-12-31T16:00:00+00:00 to 2026-01-01T16:00:00+00:00 lie over 24 h" in str(
        result.error
    )


async def test_ids_written_as_fractions_are_the_same_ids() -> None:
    class Doubling(ScriptedDay):
        def answer(self, number: int) -> Page:
            rows = [{**row, "id": Decimal(f"{row['id']}.0")} for row in super().answer(number).rows]
            if number == 2:
                rows[0] = {**rows[0], "id": Decimal("0.0")}
            return Page(rows, total_rows=20, total_pages=2)

    result = await Doubling(20).read()
    assert isinstance(result.error, IncompleteError)


@pytest.mark.parametrize("day", [date.min, date.max, date(1969, 12, 31)])
async def test_days_beyond_what_a_clock_can_say_are_refused(day: date, open_session: OpenSession) -> None:
    with pytest.raises(ConfigurationError, match="between the years"):
        open_session().did_calls(day)


@pytest.mark.parametrize(("told", "pages"), [(10, 1), (20, 2), (30, 3)])
async def test_a_total_that_ends_with_a_full_page_is_looked_behind(told: int, pages: int) -> None:
    class Understating(ScriptedDay):
        def answer(self, number: int) -> Page:
            return Page(super().answer(number).rows, total_rows=told, total_pages=pages)

    result = await Understating(31).read()
    assert isinstance(result.error, IncompleteError)
    assert (await Understating(told).read()).error is None


async def test_a_page_behind_a_total_that_is_too_low_is_not_lost_if_it_comes_empty_once() -> None:
    class Understating(ScriptedDay):
        def answer(self, number: int) -> Page:
            rows = [] if number == 4 and self.asked.count(4) == 2 else super().answer(number).rows
            return Page(rows, total_rows=30, total_pages=3)

    result = await Understating(31).read()
    assert isinstance(result.error, IncompleteError)


class ShallowDay(ScriptedDay):
    """A day of which only the first pages are shown."""

    def __init__(self, shown: int, refusal: Exception | None) -> None:
        super().__init__(95)
        self.shown, self.refusal = shown, refusal

    def answer(self, number: int) -> Page:
        page = super().answer(number)
        if number <= self.shown:
            return page
        if self.refusal is not None:
            raise self.refusal
        return Page([], total_rows=page.total_rows, total_pages=page.total_pages)


@pytest.mark.parametrize("refusal", [None, InvalidRequestError("deep", code=1002), GatewayError("deep", code=77)])
async def test_a_day_that_is_not_shown_whole_says_how_much_of_it_is(refusal: Exception | None) -> None:
    result = await ShallowDay(5, refusal).read()
    assert isinstance(result.error, IncompleteError)
    assert "shows 50 of the 95 rows" in str(result.error)
    assert ids(result) == set(range(50))


async def test_a_day_whose_first_page_is_refused_is_refused() -> None:
    refusal = InvalidRequestError("wrong", code=1002)
    result = await ShallowDay(0, refusal).read()
    assert result.error is refusal

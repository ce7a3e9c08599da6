"""Round trips and requests, counted: all questions asked in a round are answered together, so time is a number."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from attrs import define, field

from nxcdr_async.protocol.responses import Page
from nxcdr_async.sources.calls import MOST_AT_ONCE, MOST_ROWS
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.testing import Gateway
from tests.paging.model import BEGIN, drain, prefetcher_of
from tests.sessions import OpenSession

DAY = 86_400
READERS = 16


@define
class Lockstep:
    """cdr/page of calls in order of time; it answers all questions together, once nobody has another one."""

    moments: list[int]
    asked: int = field(default=0, init=False)
    rounds: int = field(default=0, init=False)
    _waiting: list["asyncio.Future[None]"] = field(factory=list, init=False)

    async def ask(self, parameters: Mapping[str, Any]) -> Page:
        self.asked += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn
        return self.answer(parameters)

    def answer(self, parameters: Mapping[str, Any]) -> Page:
        start, end, number = parameters["startTime"] * 1000, parameters["endTime"] * 1000, parameters["page"]
        inside = range(bisect_left(self.moments, start), bisect_right(self.moments, end))
        chosen = inside[(number - 1) * 100 : number * 100]
        return Page([{"callId": f"{place:09}", "startTime": self.moments[place]} for place in chosen])

    async def answer_in_rounds(self) -> None:
        while True:
            asked = -1
            while asked != self.asked:
                asked = self.asked
                for _ in range(10):
                    await asyncio.sleep(0)
            waiting, self._waiting = self._waiting, []
            self.rounds += bool(waiting)
            for turn in waiting:
                turn.set_result(None)


def moments_of(calls: int, days: int) -> list[int]:
    """Return the start times of the emulator's calls, as if its history began with the range."""
    with Gateway(calls=calls, days=days) as gateway:
        moments = sorted(row["startTime"] for row in gateway.history.calls())
    days_before = (moments[0] // 1000 - BEGIN) // DAY
    return [moment - days_before * DAY * 1000 for moment in moments]


async def read(moments: list[int], days: int) -> Lockstep:
    gateway = Lockstep(moments)
    prefetcher = prefetcher_of(
        gateway.ask,
        days * DAY,
        READERS,
        PaginatorStats(),
        page_size=100,
        most_rows=MOST_ROWS,
        most_at_once=MOST_AT_ONCE,
        end_ms=None,
    )
    answering = asyncio.create_task(gateway.answer_in_rounds())
    found = await drain(prefetcher)
    answering.cancel()
    assert prefetcher.error is None
    assert [int(call.call_id) for call in found] == list(range(len(moments)))
    return gateway


@pytest.mark.parametrize("calls", [299, 300, 999, 1_000, 1_950, 2_000, 2_950, 3_000])
async def test_a_day_of_some_thousand_calls_takes_four_round_trips(calls: int) -> None:
    gateway = await read(moments_of(calls, 1), 1)
    assert gateway.rounds <= 4


@pytest.mark.parametrize(("calls", "days", "ratio"), [(20_000, 7, 1.20), (100_000, 30, 1.08)])
async def test_requests_are_hardly_more_than_there_are_pages(calls: int, days: int, ratio: float) -> None:
    gateway = await read(moments_of(calls, days), days)
    assert gateway.asked < ratio * calls / 100


async def test_sixteen_readers_are_nearly_always_busy() -> None:
    gateway = await read(moments_of(100_000, 30), 30)
    assert gateway.rounds < 1.35 * gateway.asked / READERS


async def test_a_session_with_a_rate_asks_nothing_that_only_waits_for_it(open_session: OpenSession) -> None:
    with Gateway(calls=300, days=1) as gateway:
        gateway.switches.order = "ascending"
        session = open_session(gateway=gateway.url, credentials=gateway.credentials, rate=10)
        calls = await session.calls(gateway.first_call, gateway.last_call + timedelta(seconds=1)).collect()
        assert len(calls) == 300
        assert session.stats.requests <= 6

"""How long a month takes to the ideal, in virtual time: what waits only because it was not requested earlier."""

import asyncio
import random
from collections.abc import Mapping
from statistics import mean
from typing import Any

import pytest
from attrs import define, field

from nxcdr_async.protocol.responses import Page
from nxcdr_async.sources.calls import MOST_AT_ONCE, MOST_ROWS
from nxcdr_async.stats import PaginatorStats
from tests.paging.model import BEGIN, drain, prefetcher_of
from tests.paging.test_rounds import READERS, Lockstep, moments_of
from tests.throttling.model import VirtualLoop

DAYS = 30
SECONDS = DAYS * 86_400
LATENCY = (0.05, 0.15)


@define
class UnevenGateway(Lockstep):
    """It answers each question after a time drawn by chance."""

    chance: random.Random = field(factory=random.Random)

    async def ask(self, parameters: Mapping[str, Any]) -> Page:
        self.asked += 1
        await asyncio.sleep(self.chance.uniform(*LATENCY))
        return self.answer(parameters)


def tenant(calls: int) -> list[int]:
    return moments_of(calls, DAYS)


def evenly(calls: int) -> list[int]:
    return [BEGIN * 1000 + number * SECONDS * 1000 // calls for number in range(calls)]


def in_business_hours(calls: int) -> list[int]:
    """Return starts from 9 to 18 on five days a week, and none at other times."""
    chance = random.Random(6)
    hours = [hour for hour in range(DAYS * 24) if 9 <= hour % 24 < 18 and hour // 24 % 7 < 5]
    return sorted((BEGIN + chance.choice(hours) * 3600) * 1000 + chance.randrange(3_600_000) for _ in range(calls))


def read(moments: list[int], seed: int) -> tuple[float, float]:
    """Return the time to the ideal, and the requests a page."""
    gateway = UnevenGateway(moments, chance=random.Random(seed))
    prefetcher = prefetcher_of(
        gateway.ask,
        SECONDS,
        READERS,
        PaginatorStats(),
        page_size=100,
        most_rows=MOST_ROWS,
        most_at_once=MOST_AT_ONCE,
        end_ms=None,
    )
    loop = VirtualLoop()
    try:
        found = loop.run_until_complete(drain(prefetcher))
        wall = loop.time()
    finally:
        loop.close()
    assert prefetcher.error is None
    assert [int(call.call_id) for call in found] == list(range(len(moments)))
    pages = len(moments) / 100
    return wall / (pages * mean(LATENCY) / READERS), gateway.asked / pages


@pytest.mark.parametrize("starts", [tenant, evenly, in_business_hours])
def test_a_month_of_some_calls_hardly_waits(starts: Any) -> None:
    walls, requests = zip(*(read(starts(20_000), seed) for seed in range(3)), strict=True)
    assert mean(walls) < 1.35
    assert mean(requests) < 1.20


@pytest.mark.parametrize(
    ("starts", "most", "most_requests"), [(tenant, 1.13, 1.08), (evenly, 1.13, 1.08), (in_business_hours, 1.25, 1.15)]
)
def test_a_month_of_many_calls_hardly_waits(starts: Any, most: float, most_requests: float) -> None:
    wall, requests = read(starts(100_000), 0)
    assert wall < most
    assert requests < most_requests

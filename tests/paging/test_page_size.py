"""How many rows fill a page: as many as are asked for, or as a gateway has shown."""

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.paging.page_reader import PageSize
from nxcdr_async.paging.planner import WindowForecast, WindowPlanner
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window
from tests.paging.model import BEGIN, ModelGateway, drain, evenly, prefetcher_of


def capped(rows: int) -> PageSize:
    size = PageSize(100)
    size.note_cap(rows)
    return size


def test_a_page_as_long_as_asked_for_is_full() -> None:
    size = PageSize(100)
    assert not size.is_full(99)
    assert size.is_full(100)
    assert size.is_full(101)
    assert size.rows == 100


def test_a_short_page_is_doubtful_until_a_longer_one_was_seen() -> None:
    size = PageSize(100)
    assert size.may_be_capped(50)
    size.is_full(51)
    assert not size.may_be_capped(50)
    assert size.may_be_capped(51)


def test_a_page_as_long_as_a_cap_is_full() -> None:
    size = capped(50)
    assert size.is_full(50)
    assert not size.is_full(49)
    assert not size.may_be_capped(49)


def test_a_page_longer_than_a_cap_shows_how_long_a_full_one_is_at_least() -> None:
    size = capped(3)
    assert size.is_full(20)
    assert not size.is_full(19)
    assert (size.rows, size.is_capped) == (20, True)


def test_a_cap_is_forgotten_once_a_page_as_long_as_asked_for_came() -> None:
    size = capped(3)
    assert size.is_full(120)
    assert not size.is_full(99)
    assert (size.rows, size.is_capped) == (100, False)


@given(st.integers(1, 100), st.integers(1, 100), st.lists(st.integers(0, 100)))
def test_a_full_page_is_never_taken_for_a_short_one(cap: int, mistake: int, lengths: list[int]) -> None:
    size = capped(min(cap, mistake))
    for came in lengths:
        size.is_full(min(came, cap))
    assert size.is_full(cap)


def test_a_forecast_made_under_a_cap_that_is_a_mistake_learns_how_long_pages_are() -> None:
    plan = WindowPlanner(Window(BEGIN, BEGIN + 1_000), most_rows=4_000, most_at_once=4_000)
    pages = []
    for rows in (3, 100):
        forecast = WindowForecast(plan, plan.whole, rows)
        forecast.add_page(100, BEGIN, BEGIN + 50)
        pages.append((forecast.sure_pages, forecast.likely_pages))
    assert pages[0] == pages[1]


@pytest.mark.parametrize("rows", [90, 500, 10_000])
async def test_a_cap_found_by_mistake_costs_no_request(rows: int) -> None:
    asked = []
    for size in (PageSize(100), capped(3)):
        gateway = ModelGateway(evenly(rows), page_size=100)
        prefetcher = prefetcher_of(
            gateway.ask, 3_600, 16, PaginatorStats(), page_size=100, known_size=size, most_rows=1_000
        )
        assert len(await drain(prefetcher)) == rows
        asked.append(gateway.asked)
    assert asked[0] == asked[1]

"""Servers that page in strange ways, over HTTP: all that is there, or an error that says so, and never for ever."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from nxcdr_async import IncompleteError, MalformedReplyError, SaturatedSecondError
from tests.strange.server import START, Answer, known_by, read_from, reply_of, row_of

ROWS = {api: [row_of(api, number) for number in range(350)] for api in ("calls", "did", "flash")}
IDS = {api: sorted(str(row.get("callId", row.get("id"))) for row in rows) for api, rows in ROWS.items()}


def inside(api: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows a question is about."""
    if api == "calls":
        start, end = parameters["startTime"] * 1000, parameters["endTime"] * 1000
        return [row for row in ROWS[api] if start <= row["startTime"] <= end]
    if api == "flash":
        return [row for row in ROWS[api] if parameters["start"] <= row["gmtCreate"] <= parameters["end"]]
    return ROWS[api]


async def ids_of(script: Any, api: str) -> list[str]:
    return sorted(known_by(record) for record in await read_from(script, api))


@pytest.mark.parametrize("size", [101, 150, 349, 1_000])
async def test_pages_larger_than_asked_for_lose_nothing(size: int) -> None:
    def script(api: str, parameters: Mapping[str, Any]) -> Answer:
        first = (parameters["page"] - 1) * size
        return reply_of(api, inside(api, parameters)[first : first + size])

    assert await ids_of(script, "calls") == IDS["calls"]


@pytest.mark.parametrize("api", ["calls", "did", "flash"])
async def test_all_rows_at_once_whatever_was_asked_for_are_all_there_is(api: str) -> None:
    def script(api: str, parameters: Mapping[str, Any]) -> Answer:
        return reply_of(api, inside(api, parameters))

    assert await ids_of(script, api) == IDS[api]


@pytest.mark.parametrize("api", ["calls", "did", "flash"])
async def test_an_answer_that_is_empty_once_where_it_cannot_be_costs_nothing(api: str) -> None:
    came_empty: set[str] = set()

    def script(api: str, parameters: Mapping[str, Any]) -> Answer:
        question = str(sorted(parameters.items()))
        if question not in came_empty:
            came_empty.add(question)
            return reply_of(api, [])
        found = inside(api, parameters)
        size = 100 if api != "did" else 999
        first = (int(parameters.get("page", 1)) - 1) * size
        return reply_of(api, found[first : first + size], total=len(found))

    assert await ids_of(script, api) == IDS[api]


async def test_a_day_of_which_a_page_is_always_empty_is_an_error() -> None:
    def script(api: str, parameters: Mapping[str, Any]) -> Answer:
        return reply_of(api, [] if parameters["page"] == 2 else ROWS[api][:200], total=1_500)

    with pytest.raises(IncompleteError, match="200 of the 1500 rows it tells of"):
        await ids_of(script, "did")


@pytest.mark.parametrize("way", ["page ignored", "last page for ever", "overlap", "page 2 repeated"])
async def test_days_paged_in_a_strange_way_are_whole_or_an_error(way: str) -> None:
    def script(api: str, parameters: Mapping[str, Any]) -> Answer:
        number = parameters["page"]
        page = {
            "page ignored": 1,
            "last page for ever": min(number, 4),
            "overlap": number,
            "page 2 repeated": min(number, 2),
        }[way]
        first = (page - 1) * (90 if way == "overlap" else 100)
        total, pages = len(ROWS[api]), 4
        body = reply_of(api, ROWS[api][first : first + 100], total=total).body
        return Answer(body.replace(b'"totalPage": 1', f'"totalPage": {pages}'.encode()))

    if way in {"page ignored", "page 2 repeated"}:
        with pytest.raises(IncompleteError):
            await ids_of(script, "did")
    else:
        assert await ids_of(script, "did") == IDS["did"]


@pytest.mark.parametrize("order", ["backwards", "mixed"])
async def test_a_list_in_any_order_is_whole(order: str) -> None:
    def script(api: str, parameters: Mapping[str, Any]) -> Answer:
        found = inside(api, parameters)
        found = found[::-1] if order == "backwards" else found[1::2] + found[::2]
        return reply_of(api, found[:100])

    assert await ids_of(script, "flash") == IDS["flash"]


async def test_a_list_that_is_the_same_for_ever_is_an_error() -> None:
    def script(api: str, _: Mapping[str, Any]) -> Answer:
        return reply_of(api, ROWS[api][:100])

    with pytest.raises(SaturatedSecondError, match="holds 100 flash calls or more"):
        await ids_of(script, "flash")


async def test_an_answer_cut_short_in_mid_run_ends_with_the_calls_before_it() -> None:
    def script(api: str, parameters: Mapping[str, Any]) -> Answer:
        first = (parameters["page"] - 1) * 100
        whole = reply_of(api, inside(api, parameters)[first : first + 100])
        return Answer(whole.body[:-1]) if parameters["page"] == 3 else whole

    with pytest.raises(MalformedReplyError) as caught:
        await ids_of(script, "calls")
    assert caught.value.asked_for is not None
    assert caught.value.asked_for.startswith("page 3 of calls")
    assert isinstance(caught.value.complete_until, datetime)
    assert caught.value.complete_until >= START

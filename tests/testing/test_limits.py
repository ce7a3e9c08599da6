"""How far the emulator's answers reach: depth, width and age, each as it is switched on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nxcdr_async.testing import Gateway, Switches

NEW_YEAR = 1_767_225_600
NOW = datetime(2026, 1, 2, tzinfo=UTC)
DAY = 86_400
START, END = "2026-01-01 08:00:00", "2026-01-02 08:00:00"


async def code_of(client: Any, start: int, end: int, **more: Any) -> Any:
    return (await client.calls(startTime=start, endTime=end, **more)).json["code"]


async def test_pages_behind_a_depth_are_empty(client: Any, gateway: Gateway) -> None:
    gateway.switches.depth_cap = 130
    counts = [len((await client.calls(page=page)).ids) for page in (1, 2, 3)]
    assert counts == [100, 30, 0]


async def test_pages_behind_a_depth_are_refused_with_a_code(client: Any, gateway: Gateway) -> None:
    gateway.switches.depth_cap, gateway.switches.depth_cap_code = 200, 1002
    codes = [(await client.calls(page=page)).json["code"] for page in (1, 2, 3)]
    assert codes == [0, 0, 1002]


async def test_a_depth_that_holds_all_rows_refuses_no_page(client: Any, gateway: Gateway) -> None:
    gateway.switches.depth_cap, gateway.switches.depth_cap_code = 300, 1002
    assert (await client.calls(page=4)).json["code"] == 0


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("depth_cap", (0, 1.5, True)),
        ("depth_cap_code", (0, "1002", True)),
        ("max_span", (0, -1, "24h", True)),
        ("max_span_code", (0, "1002")),
        ("retention", (0, -1.0, "24h")),
        ("retention_code", (0, 1.5)),
    ],
)
def test_a_limit_that_means_nothing_is_refused(name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=name):
            Switches(**{name: value})
        switches = Switches()
        with pytest.raises(ValueError, match=name):
            setattr(switches, name, value)


async def test_a_range_may_be_as_wide_as_is_said(client: Any, gateway: Gateway) -> None:
    gateway.switches.max_span = DAY
    assert await code_of(client, NEW_YEAR, NEW_YEAR + DAY) == 0
    assert await code_of(client, NEW_YEAR, NEW_YEAR + DAY + 1) == 1002
    gateway.switches.max_span_code = 41_000
    assert await code_of(client, NEW_YEAR, NEW_YEAR + DAY + 1) == 41_000


async def test_a_range_that_begins_too_early_is_refused(client: Any, gateway: Gateway) -> None:
    gateway.clock.move_to(NOW)
    gateway.switches.retention = DAY / 2
    assert await code_of(client, NEW_YEAR + DAY // 2 - 60, NEW_YEAR + DAY) == 41_000
    assert await code_of(client, NEW_YEAR + DAY // 2 + 60, NEW_YEAR + DAY) == 0


async def test_what_is_too_old_is_left_out_where_there_is_no_code(client: Any, gateway: Gateway) -> None:
    gateway.clock.move_to(NOW)
    gateway.switches.retention, gateway.switches.retention_code = DAY / 2, None
    known = set(gateway.call_ids(NOW - timedelta(seconds=DAY / 2 - 60)))
    ids = set(await client.all_pages())
    assert known <= ids <= set(gateway.call_ids(NOW - timedelta(seconds=DAY / 2 + 60)))


async def test_the_flash_list_has_these_limits_too(client: Any, gateway: Gateway) -> None:
    gateway.clock.move_to(NOW)
    gateway.switches.max_span, gateway.switches.max_span_code = 3600, 7
    assert (await client.flash(START, END)).json["code"] == "7"
    gateway.switches.max_span, gateway.switches.retention = None, DAY / 2
    assert (await client.flash(START, END)).json["code"] == "41000"


async def test_a_day_is_refused_once_it_ended_too_long_ago(client: Any, gateway: Gateway) -> None:
    gateway.clock.move_to(NOW)
    gateway.switches.retention = 6 * 3600
    codes = [(await client.did(date=day)).json["code"] for day in ("2026-01-01", "2026-01-02")]
    assert codes == [41_000, 0]

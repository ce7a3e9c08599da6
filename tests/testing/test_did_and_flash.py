from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nxcdr_async.records.converter import UTC_PLUS_8
from nxcdr_async.testing import Gateway


async def test_did_pages_give_every_call_of_a_day_once_with_totals(client: Any, gateway: Gateway) -> None:
    seen: list[int] = []
    for page in (1, 2, 3):
        data = (await client.did(page=page, pageSize=25)).json["data"]
        assert (data["totalRow"], data["totalPage"], data["pageNumber"], data["pageSize"]) == (60, 3, page, 25)
        seen += [row["id"] for row in data["list"]]
    assert seen == gateway.did_ids()[::-1]
    assert (await client.did(page=4, pageSize=25)).json["data"]["list"] == []


async def test_did_days_are_local_days(client: Any, gateway: Gateway) -> None:
    last = gateway.add_did_call(startTime="2026-01-01 23:59:59")
    first = gateway.add_did_call(startTime="2026-01-02 00:00:00")
    today = [row["id"] for row in (await client.did()).json["data"]["list"]]
    assert today[0] == last
    assert [row["id"] for row in (await client.did(date="2026-01-02")).json["data"]["list"]] == [first]


async def test_did_days_add_up_to_the_total(client_of: Any) -> None:
    with Gateway(calls=0, days=3, did_calls=500) as gateway:
        client = client_of(gateway)
        days = [(await client.did(date=f"2026-01-0{day}")).json["data"]["totalRow"] for day in (1, 2, 3)]
    assert sum(days) == 500
    assert all(days)


async def test_did_calls_can_be_filtered(client: Any, gateway: Gateway) -> None:
    rows = list(gateway.history.did_calls())
    for asked, key in (("didNumber", "number"), ("callNumber", "callNumber"), ("type", "callType")):
        wanted = next(row[key] for row in rows if key in row)
        data = (await client.did(**{asked: wanted})).json["data"]
        assert [row["id"] for row in data["list"]] == [row["id"] for row in rows[::-1] if row.get(key) == wanted]
        assert data["totalRow"] == len(data["list"])


@pytest.mark.parametrize(
    "wrong", [{"pageSize": 1000}, {"pageSize": 0}, {"page": 0}, {"date": "01.01.2026"}, {"date": None}, {"type": 2}]
)
async def test_did_refuses_wrong_parameters_in_its_own_words(client: Any, wrong: dict[str, Any]) -> None:
    refused = (await client.did(**wrong)).json
    assert (refused["code"], refused["data"], refused["message"]) == (1002, None, "参数错误")


async def test_did_prices_are_exact_on_the_wire(client: Any) -> None:
    assert '"callPriceUnit":0.055' in (await client.did()).text


async def test_the_flash_list_stops_at_a_hundred_and_starts_with_the_earliest(client_of: Any) -> None:
    with Gateway(calls=0, flash_calls=250) as gateway:
        client = client_of(gateway)
        rows = (await client.flash("2026-01-01 00:00:00", "2026-01-01 23:59:59")).json["cdrs"]
        assert [row["id"] for row in rows] == gateway.flash_ids()[:100]
        assert [row["gmtCreate"] for row in rows] == sorted(row["gmtCreate"] for row in rows)


async def test_the_order_and_the_cap_of_the_flash_list_can_be_switched(client_of: Any) -> None:
    with Gateway(calls=0, flash_calls=250) as gateway:
        gateway.switches.flash_order, gateway.switches.page_cap = "descending", 30
        rows = (await client_of(gateway).flash("2026-01-01 00:00:00", "2027-01-01 00:00:00")).json["cdrs"]
        assert [row["id"] for row in rows] == gateway.flash_ids()[:-31:-1]


async def test_the_flash_list_goes_on_from_its_last_row(client_of: Any) -> None:
    with Gateway(calls=0, flash_calls=250) as gateway:
        client, seen, start = client_of(gateway), set(), "2026-01-01 00:00:00"
        for _ in range(4):
            rows = (await client.flash(start, "2026-01-01 23:59:59")).json["cdrs"]
            seen |= {row["id"] for row in rows}
            start = rows[-1]["gmtCreate"]
        assert seen == set(gateway.flash_ids())


async def test_a_flash_range_holds_both_of_its_seconds(client: Any, gateway: Gateway) -> None:
    flash_id = gateway.add_flash_call(gmtCreate="2026-02-01 10:00:00")
    second = "2026-02-01 10:00:00"
    assert [row["id"] for row in (await client.flash(second, second)).json["cdrs"]] == [flash_id]
    gateway.switches.end_inclusive = False
    assert (await client.flash(second, second)).json["cdrs"] == []


async def test_a_full_second_never_shows_more_than_a_hundred(client: Any, gateway: Gateway) -> None:
    for _ in range(101):
        gateway.add_flash_call(gmtCreate="2026-02-01 10:00:00")
    rows = (await client.flash("2026-02-01 10:00:00", "2026-02-01 10:00:01")).json["cdrs"]
    assert len(rows) == 100


async def test_the_flash_code_is_text(client: Any) -> None:
    assert (await client.flash("2026-01-01 00:00:00", "2026-01-01 00:00:01")).json["code"] == "0"


async def test_a_wrong_flash_key_is_code_1(client: Any) -> None:
    for wrong in ({"appkey": "other"}, {"secretkey": "other"}):
        refused = await client.flash("2026-01-01 00:00:00", "2026-01-01 00:00:01", **wrong)
        assert refused.json["code"] == "1"


@pytest.mark.parametrize("start", ["2026-01-01", "2026-01-01T00:00:00", "", "yesterday"])
async def test_a_wrong_flash_date_is_code_7(client: Any, start: str) -> None:
    assert (await client.flash(start, "2026-01-02 00:00:00")).json["code"] == "7"


async def test_the_flash_secret_goes_by_either_name(client: Any, gateway: Gateway) -> None:
    app = gateway.flash_app
    query = {
        "appkey": app.appkey,
        "appsecret": app.secretkey,
        "start": "2026-01-01 00:00:00",
        "end": "2026-01-01 09:00:00",
    }
    async with client.http.get(f"{gateway.url}/otp/call/list", params=query) as response:
        assert (await response.json())["code"] == "0"


def test_flash_times_are_local_to_utc_plus_8(gateway: Gateway) -> None:
    moment = datetime.fromisoformat("2026-02-01 10:00:00").replace(tzinfo=UTC_PLUS_8)
    flash_id = gateway.add_flash_call(gmtCreate="2026-02-01 10:00:00")
    assert gateway.flash_ids(moment, moment + timedelta(seconds=1)) == [flash_id]


async def test_each_flash_call_is_found_by_its_request(client: Any, gateway: Gateway) -> None:
    gateway.add_flash_call(requestId="added", gmtCreate="2026-02-01 10:00:00", price="0.0120")
    for row in gateway.history.flash_calls():
        found = (await client.flash_call(requestId=row["requestId"])).json
        price = row["price"] if isinstance(row["price"], str) else float(row["price"])
        assert found["code"] == "0"
        assert {**found["cdr"], "gmtCreate": row["gmtCreate"]} == {**row, "price": price, "cost": price}
    assert found["cdr"]["gmtCreate"] == "2026-02-01T02:00:00.000+0000"


async def test_an_unknown_request_has_no_flash_call(client: Any) -> None:
    assert (await client.flash_call(requestId="nobody")).json == {"code": "0", "cdr": None}


async def test_a_flash_call_without_a_request_is_refused(client: Any) -> None:
    assert (await client.flash_call()).json == {"code": "41000"}


async def test_a_wrong_flash_key_finds_no_call(client: Any, gateway: Gateway) -> None:
    (request_id, *_) = (row["requestId"] for row in gateway.history.flash_calls())
    for wrong in ({"appkey": "nobody"}, {"secretkey": "wrong"}):
        assert (await client.flash_call(requestId=request_id, **wrong)).json == {"code": "1"}


async def test_switches_and_faults_are_those_of_the_flash_list(client: Any, gateway: Gateway) -> None:
    old, new = (
        gateway.add_flash_call(
            requestId=request_id, gmtCreate=datetime.fromtimestamp(gateway.clock.now(), UTC) - timedelta(hours=hours)
        )
        for request_id, hours in (("old", 3), ("new", 1))
    )
    gateway.switches.retention = 2 * 3600.0
    gateway.switches.extra_keys = {"remark": "x"}
    assert (await client.flash_call(requestId="old")).json["cdr"] is None
    found = (await client.flash_call(requestId="new")).json["cdr"]
    assert (found["id"], found["remark"]) == (new, "x")
    gateway.fail_next("99", endpoint="flash_call")
    assert (await client.flash_call(requestId="new")).json == {"code": "99"}
    gateway.switches.retention, gateway.switches.ignore_filters = None, True
    assert (await client.flash_call(requestId="new")).json["cdr"]["id"] == gateway.flash_ids()[0]
    assert gateway.log.by_endpoint["flash_call"] == 4
    assert old in gateway.flash_ids()

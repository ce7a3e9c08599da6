import re
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from nxcdr_async.records.hangup import HANGUPS
from nxcdr_async.testing import CallHistory
from nxcdr_async.testing.data.call_rows import LONGEST_CALL_MS


@pytest.fixture(scope="module")
def month() -> CallHistory:
    return CallHistory(60_000, days=30)


@pytest.fixture(scope="module")
def rows(month: CallHistory) -> list[dict]:
    return list(month.calls())


@pytest.mark.parametrize(("calls", "days"), [(0, 1), (1, 1), (7, 3), (500, 1), (12_345, 40)])
def test_a_history_has_exactly_as_many_calls_as_asked_for(calls: int, days: int) -> None:
    history = CallHistory(calls, days=days, did_calls=calls // 2, flash_calls=calls // 3)
    assert len(set(history.call_ids())) == calls
    assert len(set(history.did_ids())) == calls // 2
    assert len(set(history.flash_ids())) == calls // 3


def test_did_and_flash_calls_are_a_fifth_and_a_tenth_by_default() -> None:
    history = CallHistory(1_000)
    assert (len(history.did_ids()), len(history.flash_ids())) == (200, 100)


def test_the_same_seed_gives_the_same_rows_and_another_seed_does_not() -> None:
    assert list(CallHistory(400, seed=7).calls()) == list(CallHistory(400, seed=7).calls())
    assert not set(CallHistory(400, seed=7).call_ids()) & set(CallHistory(400, seed=8).call_ids())


def test_a_row_does_not_depend_on_what_was_read_before() -> None:
    whole, part = CallHistory(400), CallHistory(400)
    assert list(whole.calls())[250] == part.call_timeline.row(250)


def test_calls_fill_whole_utc_days_in_order_of_time(month: CallHistory, rows: list[dict]) -> None:
    starts = [row["startTime"] for row in rows]
    first = datetime(2026, 1, 1, tzinfo=UTC)
    assert starts == sorted(starts)
    assert starts[0] >= first.timestamp() * 1000
    assert starts[-1] < (first + timedelta(days=30)).timestamp() * 1000
    assert month.last_day == date(2026, 1, 30)


def test_a_part_of_the_history_is_what_starts_in_it(month: CallHistory, rows: list[dict]) -> None:
    noon = datetime(2026, 1, 14, 4, tzinfo=UTC)
    first, last = (int(moment.timestamp() * 1000) for moment in (noon, noon + timedelta(minutes=20)))
    expected = [row["callId"] for row in rows if first <= row["startTime"] < last]
    assert month.call_ids(noon, noon + timedelta(minutes=20)) == expected
    assert len(expected) > 10


def test_a_naive_time_is_refused(month: CallHistory) -> None:
    with pytest.raises(ValueError, match="aware"):
        month.call_ids(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_working_hours_are_busier_than_nights_and_weekends(rows: list[dict]) -> None:
    local = [datetime.fromtimestamp(row["startTime"] / 1000, UTC) + timedelta(hours=8) for row in rows]
    hours = Counter(moment.hour for moment in local if moment.weekday() < 5)
    days = Counter(moment.weekday() for moment in local)
    assert hours[10] > 1.3 * hours[12] > 10 * hours[3]
    assert days[1] > 2 * days[5]


def test_a_busy_center_misses_more_calls(rows: list[dict]) -> None:
    answered: dict[bool, list[bool]] = {True: [], False: []}
    for row in rows:
        hour = (row["startTime"] // 3_600_000 + 8) % 24
        if hour in {10, 22}:
            answered[hour == 10].append(row["answered"])
    peak, evening = (sum(found) / len(found) for found in (answered[True], answered[False]))
    assert 0.5 < peak < evening < 0.99


def test_every_published_hangup_code_occurs(rows: list[dict]) -> None:
    assert {row["hangupCode"] for row in rows if "hangupCode" in row} == set(HANGUPS)


def test_every_direction_and_only_known_agents_occur(month: CallHistory, rows: list[dict]) -> None:
    assert {row["direction"] for row in rows} == {0, 1, 2}
    accounts = {row.get("agentName") for row in rows} - {None}
    assert accounts == {account for account, _ in month.agents}
    assert 12 <= len(accounts) <= 40
    assert any("@" in account for account in accounts)


def test_calls_end_after_they_start_and_some_last_hours(rows: list[dict]) -> None:
    lengths = [row["endTime"] - row["startTime"] for row in rows]
    assert min(lengths) >= 0
    assert 2 * 3_600_000 < max(lengths) <= LONGEST_CALL_MS


def test_the_vendors_odd_values_occur_but_are_rare(rows: list[dict]) -> None:
    odd = {
        "an id with slash and at sign": [row for row in rows if "/" in row["callId"] and "@" in row["callId"]],
        "an id with characters of base64": [row for row in rows if {"/", "+", "="} <= set(row["callId"])],
        "a callee that is an address": [row for row in rows if re.fullmatch(r"NX\w+@[\d.]+:5060", row["callee"])],
        "keys missing": [row for row in rows if "agentName" not in row or "hangupCode" not in row],
        "an address of the media": [row for row in rows if row["mediaIp"]],
        "rings long before the start": [
            row for row in rows if row.get("ringTime", row["startTime"]) + 1000 < row["startTime"]
        ],
        "price as text": [row for row in rows if isinstance(row["totalCustomerPrice"], str)],
        "price 0E-8": [row for row in rows if str(row["totalCustomerPrice"]) == "0E-8"],
        "price 0.20280000": [row for row in rows if str(row["totalCustomerPrice"]) == "0.20280000"],
        "answer time null": [row for row in rows if row["answerTime"] is None],
    }
    shares = {name: len(found) / len(rows) for name, found in odd.items()}
    assert all(0 < share < 0.1 for share in shares.values()), shares


def test_ids_come_in_each_shape_of_real_ones(month: CallHistory) -> None:
    shapes = {
        "25 hexadecimal digits": r"[0-9a-f]{25}",
        "UUID": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        "digits at an address": r"\d{20}@202\.157\.139\.109",
        "base64": r"[A-Za-z0-9+/]{79}=",
        "SIP": r"0gQAAC8W[0-9a-f]{17}SgEC/Waas@103\.251\.203\.149",
    }
    ids = month.call_ids()
    seen = [sum(bool(re.fullmatch(shape, call_id)) for call_id in ids) for shape in shapes.values()]
    assert sum(seen) == len(ids)
    assert min(seen) > 0


def test_every_row_has_the_newer_keys(rows: list[dict]) -> None:
    newer = {"lineIp", "mediaIp", "termSipCode", "hangupCause", "mos"}
    assert all(newer <= set(row) for row in rows)
    history = CallHistory(0)
    assert newer <= set(history.call(history.add_call()))


def test_the_queue_is_counted_in_seconds_or_in_milliseconds(rows: list[dict]) -> None:
    queued = [row for row in rows if row.get("queueDuration") and row.get("outQueueTime")]
    waits = [(row["queueDuration"], row["outQueueTime"] - row["inQueueTime"]) for row in queued]
    assert any(counted == wait for counted, wait in waits)
    assert any(counted == -(-wait // 1000) for counted, wait in waits)


def test_robot_calls_carry_a_task_of_19_digits_and_no_other_call_does(rows: list[dict]) -> None:
    with_task = [row for row in rows if row.get("taskId")]
    assert {row["direction"] for row in with_task} == {2}
    assert {len(row["taskId"]) for row in with_task} == {19}


def test_money_is_exact(rows: list[dict]) -> None:
    assert not any(isinstance(row["totalCustomerPrice"], float) for row in rows)
    prices = {str(row["totalCustomerPrice"]) for row in rows if isinstance(row["totalCustomerPrice"], Decimal)}
    assert {"0.035", "0.20280000", "0E-8"} <= prices


def test_did_rows_tell_local_time_and_some_lack_their_number(month: CallHistory) -> None:
    rows = list(month.did_calls())
    assert rows[0]["startTime"].startswith("2026-01-01 ")
    assert rows[-1]["startTime"].startswith("2026-01-30 ")
    assert {"number" in row for row in rows} == {True, False}
    assert all(isinstance(row["id"], int) for row in rows)


def test_flash_rows_tell_local_time_and_some_numbers_begin_with_a_space(month: CallHistory) -> None:
    rows = list(month.flash_calls())
    assert rows[0]["gmtCreate"].startswith("2026-01-01 ")
    assert {row["msisdn"].startswith(" ") for row in rows} == {True, False}


def test_an_added_call_moves_its_times_along_and_takes_its_place() -> None:
    history = CallHistory(50)
    third = history.call_timeline.row(2)
    added = history.add_call(startTime=third["startTime"] + 1, caller="4444")
    row = list(history.calls())[3]
    assert (row["callId"], row["caller"]) == (added, "4444")
    assert row["endTime"] - row["startTime"] == 10_420
    assert history.added_ids == [added]


def test_a_year_of_a_hundred_thousand_calls_a_day_is_ready_at_once_and_small() -> None:
    before = time.process_time()
    year = CallHistory(36_500_000, days=365)
    assert year.call_timeline.row(36_499_999)["startTime"] < datetime(2027, 1, 1, tzinfo=UTC).timestamp() * 1000
    assert time.process_time() - before < 3
    kept = year.call_timeline.arrivals._before
    assert len(kept) * kept.itemsize < 5_000_000
    assert vars(year.did_timeline.arrivals).get("_before") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"calls": -1},
        {"calls": "5"},
        {"calls": True},
        {"days": 0},
        {"agents": 0},
        {"did_calls": -1},
        {"flash_calls": 0.5},
    ],
)
def test_a_history_that_cannot_be_is_refused_by_the_name_of_what_is_wrong(wrong: dict) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(ValueError, match=re.escape(f"{name} is {value!r}: give a whole number, at least")):
        CallHistory(**wrong)


def test_times_of_added_rows_may_be_datetimes() -> None:
    history = CallHistory(0)
    nine = datetime(2026, 1, 1, 9, tzinfo=UTC)
    call_id = history.add_call(startTime=nine, endTime=nine + timedelta(minutes=1))
    row = history.call(call_id)
    assert (row["startTime"], row["endTime"]) == (1_767_258_000_000, 1_767_258_060_000)
    assert row["answerTime"] == 1_767_258_000_000 + 7_000 - 704
    history.add_did_call(startTime=nine)
    history.add_flash_call(gmtCreate=nine)
    assert [row["startTime"] for row in history.did_calls()] == ["2026-01-01 17:00:00"]
    assert [row["gmtCreate"] for row in history.flash_calls()] == ["2026-01-01 17:00:00"]


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="aware datetime"):
        CallHistory(0).add_call(startTime=datetime(2026, 1, 1))  # noqa: DTZ001 - the very thing that is refused


def test_keys_are_spelt_as_the_vendor_spells_them() -> None:
    history = CallHistory(0)
    with pytest.raises(ValueError, match="start_time is no key of the vendor's: write it startTime"):
        history.add_call(start_time=1)
    with pytest.raises(ValueError, match="write it callType"):
        history.add_did_call(call_type=1)
    with pytest.raises(ValueError, match="write it gmtCreate"):
        history.add_flash_call(gmt_create="2026-01-01 17:00:00")
    assert history.call(history.add_call(new_key=1, newKey=2))["new_key"] == 1


def test_several_calls_are_added_one_after_the_other() -> None:
    history = CallHistory(0)
    nine = datetime(2026, 1, 1, 9, tzinfo=UTC)
    added = history.add_calls(3, apart=timedelta(minutes=1), startTime=nine, answered=False)
    assert history.call_ids() == added
    assert [row["startTime"] for row in history.calls()] == [1_767_258_000_000 + minute * 60_000 for minute in range(3)]
    assert not any(row["answered"] for row in history.calls())
    assert history.add_calls(0) == []
    history.add_calls(2)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert len(history.call_ids(noon, noon + timedelta(seconds=2))) == 2


def test_several_calls_cannot_have_one_id() -> None:
    with pytest.raises(ValueError, match=r"add_call\(\)"):
        CallHistory(0).add_calls(2, callId="c")
    with pytest.raises(ValueError, match="number is -1"):
        CallHistory(0).add_calls(-1)


def test_a_call_is_found_by_its_id_whether_seeded_or_added() -> None:
    history = CallHistory(200)
    for row in history.calls():
        assert history.call(row["callId"]) == row
    seeded = history.call_ids()[7]
    history.add_call(callId=seeded, note="again")
    assert history.call(seeded)["note"] == "again"


def test_a_call_that_is_not_there_is_not_made_up() -> None:
    history = CallHistory(20)
    near = [call_id[1:] for call_id in history.call_ids()]
    for call_id in (*near, "", "nobody", f"{'A' * 79}=", f"{'/' * 79}=", "1" * 20 + "@202.157.139.109"):
        with pytest.raises(LookupError, match="there is no call"):
            history.call(call_id)

"""The sources as a backfill sees them: what range is meant, and where windows may end."""

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import (
    CdrSession,
    ConfigurationError,
    RecordError,
    RefusedRangeError,
    SaturatedSecondError,
)
from nxcdr_async.records.arrow import TABLES
from nxcdr_async.records.models import SourceName, vendor_key
from nxcdr_async.session import context_of
from nxcdr_async.sources import SOURCES
from nxcdr_async.sources.base import SkippedRows
from nxcdr_async.sources.units import Days, Seconds
from nxcdr_async.windows import Window

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MIDNIGHT_UTC_8 = int(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=8))).timestamp())
DAY = 24 * 3600
ZONES: list[tzinfo] = [UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-9, minutes=-30))]

moments = st.integers(0, 2**32)


def days(zone: tzinfo = ZONES[1]) -> Days:
    return Days(zone)


def test_each_source_has_its_own_api_unit_and_table() -> None:
    context = context_of(CdrSession(naive_zone=ZONES[2]))
    made = {name: source(context) for name, source in SOURCES.items()}
    assert {name: source.endpoint.name for name, source in made.items()} == {
        name: name for name in get_args(SourceName)
    }
    assert {name: source.unit for name, source in made.items()} == {
        "calls": Seconds(),
        "did": Days(ZONES[2]),
        "flash": Seconds(),
    }
    assert all(TABLES[name].record_class is source.endpoint.record_class for name, source in made.items())
    assert all(vendor_key(TABLES[name].key) == source.endpoint.id_key for name, source in made.items())
    assert all(vendor_key(TABLES[name].time) == source.endpoint.start_key for name, source in made.items())


def test_a_range_of_times_is_the_seconds_that_hold_it() -> None:
    start, end = NOON + timedelta(milliseconds=500), NOON + timedelta(seconds=9, milliseconds=1)
    assert Seconds().whole(start, end) == Window(int(NOON.timestamp()), int(NOON.timestamp()) + 10)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2026, 1, 1), date(2026, 1, 2)),
        (NOON, date(2026, 1, 2)),
        (NOON.replace(tzinfo=None), NOON + timedelta(days=1)),
        (NOON, NOON),
        (NOON, NOON - timedelta(days=1)),
        ("2026-01-01", "2026-01-02"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(start: Any, end: Any) -> None:
    with pytest.raises(ConfigurationError):
        Seconds().whole(start, end)


@given(moment=moments)
def test_windows_of_times_may_end_anywhere(moment: int) -> None:
    unit = Seconds()
    assert unit.floor(moment) == unit.ceiling(moment) == moment


def test_of_two_days_both_are_meant() -> None:
    whole = days().whole(date(2026, 1, 1), date(2026, 1, 3))
    assert whole == Window(MIDNIGHT_UTC_8, MIDNIGHT_UTC_8 + 3 * DAY)


def test_a_day_alone_is_that_day() -> None:
    assert days().whole(date(2026, 1, 1), date(2026, 1, 1)) == Window(MIDNIGHT_UTC_8, MIDNIGHT_UTC_8 + DAY)


def test_of_two_times_the_days_are_meant_that_hold_them() -> None:
    start = datetime.fromtimestamp(MIDNIGHT_UTC_8 + 3600, UTC)
    end = datetime.fromtimestamp(MIDNIGHT_UTC_8 + DAY, UTC)
    assert days().whole(start, end) == Window(MIDNIGHT_UTC_8, MIDNIGHT_UTC_8 + DAY)
    assert days().whole(start, end + timedelta(seconds=1)).seconds == 2 * DAY


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2026, 1, 2), date(2026, 1, 1)),
        (NOON, date(2026, 1, 2)),
        (date(2026, 1, 1), NOON),
        (NOON.replace(tzinfo=None), NOON.replace(tzinfo=None)),
        ("2026-01-01", "2026-01-02"),
    ],
)
def test_days_that_make_no_sense_are_refused(start: Any, end: Any) -> None:
    with pytest.raises(ConfigurationError):
        days().whole(start, end)


@given(moment=moments, zone=st.sampled_from(ZONES))
def test_windows_of_days_end_at_midnight_only(moment: int, zone: tzinfo) -> None:
    unit = days(zone)
    floor, ceiling = unit.floor(moment), unit.ceiling(moment)
    assert floor <= moment < ceiling
    assert ceiling - floor == DAY
    assert datetime.fromtimestamp(floor, zone).timetuple()[3:6] == (0, 0, 0)
    assert unit.floor(floor) == floor
    assert unit.floor(floor - 1) == floor - DAY


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 8), 23), (date(2026, 11, 1), 25)])
def test_a_day_on_which_the_clock_is_put_is_a_whole_day(day: date, hours: int) -> None:
    unit = days(ZoneInfo("America/New_York"))
    window = unit.whole(day, day)
    assert window.seconds == hours * 3600
    assert unit.ceiling(window.start) == window.end
    assert unit.floor(window.end - 1) == window.start


def bad_row() -> RecordError:
    return RecordError("is missing", row={}, path="callId")


def test_bad_rows_are_counted_and_handed_on() -> None:
    told: list[RecordError] = []
    skipped = SkippedRows(told.append)
    bad = bad_row()
    skipped.note_bad_row(bad)
    assert (skipped.bad_rows, told) == (1, [bad])
    assert skipped.options == {
        "on_refused_range": skipped.note_refused_range,
        "on_bad_row": "skip",
        "bad_row_callback": skipped.note_bad_row,
    }


def test_without_a_taker_a_bad_row_is_raised() -> None:
    skipped = SkippedRows()
    assert skipped.options == {"on_refused_range": skipped.note_refused_range}


def test_a_saturated_second_is_noted_once() -> None:
    skipped = SkippedRows()
    for _ in range(2):
        skipped.note_saturated_second(SaturatedSecondError("is full", second=NOON))
    assert skipped.saturated == {int(NOON.timestamp())}


def test_refused_ranges_are_noted_as_the_parts_of_a_window() -> None:
    skipped = SkippedRows()
    for start in (10, 20):
        begun = datetime.fromtimestamp(start, UTC)
        skipped.note_refused_range(RefusedRangeError("old", start=begun, end=begun + timedelta(seconds=10)))
    assert skipped.refused_in(Window(0, 40)) == (Window(10, 30),)
    assert skipped.refused_in(Window(15, 25)) == (Window(15, 25),)
    assert skipped.refused_in(Window(30, 40)) == ()

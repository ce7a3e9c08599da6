"""The sources as a backfill sees them: what range is meant, and where windows may end."""

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import (
    CdrSession,
    ConfigurationError,
    Credentials,
    FlashApp,
    RecordError,
    RefusedRangeError,
    SaturatedSecondError,
)
from nxcdr_async.ingest.feeds import FEEDS, CallFeed, DidFeed, FlashFeed, Mishaps
from nxcdr_async.windows import Window

KEYS = Credentials("key", "secret")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MIDNIGHT_UTC_8 = int(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=8))).timestamp())
DAY = 24 * 3600
ZONES: list[tzinfo] = [UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-9, minutes=-30))]

moments = st.integers(0, 2**32)
by_seconds = pytest.mark.parametrize("feed_class", [CallFeed, FlashFeed])


def did_feed(zone: tzinfo = ZONES[1]) -> DidFeed:
    return DidFeed(CdrSession(credentials=KEYS, naive_zone=zone))


def feed_of(feed_class: Any) -> Any:
    return feed_class(CdrSession(credentials=KEYS, flash_app=FlashApp("app", "secret")))


def test_each_source_has_a_feed_of_its_own_api() -> None:
    session = CdrSession(credentials=KEYS)
    assert {source: feed(session).endpoint.name for source, feed in FEEDS.items()} == {
        "calls": "calls",
        "did": "did",
        "flash": "flash",
    }


@by_seconds
def test_a_range_of_times_is_the_seconds_that_hold_it(feed_class: Any) -> None:
    start, end = NOON + timedelta(milliseconds=500), NOON + timedelta(seconds=9, milliseconds=1)
    assert feed_of(feed_class).whole(start, end) == Window(int(NOON.timestamp()), int(NOON.timestamp()) + 10)


@by_seconds
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
def test_a_range_that_makes_no_sense_is_refused(feed_class: Any, start: Any, end: Any) -> None:
    with pytest.raises(ConfigurationError):
        feed_of(feed_class).whole(start, end)


@by_seconds
@given(moment=moments)
def test_windows_of_times_may_end_anywhere(feed_class: Any, moment: int) -> None:
    feed = feed_of(feed_class)
    assert feed.floor(moment) == feed.ceiling(moment) == moment


def test_of_two_days_both_are_meant() -> None:
    whole = did_feed().whole(date(2026, 1, 1), date(2026, 1, 3))
    assert whole == Window(MIDNIGHT_UTC_8, MIDNIGHT_UTC_8 + 3 * DAY)


def test_a_day_alone_is_that_day() -> None:
    assert did_feed().whole(date(2026, 1, 1), date(2026, 1, 1)) == Window(MIDNIGHT_UTC_8, MIDNIGHT_UTC_8 + DAY)


def test_of_two_times_the_days_are_meant_that_hold_them() -> None:
    start = datetime.fromtimestamp(MIDNIGHT_UTC_8 + 3600, UTC)
    end = datetime.fromtimestamp(MIDNIGHT_UTC_8 + DAY, UTC)
    assert did_feed().whole(start, end) == Window(MIDNIGHT_UTC_8, MIDNIGHT_UTC_8 + DAY)
    assert did_feed().whole(start, end + timedelta(seconds=1)).seconds == 2 * DAY


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
        did_feed().whole(start, end)


@given(moment=moments, zone=st.sampled_from(ZONES))
def test_windows_of_days_end_at_midnight_only(moment: int, zone: tzinfo) -> None:
    feed = did_feed(zone)
    floor, ceiling = feed.floor(moment), feed.ceiling(moment)
    assert floor <= moment < ceiling
    assert ceiling - floor == DAY
    assert datetime.fromtimestamp(floor, zone).timetuple()[3:6] == (0, 0, 0)
    assert feed.floor(floor) == floor
    assert feed.floor(floor - 1) == floor - DAY


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 8), 23), (date(2026, 11, 1), 25)])
def test_a_day_on_which_the_clock_is_put_is_a_whole_day(day: date, hours: int) -> None:
    feed = did_feed(ZoneInfo("America/New_York"))
    window = feed.whole(day, day)
    assert window.seconds == hours * 3600
    assert feed.ceiling(window.start) == window.end
    assert feed.floor(window.end - 1) == window.start


def bad_row() -> RecordError:
    return RecordError("is missing", row={}, path="callId")


def test_bad_rows_are_counted_and_handed_on() -> None:
    told: list[RecordError] = []
    mishaps = Mishaps(told.append)
    bad = bad_row()
    mishaps.take_bad_row(bad)
    assert (mishaps.bad_rows, told) == (1, [bad])
    assert mishaps.options == {
        "on_refused_range": mishaps.take_refused_range,
        "on_bad_row": "skip",
        "bad_row_callback": mishaps.take_bad_row,
    }


def test_without_a_taker_a_bad_row_is_raised() -> None:
    mishaps = Mishaps()
    assert mishaps.options == {"on_refused_range": mishaps.take_refused_range}


def test_a_saturated_second_is_noted_once() -> None:
    mishaps = Mishaps()
    for _ in range(2):
        mishaps.take_saturated_second(SaturatedSecondError("is full", second=NOON))
    assert mishaps.saturated == {int(NOON.timestamp())}


def test_refused_ranges_are_noted_as_the_parts_of_a_window() -> None:
    mishaps = Mishaps()
    for start in (10, 20):
        begun = datetime.fromtimestamp(start, UTC)
        mishaps.take_refused_range(RefusedRangeError("old", start=begun, end=begun + timedelta(seconds=10)))
    assert mishaps.refused_in(Window(0, 40)) == (Window(10, 30),)
    assert mishaps.refused_in(Window(15, 25)) == (Window(15, 25),)
    assert mishaps.refused_in(Window(30, 40)) == ()

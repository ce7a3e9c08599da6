"""Ranges as people write them: days by name, so long before the end, and up to now."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.cli.options import RangeWords, SourceChoice, parse_day
from nxcdr_async.testing import Gateway

NOW = datetime(2026, 3, 1, 17, 30, 5, 999, tzinfo=UTC)
"""The second of March already, in Hong Kong."""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "last", "zone", "expected"),
    [
        ("yesterday", "today", None, "UTC", ("2026-02-28", "2026-03-01")),
        ("yesterday", "today", None, "Asia/Hong_Kong", ("2026-02-28T16:00", "2026-03-01T16:00")),
        ("Today", None, None, "UTC", ("2026-03-01", "2026-03-01T17:30:05")),
        (None, None, "90m", "UTC", ("2026-03-01T16:00:05", "2026-03-01T17:30:05")),
        (None, "2026-03-01", "7d", "UTC", ("2026-02-22", "2026-03-01")),
        ("2026-01-01", "now", None, "+08:00", ("2025-12-31T16:00", "2026-03-01T17:30:05")),
    ],
)
def test_ranges_of_moments(
    start: str | None, end: str | None, last: str | None, zone: str, expected: tuple[str, str]
) -> None:
    assert RangeWords(start, end, last, zone).moments(NOW) == tuple(map(utc, expected))


@pytest.mark.parametrize(
    ("start", "end", "last", "expected"),
    [
        ("yesterday", None, None, (date(2026, 3, 1), date(2026, 3, 2))),
        (None, None, "7d", (date(2026, 2, 24), date(2026, 3, 2))),
        (None, "2026-01-31", "24h", (date(2026, 1, 31), date(2026, 1, 31))),
    ],
)
def test_ranges_of_days_are_the_vendors(
    start: str | None, end: str | None, last: str | None, expected: tuple[date, date]
) -> None:
    assert RangeWords(start, end, last, "America/New_York").days(NOW) == expected


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.integers(1, 400))  # noqa: DTZ001 - made aware below
def test_the_last_days_end_today(moment: datetime, days: int) -> None:
    now = moment.replace(tzinfo=UTC)
    first, until = RangeWords(None, None, f"{days}d").days(now)
    assert (until - first).days + 1 == days
    assert until == parse_day("--end", "today", now)
    start, end = RangeWords(None, None, f"{days}d").moments(now)
    assert end - start == timedelta(days=days)


def test_did_is_asked_by_days_and_the_others_by_moments() -> None:
    words = RangeWords("2026-01-01", "2026-01-02", None)
    assert words.of(SourceChoice.DID) == (date(2026, 1, 1), date(2026, 1, 2))
    assert words.of(SourceChoice.FLASH) == (utc("2026-01-01"), utc("2026-01-02"))


def test_the_last_days_are_read_and_shown_in_a_zone(nxcdr: Any) -> None:
    today = datetime.now(UTC).date()
    with Gateway(calls=300, days=4, first_day=today - timedelta(days=4), did_calls=0, flash_calls=0) as recent:
        read = nxcdr("calls", "--last", "30d", NXCDR_GATEWAY=recent.url)
        words = ("backfill", "calls", "--last", "30d", "--to", "c.sqlite", "--tz", "Asia/Hong_Kong")
        stored = nxcdr(*words, NXCDR_GATEWAY=recent.url)
        synced = nxcdr("sync", "calls", "--to", "c.sqlite", "--tz", "+08:00", NXCDR_GATEWAY=recent.url)
        verified = nxcdr("verify", "--to", "c.sqlite", "--tz", "+08:00", NXCDR_GATEWAY=recent.url)
    assert len(read.records) == 300
    for ended in (stored, synced):
        told = dict(line.split(maxsplit=1) for line in ended.err.splitlines())
        assert ended.code == 0
        assert told["done"].count("+08:00") == 2
        assert told["complete"].endswith("+08:00")
    assert verified.code == 0


def test_a_plan_is_shown_in_a_zone(nxcdr: Any) -> None:
    ended = nxcdr("plan", "calls", "--start", "2026-01-01", "--end", "2026-01-02", "--tz", "Asia/Hong_Kong")
    assert "2026-01-01T00:00:00+08:00 to 2026-01-02T00:00:00+08:00" in ended.out

"""`nxcdr sync` in processes of its own."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from nxcdr_async.testing import Gateway


def ids(nxcdr: Any) -> list[str]:
    with closing(sqlite3.connect(nxcdr.folder / "c.sqlite")) as database:
        return [found for (found,) in database.execute("SELECT call_id FROM calls")]


def test_it_goes_on_to_the_present_and_finds_late_rows(nxcdr: Any) -> None:
    now = datetime.now(UTC)
    yesterday = int((now - timedelta(hours=5)).timestamp() * 1000)
    with Gateway(calls=300, days=2, first_day=(now - timedelta(days=2)).date()) as gateway:
        words = {"NXCDR_GATEWAY": gateway.url}
        start = (now - timedelta(days=2)).date().isoformat()
        end = (now - timedelta(hours=2)).isoformat()
        filled = nxcdr("backfill", "calls", "--start", start, "--end", end, "--to", "c.sqlite", **words)
        late = gateway.add_call(startTime=yesterday)
        ended = nxcdr("sync", "calls", "--to", "c.sqlite", "--report", "-", **words)
        known = gateway.call_ids(None, now)
    report = msgspec.json.decode(ended.out)
    assert (filled.code, ended.code) == (0, 0)
    assert late in ids(nxcdr)
    assert len(ids(nxcdr)) == len(set(ids(nxcdr)))
    assert set(known) <= set(ids(nxcdr))
    assert report["rows_new"] >= 1
    assert report["rows_held"] == len(ids(nxcdr))
    assert datetime.fromisoformat(report["end"]) >= now - timedelta(minutes=1)


@pytest.mark.first_of
@pytest.mark.parametrize(("settle", "is_open"), [("1h", False), ("2d", True), ("120m", False), ("48", True)])
def test_how_long_a_window_stays_open_is_for_the_user_to_say(nxcdr: Any, settle: str, is_open: bool) -> None:
    now = datetime.now(UTC)
    span = ("--start", (now - timedelta(hours=9)).isoformat(), "--end", (now - timedelta(hours=5)).isoformat())
    with Gateway(calls=10) as gateway:
        ended = nxcdr(
            *("backfill", "calls", *span, "--to", "c.sqlite", "--settle", settle, "--report", "-"),
            NXCDR_GATEWAY=gateway.url,
        )
    assert (msgspec.json.decode(ended.out)["windows_open"] > 0) is is_open


def test_a_store_that_was_never_begun_is_refused(nxcdr: Any) -> None:
    ended = nxcdr("sync", "calls", "--to", "c.sqlite")
    assert ended.code == 2
    assert ended.err.startswith("error: c.sqlite holds no calls yet: give the --to of an earlier backfill, or say")

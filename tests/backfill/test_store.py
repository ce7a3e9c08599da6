"""A table in a sink with its ledger, on a real file."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from all_sinks import opened
from table_rows import ALL_TIME

from nxcdr_async import CallRecord, ConfigurationError
from nxcdr_async.backfill.cutter import Cut
from nxcdr_async.backfill.ledger import Entry
from nxcdr_async.backfill.sinks.protocol import Origin, Sink
from nxcdr_async.backfill.store import Finding, Store, Taken
from nxcdr_async.backfill.times import moment_of
from nxcdr_async.export.columns import rows_of
from nxcdr_async.export.tables import CALLS, DID_CALLS, Table
from nxcdr_async.windows import Window

BEGIN = 1_767_225_600
HOUR = 3600
SETTLE = 24 * HOUR
ORIGIN = Origin("account", "UTC+08:00")
FIRST = Window(BEGIN, BEGIN + HOUR)
LATER = Window(BEGIN + HOUR, BEGIN + 2 * HOUR)


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    with opened(str(tmp_path / "calls.sqlite")) as fresh:
        yield fresh


def store_in(sink: Sink, table: Table = CALLS, origin: Origin = ORIGIN, *, new_key: bool = False) -> Store:
    store = Store(sink, table, SETTLE)
    store.begin(origin, new_key=new_key)
    return store


def call(number: int, **more: Any) -> CallRecord:
    at: datetime = moment_of(BEGIN + number)
    return CallRecord(call_id=f"{number}", start_time=at, **more)


def cut(window: Window, calls: list[CallRecord], table: Table = CALLS) -> Cut:
    return Cut(window, rows_of(table, calls))


def sealed(window: Window) -> Finding:
    return Finding(window.end + SETTLE)


def test_what_was_stored_is_known_to_the_next_run(sink: Sink) -> None:
    finding = Finding(BEGIN + 2 * HOUR, bad_rows=1, saturated=(BEGIN + 5,))
    store_in(sink).put(cut(FIRST, [call(1), call(2)]), finding)
    entry = Entry(FIRST, BEGIN + 2 * HOUR, rows=2, bad_rows=1, saturated=(BEGIN + 5,))
    assert store_in(sink).ledger.entries == (entry,)


def test_it_tells_what_became_of_the_records(sink: Sink) -> None:
    store = store_in(sink)
    assert store.put(cut(FIRST, [call(1), call(2), call(3)]), sealed(FIRST)) == Taken(3, 0, 0)
    again = [call(1), call(2, caller="5"), call(4)]
    assert store.put(cut(FIRST, again), sealed(FIRST)) == Taken(1, 1, 1)
    assert sink.scan(CALLS, ALL_TIME).num_rows == 4


def test_a_record_that_comes_again_in_the_next_window_is_stored_once(sink: Sink) -> None:
    store = store_in(sink)
    store.put(cut(FIRST, [call(HOUR - 1)]), sealed(FIRST))
    assert store.put(cut(LATER, [call(HOUR - 1)]), sealed(LATER)) == Taken(0, 0, 1)
    assert sink.scan(CALLS, ALL_TIME).num_rows == 1


def test_a_window_without_records_is_noted_too(sink: Sink) -> None:
    store = store_in(sink)
    assert store.put(cut(FIRST, []), sealed(FIRST)) == Taken(0, 0, 0)
    assert store_in(sink).ledger.entries == (Entry(FIRST, FIRST.end + SETTLE),)


def test_rows_that_were_left_out_are_noted(sink: Sink) -> None:
    store = store_in(sink)
    store.put(cut(FIRST, [call(1)]), Finding(0, bad_rows=2))
    assert store.ledger.entries == (Entry(FIRST, 0, rows=1, bad_rows=2),)


def test_another_account_is_refused_and_says_how_to_go_on(sink: Sink) -> None:
    store_in(sink).put(cut(FIRST, [call(1)]), sealed(FIRST))
    with pytest.raises(ConfigurationError, match=r"new_key=True"):
        store_in(sink, origin=Origin("another", ORIGIN.zone))


def test_another_key_of_the_account_is_taken_where_allowed_and_kept(sink: Sink) -> None:
    store_in(sink).put(cut(FIRST, [call(1)]), sealed(FIRST))
    renewed = Origin("another", ORIGIN.zone)
    assert len(store_in(sink, origin=renewed, new_key=True).ledger.entries) == 1
    assert len(store_in(sink, origin=renewed).ledger.entries) == 1
    with pytest.raises(ConfigurationError):
        store_in(sink)


def test_a_table_without_windows_takes_any_account(sink: Sink) -> None:
    store_in(sink)
    store_in(sink, origin=Origin("another", ORIGIN.zone))
    held = sink.look(CALLS)
    assert held is not None
    assert held.origin == Origin("another", ORIGIN.zone)


def test_days_of_another_zone_are_refused_even_with_a_new_key(sink: Sink) -> None:
    store_in(sink, DID_CALLS).put(cut(FIRST, [], DID_CALLS), sealed(FIRST))
    with pytest.raises(ConfigurationError, match="naive_zone"):
        store_in(sink, DID_CALLS, Origin(ORIGIN.account, "UTC"))
    with pytest.raises(ConfigurationError, match="naive_zone"):
        store_in(sink, DID_CALLS, Origin("another", "UTC"), new_key=True)


def test_calls_care_for_no_zone(sink: Sink) -> None:
    store_in(sink).put(cut(FIRST, []), sealed(FIRST))
    assert store_in(sink, origin=Origin(ORIGIN.account, "UTC")).ledger.entries

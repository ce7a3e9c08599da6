"""A table in a sink with its ledger, on a real file."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from attrs import define

from nxcdr_async import CallRecord, ConfigurationError, RecordError
from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import SinkError
from nxcdr_async.ingest.segmenter import Segment
from nxcdr_async.ingest.table_writer import AllowedChanges, ReadSummary, RowCounts, TableWriter
from nxcdr_async.records.arrow import CALLS, DID_CALLS, Table, rows_of
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.protocol import Origin, Sink, UnfitError
from nxcdr_async.windows import Window
from tests.ingest.told_sink import ToldSink
from tests.sinks.all_sinks import opened
from tests.sinks.table_rows import ALL_TIME

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


def store_in(sink: Sink, table: Table = CALLS, origin: Origin = ORIGIN, *, new_key: bool = False) -> TableWriter:
    store = TableWriter(sink, table, SETTLE)
    store.begin(origin, AllowedChanges(new_key))
    return store


def call(number: int, **more: Any) -> CallRecord:
    at: datetime = moment_at(BEGIN + number)
    return CallRecord(call_id=f"{number}", start_time=at, **more)


def cut(window: Window, calls: list[CallRecord], table: Table = CALLS) -> Segment:
    return Segment(window, rows_of(table, calls))


def sealed(window: Window) -> ReadSummary:
    return ReadSummary(window.end + SETTLE)


def test_what_was_stored_is_known_to_the_next_run(sink: Sink) -> None:
    finding = ReadSummary(BEGIN + 2 * HOUR, bad_rows=1, saturated=(BEGIN + 5,))
    store_in(sink).put(cut(FIRST, [call(1), call(2)]), finding)
    entry = LedgerEntry(FIRST, BEGIN + 2 * HOUR, rows=2, bad_rows=1, saturated=(BEGIN + 5,))
    assert store_in(sink).ledger.entries == (entry,)


def test_it_tells_what_became_of_the_records(sink: Sink) -> None:
    store = store_in(sink)
    assert store.put(cut(FIRST, [call(1), call(2), call(3)]), sealed(FIRST)) == RowCounts(3, 0, 0)
    again = [call(1), call(2, caller="5"), call(4)]
    assert store.put(cut(FIRST, again), sealed(FIRST)) == RowCounts(1, 1, 1)
    assert sink.scan(CALLS, ALL_TIME).num_rows == 4


def test_a_record_that_comes_again_in_the_next_window_is_stored_once(sink: Sink) -> None:
    store = store_in(sink)
    store.put(cut(FIRST, [call(HOUR - 1)]), sealed(FIRST))
    assert store.put(cut(LATER, [call(HOUR - 1)]), sealed(LATER)) == RowCounts(0, 0, 1)
    assert sink.scan(CALLS, ALL_TIME).num_rows == 1


def test_a_window_without_records_is_noted_too(sink: Sink) -> None:
    store = store_in(sink)
    assert store.put(cut(FIRST, []), sealed(FIRST)) == RowCounts(0, 0, 0)
    assert store_in(sink).ledger.entries == (LedgerEntry(FIRST, FIRST.end + SETTLE),)


def test_rows_that_were_left_out_are_noted(sink: Sink) -> None:
    store = store_in(sink)
    store.put(cut(FIRST, [call(1)]), ReadSummary(0, bad_rows=2))
    assert store.ledger.entries == (LedgerEntry(FIRST, 0, rows=1, bad_rows=2),)


def test_another_account_is_refused_and_says_how_to_go_on(sink: Sink) -> None:
    store_in(sink).put(cut(FIRST, [call(1)]), sealed(FIRST))
    with pytest.raises(ConfigurationError, match=r"new_key=True"):
        store_in(sink, origin=Origin("another", ORIGIN.zone))


def test_another_key_of_the_account_is_taken_where_allowed_and_kept(sink: Sink) -> None:
    store_in(sink).put(cut(FIRST, [call(1)]), sealed(FIRST))
    renewed = Origin("another", ORIGIN.zone)
    assert len(store_in(sink, origin=renewed, new_key=True).ledger.entries) == 1
    store_in(sink)  # nothing is kept before something is stored
    store_in(sink, origin=renewed, new_key=True).put(cut(LATER, []), sealed(LATER))
    assert len(store_in(sink, origin=renewed).ledger.entries) == 2
    with pytest.raises(ConfigurationError):
        store_in(sink)


def test_a_table_without_windows_takes_any_account(sink: Sink) -> None:
    store_in(sink).create()
    store_in(sink, origin=Origin("another", ORIGIN.zone)).create()
    held = sink.inspect(CALLS)
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


@define(eq=False)
class PickySink(ToldSink):
    """Cannot hold calls of some ids or callers, and breaks down at one of its writes if it is told to."""

    unfit: frozenset[str] = frozenset()
    breaks_at: int = 0
    writes: int = 0

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        self.writes += 1
        if self.writes == self.breaks_at:
            raise SinkError("the disk is full")
        if self.unfit.intersection(rows[table.key].to_pylist() + rows["caller"].to_pylist()):
            raise UnfitError("too large")
        super().write(table, rows, change)


def picky(sink: Sink, *unfit: str, breaks_at: int = 0, leaves_out: bool = True) -> TableWriter:
    wrapped = PickySink(sink, str, frozenset(unfit), breaks_at)
    store = TableWriter(wrapped, CALLS, SETTLE, leaves_out=leaves_out)
    store.begin(ORIGIN, AllowedChanges())
    return store


def stored_ids(sink: Sink) -> list[str]:
    return sorted(sink.scan(CALLS, ALL_TIME)["call_id"].to_pylist(), key=int)


CALLS_OF_FIRST = [call(number) for number in range(1, 10)]


def test_rows_that_cannot_be_held_are_left_out_counted_and_noted(sink: Sink) -> None:
    store = picky(sink, "3", "8")
    taken = store.put(cut(FIRST, CALLS_OF_FIRST), sealed(FIRST))
    assert taken == RowCounts(7, 0, 0, taken.left_out)
    assert [bad.record_id for bad in taken.left_out] == ["3", "8"]
    assert str(taken.left_out[0]) == "row '3': too large"
    assert stored_ids(sink) == ["1", "2", "4", "5", "6", "7", "9"]
    entry = LedgerEntry(FIRST, FIRST.end + SETTLE, rows=7, bad_rows=2)
    assert store.ledger.entries == store_in(sink).ledger.entries == (entry,)


def test_a_row_that_changed_and_cannot_be_held_any_more_stays_as_it_was(sink: Sink) -> None:
    picky(sink).put(cut(FIRST, CALLS_OF_FIRST), sealed(FIRST))
    changed = [call(1, caller="1"), call(2, caller="2"), call(10), call(11)]
    taken = picky(sink, "2", "11").put(cut(FIRST, changed), sealed(FIRST))
    assert (taken.new, taken.changed, taken.unchanged, len(taken.left_out)) == (1, 1, 0, 2)
    assert "2" in stored_ids(sink)


def test_bad_rows_that_are_known_are_not_counted_twice(sink: Sink) -> None:
    store = picky(sink, "3")
    for _ in range(2):
        store.put(cut(FIRST, CALLS_OF_FIRST), ReadSummary(FIRST.end + SETTLE, bad_rows=1, known_bad_rows=2))
    assert [entry.bad_rows for entry in store.ledger.entries] == [2]


def test_a_row_that_cannot_be_held_ends_it_after_those_before_it(sink: Sink) -> None:
    store = picky(sink, "4", leaves_out=False)
    with pytest.raises(RecordError, match="row '4': too large"):
        store.put(cut(FIRST, CALLS_OF_FIRST), sealed(FIRST))
    assert stored_ids(sink) == ["1", "2", "3"]
    (entry,) = store_in(sink).ledger.entries
    assert (entry.is_doubtful, entry.is_sealed(0), entry.has_gaps) == (True, False, True)
    assert store_in(sink).ledger.complete_until(0) is None


def leg(number: int, caller: str | None = None) -> CallRecord:
    return CallRecord(call_id="1", start_time=moment_at(BEGIN + number), caller=caller)


def stored_legs(sink: Sink) -> list[tuple[int, str | None]]:
    rows = sink.scan(CALLS, ALL_TIME).filter(pc.field("call_id") == "1").sort_by("start_time")
    seconds = [int(moment.timestamp()) - BEGIN for moment in rows["start_time"].to_pylist()]
    return list(zip(seconds, rows["caller"].to_pylist(), strict=True))


def test_of_rows_with_one_id_only_that_which_cannot_be_held_is_left_out(sink: Sink) -> None:
    legs = [leg(1), leg(100, "unfit"), leg(200)]
    taken = picky(sink, "unfit").put(cut(FIRST, [*legs, *CALLS_OF_FIRST[1:]]), sealed(FIRST))
    assert (taken.new, [bad.row["caller"] for bad in taken.left_out]) == (10, ["unfit"])
    assert stored_legs(sink) == [(1, None), (200, None)]


@pytest.mark.parametrize(
    ("came", "left_out", "stored"),
    [
        ([leg(1, "a"), leg(100, "unfit")], 2, [(1, None), (100, None)]),
        ([leg(1, "unfit"), leg(100, "unfit")], 2, [(1, None), (100, None)]),
        ([leg(1), leg(100), leg(200, "unfit"), leg(300)], 1, [(1, None), (100, None), (300, None)]),
        ([leg(1, "a"), leg(100), leg(200, "unfit"), leg(300, "unfit")], 2, [(1, "a"), (100, None)]),
        ([leg(1), leg(100), leg(200, "unfit"), leg(300, "unfit"), leg(400)], 2, [(1, None), (100, None), (400, None)]),
    ],
    ids=["changed", "all changed", "new", "changed and new", "several"],
)
def test_what_is_stored_under_an_id_is_never_lost_to_a_row_that_cannot_be_held(
    sink: Sink, came: list[CallRecord], left_out: int, stored: list[tuple[int, str | None]]
) -> None:
    store_in(sink).put(cut(FIRST, [leg(1), leg(100)]), sealed(FIRST))
    taken = picky(sink, "unfit").put(cut(FIRST, came), sealed(FIRST))
    assert len(taken.left_out) == left_out
    assert stored_legs(sink) == stored


@pytest.mark.parametrize("breaks_at", range(1, 12))
def test_a_window_without_such_rows_is_not_called_read_before_it_is(sink: Sink, breaks_at: int) -> None:
    store_in(sink).put(cut(FIRST, [call(20)]), ReadSummary(FIRST.end))
    store = picky(sink, "4", breaks_at=breaks_at)
    with suppress(SinkError):
        store.put(cut(FIRST, CALLS_OF_FIRST), sealed(FIRST))
    (entry,) = store_in(sink).ledger.entries
    assert store.ledger.entries == (entry,)
    is_whole = stored_ids(sink) == ["1", "2", "3", "5", "6", "7", "8", "9", "20"]
    assert entry.is_sealed(SETTLE) <= is_whole
    assert entry.bad_rows == 1 or entry.rows == 1

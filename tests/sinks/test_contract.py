"""What every sink promises to a backfill."""

import os
import random
import re
import resource
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings, strategies as st

from nxcdr_async import ConfigurationError, SinkError
from nxcdr_async.records.arrow import CALLS, DID_CALLS, FLASH_CALLS, Table
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.sinks.ledger import Ledger, LedgerChange, LedgerEntry
from nxcdr_async.sinks.merge import merge
from nxcdr_async.sinks.protocol import Origin, PushSink, Sink, TableState
from nxcdr_async.windows import Window
from tests.child_processes import environment_of_children, running_module
from tests.examples import examples
from tests.sinks.all_sinks import FOR_PUSHES, KINDS, ON_DISK, SUFFIXES, WITH_TYPES, Places, opened
from tests.sinks.endless_writer import ROWS_A_WINDOW
from tests.sinks.table_rows import ALL_TIME, plain_rows, row_values, rows, table_of, values_of

BEGIN = 1_767_225_600
HOUR = 3600
DAY = 24 * HOUR
ORIGIN = Origin("account", "UTC+08:00")
TABLES = [CALLS, DID_CALLS, FLASH_CALLS]

of_every_kind = pytest.mark.parametrize("kind", KINDS)
of_every_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
# Each example makes a place of its own.
some_examples = settings(examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])


def hour(number: int) -> Window:
    return Window(BEGIN + number * HOUR, BEGIN + (number + 1) * HOUR)


def change(
    number: int = 0, *, replaced: tuple[LedgerEntry, ...] = (), complete_until: int | None = None
) -> LedgerChange:
    return LedgerChange(LedgerEntry(hour(number), BEGIN + DAY, rows=1), replaced, complete_until)


def entries_of(sink: Sink, table: Table) -> list[LedgerEntry]:
    held = sink.inspect(table)
    assert held is not None
    return sorted(held.entries, key=lambda entry: entry.window)


@pytest.fixture
def sink(places: Places, kind: str) -> Iterator[Sink]:
    with opened(places.fresh(kind)) as fresh:
        yield fresh


@pytest.mark.first_of("kind", "table")
@of_every_table
@of_every_kind
@some_examples
@given(data=st.data())
def test_rows_come_back_as_they_were(places: Places, kind: str, table: Table, data: st.DataObject) -> None:
    written = data.draw(rows(table))
    with opened(places.fresh(kind)) as sink:
        sink.create(table, ORIGIN)
        sink.write(table, written, change())
        found = sink.scan(table, ALL_TIME)
        assert found.schema == table.schema
        assert values_of(found) == values_of(written)


@pytest.mark.first_of("kind", "table")
@of_every_table
@of_every_kind
@some_examples
@given(data=st.data())
def test_rows_are_found_by_their_keys_alone(places: Places, kind: str, table: Table, data: st.DataObject) -> None:
    written = data.draw(rows(table, min_size=1))
    asked = written.slice(0, data.draw(st.integers(0, written.num_rows)))
    with opened(places.fresh(kind)) as sink:
        sink.create(table, ORIGIN)
        sink.write(table, written, change())
        # What is asked for has the key and about the time, and may be another row else.
        bare = [{name: row[name] for name in (table.key, table.time)} for row in asked.to_pylist()]
        found = sink.find(table, table_of(table, bare))
        assert found.schema == table.schema
        assert values_of(found) == values_of(asked)


@of_every_kind
@some_examples
@given(data=st.data())
def test_a_row_stands_in_place_of_the_one_with_its_key(places: Places, kind: str, data: st.DataObject) -> None:
    written = data.draw(rows(CALLS, min_size=1))
    again = [
        {**data.draw(row_values(CALLS)), "call_id": row["call_id"], "start_time": row["start_time"]}
        for row in written.to_pylist()[:2]
    ]
    with opened(places.fresh(kind)) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, written, change())
        sink.write(CALLS, table_of(CALLS, again), change(1))
        kept = written.slice(len(again))
        assert values_of(sink.scan(CALLS, ALL_TIME)) == values_of(pa.concat_tables([table_of(CALLS, again), kept]))


def legs(*minutes: float, other: str = "leg", call_id: str = "a") -> pa.Table:
    """Return rows that share a call id and start so many minutes after the beginning."""
    starts = [datetime.fromtimestamp(BEGIN, UTC) + timedelta(minutes=minute) for minute in minutes]
    return table_of(CALLS, [{"call_id": call_id, "start_time": start, "other": other} for start in starts])


@of_every_kind
def test_rows_that_share_a_call_id_are_stored_and_found_each(sink: Sink) -> None:
    sink.create(CALLS, ORIGIN)
    written = pa.concat_tables([legs(0, 0, 0.5), legs(0.5, call_id="b")])
    sink.write(CALLS, written, change())
    assert values_of(sink.scan(CALLS, ALL_TIME)) == values_of(written)
    assert values_of(sink.find(CALLS, legs(0.2))) == values_of(legs(0, 0, 0.5))


@of_every_kind
def test_rows_stand_in_place_of_all_that_were_found_under_their_call_id(sink: Sink) -> None:
    sink.create(CALLS, ORIGIN)
    sink.write(CALLS, pa.concat_tables([legs(0, 0.5), legs(0, call_id="b")]), change())
    sink.find(CALLS, legs(0.1))
    now = legs(0.1, 0.5, 0.9, other="now")
    sink.write(CALLS, now, LedgerChange(evolve(change().entry, rows=9), (change().entry,), None))
    assert values_of(sink.scan(CALLS, ALL_TIME)) == values_of(pa.concat_tables([now, legs(0, call_id="b")]))


def put(sink: Sink, written: pa.Table, changed: LedgerChange) -> None:
    """Write what a run writes of rows that it read."""
    sink.write(CALLS, merge(CALLS, sink.find(CALLS, written), written, changed.entry.window).rows, changed)


@of_every_kind
def test_legs_in_several_windows_stay_where_they_are(sink: Sink) -> None:
    sink.create(CALLS, ORIGIN)
    put(sink, legs(1, 59.75), change())
    put(sink, legs(60.25, 69), change(1))
    again = LedgerChange(evolve(change(1).entry, rows=9), (change(1).entry,), None)
    put(sink, legs(60.125, 69, other="now"), again)
    expected = pa.concat_tables([legs(1, 59.75), legs(60.125, 69, other="now")])
    assert values_of(sink.scan(CALLS, ALL_TIME)) == values_of(expected)


@of_every_kind
def test_a_row_that_was_not_looked_for_is_never_taken_away(sink: Sink) -> None:
    sink.create(CALLS, ORIGIN)
    far = legs(-300, 300)
    sink.write(CALLS, legs(0), change())
    sink.write(CALLS, far, change(1))
    found = sink.find(CALLS, legs(0))
    now = pa.concat_tables([found, legs(200)])
    sink.write(CALLS, now, LedgerChange(evolve(change().entry, rows=9), (change().entry,), None))
    stored = values_of(sink.scan(CALLS, ALL_TIME))
    # Sinks that look near a time only have not found the others, which stay.
    unfound = [row for row in values_of(far) if row not in values_of(found)]
    assert stored == values_of(pa.concat_tables([now, table_of(CALLS, unfound)]))


@of_every_kind
def test_a_row_stands_in_place_of_one_of_about_its_time(sink: Sink) -> None:
    sink.create(CALLS, ORIGIN)
    sink.write(CALLS, plain_rows(CALLS, BEGIN, 1), change())
    later = table_of(CALLS, [{"call_id": f"{BEGIN}", "start_time": datetime.fromtimestamp(BEGIN + 1, UTC)}])
    again = LedgerChange(LedgerEntry(hour(0), BEGIN + 2 * DAY), (change().entry,), None)
    sink.write(CALLS, later, again)
    assert values_of(sink.scan(CALLS, ALL_TIME)) == values_of(later)


@pytest.mark.first_of("kind", "is_new_run")
@of_every_kind
@pytest.mark.parametrize("is_new_run", [False, True], ids=["in the same run", "in a later run"])
def test_a_row_whose_time_moves_over_the_edge_of_its_window_is_still_one(
    places: Places, kind: str, is_new_run: bool
) -> None:
    to, key = places.fresh(kind), "moved"
    before, after = (
        table_of(CALLS, [{"call_id": key, "start_time": datetime.fromtimestamp(hour(1).start + off, UTC)}])
        for off in (-5, 5)
    )
    with opened(to) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, before, change(0))
        if is_new_run:
            sink.close()
            sink.open()
        assert sink.find(CALLS, after)["call_id"].to_pylist() == [key]
        sink.write(CALLS, after, change(1))
        assert values_of(sink.scan(CALLS, ALL_TIME)) == values_of(after)


@of_every_kind
def test_rows_without_a_key_are_added(sink: Sink) -> None:
    sink.create(DID_CALLS, ORIGIN)
    keyless = table_of(DID_CALLS, [{"start_time": datetime.fromtimestamp(BEGIN, UTC), "number": "1"}] * 2)
    sink.write(DID_CALLS, keyless, change())
    sink.write(DID_CALLS, keyless, change(1))
    assert values_of(sink.scan(DID_CALLS, ALL_TIME)) == values_of(pa.concat_tables([keyless] * 2))


@of_every_kind
def test_rows_without_a_key_are_found_by_their_times(sink: Sink) -> None:
    sink.create(DID_CALLS, ORIGIN)
    moment = datetime.fromtimestamp(BEGIN, UTC) + timedelta(microseconds=1)
    same_time = [{"start_time": moment, "number": "1"}, {"start_time": moment, "number": "2"}]
    other_time = {"start_time": moment + timedelta(microseconds=1), "number": "1"}
    with_key = {"id": 1, "start_time": moment, "number": "1"}
    sink.write(DID_CALLS, table_of(DID_CALLS, [*same_time, other_time, with_key]), change())
    found = sink.find(DID_CALLS, table_of(DID_CALLS, [{"start_time": moment, "number": "3"}]))
    assert values_of(found) == values_of(table_of(DID_CALLS, same_time))


@pytest.mark.first_of
@of_every_kind
def test_thousands_of_rows_are_stored_and_found_at_once(sink: Sink) -> None:
    sink.create(CALLS, ORIGIN)
    many = plain_rows(CALLS, BEGIN, 12_000)
    sink.write(CALLS, many, change())
    assert values_of(sink.find(CALLS, many)) == values_of(many)


@pytest.mark.first_of("kind", "table")
@of_every_table
@of_every_kind
def test_a_table_without_rows_has_its_columns(sink: Sink, table: Table) -> None:
    sink.create(table, ORIGIN)
    assert sink.scan(table, ALL_TIME) == table.empty()
    assert sink.find(table, plain_rows(table, BEGIN, 1)) == table.empty()
    assert sink.find(table, table.empty()) == table.empty()


@of_every_kind
def test_a_window_has_its_first_moment_and_not_its_last(sink: Sink) -> None:
    sink.create(CALLS, ORIGIN)
    start, end = (datetime.fromtimestamp(moment, UTC) for moment in (BEGIN, BEGIN + HOUR))
    one = timedelta(microseconds=1)
    moments = {"before": start - one, "first": start, "inside": start + one, "last": end - one, "after": end}
    written = table_of(CALLS, [{"call_id": name, "start_time": moment} for name, moment in moments.items()])
    sink.write(CALLS, written, change())
    assert set(sink.scan(CALLS, hour(0))["call_id"].to_pylist()) == {"first", "inside", "last"}


@of_every_kind
def test_nothing_is_known_of_a_table_that_is_not_there(sink: Sink) -> None:
    assert sink.inspect(CALLS) is None


@of_every_kind
def test_a_new_table_holds_nothing_and_knows_where_its_rows_are_from(sink: Sink) -> None:
    sink.create(CALLS, ORIGIN)
    assert sink.inspect(CALLS) == TableState(ORIGIN, [], is_empty=True)


@of_every_kind
def test_creating_a_table_again_does_no_harm(sink: Sink) -> None:
    sink.create(CALLS, ORIGIN)
    written = plain_rows(CALLS, BEGIN, 2)
    sink.write(CALLS, written, change())
    sink.create(CALLS, ORIGIN)
    assert sink.inspect(CALLS) == TableState(ORIGIN, [change().entry])
    assert values_of(sink.scan(CALLS, ALL_TIME)) == values_of(written)


@of_every_kind
def test_a_table_can_be_given_another_origin(places: Places, kind: str) -> None:
    to, other = places.fresh(kind), Origin("another account", "America/Santiago")
    with opened(to) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, plain_rows(CALLS, BEGIN, 2), change())
        sink.create(CALLS, other)
    with opened(to) as sink:
        assert sink.inspect(CALLS) == TableState(other, [change().entry])


@of_every_kind
def test_all_that_is_noted_of_a_window_is_kept(places: Places, kind: str) -> None:
    to = places.fresh(kind)
    noted = [
        LedgerEntry(hour(0), read_at=BEGIN + DAY),
        LedgerEntry(hour(1), read_at=BEGIN + DAY, rows=7, bad_rows=2, saturated=(BEGIN + HOUR, BEGIN + HOUR + 9)),
    ]
    with opened(to) as sink:
        sink.create(CALLS, ORIGIN)
        for entry in noted:
            sink.write(CALLS, CALLS.empty(), LedgerChange(entry, (), None))
    with opened(to) as sink:
        assert entries_of(sink, CALLS) == noted


@of_every_kind
def test_an_entry_stands_in_place_of_the_one_with_its_window(sink: Sink) -> None:
    sink.create(CALLS, ORIGIN)
    sink.write(CALLS, plain_rows(CALLS, BEGIN, 2), change())
    again = LedgerEntry(hour(0), BEGIN + 2 * DAY, rows=3)
    sink.write(CALLS, CALLS.empty(), LedgerChange(again, (change().entry,), None))
    assert entries_of(sink, CALLS) == [again]


@of_every_kind
def test_an_entry_stands_in_place_of_several_with_their_rows_kept(places: Places, kind: str) -> None:
    to = places.fresh(kind)
    wide = LedgerEntry(Window(BEGIN, BEGIN + 3 * HOUR), BEGIN + 2 * DAY, rows=1)
    written = [plain_rows(CALLS, hour(number).start, 2) for number in range(3)]
    with opened(to) as sink:
        sink.create(CALLS, ORIGIN)
        for number, some in enumerate(written):
            sink.write(CALLS, some, change(number))
        replaced = tuple(change(number).entry for number in range(3))
        sink.write(CALLS, CALLS.empty(), LedgerChange(wide, replaced, None))
    with opened(to) as sink:
        assert entries_of(sink, CALLS) == [wide]
        assert values_of(sink.scan(CALLS, ALL_TIME)) == values_of(pa.concat_tables(written))


@of_every_kind
@some_examples
@given(windows=st.lists(st.tuples(st.integers(0, 8), st.integers(1, 4)), min_size=1, max_size=8))
def test_a_ledger_is_the_same_after_whatever_was_recorded(
    places: Places, kind: str, windows: list[tuple[int, int]]
) -> None:
    to, ledger = places.fresh(kind), Ledger([])
    with opened(to) as sink:
        sink.create(CALLS, ORIGIN)
        for read_at, (start, hours) in enumerate(windows):
            wide = Window(hour(start).start, hour(start + hours).start)
            held = ledger.within(wide)
            # As a run does: it never records a window that ends inside another one.
            whole = Window(
                min([wide.start, *(entry.window.start for entry in held)]),
                max([wide.end, *(entry.window.end for entry in held)]),
            )
            sink.write(CALLS, CALLS.empty(), ledger.record(LedgerEntry(whole, read_at), settle=0))
    with opened(to) as sink:
        assert entries_of(sink, CALLS) == list(ledger.entries)


@of_every_kind
def test_the_tables_of_a_sink_know_nothing_of_each_other(sink: Sink) -> None:
    for place, table in enumerate(TABLES):
        sink.create(table, evolve(ORIGIN, account=f"account {place}"))
    for place, table in enumerate(TABLES):
        sink.write(table, plain_rows(table, BEGIN, place + 1), change(place))
    for place, table in enumerate(TABLES):
        assert sink.inspect(table) == TableState(Origin(f"account {place}", ORIGIN.zone), [change(place).entry])
        assert sink.scan(table, ALL_TIME).num_rows == place + 1


def check_refused(to: str, other: pa.Schema) -> None:
    table = evolve(CALLS, schema=other)
    with opened(to) as sink:
        sink.create(table, ORIGIN)
        sink.write(table, plain_rows(table, BEGIN, 1), change())
    with opened(to) as sink, pytest.raises(ConfigurationError, match="calls"):
        sink.inspect(CALLS)


@pytest.mark.first_of("kind", "other")
@of_every_kind
@pytest.mark.parametrize(
    "other",
    [CALLS.schema.remove(3), CALLS.schema.append(pa.field("further", pa.string()))],
    ids=["one less", "one more"],
)
def test_a_table_with_other_columns_is_refused(places: Places, kind: str, other: pa.Schema) -> None:
    check_refused(places.fresh(kind), other)


@pytest.mark.parametrize("kind", WITH_TYPES)
def test_a_table_with_a_column_of_another_type_is_refused(places: Places, kind: str) -> None:
    place = CALLS.schema.get_field_index("caller")
    check_refused(places.fresh(kind), CALLS.schema.set(place, pa.field("caller", pa.int64())))


@pytest.mark.first_of
@of_every_kind
def test_a_second_run_is_refused_and_the_first_goes_on(places: Places, kind: str) -> None:
    to = places.fresh(kind)
    with opened(to) as first:
        first.create(CALLS, ORIGIN)
        second = sink_for(to)
        with pytest.raises(ConfigurationError, match="another run"):
            second.open()
        second.close()
        with pytest.raises(ConfigurationError, match="another run"):
            sink_for(to).open()
        first.write(CALLS, plain_rows(CALLS, BEGIN, 1), change())
        assert entries_of(first, CALLS) == [change().entry]


@pytest.mark.first_of
@pytest.mark.parametrize("kind", ON_DISK)
def test_a_second_run_by_way_of_a_link_is_refused(places: Places, kind: str) -> None:
    to = Path(places.fresh(kind))
    with opened(str(to)) as first:
        first.create(CALLS, ORIGIN)
        link = Path(places.fresh(kind))
        link.symlink_to(to)
        second = sink_for(link)
        with pytest.raises(ConfigurationError, match="another run"):
            second.open()
        second.close()


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
def test_a_file_made_through_a_link_is_private(places: Places, kind: str) -> None:
    to, link = Path(places.fresh(kind)), Path(places.fresh(kind))
    link.symlink_to(to)
    before = os.umask(0o022)
    try:
        with opened(str(link)) as sink:
            sink.create(CALLS, ORIGIN)
    finally:
        os.umask(before)
    assert stat.S_IMODE(to.stat().st_mode) == 0o600


@pytest.mark.first_of("kind", "is_replaced")
@pytest.mark.parametrize("kind", ON_DISK)
@pytest.mark.parametrize("is_replaced", [False, True], ids=["removed", "replaced"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets nobody remove a file that is open")
def test_a_place_that_is_taken_away_in_a_run_is_told_at_once(places: Places, kind: str, is_replaced: bool) -> None:
    to = Path(places.fresh(kind))
    with opened(str(to)) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, plain_rows(CALLS, BEGIN, 3), change())
        to.rename(to.with_name("away"))
        if is_replaced and not to.with_name("away").is_dir():
            to.write_bytes(b"something else")
        with pytest.raises(SinkError, match=re.escape(str(to))):
            sink.write(CALLS, plain_rows(CALLS, hour(1).start, 3, "b"), change(1))


@of_every_kind
def test_what_was_let_go_of_can_be_taken_hold_of_again(places: Places, kind: str) -> None:
    sink = sink_for(places.fresh(kind))
    for number in range(3):
        sink.open()
        if sink.inspect(CALLS) is None:
            sink.create(CALLS, ORIGIN)
        sink.write(CALLS, plain_rows(CALLS, hour(number).start, 1), change(number))
        assert sink.scan(CALLS, ALL_TIME).num_rows == number + 1
        sink.close()


@of_every_kind
def test_closing_twice_and_unopened_does_no_harm(places: Places, kind: str) -> None:
    to = places.fresh(kind)
    sink = sink_for(to)
    sink.close()
    sink.open()
    sink.close()
    sink.close()
    with opened(to):
        pass


@pytest.mark.first_of
@of_every_kind
@pytest.mark.parametrize("windows_before", [0, 1, 4])
def test_a_window_is_stored_whole_or_not_at_all_however_a_run_ends(
    places: Places, kind: str, windows_before: int
) -> None:
    to = places.fresh(kind)
    child = subprocess.Popen(
        running_module("tests.sinks.endless_writer", to),
        stdout=subprocess.PIPE,
        text=True,
        env=environment_of_children(),
    )
    try:
        assert child.stdout is not None
        stored = [child.stdout.readline() for _ in range(windows_before + 1)]
        assert all(stored), "it ended before it was killed"
        # Into the middle of what it writes next, wherever that is by now.
        time.sleep(random.uniform(0, 0.05))
    finally:
        child.kill()
        child.communicate()
    with opened(to) as sink:
        entries = entries_of(sink, CALLS)
        assert len(entries) >= windows_before
        for number, entry in enumerate(entries):
            assert entry.window == hour(number)
            assert sink.scan(CALLS, entry.window).num_rows == entry.rows == ROWS_A_WINDOW
        assert sink.scan(CALLS, ALL_TIME).num_rows == len(entries) * ROWS_A_WINDOW


@pytest.mark.parametrize("kind", ON_DISK)
def test_a_window_that_the_disk_has_no_room_for_is_told_and_leaves_nothing(places: Places, kind: str) -> None:
    to = places.fresh(kind)
    with opened(to) as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, plain_rows(CALLS, BEGIN, 10), change())
        with file_size_limit(200_000), pytest.raises(SinkError):
            sink.write(CALLS, incompressible_rows(2_000), change(1))
    with opened(to) as sink:
        assert entries_of(sink, CALLS) == [change().entry]
        assert sink.scan(CALLS, ALL_TIME).num_rows == 10
        sink.write(CALLS, incompressible_rows(2_000), change(1))
        assert sink.scan(CALLS, ALL_TIME).num_rows == 2_010


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Have this process write no file beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def incompressible_rows(number: int) -> pa.Table:
    chance = random.Random(number)
    found = plain_rows(CALLS, hour(1).start, number)
    texts = pa.array([chance.randbytes(300).hex() for _ in range(number)])
    return found.set_column(found.schema.get_field_index("other"), CALLS.schema.field("other"), texts)


@pytest.mark.parametrize("kind", FOR_PUSHES)
@some_examples
@given(data=st.data())
def test_rows_of_no_window_stand_in_place_of_those_with_their_keys(
    places: Places, kind: str, data: st.DataObject
) -> None:
    written = data.draw(rows(CALLS, min_size=1))
    further = data.draw(row_values(CALLS).filter(lambda row: row["call_id"] not in written["call_id"].to_pylist()))
    (first, *_) = written.to_pylist()
    again = {**data.draw(row_values(CALLS)), "call_id": first["call_id"], "start_time": first["start_time"]}
    with opened(places.fresh(kind)) as sink:
        assert isinstance(sink, PushSink)
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, written, change())
        sink.add(CALLS, table_of(CALLS, [again, further]))
        expected = pa.concat_tables([table_of(CALLS, [again, further]), written.slice(1)])
        assert values_of(sink.scan(CALLS, ALL_TIME)) == values_of(expected)


@pytest.mark.parametrize("kind", FOR_PUSHES)
def test_rows_of_no_window_leave_the_ledger_as_it_is(places: Places, kind: str) -> None:
    to = places.fresh(kind)
    with opened(to) as sink:
        assert isinstance(sink, PushSink)
        sink.create(CALLS, ORIGIN)
        sink.add(CALLS, plain_rows(CALLS, BEGIN, 2))
        assert sink.inspect(CALLS) == TableState(ORIGIN, [])
        sink.write(CALLS, plain_rows(CALLS, BEGIN, 1), change())
        sink.add(CALLS, plain_rows(CALLS, hour(5).start, 3))
    with opened(to) as sink:
        assert sink.inspect(CALLS) == TableState(ORIGIN, [change().entry])
        assert sink.scan(CALLS, ALL_TIME).num_rows == 5


@pytest.mark.parametrize("kind", [kind for kind in FOR_PUSHES if kind in ON_DISK])
def test_rows_of_no_window_that_the_disk_has_no_room_for_leave_nothing(places: Places, kind: str) -> None:
    to = places.fresh(kind)
    with opened(to) as sink:
        assert isinstance(sink, PushSink)
        sink.create(CALLS, ORIGIN)
        sink.add(CALLS, plain_rows(CALLS, BEGIN, 10))
        with file_size_limit(200_000), pytest.raises(SinkError):
            sink.add(CALLS, incompressible_rows(2_000))
    with opened(to) as sink:
        assert sink.scan(CALLS, ALL_TIME).num_rows == 10


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in FOR_PUSHES])
def test_a_folder_takes_no_rows_of_no_window(places: Places, kind: str) -> None:
    assert not isinstance(sink_for(places.fresh(kind)), PushSink)


@pytest.mark.first_of
@of_every_kind
def test_a_run_that_is_let_go_of_in_a_moment_is_waited_for(places: Places, kind: str) -> None:
    to = places.fresh(kind)
    with opened(to):
        pass
    first = sink_for(to)
    first.open()
    timer, began = threading.Timer(0.3, first.close), time.monotonic()
    timer.start()
    with opened(to):
        assert time.monotonic() - began >= 0.3
    timer.join()


@pytest.mark.parametrize("kind", ON_DISK)
def test_files_are_for_their_owner_only(places: Places, kind: str) -> None:
    before = os.umask(0)
    try:
        to = Path(places.fresh(kind))
        with opened(str(to)) as sink:
            sink.create(CALLS, ORIGIN)
            sink.write(CALLS, plain_rows(CALLS, BEGIN, 3), change())
            while_open = rights_below(to.parent)
        assert while_open <= {"file 600", "folder 700"}
        assert rights_below(to.parent) <= {"file 600", "folder 700"}
    finally:
        os.umask(before)


def rights_below(folder: Path) -> set[str]:
    found = {path: path.stat().st_mode for path in folder.rglob("*")}
    assert found
    return {f"{'folder' if path.is_dir() else 'file'} {mode & 0o777:o}" for path, mode in found.items()}


@pytest.mark.parametrize("kind", ON_DISK)
@pytest.mark.parametrize("name", ["a b", 'it\'s "quoted"', "%s {x} $1", "牛小信", "-", "a\nb"])
def test_a_sink_is_where_its_name_says_and_nowhere_else(
    places: Places, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, suffix = Path(places.fresh(kind)).parent, SUFFIXES[kind]
    monkeypatch.chdir(folder)
    with opened(f"./{name}{suffix}") as sink:
        sink.create(CALLS, ORIGIN)
        sink.write(CALLS, plain_rows(CALLS, BEGIN, 3), change())
    visible = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert visible - {f"{name}{suffix}{more}" for more in (".wal", "-wal", "-shm")} == {f"{name}{suffix}"}
    with opened(f"./{name}{suffix}") as sink:
        assert entries_of(sink, CALLS) == [change().entry]


@pytest.mark.parametrize("kind", ON_DISK)
@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "\udc80"])
def test_a_path_that_cannot_be_is_refused(places: Places, kind: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match="nothing can be stored at"):
        sink_for(Path(places.fresh(kind)).with_name(f"{name}{SUFFIXES[kind]}"))


@pytest.mark.parametrize("kind", ON_DISK)
def test_a_name_in_another_encoding_is_told_as_that(places: Places, kind: str) -> None:
    with pytest.raises(ConfigurationError, match=r"caf\\xe9.*not in UTF-8"):
        sink_for(Path(places.fresh(kind)).with_name(f"caf\udce9{SUFFIXES[kind]}"))


@pytest.mark.parametrize("kind", ON_DISK)
def test_a_link_to_itself_is_refused(places: Places, kind: str) -> None:
    link = Path(places.fresh(kind))
    link.symlink_to(link)
    with pytest.raises((ConfigurationError, SinkError), match=re.escape(str(link))):
        sink_for(link).open()


@pytest.mark.parametrize("to", ["postgresql:/keeper:secret@host", "keeper:secret@host"])
def test_a_password_in_a_misspelt_address_is_not_repeated(to: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        sink_for(to)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("kind", ON_DISK)
def test_a_sink_on_disk_is_called_by_its_path(places: Places, kind: str) -> None:
    to = places.fresh(kind)
    assert sink_for(to).name == to

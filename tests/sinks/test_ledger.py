"""What was read, what is missing, and up to where all is sealed."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.ingest.ranges import ReadRange, read_ranges_of
from nxcdr_async.sinks.ledger import Ledger, LedgerEntry
from nxcdr_async.windows import Window

LAST = 60
SETTLE = 10


def window_from(bounds: tuple[int, int]) -> Window:
    return Window(bounds[0], bounds[0] + bounds[1])


windows = st.tuples(st.integers(0, LAST - 10), st.integers(1, 10)).map(window_from)
entries = st.builds(LedgerEntry, window=windows, read_at=st.integers(0, 2 * LAST))


def ledger_of(recorded: Iterable[LedgerEntry]) -> Ledger:
    ledger = Ledger([])
    for entry in recorded:
        ledger.record(entry, SETTLE)
    return ledger


def seconds_of(found: Iterable[Window]) -> list[int]:
    return [second for window in found for second in range(window.start, window.end)]


def read_seconds(recorded: Iterable[LedgerEntry]) -> dict[int, LedgerEntry]:
    """Model a ledger as the entry that holds each second, the slow way."""
    held: dict[int, LedgerEntry] = {}
    for entry in recorded:
        replaced = {held[second] for second in seconds_of([entry.window]) if second in held}
        held = {second: other for second, other in held.items() if other not in replaced}
        held.update(dict.fromkeys(seconds_of([entry.window]), entry))
    return held


@given(st.lists(entries, max_size=20))
def test_no_two_windows_ever_overlap_and_they_are_in_order(recorded: list[LedgerEntry]) -> None:
    kept = seconds_of(entry.window for entry in ledger_of(recorded).entries)
    assert kept == sorted(set(kept))


@given(st.lists(entries, max_size=20))
def test_a_ledger_holds_what_the_slow_model_holds(recorded: list[LedgerEntry]) -> None:
    ledger, held = ledger_of(recorded), read_seconds(recorded)
    assert {second: entry for entry in ledger.entries for second in seconds_of([entry.window])} == held
    assert ledger.start == min(held, default=None)


@given(st.lists(entries, max_size=20), windows)
def test_every_second_of_a_window_was_read_or_is_missing(recorded: list[LedgerEntry], asked: Window) -> None:
    ledger = ledger_of(recorded)
    missing, within = ledger.missing(asked), ledger.within(asked)
    read = set(seconds_of(entry.window for entry in within)) & set(seconds_of([asked]))
    assert not read & set(seconds_of(missing))
    assert read | set(seconds_of(missing)) == set(seconds_of([asked]))
    assert all(set(seconds_of([entry.window])) & set(seconds_of([asked])) for entry in within)
    assert seconds_of(missing) == sorted(set(seconds_of(missing)))


@given(st.lists(entries, max_size=20))
def test_a_ledger_is_complete_up_to_the_first_second_not_sealed(recorded: list[LedgerEntry]) -> None:
    ledger, held = ledger_of(recorded), read_seconds(recorded)
    reached = min(held, default=None)
    while reached in held and held[reached].read_at >= held[reached].window.end + SETTLE:
        reached = held[reached].window.end
    assert ledger.complete_until(SETTLE) == (None if reached == min(held, default=None) else reached)


@given(st.lists(entries, max_size=10), entries)
def test_a_change_tells_what_it_replaces_and_up_to_where_all_is_complete(
    recorded: list[LedgerEntry], entry: LedgerEntry
) -> None:
    ledger = ledger_of(recorded)
    overlapping = [old for old in ledger.entries if set(seconds_of([old.window])) & set(seconds_of([entry.window]))]
    change = ledger.record(entry, SETTLE)
    assert change.entry == entry
    assert list(change.replaced) == overlapping
    assert change.complete_until == ledger.complete_until(SETTLE)


@given(st.lists(entries, max_size=20))
def test_a_ledger_is_the_same_whatever_order_a_sink_gives_its_entries_in(recorded: list[LedgerEntry]) -> None:
    ledger = ledger_of(recorded)
    assert Ledger(list(reversed(ledger.entries))).entries == ledger.entries


@pytest.mark.parametrize(("read_at", "is_sealed"), [(109, False), (110, True)])
def test_a_window_is_sealed_once_read_so_long_after_its_end(read_at: int, is_sealed: bool) -> None:
    assert LedgerEntry(Window(50, 100), read_at).is_sealed(settle=10) is is_sealed


@pytest.mark.parametrize(
    ("entry", "has_gaps"),
    [
        (LedgerEntry(Window(0, 1), 0, rows=5), False),
        (LedgerEntry(Window(0, 1), 0, bad_rows=1), True),
        (LedgerEntry(Window(0, 1), 0, saturated=(0,)), True),
    ],
)
def test_bad_rows_and_saturated_seconds_are_gaps(entry: LedgerEntry, has_gaps: bool) -> None:
    assert entry.has_gaps is has_gaps


@st.composite
def tilings(draw: st.DrawFn) -> tuple[list[Window], list[LedgerEntry]]:
    """Cut a range into parts, some of them never read, some to be read again, some to be left alone."""
    edges = sorted(draw(st.sets(st.integers(0, LAST), min_size=2, max_size=15)))
    missing, again = [], []
    for start, end in pairwise(edges):
        match draw(st.sampled_from(["missing", "again", "neither"])):
            case "missing":
                missing.append(Window(start, end))
            case "again":
                again.append(LedgerEntry(Window(start, end), 0))
    return missing, again


@given(tilings())
def test_readings_cover_just_what_is_missing_or_to_be_read_again(
    tiling: tuple[list[Window], list[LedgerEntry]],
) -> None:
    missing, again = tiling
    readings = read_ranges_of(missing, again)
    wanted = seconds_of([*missing, *(entry.window for entry in again)])
    assert seconds_of(reading.window for reading in readings) == sorted(wanted)


@given(tilings())
def test_readings_are_as_few_as_can_be(tiling: tuple[list[Window], list[LedgerEntry]]) -> None:
    readings = read_ranges_of(*tiling)
    ends = {reading.window.end for reading in readings}
    assert not ends & {reading.window.start for reading in readings}


@given(tilings())
def test_a_reading_knows_the_windows_it_reads_again(tiling: tuple[list[Window], list[LedgerEntry]]) -> None:
    missing, again = tiling
    rigid = [window for reading in read_ranges_of(missing, again) for window in reading.rigid]
    assert rigid == sorted(entry.window for entry in again)


@given(tilings(), st.integers(0, LAST))
def test_a_reading_is_never_cut_inside_a_window_that_it_reads_again(
    tiling: tuple[list[Window], list[LedgerEntry]], moment: int
) -> None:
    for reading in read_ranges_of(*tiling):
        floor = reading.floor(moment)
        inside = [window for window in reading.rigid if window.start < moment < window.end]
        assert floor == (inside[0].start if inside else moment)


def test_parts_that_touch_are_read_in_one_go() -> None:
    readings = read_ranges_of([Window(10, 20), Window(40, 50)], [LedgerEntry(Window(20, 30), 0)])
    assert readings == [ReadRange(Window(10, 30), (Window(20, 30),)), ReadRange(Window(40, 50))]


def test_a_window_that_was_read_in_the_future_is_open() -> None:
    ledger = Ledger([LedgerEntry(Window(0, 10), read_at=500), LedgerEntry(Window(10, 20), read_at=100)])
    ledger.doubt(now=100)
    assert [entry.is_sealed(50) for entry in ledger.entries] == [False, True]


@given(st.lists(entries), entries)
def test_a_change_that_was_not_stored_is_undone(recorded: list[LedgerEntry], entry: LedgerEntry) -> None:
    ledger = ledger_of(recorded)
    before = ledger.entries
    ledger.undo(ledger.record(entry, SETTLE))
    assert ledger.entries == before


def test_windows_whose_rows_are_gone_are_open_until_they_are_read_again() -> None:
    first, second = LedgerEntry(Window(0, 10), 1_000), LedgerEntry(Window(10, 20), 1_000)
    ledger = Ledger([first, second])
    lost = ledger.reopen({first.window, second.window})
    assert [entry.is_sealed(0) for entry in lost] == [False, False]
    assert ledger.complete_until(0) is None
    change = ledger.record(first, settle=0)
    assert (change.reopened, change.complete_until) == ((LedgerEntry(second.window, 10),), 10)
    assert ledger.record(second, settle=0).reopened == ()
    assert ledger.complete_until(0) == 20


def test_windows_whose_rows_are_gone_are_open_still_after_a_change_that_was_not_stored() -> None:
    first, second, third = (LedgerEntry(Window(start, start + 10), 1_000) for start in (0, 10, 20))
    ledger = Ledger([first, second])
    ledger.reopen({first.window, second.window})
    ledger.undo(ledger.record(first, settle=0))
    assert ledger.complete_until(0) is None
    assert {entry.window for entry in ledger.record(third, settle=0).reopened} == {first.window, second.window}

from random import Random

from hypothesis import given, strategies as st

from nxcdr_async.ingest.verify import read_ranges_again, sample
from nxcdr_async.sinks.ledger import LedgerEntry
from nxcdr_async.windows import Window

DAY = 86_400


def days(count: int, *, rows: int = 100, gap_before: int = -1) -> list[LedgerEntry]:
    """Return windows of a day each, one after the other but for a day's gap."""
    starts = [DAY * (day + (0 <= gap_before <= day)) for day in range(count)]
    return [LedgerEntry(Window(start, start + DAY), read_at=10 * DAY * count, rows=rows) for start in starts]


@given(st.integers(0, 60), st.integers(1, 80), st.integers())
def test_a_sample_is_as_large_as_asked_for_in_order_and_without_doubles(held: int, wanted: int, seed: int) -> None:
    entries = days(held)
    chosen = sample(entries, wanted, Random(seed).randrange)
    assert len(chosen) == min(held, wanted)
    assert [entry for entry in entries if entry in chosen] == chosen


@given(st.integers(2, 60), st.integers(2, 20), st.integers())
def test_a_sample_lies_all_over_the_range(held: int, wanted: int, seed: int) -> None:
    entries = days(held)
    places = [entries.index(entry) for entry in sample(entries, wanted, Random(seed).randrange)]
    widest = 2 * -(-held // min(wanted, held))
    assert all(after - before < widest for before, after in zip([-1, *places], [*places, held], strict=True))


def test_each_window_is_chosen_once_in_a_while() -> None:
    entries, chance = days(37), Random(5)
    hits = [entry for _ in range(300) for entry in sample(entries, 5, chance.randrange)]
    counts = [hits.count(entry) for entry in entries]
    assert min(counts) > 15
    assert max(counts) < 80


def test_the_same_seed_makes_the_same_choice() -> None:
    entries = days(40)
    assert sample(entries, 7, Random("a").randrange) == sample(entries, 7, Random("a").randrange)
    assert sample(entries, 7, Random("a").randrange) != sample(entries, 7, Random("b").randrange)


def test_neighbours_are_read_in_one_go_and_others_are_not() -> None:
    entries = days(4, gap_before=2)
    first, second = read_ranges_again(entries, most_rows=1_000)
    assert (first.window, first.rigid) == (Window(0, 2 * DAY), (entries[0].window, entries[1].window))
    assert second.window == Window(3 * DAY, 5 * DAY)


def test_a_reading_ends_when_it_has_rows_enough() -> None:
    readings = read_ranges_again(days(5), most_rows=200)
    assert [len(reading.rigid) for reading in readings] == [2, 2, 1]


def test_a_window_of_too_many_rows_is_read_alone() -> None:
    readings = read_ranges_again(days(3, rows=500), most_rows=200)
    assert [len(reading.rigid) for reading in readings] == [1, 1, 1]


@given(st.integers(0, 30), st.integers(-1, 30), st.integers(1, 2_000))
def test_each_window_is_read_again_as_it_is_and_nothing_else(count: int, gap: int, most_rows: int) -> None:
    entries = days(count, gap_before=gap)
    readings = read_ranges_again(entries, most_rows)
    assert [window for reading in readings for window in reading.rigid] == [entry.window for entry in entries]
    assert [end for reading in readings for end in reading.ends] == [entry.window.end for entry in entries]
    assert sum(reading.window.seconds for reading in readings) == sum(entry.window.seconds for entry in entries)

"""What the sinks that speak SQL have in common."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import ConfigurationError
from nxcdr_async.records.arrow import CALLS, FLASH_CALLS
from nxcdr_async.sinks.ledger import LedgerEntry
from nxcdr_async.sinks.protocol import TableState
from nxcdr_async.sinks.sql import SourceRow, WindowCounts, WindowRow, check_columns, lost_windows, quoted, table_state
from nxcdr_async.windows import Window

SOURCE = SourceRow("calls", "account", "UTC", "https://gateway", 7)

numbers = st.integers(0, 10**10)
entries = st.builds(
    LedgerEntry,
    st.builds(lambda start, seconds: Window(start, start + seconds), numbers, st.integers(1, 10**6)),
    numbers,
    numbers,
    numbers,
    st.lists(numbers, max_size=3).map(tuple),
)


@given(entries)
def test_an_entry_comes_back_from_its_row(entry: LedgerEntry) -> None:
    row = WindowRow.of(CALLS, entry)
    assert row.source == "calls"
    assert WindowRow(*row).entry == entry


def test_a_ledger_tells_where_rows_are_from_and_which_windows_were_read() -> None:
    entry = LedgerEntry(Window(0, 60), read_at=100, rows=2, saturated=(7,))
    row = WindowRow.of(CALLS, entry)
    assert table_state("calls.sqlite", SOURCE, [row]) == TableState(SOURCE.origin, [entry], 7)


def test_a_ledger_that_lost_its_sources_is_of_no_account_rather_than_of_another() -> None:
    assert table_state("calls.sqlite", None, []) == TableState(None, [])


def test_columns_as_they_should_be_are_taken() -> None:
    check_columns("calls.db", CALLS, {"b": "TEXT", "a": "INT"}, {"a": "INT", "b": "TEXT"})


def test_columns_that_differ_are_named_three_at_most() -> None:
    found, wanted = {"a": "INT", "odd": "TEXT", "y": "INT", "z": "INT"}, {"a": "TEXT", "b": "TEXT"}
    with pytest.raises(ConfigurationError) as refused:
        check_columns("calls.db", CALLS, found, wanted)
    differences = (
        "(a is INT there and TEXT here; b is missing there and TEXT here; odd is TEXT there and not known here)"
    )
    assert f"the table calls in calls.db was not made by this version of a backfill {differences}" in str(refused.value)


def test_names_of_columns_are_quoted() -> None:
    assert quoted(["call_id", "order"]) == '"call_id", "order"'


ROW = WindowRow.of(
    FLASH_CALLS, LedgerEntry(Window(1_767_225_600, 1_767_229_200), 1_767_312_000, rows=5, saturated=(7,))
)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("saturated", "x"),
        ("saturated", '["a"]'),
        ("saturated", None),
        ("read_at", "soon"),
        ("read_at", None),
        ("row_count", 0.5),
        ("start_second", -1),
        ("end_second", ROW.start_second),
        ("end_second", 9 * 10**18),
    ],
)
def test_a_row_that_was_changed_by_hand_is_refused_by_its_window(column: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"of flash in the table nxcdr_windows of calls\.sqlite was changed"):
        table_state("calls.sqlite", None, [ROW._replace(**{column: value})])


def noted(start: int, row_count: int, stored: int | None) -> WindowCounts:
    return WindowCounts(Window(start, start + 10), row_count, stored)


def test_a_window_with_fewer_rows_than_were_stored_in_it_is_lost() -> None:
    rows = [noted(0, 5, 5), noted(10, 5, 5), noted(20, 5, 5), noted(30, 5, None)]
    counts = {Window(0, 10): 5, Window(10, 20): 4, Window(20, 30): 6, Window(30, 40): 0}
    assert lost_windows(rows, counts) == [Window(10, 20)]


def test_a_table_without_rows_lacks_all_of_them() -> None:
    rows = [noted(0, 5, 5), noted(10, 5, None)]
    assert lost_windows(rows, {}) == [Window(0, 10), Window(10, 20)]


def test_a_window_that_never_had_a_row_lacks_none() -> None:
    lacking = {counts: counts.may_lack_rows for counts in (noted(0, 5, 0), noted(0, 0, 5), noted(0, 0, None))}
    assert list(lacking.values()) == [False, True, False]

"""The ledger as a table, which anybody may have changed."""

from typing import Any

import pytest

from nxcdr_async import ConfigurationError
from nxcdr_async.backfill.ledger import Entry
from nxcdr_async.backfill.sinks.sql import LedgerRow, entries_of
from nxcdr_async.backfill.tables import FLASH_CALLS
from nxcdr_async.windows import Window

ENTRY = Entry(Window(1_767_225_600, 1_767_229_200), 1_767_312_000, rows=5, bad_rows=1, saturated=(1_767_225_605,))
ROW = LedgerRow.of(FLASH_CALLS, ENTRY)


def test_an_entry_comes_back_as_it_was() -> None:
    assert entries_of("calls.sqlite", [tuple(ROW)]) == [ENTRY]


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
        entries_of("calls.sqlite", [tuple(ROW._replace(**{column: value}))])

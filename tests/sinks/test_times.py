from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from nxcdr_async._util.moments import moment_at, moment_if_any
from nxcdr_async.records.arrow import CALLS, DID_CALLS
from nxcdr_async.sinks.values import inside, seconds_of
from nxcdr_async.windows import Window
from tests.sinks.table_rows import table_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@given(st.integers(0, 253_370_764_800))
def test_seconds_come_back_from_their_moment(seconds: int) -> None:
    assert moment_at(seconds).timestamp() == seconds
    assert moment_if_any(seconds) == moment_at(seconds)


def test_there_is_no_moment_of_no_seconds() -> None:
    assert moment_if_any(None) is None


@pytest.mark.parametrize(
    ("moment", "is_inside"),
    [
        (NOON, True),
        (NOON - timedelta(microseconds=1), False),
        (NOON + timedelta(seconds=59, microseconds=999_999), True),
        (NOON + timedelta(minutes=1), False),
    ],
)
def test_a_window_holds_its_start_and_not_its_end(moment: datetime, is_inside: bool) -> None:
    start = int(NOON.timestamp())
    rows = table_of(CALLS, [{"call_id": "a", "start_time": moment}])
    assert inside(CALLS, rows, Window(start, start + 60)).to_pylist() == [is_inside]


def test_a_row_without_a_time_is_in_no_window() -> None:
    rows = table_of(DID_CALLS, [{"id": 1, "start_time": None}])
    assert inside(DID_CALLS, rows, Window(0, 2**33)).to_pylist() == [False]


def test_seconds_are_whole_also_before_1970() -> None:
    early = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    rows = table_of(CALLS, [{"call_id": "a", "start_time": time} for time in (NOON, early, None)])
    assert seconds_of(rows, "start_time") == [int(NOON.timestamp()), -1, None]

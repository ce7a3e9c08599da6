"""Which rows that were read are those stored: legs are told apart, and what merely changed stays one row."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from nxcdr_async.records.arrow import CALLS
from nxcdr_async.sinks.matching import match
from nxcdr_async.sinks.merge import merge
from nxcdr_async.windows import Window
from tests.sinks.table_rows import table_of, values_of

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
START = int(MOMENT.timestamp())
HOUR = Window(START, START + 3600)

Leg = tuple[float, str]


def calls(*legs: Leg, call_id: str = "a") -> pa.Table:
    """Return rows with one id, of the seconds after the moment at which they start and their callers."""
    return table_of(
        CALLS,
        [
            {"call_id": call_id, "start_time": MOMENT + timedelta(seconds=second), "caller": caller or None}
            for second, caller in legs
        ],
    )


def after(stored: pa.Table, read: pa.Table, window: Window | None = HOUR) -> pa.Table:
    """Return what a table holds once what was read is stored: rows in place of those with their keys."""
    rows = merge(CALLS, stored, read, window).rows
    replaced = set(rows["call_id"].to_pylist())
    kept = [key not in replaced for key in stored["call_id"].to_pylist()]
    return pa.concat_tables([stored.filter(pa.array(kept, pa.bool_())), rows])


def told(rows: pa.Table) -> list[Leg]:
    times = [(moment - MOMENT).total_seconds() for moment in rows["start_time"].to_pylist()]
    return sorted(zip(times, [caller or "" for caller in rows["caller"].to_pylist()], strict=True))


def counts(stored: pa.Table, read: pa.Table, window: Window | None = HOUR) -> tuple[int, int, int]:
    merged = merge(CALLS, stored, read, window)
    return merged.new, merged.changed, merged.unchanged


@pytest.mark.parametrize(
    ("stored", "read", "expected", "counted"),
    [
        pytest.param([], [(0, "1"), (60, "2")], [(0, "1"), (60, "2")], (2, 0, 0), id="legs at once"),
        pytest.param([(0, "1")], [(0, "1"), (60, "2")], [(0, "1"), (60, "2")], (1, 0, 1), id="a leg turns up late"),
        pytest.param([(60, "2")], [(0, "1"), (60, "2")], [(0, "1"), (60, "2")], (1, 0, 1), id="an earlier one does"),
        pytest.param([(0, "")], [(0.4, "1")], [(0.4, "1")], (0, 1, 0), id="a time that was cut to seconds"),
        pytest.param([(0, "1")], [(-0.999, "1")], [(-0.999, "1")], (0, 1, 0), id="less than a second apart"),
        pytest.param([(0, "1")], [(120, "1")], [(120, "1")], (0, 1, 0), id="a start that moved in its window"),
        pytest.param([(0, "1"), (9, "2")], [(0, "1"), (5, "2")], [(0, "1"), (5, "2")], (0, 1, 1), id="a leg did"),
        pytest.param(
            [(0, "1"), (0.2, "2")], [(0.2, "1"), (0, "2")], [(0, "2"), (0.2, "1")], (0, 2, 0), id="told by their values"
        ),
        pytest.param([(0, "1")], [(0, "1"), (0, "2")], [(0, "1"), (0, "2")], (1, 0, 1), id="legs of one moment"),
        pytest.param([(0, "1"), (60, "2")], [(60, "3")], [(0, "1"), (60, "3")], (0, 1, 0), id="others stay"),
    ],
)
def test_legs_are_stored_each_and_changes_stay_one_row(
    stored: list[Leg], read: list[Leg], expected: list[Leg], counted: tuple[int, int, int]
) -> None:
    assert told(after(calls(*stored), calls(*read))) == expected
    assert counts(calls(*stored), calls(*read)) == counted


@pytest.mark.parametrize("window", [None, Window(START + 60, START + 3600)], ids=["nothing read whole", "another one"])
def test_a_leg_outside_of_what_was_read_is_never_taken_for_one_that_moved(window: Window | None) -> None:
    assert told(after(calls((0, "1")), calls((120, "1")), window)) == [(0, "1"), (120, "1")]


def test_of_legs_that_moved_the_one_most_alike_is_taken() -> None:
    stored, read = calls((0, "1"), (10, "2")), calls((30, "2"), (40, "1"))
    assert told(after(stored, read)) == [(30, "2"), (40, "1")]
    matched = match(CALLS, stored, read, HOUR)
    assert list(zip(told(matched.stored), told(matched.known), strict=True)) == [
        ((0, "1"), (30, "2")),
        ((10, "2"), (40, "1")),
    ]
    assert matched.stored["caller"].to_pylist() == matched.known["caller"].to_pylist()


def test_what_is_written_has_all_rows_of_a_key_and_no_others() -> None:
    stored = pa.concat_tables([calls((0, "1"), (60, "2")), calls((0, "1"), (60, "2"), call_id="b")])
    read = pa.concat_tables([calls((0, "1"), (60, "2"), (90, "3")), calls((0, "1"), (60, "2"), call_id="b")])
    merged = merge(CALLS, stored, read, HOUR)
    assert (merged.new, merged.changed, merged.unchanged) == (1, 0, 4)
    assert merged.rows["call_id"].to_pylist() == ["a"] * 3


legs = st.lists(
    st.builds(
        lambda second, key, caller: (second, key, caller),
        st.integers(0, 6),
        st.sampled_from("ab"),
        st.sampled_from("12"),
    ),
    max_size=6,
    unique_by=lambda leg: leg[:2],
)


def table_of_legs(found: list[tuple[int, str, str]], plus: float = 0.0) -> pa.Table:
    """Return legs that start ten seconds apart."""
    return pa.concat_tables(
        [CALLS.empty(), *(calls((second * 10 + plus, caller), call_id=key) for second, key, caller in found)]
    )


@given(legs, legs, st.floats(-0.9, 0.9))
def test_legs_that_are_told_again_with_others_are_all_there_once(
    first: list[tuple[int, str, str]], further: list[tuple[int, str, str]], plus: float
) -> None:
    known = {leg[:2] for leg in first}
    second = [*first, *(leg for leg in further if leg[:2] not in known)]
    stored = table_of_legs(first)
    held = after(stored, table_of_legs(second, plus))
    assert values_of(held) == values_of(table_of_legs(second, plus))
    assert counts(stored, table_of_legs(second)) == (len(second) - len(first), 0, len(first))
    assert merge(CALLS, held, table_of_legs(second, plus), HOUR).rows.num_rows == 0


@given(legs, legs)
def test_nothing_is_lost_where_nothing_was_read_whole(
    first: list[tuple[int, str, str]], second: list[tuple[int, str, str]]
) -> None:
    held = after(table_of_legs(first), table_of_legs(second), None)
    expected = {leg[:2]: leg for leg in [*first, *second]}
    assert values_of(held) == values_of(table_of_legs(list(expected.values())))

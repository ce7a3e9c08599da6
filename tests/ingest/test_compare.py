from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from hypothesis import given, strategies as st

from nxcdr_async.ingest.compare import Comparison, absent, compare
from nxcdr_async.records.arrow import CALLS, DID_CALLS
from nxcdr_async.sinks.merge import merge

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

some_calls = st.lists(
    st.fixed_dictionaries(
        {
            "call_id": st.sampled_from("abcdef"),
            "start_time": st.just(NOON),
            "caller": st.none() | st.sampled_from(["1", "2"]),
            "call_duration": st.none() | st.integers(0, 2),
            "extra": st.none() | st.sampled_from(['{"a":1}', '{"b":2}', '{"b":2,"a":1}']),
        }
    ),
    max_size=8,
    unique_by=lambda call: call["call_id"],
)
some_did_calls = st.lists(
    st.fixed_dictionaries(
        {"id": st.none() | st.integers(1, 3), "start_time": st.just(NOON), "number": st.sampled_from(["1", "2"])}
    ),
    max_size=8,
)


def calls(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{"start_time": NOON, **row} for row in rows], schema=CALLS.schema)


def did_calls(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{"start_time": NOON, **row} for row in rows], schema=DID_CALLS.schema)


def test_the_same_rows_do_not_differ() -> None:
    rows = calls({"call_id": "a", "caller": "1"}, {"call_id": "b"})
    found = compare(CALLS, rows, rows, 9)
    assert (found.rows, found.missing, found.different, found.examples, found.is_equal) == (2, 0, 0, [], True)


def test_a_null_says_nothing_against_a_known_value() -> None:
    found = compare(CALLS, calls({"call_id": "a", "caller": "1"}), calls({"call_id": "a"}), 9)
    assert found.is_equal


def test_a_value_that_is_not_known_yet_differs() -> None:
    found = compare(CALLS, calls({"call_id": "a"}), calls({"call_id": "a", "caller": "1"}), 9)
    assert (found.different, found.examples[0].column, found.examples[0].stored) == (1, "caller", None)


def test_each_value_that_differs_is_told_and_its_row_counted_once() -> None:
    stored = calls({"call_id": "a", "caller": "1", "callee": "2"}, {"call_id": "b"})
    found = compare(CALLS, stored, calls({"call_id": "a", "caller": "3", "callee": "4"}, {"call_id": "b"}), 9)
    assert found.different == 1
    told = {(one.kind, one.key, one.time, one.column, one.stored, one.found) for one in found.examples}
    assert told == {("different", "a", NOON, "caller", "1", "3"), ("different", "a", NOON, "callee", "2", "4")}


def test_the_repr_of_a_difference_shows_no_call_data() -> None:
    (told,) = compare(
        CALLS, calls({"call_id": "a", "caller": "111"}), calls({"call_id": "a", "caller": "222"}), 9
    ).examples
    assert "caller" in repr(told)
    assert not {"111", "222"} & set(repr(told).split("'"))


def test_a_row_that_is_not_stored_is_missing() -> None:
    found = compare(CALLS, calls({"call_id": "a"}), calls({"call_id": "a"}, {"call_id": "b"}), 9)
    assert [(one.kind, one.key, one.column) for one in found.examples] == [("missing", "b", None)]


def test_a_row_without_a_key_is_missing_as_often_as_it_is_not_there() -> None:
    one, other = {"number": "1"}, {"number": "2"}
    found = compare(DID_CALLS, did_calls(one), did_calls(one, one, other), 9)
    assert (found.missing, found.different) == (2, 0)


def test_examples_are_bounded() -> None:
    read = calls(*({"call_id": str(number), "caller": "1"} for number in range(50)))
    stored = calls(*({"call_id": str(number), "caller": "2"} for number in range(25)))
    found = compare(CALLS, stored, read, 3)
    assert (found.missing, found.different, len(found.examples)) == (25, 25, 3)
    assert not compare(CALLS, stored, read, 0).examples


@given(some_calls, some_calls)
def test_what_differs_is_what_a_backfill_would_store(stored: list[dict[str, Any]], read: list[dict[str, Any]]) -> None:
    merged, found = merge(CALLS, calls(*stored), calls(*read)), compare(CALLS, calls(*stored), calls(*read), 9)
    assert (found.missing, found.different) == (merged.new, merged.changed)
    assert {one.key for one in found.examples if one.kind == "different"} <= set(merged.rows["call_id"].to_pylist())


@given(some_calls, some_calls)
def test_nothing_differs_once_it_is_merged(stored: list[dict[str, Any]], read: list[dict[str, Any]]) -> None:
    merged = merge(CALLS, calls(*stored), calls(*read)).rows
    untouched = absent(CALLS, calls(*stored), merged)
    assert compare(CALLS, pa.concat_tables([untouched, merged]), calls(*read), 9).is_equal


@given(some_did_calls, some_did_calls)
def test_rows_are_absent_or_among_the_others(rows: list[dict[str, Any]], among: list[dict[str, Any]]) -> None:
    left = absent(DID_CALLS, did_calls(*rows), did_calls(*among))
    keys = {row["id"] for row in among} - {None}
    assert set(left["id"].to_pylist()) - {None} == {row["id"] for row in rows} - {None} - keys
    assert absent(DID_CALLS, left, did_calls(*rows)).num_rows == 0


def test_more_rows_that_cannot_be_held_than_differ_leave_nothing_below_none() -> None:
    left = Comparison(rows=10, missing=1, different=0, examples=[]).without(3)
    assert (left.missing, left.different) == (0, 0)

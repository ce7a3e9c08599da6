"""What is stored and what was read, made one, against the same in plain Python."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from nxcdr_async.records.arrow import CALLS, DID_CALLS, EXTRA, Table
from nxcdr_async.sinks.merge import fill_nulls, merge
from tests.examples import examples
from tests.sinks.table_rows import table_of, values_of

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)

Row = dict[str, Any]

extras = st.none() | st.dictionaries(
    st.sampled_from("ab"), st.sampled_from([1, "x", False, [1], {"c": 2}]), min_size=1
).map(json.dumps)
numbers = st.sampled_from([None, 0, 1])
moments = st.sampled_from([MOMENT, MOMENT + timedelta(microseconds=1)])


def call_rows(keys: st.SearchStrategy[Any], **more: Any) -> st.SearchStrategy[list[Row]]:
    row = st.fixed_dictionaries(
        {
            "call_id": keys,
            "start_time": moments,
            "answered": st.sampled_from([None, False, True]),
            "call_duration": numbers,
            "caller": st.sampled_from([None, "1", "2"]),
            "total_customer_price": st.sampled_from([None, Decimal(0), Decimal("0.5")]),
            "end_time": st.none() | moments,
            EXTRA: extras,
        }
    )
    return st.lists(row, max_size=6, **more)


def did_rows() -> st.SearchStrategy[list[Row]]:
    row = st.fixed_dictionaries(
        {
            "id": st.sampled_from([None, None, 1, 2]),
            "start_time": moments,
            "number": st.sampled_from([None, "1"]),
            EXTRA: extras,
        }
    )
    return st.lists(row, max_size=6)


call_ids = st.sampled_from(["a", "b", "c"])
stored_calls = call_rows(call_ids, unique_by=lambda row: row["call_id"])
read_calls = call_rows(call_ids, unique_by=lambda row: row["call_id"])


def known(row: Row) -> Row:
    """Return what a row says, its JSON read."""
    said = {name: value for name, value in row.items() if value is not None}
    return {**said, EXTRA: json.loads(said[EXTRA])} if EXTRA in said else said


def united(old: Row, new: Row) -> Row:
    both = {**known(old), **known(new)}
    extra = {**known(old).get(EXTRA, {}), **known(new).get(EXTRA, {})}
    return {**both, EXTRA: extra} if extra else both


def first_of_each(table: Table, rows: list[Row]) -> list[Row]:
    firsts: dict[Any, Row] = {}
    for row in rows:
        firsts.setdefault(row[table.key], row)
    return [row for key, row in firsts.items() if key is not None]


def storable(rows: list[Row]) -> list[Row]:
    """Leave out all but the first row of each key, as a table can hold but one."""
    return first_of_each(DID_CALLS, rows) + [row for row in rows if row["id"] is None]


def rows_in(found: pa.Table) -> list[Row]:
    return [known(row) for row in found.to_pylist()]


def counted(rows: list[Row]) -> Counter[str]:
    return Counter(json.dumps(known(row), sort_keys=True, default=str) for row in rows)


@examples(200)
@given(stored_calls, read_calls)
def test_what_is_to_be_written_is_what_the_slow_model_writes(stored: list[Row], read: list[Row]) -> None:
    merged = merge(CALLS, table_of(CALLS, stored), table_of(CALLS, read))
    there = {row["call_id"]: row for row in stored}
    wanted = {}
    for row in first_of_each(CALLS, read):
        old = there.get(row["call_id"], {})
        both = united(old, row)
        if both != known(old):
            wanted[row["call_id"]] = both
    assert {row["call_id"]: row for row in rows_in(merged.rows)} == wanted
    assert merged.rows.num_rows == len(wanted)
    assert merged.rows.schema == CALLS.schema


@given(stored_calls, read_calls)
def test_each_row_read_is_counted_as_new_changed_or_unchanged(stored: list[Row], read: list[Row]) -> None:
    merged = merge(CALLS, table_of(CALLS, stored), table_of(CALLS, read))
    keys, there = {row["call_id"] for row in read}, {row["call_id"] for row in stored}
    assert merged.new == len(keys - there)
    assert merged.changed + merged.unchanged == len(keys & there)
    assert merged.rows.num_rows == merged.new + merged.changed


@given(stored_calls, read_calls)
def test_a_known_value_is_never_replaced_by_null(stored: list[Row], read: list[Row]) -> None:
    there = {row["call_id"]: known(row) for row in stored}
    for row in rows_in(merge(CALLS, table_of(CALLS, stored), table_of(CALLS, read)).rows):
        old = there.get(row["call_id"], {})
        assert old.keys() <= row.keys()
        assert old.get(EXTRA, {}).keys() <= row.get(EXTRA, {}).keys()


def after(table: Table, stored: list[Row], read: list[Row]) -> list[Row]:
    """Return what a table holds after a merge was written."""
    merged = merge(table, table_of(table, stored), table_of(table, read))
    written = merged.rows.to_pylist()
    replaced = {row[table.key] for row in written} - {None}
    return [row for row in stored if row[table.key] not in replaced] + written


@given(stored_calls, read_calls)
def test_merging_the_same_rows_again_writes_nothing(stored: list[Row], read: list[Row]) -> None:
    again = merge(CALLS, table_of(CALLS, after(CALLS, stored, read)), table_of(CALLS, read))
    assert (again.new, again.changed, again.rows.num_rows) == (0, 0, 0)


@given(did_rows().map(storable), did_rows())
def test_rows_without_a_key_are_there_as_often_as_they_were_read(stored: list[Row], read: list[Row]) -> None:
    held = after(DID_CALLS, stored, read)

    def keyless(rows: list[Row]) -> Counter[str]:
        return counted([row for row in rows if row["id"] is None])

    assert keyless(held) == keyless(stored) | keyless(read)


@given(did_rows().map(storable), did_rows())
def test_merging_rows_without_a_key_again_writes_nothing(stored: list[Row], read: list[Row]) -> None:
    again = merge(DID_CALLS, table_of(DID_CALLS, after(DID_CALLS, stored, read)), table_of(DID_CALLS, read))
    assert (again.new, again.changed, again.rows.num_rows) == (0, 0, 0)


def call(**values: Any) -> pa.Table:
    return table_of(CALLS, [{"call_id": "a", "start_time": MOMENT, **values}])


def test_of_several_rows_with_one_unique_key_the_first_counts() -> None:
    read = table_of(DID_CALLS, [{"id": 1, "start_time": MOMENT, "number": number} for number in ("first", "second")])
    merged = merge(DID_CALLS, DID_CALLS.empty(), read)
    assert (merged.new, merged.changed, merged.unchanged) == (1, 0, 0)
    assert merged.rows["number"].to_pylist() == ["first"]


@pytest.mark.parametrize(
    "spelt_otherwise",
    [
        '{"b": {"d": [1, 2], "c": 0.50}, "a": 1}',
        '{"a":1,"b":{"c":0.50,"d":[1,2]}}',
        '{"a":1.0,"b":{"d":[1,2],"c":5e-1}}',
    ],
)
def test_extra_spelt_otherwise_by_a_sink_is_no_change(spelt_otherwise: str) -> None:
    read = call(extra='{"a":1,"b":{"d":[1,2],"c":0.50}}')
    merged = merge(CALLS, call(extra=spelt_otherwise), read)
    assert (merged.changed, merged.unchanged) == (0, 1)


def test_rows_without_a_key_whose_extra_is_spelt_otherwise_are_the_same() -> None:
    stored, read = (
        table_of(DID_CALLS, [{"start_time": MOMENT, EXTRA: extra}])
        for extra in ('{"b": [1, 2], "a": {"y": 2, "x": 1}}', '{"a":{"x":1,"y":2},"b":[1,2]}')
    )
    assert merge(DID_CALLS, stored, read).rows.num_rows == 0


@pytest.mark.parametrize(
    ("old", "new"), [("1", "true"), ("0", "false"), ("1", '"1"'), ("[1,2]", "[2,1]"), ("1", "1.5")]
)
def test_extra_that_means_something_else_is_a_change(old: str, new: str) -> None:
    merged = merge(CALLS, call(extra=f'{{"a":{old}}}'), call(extra=f'{{"a":{new}}}'))
    assert merged.changed == 1
    assert merged.rows[EXTRA].to_pylist() == [f'{{"a":{new}}}']


def test_numbers_of_extra_stay_exact() -> None:
    exact = "12345678901234567890.123456789012345678901234567890"
    merged = merge(CALLS, call(extra='{"a":1}'), call(extra=f'{{"b":{exact}}}'))
    assert merged.rows[EXTRA].to_pylist() == [f'{{"a":1,"b":{exact}}}']


@pytest.mark.parametrize("table", [CALLS, DID_CALLS])
def test_nothing_read_is_nothing_to_write(table: Table) -> None:
    merged = merge(table, table.empty(), table.empty())
    assert (merged.new, merged.changed, merged.unchanged, merged.rows.num_rows) == (0, 0, 0, 0)


def test_a_time_that_moved_is_a_change() -> None:
    later = call(start_time=MOMENT + timedelta(microseconds=1))
    assert values_of(merge(CALLS, call(), later).rows) == values_of(later)


@pytest.mark.parametrize("number", ["1e999999999", "1e-999999999", "1e99999999999999999999999"])
def test_absurd_numbers_of_extra_take_no_memory(number: str) -> None:
    read = call(extra=f'{{"a":{number},"b":1}}')
    assert merge(CALLS, call(extra=f'{{"b":1,"a":{number}}}'), read).unchanged == 1


@given(stored_calls, read_calls)
def test_rows_that_were_told_only_fill_in_what_is_null(stored: list[Row], told: list[Row]) -> None:
    merged = fill_nulls(CALLS, table_of(CALLS, stored), table_of(CALLS, told))
    # What was told first, and then what is stored over it, is what is known.
    first: dict[str, Row] = {}
    for row in told:
        first.setdefault(row["call_id"], row)
    over = merge(CALLS, table_of(CALLS, list(first.values())), table_of(CALLS, stored))
    known = {row["call_id"]: row for row in values_of(table_of(CALLS, list(first.values())))}
    known |= {row["call_id"]: row for row in values_of(over.rows)}
    before = {row["call_id"]: row for row in values_of(table_of(CALLS, stored))}
    expected = [row for key, row in known.items() if key in first and row != before.get(key)]
    assert values_of(merged.rows) == sorted(expected, key=lambda row: str(row["call_id"]))
    assert merged.new == len(first.keys() - before.keys())
    assert merged.new + merged.changed + merged.unchanged == len(first)

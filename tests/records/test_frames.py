"""Records as tables and data frames: every value exactly what the record says, whatever the package makes of it."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from attrs import fields
from hypothesis import given, strategies as st

from nxcdr_async import CallRecord, ConfigurationError, DidCallRecord, Direction, FlashCallRecord, RecordError
from nxcdr_async.records.arrow import CALLS, DID_CALLS, EXTRA, FLASH_CALLS, RECORDS_AT_ONCE, Table, rows_of
from nxcdr_async.records.frames import arrow_table, pandas_frame, polars_frame
from nxcdr_async.records.money import narrowed
from tests.examples import examples
from tests.sinks.table_rows import amounts, extras, far_times, numbers, texts

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
UTC_TIME = "datetime64[us, UTC]"

all_frames = pytest.mark.parametrize("frame_of", [arrow_table, pandas_frame, polars_frame])
record_classes = st.sampled_from([CallRecord, DidCallRecord, FlashCallRecord])
_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: numbers,
    bool: st.booleans(),
    datetime: far_times,
    Decimal: amounts,
    Direction: st.sampled_from([Direction(number) for number in (0, 1, 2, 7, -1)]),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    needed = _VALUES.get(kind)
    return needed if needed is not None else st.none() | _VALUES[kind.__args__[0]]


def records_of(record_class: type[Any]) -> st.SearchStrategy[list[Any]]:
    kinds = {attribute.name: attribute.type for attribute in fields(record_class) if attribute.name != EXTRA}
    values = {name: values_of(kind) for name, kind in kinds.items()}
    return st.lists(st.builds(record_class, **values, extra=st.just({}) | st.just({"a": None, "b": [1]})), max_size=3)


def expected(records: list[Any]) -> list[dict[str, Any]]:
    rows = []
    for record in records:
        row = {attribute.name: getattr(record, attribute.name) for attribute in fields(type(record))}
        named = {name: value.name.lower() for name, value in row.items() if isinstance(value, Direction)}
        rows.append({**row, **named, EXTRA: '{"b":[1]}' if record.extra else None})
    return rows


def filled(frame_of: Callable[..., Any], record_class: type[Any], *portions: list[Any]) -> Any:
    builder = frame_of(record_class)
    for portion in portions:
        builder.add(portion, None, None)
    return builder.finish(None)


def plain(value: Any) -> Any:
    if value is pd.NA or value is pd.NaT:
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def rows_in(frame: Any) -> list[dict[str, Any]]:
    if isinstance(frame, pa.Table):
        return list(frame.to_pylist())
    if isinstance(frame, pl.DataFrame):
        return frame.to_dicts()
    columns = {name: [plain(value) for value in frame[name]] for name in frame.columns}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@all_frames
@examples(50)
@given(data=st.data(), record_class=record_classes)
def test_every_value_is_that_of_the_record(frame_of: Any, data: st.DataObject, record_class: type[Any]) -> None:
    records = data.draw(records_of(record_class))
    assert rows_in(filled(frame_of, record_class, records)) == expected(records)


@given(amount=st.decimals(min_value=-(10**19), max_value=10**19, places=18), extra=extras)
@pytest.mark.parametrize("frame_of", [pandas_frame, polars_frame])
def test_money_comes_with_all_its_digits(frame_of: Any, amount: Decimal, extra: str) -> None:
    call = CallRecord(call_id=extra, start_time=MOMENT, total_customer_price=amount)
    (row,) = rows_in(filled(frame_of, CallRecord, [call]))
    assert (row["total_customer_price"], row["call_id"]) == (amount, extra)


@pytest.mark.parametrize("table", [CALLS, DID_CALLS, FLASH_CALLS], ids=lambda table: table.name)
def test_without_records_all_columns_are_there(table: Table) -> None:
    arrow = filled(arrow_table, table.record_class)
    assert (arrow.schema, arrow.num_rows) == (narrowed(table.empty()).schema, 0)
    pandas = filled(pandas_frame, table.record_class)
    assert (list(pandas.columns), len(pandas)) == (table.columns, 0)
    assert pandas[table.time].dtype == UTC_TIME
    polars = filled(polars_frame, table.record_class)
    assert (polars.columns, len(polars)) == (table.columns, 0)
    assert polars.schema[table.time] == pl.Datetime("us", "UTC")


def test_pandas_gets_types_that_hold_nulls_and_money() -> None:
    calls = [CallRecord(call_id="a", start_time=MOMENT, answered=True), CallRecord(call_id="b", start_time=MOMENT)]
    kinds = {name: str(kind) for name, kind in filled(pandas_frame, CallRecord, calls).dtypes.items()}
    assert kinds["start_time"] == kinds["answer_time"] == UTC_TIME
    assert kinds["total_customer_price"] == "decimal128(18, 8)[pyarrow]"
    assert kinds["answered"] == "bool[pyarrow]"
    assert kinds["call_duration"] == "int64[pyarrow]"
    assert kinds["direction"] == kinds["extra"] == "string[pyarrow]"


def test_polars_gets_types_that_hold_money_and_the_time_zone() -> None:
    kinds = filled(polars_frame, CallRecord, [CallRecord(call_id="a", start_time=MOMENT)]).schema
    assert kinds["start_time"] == kinds["answer_time"] == pl.Datetime("us", "UTC")
    assert kinds["total_customer_price"] == pl.Decimal(18, 8)
    assert (kinds["answered"], kinds["call_duration"], kinds["extra"]) == (pl.Boolean, pl.Int64, pl.String)


def test_money_adds_up_exactly_by_the_hour() -> None:
    calls = [
        CallRecord(call_id=f"{n}", start_time=MOMENT + timedelta(minutes=30 * n), total_customer_price=Decimal("0.1"))
        for n in range(4)
    ]
    pandas = filled(pandas_frame, CallRecord, calls).set_index("start_time")
    assert list(pandas.resample("1h").total_customer_price.sum()) == [Decimal("0.2")] * 2
    polars = filled(polars_frame, CallRecord, calls)
    assert polars["total_customer_price"].sum() == Decimal("0.4")


def calls_from(start: int, number: int) -> list[CallRecord]:
    return [CallRecord(call_id=f"{n}", start_time=MOMENT + timedelta(seconds=n)) for n in range(start, start + number)]


@all_frames
def test_records_are_let_go_as_soon_as_there_are_enough_of_them(frame_of: Any) -> None:
    builder = frame_of(CallRecord)
    builder.add(calls_from(0, RECORDS_AT_ONCE - 1), None, None)
    assert (len(builder._parts), len(builder._records)) == (0, RECORDS_AT_ONCE - 1)
    builder.add(calls_from(RECORDS_AT_ONCE - 1, 2), None, None)
    assert (len(builder._parts), builder._records) == (1, [])
    builder.add(calls_from(RECORDS_AT_ONCE + 1, 5), None, None)
    assert [row["call_id"] for row in rows_in(builder.finish(None))] == [f"{n}" for n in range(RECORDS_AT_ONCE + 6)]


@all_frames
def test_parts_with_and_without_values_go_together(frame_of: Any) -> None:
    full = CallRecord(call_id="a", start_time=MOMENT, answered=False, total_customer_price=Decimal(1), extra={"b": [1]})
    portions = [[full] * RECORDS_AT_ONCE, calls_from(0, RECORDS_AT_ONCE), [full]]
    assert rows_in(filled(frame_of, CallRecord, *portions)) == expected([call for part in portions for call in part])


def test_the_table_is_what_a_store_would_get_but_for_the_width_of_money() -> None:
    calls = calls_from(0, 10)
    assert filled(arrow_table, CallRecord, calls).cast(CALLS.schema) == rows_of(CALLS, calls)


FORTY_DIGITS = CallRecord(call_id="much", start_time=MOMENT, total_customer_price=Decimal("1" * 40))


@all_frames
def test_an_amount_of_forty_digits_is_an_error_that_says_where_rows_end(frame_of: Any) -> None:
    builder = frame_of(CallRecord)
    builder.add(calls_from(0, RECORDS_AT_ONCE), MOMENT + timedelta(hours=1), None)
    builder.add([FORTY_DIGITS], MOMENT + timedelta(hours=2), None)
    with pytest.raises(RecordError, match="much") as caught:
        builder.finish(None)
    assert caught.value.path == "totalCustomerPrice"
    assert caught.value.complete_until == MOMENT + timedelta(hours=1)


@all_frames
def test_such_a_record_can_be_left_out(frame_of: Any) -> None:
    bad: list[RecordError] = []
    builder = frame_of(CallRecord)
    builder.add([*calls_from(0, 2), FORTY_DIGITS], None, bad.append)
    assert len(rows_in(builder.finish(bad.append))) == 2
    assert [error.record_id for error in bad] == ["much"]


@pytest.mark.parametrize(
    ("frame_of", "package", "by"),
    [
        (arrow_table, "pyarrow", "to_arrow"),
        (pandas_frame, "pyarrow", "to_pandas"),
        (pandas_frame, "pandas", "to_pandas"),
        (polars_frame, "pyarrow", "to_polars"),
        (polars_frame, "polars", "to_polars"),
    ],
)
def test_a_missing_package_is_named(frame_of: Any, package: str, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=f"{by} needs the package {package}.*pip install {package}"):
        frame_of(CallRecord)


@pytest.mark.first_of
@pytest.mark.parametrize(
    ("frame_of", "imported"),
    [
        ("arrow_table", {"pyarrow"}),
        ("pandas_frame", {"pyarrow", "pandas"}),
        ("polars_frame", {"pyarrow", "polars"}),
    ],
)
def test_no_package_is_imported_that_is_not_needed(frame_of: str, imported: set[str]) -> None:
    code = f"""
import sys
from nxcdr_async import CallRecord
from nxcdr_async.records.frames import {frame_of}
slow = {{"pyarrow", "pandas", "polars"}}
assert not slow & set(sys.modules)
{frame_of}(CallRecord)  # pyarrow itself looks for pandas with the first array it makes
assert slow & set(sys.modules) == {imported}, slow & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr

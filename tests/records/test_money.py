"""Counting with the money of tables and data frames, by the packages that people count with."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nxcdr_async import CallRecord, DidCallRecord
from nxcdr_async.records.arrow import CALLS, RECORDS_AT_ONCE
from nxcdr_async.records.frames import arrow_table, pandas_frame, polars_frame
from nxcdr_async.records.money import narrowed

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
NARROW, WIDE = pa.decimal128(18, 8), pa.decimal128(38, 18)
LARGEST = Decimal("9999999999.99999999")
PRICES = [Decimal("0.2028"), None, LARGEST, Decimal("-0.00000001")]
SECONDS = [60, 60, 2**32, 7]


def calls_costing(*prices: Decimal | None) -> list[CallRecord]:
    return [
        CallRecord(
            call_id=f"{n}", start_time=MOMENT + timedelta(seconds=n), call_duration=seconds, total_customer_price=price
        )
        for n, (price, seconds) in enumerate(zip(prices, SECONDS * len(prices), strict=False))
    ]


def filled(frame_of: Callable[..., Any], records: list[Any]) -> Any:
    builder = frame_of(type(records[0]))
    builder.add(records, None, None)
    return builder.finish(None)


def products(prices: list[Decimal | None], factors: list[int]) -> list[Decimal | None]:
    return [None if price is None else price * factor for price, factor in zip(prices, factors, strict=True)]


def known(values: Any) -> list[Decimal | None]:
    return [None if pd.isna(value) else value for value in values]


DOUBLED, WEIGHED = products(PRICES, [2] * 4), products(PRICES, SECONDS)
RUNNING = [Decimal("0.2028"), Decimal("0.2028"), LARGEST + Decimal("0.2028"), LARGEST + Decimal("0.20279999")]


def test_arrow_adds_and_multiplies_the_largest_amounts() -> None:
    table = filled(arrow_table, calls_costing(*PRICES))
    price, seconds = table["total_customer_price"], table["call_duration"]
    assert pc.sum(price).as_py() == RUNNING[-1]
    assert pc.add(price, price).to_pylist() == DOUBLED
    assert pc.multiply(price, seconds).to_pylist() == WEIGHED
    assert pc.multiply(price, Decimal(60)).to_pylist() == products(PRICES, [60] * 4)
    assert pc.multiply(price, price)[0].as_py() == Decimal("0.04112784")
    assert pc.divide(price, seconds)[0].as_py() == Decimal("0.00338")
    by_caller = table.group_by("caller").aggregate([("total_customer_price", "sum")])
    assert by_caller["total_customer_price_sum"].to_pylist() == [RUNNING[-1]]


def test_pandas_adds_multiplies_and_cumulates_with_types_of_arrow() -> None:
    calls = filled(pandas_frame, calls_costing(*PRICES))
    price = calls["total_customer_price"]
    assert price.sum() == RUNNING[-1]
    assert known(price + price) == DOUBLED
    assert known(price * calls["call_duration"]) == WEIGHED
    assert known(price * 60) == products(PRICES, [60] * 4)
    assert known(price.diff().tail(1)) == [Decimal("-0.00000001") - LARGEST]
    assert list(calls.set_index("start_time").resample("1h").total_customer_price.sum()) == [RUNNING[-1]]
    assert list(price.astype(object).fillna(Decimal()).cumsum()) == RUNNING


def test_pandas_adds_multiplies_and_cumulates_with_its_own_types() -> None:
    calls = filled(arrow_table, calls_costing(*PRICES)).to_pandas()
    price = calls["total_customer_price"]
    assert known(price + price) == DOUBLED
    assert known(price * calls["call_duration"]) == WEIGHED
    assert list(price.fillna(Decimal()).cumsum()) == RUNNING


def test_polars_adds_multiplies_and_cumulates() -> None:
    calls = filled(polars_frame, calls_costing(*PRICES))
    price = pl.col("total_customer_price")
    counted = calls.select(
        doubled=price + price, weighed=price * pl.col("call_duration"), running=price.fill_null(0).cum_sum()
    )
    assert counted.to_dict(as_series=False) == {"doubled": DOUBLED, "weighed": WEIGHED, "running": RUNNING}


def test_duckdb_adds_multiplies_and_cumulates_over_the_table() -> None:
    calls = filled(arrow_table, calls_costing(*PRICES))  # noqa: F841 - DuckDB finds it by its name
    query = """
        SELECT total_customer_price + total_customer_price, total_customer_price * call_duration,
            sum(total_customer_price) OVER (ORDER BY start_time)
        FROM calls ORDER BY start_time
    """
    assert duckdb.sql(query).fetchall() == list(zip(DOUBLED, WEIGHED, RUNNING, strict=True))


def test_a_price_times_the_minutes_billed_is_exact() -> None:
    did = DidCallRecord(start_time=MOMENT, call_price_unit=Decimal("0.055"), fee_duration_minute=Decimal("2.5"))
    calls = filled(arrow_table, [did])
    assert pc.multiply(calls["call_price_unit"], calls["fee_duration_minute"]).to_pylist() == [Decimal("0.1375")]
    pandas = filled(pandas_frame, [did])
    assert list(pandas["call_price_unit"] * pandas["fee_duration_minute"]) == [Decimal("0.1375")]
    assert duckdb.sql("SELECT call_price_unit * fee_duration_minute FROM calls").fetchall() == [(Decimal("0.1375"),)]
    product = filled(polars_frame, [did]).select(pl.col("call_price_unit") * pl.col("fee_duration_minute"))
    assert product.item() == Decimal("0.1375")


@pytest.mark.parametrize("amount", ["0.000000001", "10000000000", "1234567890123456789.123456789012345678"])
def test_an_amount_of_more_digits_widens_its_own_column_alone(amount: str) -> None:
    calls = [
        *calls_costing(*PRICES),
        CallRecord(call_id="far", start_time=MOMENT, total_customer_price=Decimal(amount)),
    ]
    table = filled(arrow_table, calls)
    assert (table["total_customer_price"].type, table["mos"].type) == (WIDE, NARROW)
    assert table["total_customer_price"].to_pylist() == [*PRICES, Decimal(amount)]


@pytest.mark.parametrize(
    ("frame_of", "kind"),
    [
        (arrow_table, lambda frame: str(frame["total_customer_price"].type)),
        (pandas_frame, lambda frame: str(frame["total_customer_price"].dtype.pyarrow_dtype)),
        (polars_frame, lambda frame: f"decimal128{frame['total_customer_price'].dtype.precision, 18}"),
    ],
)
def test_parts_of_narrow_and_of_wide_amounts_go_together(frame_of: Any, kind: Callable[[Any], str]) -> None:
    builder, wide = frame_of(CallRecord), Decimal("0.123456789012345678")
    for price in (Decimal("0.5"), wide, Decimal("0.25")):
        builder.add(calls_costing(price) * RECORDS_AT_ONCE, None, None)
    frame = builder.finish(None)
    assert kind(frame) == "decimal128(38, 18)"
    assert set(frame["total_customer_price"].to_numpy()) == {Decimal("0.5"), wide, Decimal("0.25")}


def test_a_table_without_rows_has_narrow_money() -> None:
    assert narrowed(CALLS.empty()).schema.field("total_customer_price").type == NARROW

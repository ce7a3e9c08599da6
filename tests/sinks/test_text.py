"""Values as text."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from nxcdr_async.records.arrow import MONEY
from nxcdr_async.sinks.values import plain_amount, plain_amounts, plain_times

amounts = st.decimals(min_value=-(10**19), max_value=10**19, places=18) | st.integers(-(10**19), 10**19).map(Decimal)


@given(st.lists(st.none() | amounts))
def test_a_column_of_amounts_is_written_as_each_of_them(values: list[Decimal | None]) -> None:
    column = pa.chunked_array([pa.array(values, pa.decimal128(*MONEY))])
    written = plain_amounts(column).to_pylist()
    assert written == [None if value is None else plain_amount(value) for value in column.to_pylist()]


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0"), ("-0", "0"), ("0E-12", "0"), ("1E-12", "0.000000000001"), ("100", "100"), ("-0.2028", "-0.2028")],
)
def test_an_amount_is_never_a_power_of_ten(amount: str, text: str) -> None:
    assert plain_amounts(pa.chunked_array([pa.array([Decimal(amount)], pa.decimal128(*MONEY))])).to_pylist() == [text]


@given(st.lists(st.none() | st.datetimes(timezones=st.just(UTC))))
def test_a_time_is_written_so_that_python_reads_it(values: list[datetime | None]) -> None:
    written = plain_times(pa.chunked_array([pa.array(values, pa.timestamp("us", tz="UTC"))])).to_pylist()
    assert [None if text is None else datetime.fromisoformat(text) for text in written] == values
    assert {text[10] + text[-1] for text in written if text} <= {"TZ"}

"""Rows of the tables a backfill keeps, as odd as a gateway can make them."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
from hypothesis import strategies as st

from nxcdr_async.records.arrow import EXTRA, Table
from nxcdr_async.windows import Window

ALL_TIME = Window(0, int(datetime(9999, 12, 31, tzinfo=UTC).timestamp()))
"""As far as a range may reach."""

# A record never holds an empty text, and a zero byte no database holds.
ODD_TEXTS = [
    " ", "\t", "\n", "a\r\nb", '"', "'", "''", '""', ",", ";", "\\", "\\N", "\\n", "null", "NULL", "None", "nan",
    "true", "0", "007", "+85212345678", "-1", "=1+1", '=HYPERLINK("http://x","y")', "@SUM(A1)", "'=1", "''007", "\t=1",
    " 5511999999999", "1e5", "1690442492841", "0gQAAC8W/SgEC/Waas@103.251.203.149", "牛小信", "😀", "é", "\ufeff",
    "\u2028", "{}", "[1]", "%s", "$1", ":x", "--", "; DROP TABLE calls", "\x01\x1f\x7f", "\U0010ffff", "a" * 5000,
]  # fmt: skip

_letters = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
texts = st.sampled_from(ODD_TEXTS) | st.text(_letters, min_size=1, max_size=20)
numbers = st.sampled_from([0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)
amounts = st.sampled_from([Decimal(text) for text in ("0", "0E-8", "0.20280000", "0.000000000000000001", "9" * 20)]) | (
    st.decimals(min_value=-(10**19), max_value=10**19, places=18)
)
far_times = st.sampled_from(
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]
) | st.datetimes(timezones=st.just(UTC))
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - as hypothesis wants its bounds
_json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(texts, values, max_size=3),
    max_leaves=5,
)
extras = st.dictionaries(texts, _json_values, min_size=1, max_size=3).map(
    lambda extra: msgspec.json.encode(extra).decode()
)

_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    pa.string(): texts,
    pa.int64(): numbers,
    pa.bool_(): st.booleans(),
    pa.timestamp("us", tz="UTC"): far_times,
}


def row_values(table: Table) -> st.SearchStrategy[dict[str, Any]]:
    """Make the values of a row, which has a key."""
    values = {name: st.none() | _VALUES.get(table.kind(name), amounts) for name in table.columns}
    key = _VALUES[table.kind(table.key)]
    return st.fixed_dictionaries({**values, EXTRA: st.none() | extras, table.key: key, table.time: times})


def rows(table: Table, min_size: int = 0, max_size: int = 4) -> st.SearchStrategy[pa.Table]:
    """Make rows of a table, each with a key of its own."""
    unique = st.lists(row_values(table), min_size=min_size, max_size=max_size, unique_by=lambda row: row[table.key])
    return unique.map(lambda found: table_of(table, found))


def table_of(table: Table, found: list[dict[str, Any]]) -> pa.Table:
    """Make rows of values; those that are left out are null."""
    return pa.Table.from_pylist(found, schema=table.schema)


def plain_rows(table: Table, start: int, number: int, prefix: str = "") -> pa.Table:
    """Make so many rows, one a second from a moment on, with keys of their own."""
    times_of_rows = [datetime.fromtimestamp(start + place, UTC) for place in range(number)]
    keys = [start + place for place in range(number)]
    is_text = table.kind(table.key) == pa.string()
    found = [
        {table.key: f"{prefix}{key}" if is_text else key, table.time: moment, EXTRA: '{"a":1}'}
        for key, moment in zip(keys, times_of_rows, strict=True)
    ]
    return table_of(table, found)


def values_of(found: pa.Table) -> list[dict[str, Any]]:
    """Return rows in one order, with what their JSON means."""
    shown = found.to_pylist()
    for row in shown:
        row[EXTRA] = None if row[EXTRA] is None else json.loads(row[EXTRA], parse_float=Decimal)
    return sorted(shown, key=_place)


def _place(row: dict[str, Any]) -> str:
    # What JSON means has several spellings, so it is no part of the order.
    return "\n".join(repr(value) for name, value in row.items() if name != EXTRA)

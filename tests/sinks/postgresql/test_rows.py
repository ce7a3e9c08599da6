import json
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from nxcdr_async.records.arrow import CALLS, DID_CALLS, EXTRA
from nxcdr_async.sinks.postgresql.rows import REPLACEMENT, as_read, clean, from_csv, to_csv

AWKWARD = [
    "", None, '"', '""', "a\nb", "a\r\nb", "\r", "\\", "\\.", "x\n\\.\ny", "\\.\n", "\\N", "NULL", "null", "é漢😀",
    "a,b", " lead ", "\t", "\u2028", "\ufeff",
]  # fmt: skip
AMOUNTS = [
    "0",
    "-0.5",
    "0.2028",
    "100",
    "0.000000000000000001",
    "0.0000001",
    "-12345678901234567890.123456789012345678",
]


def did_calls(**columns: list[object]) -> pa.Table:
    number = len(next(iter(columns.values())))
    arrays = [pa.array(columns.get(name, [None] * number), DID_CALLS.kind(name)) for name in DID_CALLS.columns]
    return pa.Table.from_arrays(arrays, schema=DID_CALLS.schema)


def names_of(kind: pa.DataType) -> list[str]:
    return [name for name in DID_CALLS.columns if DID_CALLS.kind(name) == kind and name != EXTRA]


def through_the_server(address: str, rows: pa.Table) -> tuple[pa.Table, list[tuple[object, ...]]]:
    """Write rows into a table of text and numbers and read them again, as rows and as the server shows them."""
    kinds = {pa.string(): "text", pa.int64(): "bigint", pa.timestamp("us", tz="UTC"): "timestamptz"}
    columns = ", ".join(f'"{field.name}" {kinds.get(field.type, "numeric")}' for field in rows.schema)
    with psycopg.connect(address, autocommit=True) as client:
        client.execute(f"SET TimeZone = 'UTC'; CREATE TABLE tried ({columns})")
        with client.cursor() as cursor, cursor.copy("COPY tried FROM STDIN (FORMAT csv)") as copy:
            copy.write(to_csv(rows))
        with client.cursor() as cursor, cursor.copy("COPY tried TO STDOUT (FORMAT csv)") as copy:
            text = b"".join(copy)
        return from_csv(DID_CALLS, text), client.execute("SELECT * FROM tried").fetchall()


def test_awkward_text_comes_back_as_it_was(postgresql_database: str) -> None:
    name = names_of(pa.string())[0]
    rows = did_calls(**{name: AWKWARD})
    back, shown = through_the_server(postgresql_database, rows)
    assert back == rows
    assert [row[DID_CALLS.columns.index(name)] for row in shown] == AWKWARD


def test_amounts_come_back_exactly_and_stand_there_without_further_zeros(postgresql_database: str) -> None:
    name = next(name for name in DID_CALLS.columns if pa.types.is_decimal(DID_CALLS.kind(name)))
    rows = did_calls(**{name: [*map(Decimal, AMOUNTS), None]})
    back, shown = through_the_server(postgresql_database, rows)
    assert back == rows
    values = [row[DID_CALLS.columns.index(name)] for row in shown]
    assert values == [*map(Decimal, AMOUNTS), None]
    assert [f"{value:f}" for value in values[:-1]] == AMOUNTS


def test_times_come_back_to_the_microsecond_in_utc(postgresql_database: str) -> None:
    moments = [datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC), None]
    moments.append(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    rows = did_calls(start_time=moments)
    assert through_the_server(postgresql_database, rows)[0] == rows


def test_a_very_long_text_is_read_in_one_piece() -> None:
    name = names_of(pa.string())[0]
    rows = did_calls(**{name: ["x" * 3_000_000, "y"]})
    assert from_csv(DID_CALLS, bytes(to_csv(rows))) == rows


def test_nothing_is_read_as_no_rows() -> None:
    assert from_csv(DID_CALLS, b"") == DID_CALLS.empty()


@given(st.lists(st.none() | st.text("a\x00\\"), min_size=1))
def test_each_nul_of_a_text_is_replaced(texts: list[str | None]) -> None:
    name = names_of(pa.string())[0]
    expected = [None if text is None else text.replace("\x00", REPLACEMENT) for text in texts]
    assert clean(did_calls(**{name: texts}))[name].to_pylist() == expected


@given(st.dictionaries(st.text("a\x00\\u0", max_size=8), st.text("a\x00\\u0", max_size=8), max_size=2))
def test_each_nul_of_json_is_replaced_and_nothing_that_looks_like_one(extra: dict[str, str]) -> None:
    (text,) = clean(did_calls(extra=[json.dumps(extra)]))[EXTRA].to_pylist()
    replaced = {key.replace("\x00", REPLACEMENT): value.replace("\x00", REPLACEMENT) for key, value in extra.items()}
    assert json.loads(text) == replaced


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ('{"a": 1, "bb": [1, 2]}', '{"bb":[1,2],"a":1}'),
        ('{"a": 100000000000000000000000}', '{"a":1e23}'),
        ('{"a": 0.0000001}', '{"a":1e-7}'),
        ('{"a": "\ufffd"}', '{"a":"\\u0000"}'),
    ],
)
def test_json_is_spelt_as_it_was_read_if_it_means_the_same(stored: str, read: str) -> None:
    spelt = as_read(DID_CALLS, did_calls(extra=[stored, None]), did_calls(extra=[read]))
    assert spelt[EXTRA].to_pylist() == [read, None]


@pytest.mark.parametrize("read", ['{"a":2}', '{"a":"1"}', '{"a":1,"b":1}', None])
def test_json_that_means_something_else_is_left_as_it_is_stored(read: str | None) -> None:
    stored = did_calls(extra=['{"a": 1}'])
    assert as_read(DID_CALLS, stored, did_calls(extra=[read])) == stored


def test_a_text_with_a_nul_is_spelt_as_it_was_read() -> None:
    name = names_of(pa.string())[0]
    stored, read = did_calls(**{name: ["a\ufffd", "b"]}), did_calls(**{name: ["a\x00"]})
    assert as_read(DID_CALLS, stored, read)[name].to_pylist() == ["a\x00", "b"]


def test_a_key_that_is_a_mark_of_utf8_is_read_back_even_as_the_first_of_all() -> None:
    keys = ["\ufeff", "\ufeffa", "b"]
    bare = [pa.array(keys if name == "call_id" else [None] * 3, CALLS.kind(name)) for name in CALLS.columns]
    text = "\n".join(f'"{key}"{"," * (len(CALLS.columns) - 1)}' for key in keys).encode()
    assert from_csv(CALLS, text).equals(pa.Table.from_arrays(bare, schema=CALLS.schema))


def test_rows_after_nothing_are_written_as_they_are() -> None:
    pieces = [did_calls(number=[]), did_calls(number=[]), did_calls(number=["1"]), did_calls(number=["2", None])]
    assert bytes(to_csv(pa.concat_tables(pieces))) == bytes(to_csv(did_calls(number=["1", "2", None])))

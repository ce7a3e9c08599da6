"""Rows for tables of a PostgreSQL sink, and a round of all that is done with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa

from nxcdr_async.records.arrow import CALLS, DID_CALLS, FLASH_CALLS, Table
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.merge import merge
from nxcdr_async.sinks.postgresql.sink import PostgresqlSink
from nxcdr_async.sinks.protocol import Origin
from nxcdr_async.windows import Window

ORIGIN = Origin("account", "UTC+08:00")
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
SECOND = int(MOMENT.timestamp())
WHOLE = Window(0, 4_000_000_000)
TABLES = (CALLS, DID_CALLS, FLASH_CALLS)
NOTE = {"calls": "caller", "did_calls": "number", "flash_calls": "msisdn"}
"""A column of text of each table."""

AWKWARD = "é漢😀 \\ \\n ' \" % ? $1"


def rows_of(table: Table, *values: dict[str, Any]) -> pa.Table:
    rows = [{table.time: MOMENT, **each} for each in values]
    return pa.Table.from_pylist(rows, schema=table.schema)


def keyed_rows(table: Table, *numbers: int) -> pa.Table:
    """Return a row for each number, with all that is awkward to write."""
    is_text = table.kind(table.key) == pa.string()
    values: dict[str, Any] = {"extra": '{"a":"é\\\\漢","b":1.50}'}
    for name in table.columns:
        kind = table.kind(name)
        if kind == pa.string() and name not in (table.key, "extra"):
            values[name] = AWKWARD
        elif pa.types.is_decimal(kind):
            values[name] = Decimal("-0.000000000000000001")
    return rows_of(table, *({**values, table.key: f"{AWKWARD}{number}" if is_text else number} for number in numbers))


def change(start: int = SECOND, *, read_at: int = SECOND + 20) -> LedgerChange:
    return LedgerChange(LedgerEntry(Window(start, start + 10), read_at=read_at), (), None)


@contextmanager
def opened(address: str) -> Iterator[PostgresqlSink]:
    sink = PostgresqlSink(address)
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


def put(sink: PostgresqlSink, table: Table, rows: pa.Table, start: int = SECOND) -> tuple[int, int, int]:
    """Store rows as a run does; return how many were new, changed and unchanged."""
    merged = merge(table, sink.find(table, rows), rows)
    sink.write(table, merged.rows, change(start))
    return merged.new, merged.changed, merged.unchanged


def go_round(address: str, table: Table) -> None:
    """Do all that runs do with a table of a fresh schema, and check that it is there once, as it was written."""
    with opened(address) as sink:
        assert sink.inspect(table) is None
        sink.create(table, ORIGIN)
        assert put(sink, table, keyed_rows(table, 1, 2)) == (2, 0, 0)
    with opened(address) as sink:
        held = sink.inspect(table)
        assert held is not None
        assert (held.origin, held.is_current, len(held.entries)) == (ORIGIN, True, 1)
        assert sink.lost(table) == []
        assert put(sink, table, keyed_rows(table, 1, 2, 3), SECOND + 10) == (1, 0, 2)
        changed = keyed_rows(table, 3)
        place = table.columns.index(NOTE[table.name])
        changed = changed.set_column(place, table.schema.field(place), [pa.array(["other"])])
        assert put(sink, table, changed, SECOND + 20) == (0, 1, 0)
        assert put(sink, table, keyed_rows(table, 3), SECOND + 30) == (0, 1, 0)
        stored = sink.scan(table, WHOLE).sort_by(table.key)
        assert stored.drop_columns("extra") == keyed_rows(table, 1, 2, 3).drop_columns("extra")
        assert sink.prune(table, SECOND + 1, is_trial=True) == 3
        assert sink.prune(table, SECOND + 1, is_trial=False) == 3


def execute(address: str, *statements: str) -> None:
    with psycopg.connect(address, autocommit=True) as keeper:
        for statement in statements:
            keeper.execute(statement.encode())


def answer(address: str, query: str) -> Any:
    with psycopg.connect(address) as client:
        return client.execute(query.encode()).fetchone()

"""Records as Arrow tables: a column for each value of a record, under its name. Pure."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any, get_args

import msgspec
import pyarrow as pa
from attrs import define, fields

from nxcdr_async._util.moments import TrueTypes
from nxcdr_async.errors import RecordError
from nxcdr_async.records.models import (
    CallRecord,
    DidCallRecord,
    Direction,
    FlashCallRecord,
    SourceName,
    read_column,
    read_whole,
    unread_row,
    vendor_key,
)

MONEY = (38, 18)
"""Digits in all, and behind the point, that a table keeps of an amount."""

EXTRA = "extra"
"""The column of the keys nobody knows: a JSON object as text, null without any."""

_ARROW_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    Direction: pa.string(),
    int: pa.int64(),
    bool: pa.bool_(),
    TrueTypes.DATETIME: pa.timestamp("us", tz="UTC"),
    Decimal: pa.decimal128(*MONEY),
    dict: pa.string(),
}


@define(frozen=True, eq=False)
class Table:
    """A table of records.

    Attributes:
        source: what is read into it.
        name: its name.
        record_class: of which its rows are.
        key: the column by which rows are told apart; rows without one are by all their values.
        is_key_unique: whether no two rows share a key; a call id may stand in several, which their times tell apart.
        time: the column that says when a row is.
        schema: its columns as Arrow types: text, 64-bit integers, booleans, times in UTC to the microsecond, decimals.
    """

    source: SourceName
    name: str
    record_class: type[Any]
    key: str
    is_key_unique: bool
    time: str
    schema: pa.Schema

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.schema.names)

    def kind(self, column: str) -> pa.DataType:
        """Return the Arrow type of a column."""
        return self.schema.field(column).type

    def empty(self) -> pa.Table:
        """Return no rows."""
        return self.schema.empty_table()


def _schema(record_class: type[Any]) -> pa.Schema:
    kinds = {attribute.name: attribute.type for attribute in fields(record_class) if attribute.name != EXTRA}
    plain = {name: next(iter(get_args(kind)), kind) for name, kind in kinds.items()}
    return pa.schema([(name, _ARROW_TYPES[kind]) for name, kind in {**plain, EXTRA: dict}.items()])


CALLS = Table(
    source="calls",
    name="calls",
    record_class=CallRecord,
    key="call_id",
    is_key_unique=False,
    time="start_time",
    schema=_schema(CallRecord),
)
DID_CALLS = Table(
    source="did",
    name="did_calls",
    record_class=DidCallRecord,
    key="id",
    is_key_unique=True,
    time="start_time",
    schema=_schema(DidCallRecord),
)
FLASH_CALLS = Table(
    source="flash",
    name="flash_calls",
    record_class=FlashCallRecord,
    key="id",
    is_key_unique=True,
    time="gmt_create",
    schema=_schema(FlashCallRecord),
)

TABLES: dict[SourceName, Table] = {table.source: table for table in (CALLS, DID_CALLS, FLASH_CALLS)}

_TABLES_BY_CLASS = {table.record_class: table for table in TABLES.values()}


def table_for(record_class: type[Any]) -> Table:
    """Return the table of the records of a class."""
    return _TABLES_BY_CLASS[record_class]


BadRowTaker = Callable[[RecordError], object]
"""Gets the error of each bad row, which is then left out."""

RECORDS_AT_ONCE = 1_000
"""Records worth making rows of at once, which takes the event loop some milliseconds.

It takes no longer than in another thread, which would hold Python's lock as long, and the loop back much longer.
"""

_NOT_STORABLE = (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError, msgspec.MsgspecError)
_MILLISECONDS = pa.timestamp("ms", tz="UTC")
_TIMES = (TrueTypes.DATETIME, TrueTypes.DATETIME | None)
_DIRECTIONS = (Direction, Direction | None)
_encode = msgspec.json.Encoder(decimal_format="number").encode


def rows_of(table: Table, records: Sequence[Any], on_bad_row: BadRowTaker | None = None) -> pa.Table:
    """Return records as rows of a table.

    Args:
        table: the table.
        records: of its class.
        on_bad_row: gets the error of each record that no table can hold, which is left out; None to raise it.

    Raises:
        RecordError: a value that no table can hold, such as a number of forty digits.
    """
    try:
        return _rows(table, records)
    except _NOT_STORABLE:
        return _rows(table, [record for record in records if _can_be_stored(table, record, on_bad_row)])


def _rows(table: Table, records: Sequence[Any]) -> pa.Table:
    raw = list(map(unread_row, records))
    are_unread = bool(raw) and not any(row is None for row in raw)
    if not are_unread:
        for record in records:
            read_whole(record)
    columns = [_raw_column(table, name, raw) if are_unread else _column(table, name, records) for name in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _raw_column(table: Table, name: str, rows: list[Any]) -> pa.Array:
    """Return a column of rows whose values were never converted, past the objects that nobody would look at."""
    if name == EXTRA:
        return _raw_extra(table, rows)
    key, plain, convert, kind = rows[0].readers[name]
    values = list(map(attrgetter(key), rows))
    if values[0] is None and values.count(None) == len(values):
        return pa.nulls(len(values), table.kind(name))
    if kind in _TIMES:
        milliseconds = [value if value.__class__ is int and value else None for value in values]
        return pa.array(milliseconds, pa.int64()).cast(_MILLISECONDS).cast(table.kind(name))
    if kind in _DIRECTIONS:
        return pa.array(_names(values, convert, kind), table.kind(name))
    return pa.array(read_column(values, plain, convert, kind), table.kind(name))


def _raw_extra(table: Table, rows: list[Any]) -> pa.Array:
    if not any(row.unknown for row in rows):
        return pa.nulls(len(rows), table.kind(EXTRA))
    return pa.array((_json(row.extra) for row in rows), table.kind(EXTRA))


def _names(directions: list[Any], convert: Callable[[Any, Any], Any], kind: Any) -> list[Any]:
    """Return the names of directions, of which there are but a few different ones."""
    names = {value: None if value is None else _plain(convert(value, kind)) for value in set(directions)}
    return [names[value] for value in directions]


def _column(table: Table, name: str, records: Sequence[Any]) -> pa.Array:
    values = map(attrgetter(name), records)
    return pa.array(map(_json if name == EXTRA else _plain, values), table.kind(name))


def _plain(value: Any) -> Any:
    # A direction is a number to Python, and a name to whoever reads a table.
    return value.name.lower() if isinstance(value, Direction) else value


def _json(extra: dict[str, Any]) -> str | None:
    """Return the keys nobody knows as JSON, without those that say nothing."""
    known = {key: value for key, value in extra.items() if value is not None} if extra else None
    return _encode(known).decode() if known else None


def _can_be_stored(table: Table, record: Any, on_bad_row: BadRowTaker | None) -> bool:
    for name in table.columns:
        try:
            _column(table, name, [record])
        except _NOT_STORABLE as fault:
            bad = _bad(table, name, record, fault)
            if on_bad_row is None:
                raise bad from None
            on_bad_row(bad)
            return False
    return True


def unheld(row: pa.Table, reason: str) -> RecordError:
    """Return the error of the row, the only one given, that a store cannot hold."""
    (values,) = row.to_pylist()
    told = {vendor_key(name): value for name, value in values.items() if value is not None}
    return RecordError(reason, row=told, path="")


def _bad(table: Table, name: str, record: Any, fault: Exception) -> RecordError:
    row = {vendor_key(column): getattr(record, column) for column in (table.key, name)}
    return RecordError(f"cannot be stored: {fault}", row=row, path=vendor_key(name))

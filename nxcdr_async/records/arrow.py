"""Records as Arrow tables: the table of each record class, and records made into its rows. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from types import NoneType
from typing import Any, get_args

import msgspec
import pyarrow as pa
from attrs import define, fields

from nxcdr_async._util.moments import EPOCH, TrueTypes
from nxcdr_async.errors import RecordError
from nxcdr_async.records.models import (
    CallRecord,
    DidCallRecord,
    Direction,
    FlashCallRecord,
    SourceName,
    vendor_key,
)

MONEY = (38, 18)
"""Digits in all, and behind the point, that a table keeps of an amount."""

EXTRA = "extra"
"""The column of unknown keys: a JSON object as text, null without any."""

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
    """The table of a record class.

    Attributes:
        key: the column that identifies rows; rows without a value there are identified by all their values.
        is_key_unique: whether no two rows share a key; a call id may be in several rows, which differ in their times.
        time: the column that says when a row is.
        schema: text, 64-bit integers, booleans, times in UTC to the microsecond, and decimals.
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
        """The names of the columns."""
        return list(self.schema.names)

    def kind(self, column: str) -> pa.DataType:
        """Return the Arrow type of a column."""
        return self.schema.field(column).type

    def empty(self) -> pa.Table:
        """Return the table without rows."""
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


BadRowHandler = Callable[[RecordError], object]
"""Gets the error of each bad row, which is then left out."""

RECORDS_AT_ONCE = 1_000
"""Records worth making into rows at once, which blocks the event loop for some milliseconds.

Another thread would hold Python's lock for as long, and delay the loop much longer.
"""

_NOT_STORABLE = (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError, msgspec.MsgspecError)
_encode = msgspec.json.Encoder(decimal_format="number").encode


def rows_of(table: Table, records: Sequence[Any], on_bad_row: BadRowHandler | None = None) -> pa.Table:
    """Return records as rows of a table.

    Args:
        table: the table.
        records: of its class.
        on_bad_row: gets the error of each record that does not fit into a table, which is left out; None to raise it.

    Raises:
        RecordError: a value that does not fit into a table, such as a number of forty digits.
    """
    try:
        return _rows(table, records)
    except _NOT_STORABLE:
        return _rows(table, [record for record in records if _can_be_stored(table, record, on_bad_row)])


def _rows(table: Table, records: Sequence[Any]) -> pa.Table:
    values = zip(*map(attrgetter(*table.columns), records), strict=True) if records else [()] * len(table.columns)
    columns = [_column(table, name, column) for name, column in zip(table.columns, values, strict=True)]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _column(table: Table, name: str, values: Sequence[Any]) -> pa.Array:
    if name == EXTRA:
        return pa.array(map(_json, values), table.kind(name))
    kinds = set(map(type, values))
    if kinds == {NoneType}:
        return pa.nulls(len(values), table.kind(name))
    if kinds <= {TrueTypes.DATETIME, NoneType}:
        return _times(values).cast(table.kind(name))
    if kinds <= {Direction, NoneType}:
        # A direction is a number in Python, and a name in a table; few are different.
        names = {value: None if value is None else value.name.lower() for value in set(values)}
        values = [names[value] for value in values]
    return pa.array(values, table.kind(name))


def _times(moments: Sequence[datetime | None]) -> pa.Array:
    """Return times as microseconds since 1970, in a third of the time that Arrow takes to ask each for its zone."""
    try:
        since = [None if moment is None else moment - EPOCH for moment in moments]
    except TypeError:  # one without a zone
        return pa.array(moments, pa.timestamp("us", tz="UTC"))
    return pa.array(since, pa.duration("us")).cast(pa.int64())


def _json(extra: dict[str, Any]) -> str | None:
    """Return unknown keys as JSON, without those that are null."""
    known = {key: value for key, value in extra.items() if value is not None} if extra else None
    return _encode(known).decode() if known else None


def _can_be_stored(table: Table, record: Any, on_bad_row: BadRowHandler | None) -> bool:
    for name in table.columns:
        try:
            _column(table, name, [getattr(record, name)])
        except _NOT_STORABLE as fault:
            bad = _bad_record(table, name, record, fault)
            if on_bad_row is None:
                raise bad from None
            on_bad_row(bad)
            return False
    return True


def not_storable(row: pa.Table, reason: str) -> RecordError:
    """Return the error of a row, the only one given, that a sink cannot store."""
    (values,) = row.to_pylist()
    shown = {vendor_key(name): value for name, value in values.items() if value is not None}
    return RecordError(reason, row=shown, path="")


def _bad_record(table: Table, name: str, record: Any, fault: Exception) -> RecordError:
    row = {vendor_key(column): getattr(record, column) for column in (table.key, name)}
    return RecordError(f"cannot be stored: {fault}", row=row, path=vendor_key(name))

"""Records as tables: a column for each value of a record, under its name. Pure."""

from decimal import Decimal
from typing import Any, get_args

import pyarrow as pa
from attrs import define, fields

from nxcdr_async.moments import TrueTypes
from nxcdr_async.records import CallRecord, DidCallRecord, Direction, FlashCallRecord, SourceName

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

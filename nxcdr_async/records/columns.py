"""Converting the values of many rows column by column, which takes a fraction of the time of one by one. Pure."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from types import GenericAlias
from typing import Any

import msgspec

from nxcdr_async._util.moments import EPOCH, TrueTypes
from nxcdr_async.records.models import convert_record, lazy_row, set_values

_MILLISECOND = timedelta(milliseconds=1)
_TIMES = (TrueTypes.DATETIME, TrueTypes.DATETIME | None)
# A list of the true type: written as `list[datetime | None]` it would be one of what stands in for it.
_MOMENTS: type[list[datetime | None]] = GenericAlias(list, (TrueTypes.DATETIME | None,))  # type: ignore[assignment]

_EXACT_UNTIL = 2**32
"""Epoch seconds, in the year 2106, until which a float that msgspec rounds to microseconds has exact milliseconds."""


def convert_columns(records: list[Any]) -> None:
    """Convert all values of records of one class, by columns where possible, which takes a third as long."""
    rows = list(map(lazy_row, records))
    if any(row is None or row.converters is not rows[0].converters for row in rows):
        for record in records:
            convert_record(record)
        return
    # The one value that can be changed may have been, so it is left as it is.
    for name in rows[0].converters.keys() - {"extra"} if rows else ():
        set_values(records, name, convert_lazy_column(rows, name))


def convert_lazy_column(rows: Sequence[Any], name: str) -> list[Any]:
    """Return the values of one attribute of lazy rows, at least one, that share one converter."""
    key, plain, convert, kind = rows[0].converters[name]
    values = list(map(attrgetter(key), rows))
    return times_of(values) if kind in _TIMES else convert_column(values, plain, convert, kind)


def convert_column(values: list[Any], plain: type | None, convert: Callable[[Any, Any], Any], kind: Any) -> list[Any]:
    """Return the values of one attribute of many rows, converted where they are not of the class `plain`, or empty."""
    # Most columns need no conversion, and one look at all classes is far quicker than a look at each value.
    if set(map(type, values)) <= {plain, type(None)} and not (plain is str and "" in values):
        return values
    return [
        value if value is None or (value.__class__ is plain and value != "") else convert(value, kind)
        for value in values
    ]


def times_of(milliseconds: Iterable[Any]) -> list[Any]:
    """Return the times of typed rows, None for "none", as the converter would, in a quarter of the time."""
    seconds = [None if not value or value == "0" else value / 1000 for value in milliseconds]
    if max(filter(None, seconds), default=0) < _EXACT_UNTIL:
        return msgspec.convert(seconds, _MOMENTS, strict=False)
    return [None if value is None else EPOCH + round(value * 1000) * _MILLISECOND for value in seconds]

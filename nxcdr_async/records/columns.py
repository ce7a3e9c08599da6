"""Making the records of many rows at once, column by column, which takes a fraction of the time of one by one. Pure."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from types import GenericAlias, NoneType
from typing import Any, Generic, TypeVar

import attrs
import msgspec
from attrs import NOTHING, Attribute
from cattrs import Converter
from msgspec import UNSET, UnsetType

from nxcdr_async._util.moments import TrueTypes
from nxcdr_async.records.converter import EARLIEST_MS, SCALARS, are_sensible, has_only_own_hooks
from nxcdr_async.records.models import Direction, vendor_fields

RecordT = TypeVar("RecordT")

# A list of the true type: written as `list[datetime | None]` it would be one of what stands in for it.
_MOMENTS: Any = GenericAlias(list, (TrueTypes.DATETIME | None,))

_EXACT_UNTIL_MS = 2**32 * 1000
"""Epoch milliseconds, in the year 2106, until which a float of seconds that msgspec rounds to microseconds is exact."""


class RecordColumns(Generic[RecordT]):
    """Makes records of whole columns of values, as a converter would make them of rows.

    One look at the types of a column tells whether it can be converted at once; else each value goes through its hook.
    """

    def __init__(self, record_class: type[RecordT], converter: Converter) -> None:
        self._record_class: Any = record_class
        self._fields = vendor_fields(record_class)
        kinds = {attribute.type for attribute in self._fields.values()}
        self._is_safe = has_only_own_hooks(converter, {record_class, *SCALARS, *kinds})
        self._hooks = {kind: converter.get_structure_hook(kind) for kind in kinds} if self._is_safe else {}

    def records(self, columns: Mapping[str, Sequence[Any]], count: int) -> tuple[list[RecordT], set[int]]:
        """Return the records of so many rows, and the places of those that only the converter can judge.

        Args:
            columns: values by the vendor's keys, UNSET where a row lacks one.
            count: of the rows.
        """
        if not self._is_safe:
            return [], set(range(count))  # a hook of the user's may want to see each row whole
        refused: set[int] = set()
        made = [
            self._convert(attribute, columns[key] if key in columns else [UNSET] * count, refused)
            for key, attribute in self._fields.items()
        ]
        new: Callable[..., RecordT] = _open_class(self._record_class)
        records = list(map(new, *made, self._extras(columns, count)))
        for record in records:
            record.__class__ = self._record_class
        return records, refused

    def _convert(self, attribute: "Attribute[Any]", values: Sequence[Any], refused: set[int]) -> Sequence[Any]:
        """Return a column of an attribute; the places of values that its hook refuses are added to `refused`."""
        is_required = attribute.default is NOTHING
        kinds = set(map(type, values))
        if UnsetType in kinds and not is_required:
            values = [None if value is UNSET else value for value in values]
            kinds = kinds - {UnsetType} | {NoneType}
        if kinds == {NoneType} and not is_required:
            return values
        at_once = _AT_ONCE[attribute.type](values, kinds)
        if at_once is not None and not (is_required and None in at_once):
            return at_once
        hook = self._hooks[attribute.type]
        converted: list[Any] = []
        for place, value in enumerate(values):
            try:
                converted.append(hook(value, attribute.type))
            except Exception:  # noqa: BLE001 - whatever it is, the converter tells it of the whole row
                converted.append(None)
                refused.add(place)
        return converted

    def _extras(self, columns: Mapping[str, Sequence[Any]], count: int) -> list[dict[str, Any]]:
        """Return the values of the keys that nobody knows, in a dictionary of its own for each row."""
        extras: list[dict[str, Any]] = [{} for _ in range(count)]
        for key in [key for key in columns if key not in self._fields]:
            for extra, value in zip(extras, columns[key], strict=True):
                if value is not UNSET:
                    extra[key] = value
        return extras


@cache
def _open_class(record_class: type[Any]) -> Callable[..., Any]:
    """Return a subclass with the same slots whose values can be set, so that it is made in a quarter of the time.

    Setting the slots of a frozen class goes through `object.__setattr__`. Its instances are to get the record class.
    """
    writable = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    names = [attribute.name for attribute in attrs.fields(record_class)]
    return attrs.make_class(
        f"Open{record_class.__name__}",
        {name: attrs.field() for name in names},
        bases=(record_class,),
        class_body=writable,
        slots=True,
        eq=False,
        repr=False,
    )


def _plain(kind: type) -> "_AtOnce":
    kinds = {kind, NoneType}
    return lambda values, found: values if found <= kinds else None


def _texts(values: Sequence[Any], kinds: set[type]) -> Sequence[Any] | None:
    if not kinds <= {str, NoneType}:
        return None
    return values if all(values) else [value or None for value in values]


def _amounts(values: Sequence[Any], kinds: set[type]) -> Sequence[Any] | None:
    if not kinds <= {Decimal, str, int, NoneType}:
        return None
    if not kinds <= {Decimal, NoneType}:
        try:
            values = [
                value if value is None or value.__class__ is Decimal else Decimal(value) if value != "" else None
                for value in values
            ]
        except InvalidOperation:
            return None
    return values if are_sensible([value for value in values if value is not None]) else None


def _directions(values: Sequence[Any], kinds: set[type]) -> Sequence[Any] | None:
    if not kinds <= {int, NoneType}:
        return None
    members = {value: None if value is None else Direction(value) for value in set(values)}
    return [members[value] for value in values]


def are_milliseconds(values: Sequence[Any]) -> bool:
    """Return whether all values are whole numbers of the size of epoch milliseconds."""
    return set(map(type, values)) == {int} and min(values) >= EARLIEST_MS


def _moments(values: Sequence[Any], kinds: set[type]) -> Sequence[Any] | None:
    if not kinds <= {int, NoneType}:
        return None
    told = list(filter(None, values))
    if told and (min(told) < EARLIEST_MS or max(told) >= _EXACT_UNTIL_MS):
        return None
    moments: list[Any] = msgspec.convert([value / 1000 if value else None for value in values], _MOMENTS, strict=False)
    return moments


_AtOnce = Callable[[Sequence[Any], set[type]], Sequence[Any] | None]
"""Converts a column of values of these types at once as the hook would each; None if it cannot."""

_AT_ONCE: Mapping[Any, _AtOnce] = {
    str: _texts,
    str | None: _texts,
    int: _plain(int),
    int | None: _plain(int),
    bool | None: _plain(bool),
    Decimal | None: _amounts,
    Direction | None: _directions,
    TrueTypes.DATETIME: _moments,
    TrueTypes.DATETIME | None: _moments,
}

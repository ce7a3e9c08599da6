"""Converting the values of many rows at once, column by column, and making the records of them later. Pure.

Both take a fraction of the time that a converter takes for one row after the other.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import repeat, starmap
from operator import truediv
from types import GenericAlias, NoneType
from typing import Any, ClassVar

import attrs
import msgspec
from attrs import NOTHING, Attribute
from cattrs import Converter
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from nxcdr_async._util.moments import TrueTypes
from nxcdr_async.records.converter import EARLIEST_MS, SCALARS, are_sensible, has_only_own_hooks
from nxcdr_async.records.models import Direction, vendor_fields

# A list of the true type: written as `list[datetime | None]` it would be one of what stands in for it.
_MOMENTS: Any = GenericAlias(list, (TrueTypes.DATETIME | None,))

_THOUSANDS = repeat(1000)

_EXACT_UNTIL_MS = 2**32 * 1000
"""Epoch milliseconds, in the year 2106, until which a float of seconds that msgspec rounds to microseconds is exact."""

_SAMPLE = 12
"""Texts of a column that tell whether few of them differ."""


class RecordValues(msgspec.Struct, gc=False):
    """The converted values of a record that is not made yet; its subclasses have the fields of a record class.

    Thousands wait until their window is proven complete, and the garbage collector walks through none of them.

    Attributes:
        record_class: of the record.
    """

    record_class: ClassVar[Any]


class ColumnConverter:
    """Converts whole columns of values, as a converter would convert those of one row after the other.

    One look at the types of a column tells whether it can be converted at once; else each value goes through its hook.
    A converter with hooks of the user's gets all rows itself.
    """

    def __init__(self, record_class: type[Any], converter: Converter) -> None:
        self._record_class: Any = record_class
        self._fields = vendor_fields(record_class)
        kinds = {attribute.type for attribute in self._fields.values()}
        self._is_safe = has_only_own_hooks(converter, {record_class, *SCALARS, *kinds})
        self._hooks = {kind: converter.get_structure_hook(kind) for kind in kinds} if self._is_safe else {}

    @property
    def keys(self) -> Collection[str]:
        """The vendor's keys that have an attribute."""
        return self._fields.keys()

    def values(
        self, columns: Mapping[str, Sequence[Any]], extras: Sequence[dict[str, Any] | None]
    ) -> tuple[list[Any], set[int]]:
        """Return the values of records, and the places of the rows that only the converter can judge.

        There are none of any row if the converter gets all of them itself.

        Args:
            columns: values of their rows by `keys`, UNSET where a row lacks one; a key that no row has may be missing.
            extras: the values of other keys in each row, None where it has none.
        """
        if not self._is_safe:  # a hook of the user's may want to see each row whole
            return [], set(range(len(extras)))
        refused: set[int] = set()
        absent = [UNSET] * len(extras)
        known = [self._convert(attribute, columns.get(key, absent), refused) for key, attribute in self._fields.items()]
        return list(map(_values_class(self._record_class), *known, extras)), refused

    def values_of(self, record: Any) -> Any:
        """Return the values of a record that the converter made, as others have theirs; itself if it made them all."""
        if not self._is_safe:
            return record
        *known, extra = attrs.astuple(record, recurse=False)
        return _values_class(self._record_class)(*known, extra or None)

    def _convert(self, attribute: "Attribute[Any]", values: Sequence[Any], refused: set[int]) -> Sequence[Any]:
        """Return a column of an attribute; the places of values that its hook refuses are added to `refused`."""
        is_required = attribute.default is NOTHING
        kinds = set(map(type, values))
        if not is_required and UnsetType in kinds:
            values = [None if value is UNSET else value for value in values] if len(kinds) > 1 else [None] * len(values)
            kinds = kinds - {UnsetType} | {NoneType}
        if not is_required and kinds == {NoneType}:
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


def records_from(values: Sequence[Any]) -> list[Any]:
    """Return the records of values, made at once; where a converter made them all, the values are the records."""
    if not values or not isinstance(values[0], RecordValues):
        return list(values)
    record_class = values[0].record_class
    records = list(starmap(_open_class(record_class), map(astuple, values)))
    for record in records:
        if record.extra is None:
            record.extra = {}
        record.__class__ = record_class
    return records


@cache
def _values_class(record_class: Any) -> Any:
    names = [attribute.name for attribute in vendor_fields(record_class).values()]
    return msgspec.defstruct(
        f"{record_class.__name__}Values",
        [*((name, Any) for name in names), ("extra", dict[str, Any] | None, None)],
        bases=(RecordValues,),
        namespace={"record_class": record_class},
        gc=False,
    )


@cache
def _open_class(record_class: Any) -> Callable[..., Any]:
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
    if 2 * len(set(values[:_SAMPLE])) > _SAMPLE:
        return [value or None for value in values] if "" in values else values
    # The names of agents, say: each is kept once for a page.
    texts = {text: text or None for text in set(values)}
    return list(map(texts.__getitem__, values))


def _amounts(values: Sequence[Any], kinds: set[type]) -> Sequence[Any] | None:
    if kinds <= {Decimal, NoneType}:
        return values if are_sensible([value for value in values if value is not None]) else None
    if not kinds <= {str, NoneType}:
        return None
    try:
        # Few amounts differ, so that most are read, and kept, once for a page.
        amounts = {text: Decimal(text) if text else None for text in set(values)}
    except InvalidOperation:
        return None
    if not are_sensible([amount for amount in amounts.values() if amount is not None]):
        return None
    return list(map(amounts.__getitem__, values))


def _directions(values: Sequence[Any], kinds: set[type]) -> Sequence[Any] | None:
    if not kinds <= {int, NoneType}:
        return None
    members = {value: None if value is None else Direction(value) for value in set(values)}
    return list(map(members.__getitem__, values))


def are_milliseconds(values: Sequence[Any]) -> bool:
    """Return whether all values are whole numbers of the size of epoch milliseconds."""
    return set(map(type, values)) == {int} and min(values) >= EARLIEST_MS


def _moments(values: Sequence[Any], kinds: set[type]) -> Sequence[Any] | None:
    if not kinds <= {int, NoneType}:
        return None
    told = values if kinds == {int} and min(values) >= EARLIEST_MS else list(filter(None, values))
    # Looked at before they are divided, as no float holds a number of hundreds of digits.
    if told and not EARLIEST_MS <= min(told) <= max(told) < _EXACT_UNTIL_MS:
        return None
    seconds = (
        list(map(truediv, values, _THOUSANDS))
        if told is values
        else [value / 1000 if value else None for value in values]
    )
    moments: list[Any] = msgspec.convert(seconds, _MOMENTS, strict=False)
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

"""Rows of a reply to records and back: one cattrs converter, to which users can add hooks. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin
from weakref import WeakSet

import attrs
from attrs import define, field
from cattrs import AttributeValidationNote, ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from nxcdr_async._util.moments import EPOCH, TrueTypes
from nxcdr_async._util.redaction import NO_SECRETS, Redactor
from nxcdr_async.errors import RecordError
from nxcdr_async.records.models import (
    CallRecord,
    DidCallRecord,
    Direction,
    FlashCallRecord,
    vendor_fields,
)

RecordT = TypeVar("RecordT")

UTC_PLUS_8 = timezone(timedelta(hours=8))
"""The zone in which the vendor's local times are read unless given."""

_MICROSECOND, _MILLISECOND, _SECOND = timedelta(microseconds=1), timedelta(milliseconds=1), timedelta(seconds=1)
_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_EPOCH_TIMES = frozenset({CallRecord})
_LOCAL_TIMES = frozenset({DidCallRecord, FlashCallRecord})
_RECORD_CLASSES = _EPOCH_TIMES | _LOCAL_TIMES
_TRUTH = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
_NUMBERS = (int, str, Decimal, float)
_TIMES = (TrueTypes.DATETIME, TrueTypes.DATETIME | None)
_WIDEST_EXPONENT = 40
EARLIEST_MS = 10**11
"""Epoch milliseconds, in the year 1973: less means seconds, which reach this number in the year 5138."""

_EARLIEST_SECONDS = 10**8
"""Epoch seconds, in the year 1973: what is less is no time of a call, in whatever unit."""

_OWN_HOOKS: WeakSet[Callable[..., Any]] = WeakSet()


@define(frozen=True)
class UnreadableRow:
    """A row of a reply that is no JSON, though the other rows are.

    Attributes:
        values: by the vendor's keys; one that cannot be read is there as the text that came.
        path: the vendor's key of the first that cannot be read, "" if that is not known.
        reason: what is wrong with it.
    """

    raw: bytes = field(repr=False)
    values: Mapping[str, Any] = field(eq=False, repr=False)
    path: str = field(eq=False)
    reason: str = field(eq=False)

    @property
    def text(self) -> str:
        """All of it as text, unreadable bytes as Python writes them."""
        return self.raw.decode(errors="backslashreplace")


def make_converter(naive_zone: tzinfo = UTC_PLUS_8) -> Converter:
    """Return a cattrs converter between the vendor's rows and the record classes; hooks can be added to it.

    `structure` reads the vendor's keys: times become aware, in UTC, money `Decimal`, and "" or a time of 0 become None.
    What cannot be read raises a `ClassValidationError` of cattrs. `unstructure` writes a record as the vendor would.

    Args:
        naive_zone: the zone of times the vendor sends without an offset (DID and flash calls).

    >>> converter = make_converter()
    >>> row = {"callId": "63b0", "startTime": 1690442492841, "totalCustomerPrice": "0.20280000"}
    >>> converter.structure(row, CallRecord).total_customer_price
    Decimal('0.20280000')
    """
    converter = Converter()
    converter.register_structure_hook(str, _mark_own(_text))
    converter.register_structure_hook(int, _mark_own(_whole_number))
    converter.register_structure_hook(bool, _mark_own(_truth))
    converter.register_structure_hook(Decimal, _mark_own(_money))
    converter.register_structure_hook(TrueTypes.DATETIME, _mark_own(lambda value, _: _moment(value, naive_zone)))
    converter.register_structure_hook(Direction, _mark_own(_direction))
    converter.register_structure_hook_factory(_is_optional_scalar, _optional_scalar_hook)
    converter.register_structure_hook_factory(_is_record_class, _record_structure_hook)
    converter.register_unstructure_hook(Decimal, str)
    converter.register_unstructure_hook(Direction, int)
    converter.register_unstructure_hook_factory(
        _is_record_class,
        lambda cls, conv: _record_unstructure_hook(cls, conv, naive_zone),
    )
    return converter


def has_only_own_hooks(converter: Converter, kinds: Iterable[Any]) -> bool:
    """Return whether a converter makes each of these kinds by our hooks, without one of the user's."""
    try:
        return all(converter.get_structure_hook(kind) in _OWN_HOOKS for kind in kinds)
    except Exception:  # noqa: BLE001 - a factory of the user's own may raise anything; its rows are then judged one by one
        return False


def structure_row(
    converter: Converter, row: Any, record_class: type[RecordT], *, redactor: Redactor = NO_SECRETS
) -> RecordT:
    """Structure one row.

    Args:
        converter: makes the record.
        row: as decoded from JSON, or an `UnreadableRow`.
        record_class: the class of the record.
        redactor: keeps secrets out of the error, even if the gateway put them into the row.

    Raises:
        RecordError: with the row, its id and the path of the first fault.
    """
    if isinstance(row, UnreadableRow):
        shown = redactor.value(dict(row.values) or row.text)
        raise RecordError(redactor.line(row.reason), row=shown, path=redactor.line(row.path))
    try:
        return converter.structure(row, record_class)
    except Exception as fault:  # noqa: BLE001 - a hook of the user's own may raise anything; it is the row's fault here
        path, reason = _describe_fault(fault, record_class)
    shown = redactor.value(row)
    if shown is not row:
        # A reason quotes the start of a value, which may be the start of a secret, so it is made again without one.
        path, reason = _fault_of(converter, shown, record_class) or (path, "cannot be read")
    row = shown
    raise RecordError(redactor.line(reason), row=row, path=path)


def _fault_of(converter: Converter, row: Any, record_class: type[Any]) -> tuple[str, str] | None:
    try:
        converter.structure(row, record_class)
    except Exception as fault:  # noqa: BLE001 - as above
        return _describe_fault(fault, record_class)
    return None


def _describe_fault(fault: Exception, record_class: type[Any]) -> tuple[str, str]:
    """Return where in a row a fault is (the vendor's key), and what it is."""
    if isinstance(fault, ClassValidationError):
        return _first_fault(fault, record_class)
    return "", str(fault) if isinstance(fault, TypeError | ValueError) else repr(fault)


def to_local(moment: datetime, naive_zone: tzinfo) -> str:
    """Write an aware datetime as the vendor's local `yyyy-MM-dd HH:mm:ss` (with a fraction only where there is one)."""
    return moment.astimezone(naive_zone).replace(tzinfo=None).isoformat(sep=" ")


def _mark_own(hook: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Note that a hook is ours, not the user's."""
    _OWN_HOOKS.add(hook)
    return hook


def _first_fault(invalid: ClassValidationError, record_class: type[Any]) -> tuple[str, str]:
    keys = {attribute.name: key for key, attribute in vendor_fields(record_class).items()}
    with_notes, without = invalid.group_exceptions()
    fault: Exception
    fault, note = with_notes[0] if with_notes else (without[0], None)
    path = keys.get(note.name, note.name) if isinstance(note, AttributeValidationNote) else ""
    if isinstance(fault, KeyError) and fault.args == (path,):
        return path, "is missing"
    return path, str(fault) or type(fault).__name__


def _is_record_class(cls: Any) -> bool:
    return cls in _RECORD_CLASSES if isinstance(cls, type) else False


def _record_structure_hook(cls: type[Any], converter: Converter) -> Callable[[Any, Any], Any]:
    attributes = vendor_fields(cls)
    renames: dict[str, Any] = {attribute.name: override(rename=key) for key, attribute in attributes.items()}
    known = frozenset(attributes)

    @cache
    def structure_known() -> Callable[[Any, Any], Any]:
        # Compiling takes long, and whole columns do not need it.
        return make_dict_structure_fn(cls, converter, extra=override(omit=True), **renames)

    def structure(row: Any, _: Any) -> Any:
        if not isinstance(row, Mapping):
            raise TypeError(f"is {_described(row)}, not an object")
        record = structure_known()(row, cls)
        unknown = row.keys() - known
        return attrs.evolve(record, extra={key: row[key] for key in row if key in unknown}) if unknown else record

    return _mark_own(structure)


def _record_unstructure_hook(cls: type[Any], converter: Converter, naive_zone: tzinfo) -> Callable[[Any], Any]:
    def write_time(moment: datetime | None) -> int | str | None:
        if moment is None:
            return None
        return (moment - EPOCH) // _MILLISECOND if cls in _EPOCH_TIMES else to_local(moment, naive_zone)

    overrides: dict[str, Any] = {
        attribute.name: override(rename=key, unstruct_hook=write_time)
        if attribute.type in _TIMES
        else override(rename=key)
        for key, attribute in vendor_fields(cls).items()
    }
    unstructure_known = make_dict_unstructure_fn(cls, converter, extra=override(omit=True), **overrides)

    def unstructure(record: Any) -> dict[str, Any]:
        return {**unstructure_known(record), **record.extra}

    return unstructure


def _is_optional_scalar(cls: Any) -> bool:
    if get_origin(cls) not in (UnionType, Union):
        return False
    members = [member for member in get_args(cls) if member is not type(None)]
    return len(members) == 1 and len(get_args(cls)) > 1 and members[0] in SCALARS


def _optional_scalar_hook(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    scalar = next(member for member in get_args(cls) if member is not type(None))
    structure = converter.get_structure_hook(scalar)
    # The vendor writes "" for any missing value, and 0 for a missing time.
    nothing: tuple[Any, ...] = ("", 0, "0") if scalar is TrueTypes.DATETIME else ("",)

    def structure_optional(value: Any, _: Any) -> Any:
        return None if value is None or value in nothing else structure(value, scalar)

    return _mark_own(structure_optional)


SCALARS = (str, int, bool, Decimal, TrueTypes.DATETIME, Direction)
"""The types of values of a row, each with a hook of its own."""


def _text(value: Any, _: Any) -> str:
    if isinstance(value, str):
        if not value:
            raise ValueError("is empty")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"is {_described(value)}, not text")


def _whole_number(value: Any, _: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str | Decimal | float):
        number = _exact(value)
        if number == number.to_integral_value():
            return int(number)
    raise ValueError(f"is {_described(value)}, not a whole number")


def _direction(value: Any, _: Any) -> Direction:
    return Direction(_whole_number(value, int))


def _truth(value: Any, _: Any) -> bool:
    found = _TRUTH.get(value) if isinstance(value, str | int) else None
    if found is None:
        raise ValueError(f"is {_described(value)}, neither true nor false")
    return found


def _money(value: Any, _: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        raise TypeError(f"is {_described(value)}, not a number")
    return _exact(value)


def _exact(value: Decimal | str | float) -> Decimal:
    """Read a finite number of sensible size. A float is read by its shortest text, which is what was written."""
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"is {_described(value)}, not a number") from None
    if not are_sensible([number]):
        raise ValueError("is a number out of any sensible range")
    return number


def are_sensible(numbers: list[Decimal]) -> bool:
    """Return whether numbers are finite, and of a size that a real amount may have."""
    if not all(map(Decimal.is_finite, numbers)):
        return False
    return all(-_WIDEST_EXPONENT <= exponent <= _WIDEST_EXPONENT for exponent in set(map(Decimal.adjusted, numbers)))


def _moment(value: Any, naive_zone: tzinfo) -> datetime:
    """Read epoch milliseconds or seconds, by their size, or a local time in the session's zone."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        try:
            moment = TrueTypes.DATETIME.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(f"is {_described(value)}, not a time") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=naive_zone)).astimezone(UTC)
    number = _exact(value) if isinstance(value, str | Decimal | float) else _whole_number(value, int)
    if number == 0:
        raise ValueError("is 0, not a time")
    if number < _EARLIEST_SECONDS:
        raise ValueError(f"is {_described(value)}, too small for a time in epoch milliseconds, or in seconds")
    unit = _MILLISECOND if number >= EARLIEST_MS else _SECOND
    try:
        # A datetime has nothing finer than a microsecond.
        return EPOCH + int(number * (unit // _MICROSECOND)) * _MICROSECOND
    except OverflowError:
        raise ValueError("is a time out of any sensible range") from None


def _described(value: Any) -> str:
    """Describe a wrong value: by its type, or itself where that is short."""
    kinds = {type(None): "null", bool: "true or false", dict: "an object", list: "an array"}
    if type(value) in kinds:
        return kinds[type(value)]
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}…"  # noqa: PLR2004 - as much as helps in a message

"""Moments of the true types, whatever stands in for them. Pure.

Tests that freeze time put classes of their own in the place of `datetime` and `date` in every module, for as long as it
is frozen. They are good enough to be given to us; what we make, and what we go by the type of, is of the true ones.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_args

if TYPE_CHECKING:
    from attrs import Attribute

KindT = TypeVar("KindT")


def _true(kind: type[KindT]) -> type[KindT]:
    """Return the class of the standard library that a class is, or is derived from."""
    return next(base for base in kind.__mro__ if base.__module__ == "datetime")


class TrueTypes:
    """The true types, in a class as whoever freezes time replaces what modules hold, under any name."""

    DATETIME: ClassVar[type[datetime]] = _true(datetime)
    DATE: ClassVar[type[date]] = _true(date)


EPOCH = TrueTypes.DATETIME(1970, 1, 1, tzinfo=UTC)


def moment_at(seconds: float) -> datetime:
    """Return epoch seconds as a time in UTC.

    Raises:
        OverflowError: it is in no year from 1 to 9999.
    """
    return EPOCH + timedelta(seconds=seconds)


def with_true_times(_: type[Any], attributes: "Sequence[Attribute[Any]]") -> "list[Attribute[Any]]":
    """Give the attributes of an attrs class that are times the true type, also where one stands in for it."""
    return [attribute.evolve(type=_true_type(attribute.type)) for attribute in attributes]


def _true_type(kind: Any) -> Any:
    members = get_args(kind)
    if members:
        return TrueTypes.DATETIME | None if any(map(_is_time, members)) else kind
    return TrueTypes.DATETIME if _is_time(kind) else kind


def _is_time(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, TrueTypes.DATETIME)


def moment_if_any(seconds: int | None) -> datetime | None:
    """Return epoch seconds as a time in UTC, and None as None."""
    return None if seconds is None else moment_at(seconds)

"""What an argument is, as a plain value of Python's own; each module says how to mend a wrong one. Pure.

A `str` enumeration is text to `isinstance` and another text to `str` and f-strings; a number may be NumPy's, or compare
as its class likes. So what comes in is made plain at the door, past all that its class says.
"""

from decimal import Decimal
from numbers import Real
from operator import index
from typing import Any, SupportsIndex, TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether a value is a whole number; to Python, True and False are such too."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number that can be compared; `nan` is one that no bound holds for."""
    return is_whole(value) or isinstance(value, float)


def as_text(value: object) -> str | None:
    """Return text as a plain `str`; None for all else."""
    return str.__str__(value) if isinstance(value, str) else None


def as_whole(value: object) -> int | None:
    """Return a whole number as a plain `int`, also one of NumPy; None for all else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int.__int__(value)
    return index(value) if isinstance(value, Real) and isinstance(value, SupportsIndex) else None


def as_number(value: object) -> int | float | None:
    """Return a number as a plain `int` or `float`; None for all else. `nan` is one that no bound holds for."""
    whole = as_whole(value)
    if whole is not None or isinstance(value, bool):
        return whole
    if isinstance(value, float):
        return float.__float__(value)
    try:
        return float(value) if isinstance(value, Real | Decimal) else None
    except (ValueError, OverflowError):
        return None


def plain(value: Any) -> Any:
    """Return text, a whole number or a float of any class as Python's own; all else as it is."""
    if isinstance(value, str):
        return as_text(value)
    number = as_number(value) if isinstance(value, Real) else None
    return value if number is None else number

"""What kind of number an argument is, for all rooms that take numbers; each says how to mend a wrong one. Pure."""

from typing import TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number; to Python, True and False are such too."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether a value is a number that can be compared; `nan` is one that no bound holds for."""
    return is_whole(value) or isinstance(value, float)

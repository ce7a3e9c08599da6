"""Checks of what users ask for. Pure."""

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import AttrsInstance, fields

from nxcdr_async._util.validation import as_text
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.records.models import Direction

QueryT = TypeVar("QueryT", bound=AttrsInstance)


def given(filters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out the filters that nobody asked for."""
    return {name: value for name, value in filters.items() if value is not None}


def query_of(kind: type[QueryT], filters: Mapping[str, Any], source: str) -> QueryT:
    """Return a query with filters that came by name.

    Raises:
        ConfigurationError: it has none such, or one has a wrong value.
    """
    known = [attribute.name for attribute in fields(kind)]
    unknown = sorted(set(filters) - set(known))
    if unknown:
        raise ConfigurationError(
            f"{source!r} cannot be narrowed by {', '.join(unknown)}: give {', '.join(known) or 'no filter'}"
        )
    return kind(**filters)


def checked_text(name: str, value: object) -> str | None:
    """Return a filter as plain text, None where it is left out.

    Raises:
        ConfigurationError: it is no text, or none that can be sent.
    """
    return None if value is None else needed_text(name, value, "it as text, or None to leave it out")


def needed_text(name: str, value: object, wanted: str) -> str:
    """Return what cannot be left out as plain text.

    Raises:
        ConfigurationError: it is no text, or none that can be sent; the message says to give what is wanted.
    """
    text = as_text(value)
    if not text:
        raise ConfigurationError(f"{name} is {value!r}: give {wanted}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{name} is {text!r}, which is no valid text: half a character is missing") from None
    return text


def make_plain(query: object, *names: str) -> None:
    """Have texts of a frozen query be plain ones, while it is being made."""
    for name in names:
        object.__setattr__(query, name, checked_text(name, getattr(query, name)))


def check_direction(direction: Direction | None, allowed: set[Direction]) -> None:
    """Check a filter by direction.

    Raises:
        ConfigurationError: it is no direction that can be asked for.
    """
    if direction is not None and (not isinstance(direction, Direction) or direction not in allowed):
        names = ", ".join(f"Direction.{known.name}" for known in sorted(allowed))
        raise ConfigurationError(f"direction is {direction!r}: give one of {names}, or None")

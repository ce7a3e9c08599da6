"""Packages that are imported by the first who needs them. Pure."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from nxcdr_async._util.moments import TrueTypes


def import_late(package: str) -> Any:
    """Import a package now, also while time is frozen.

    Raises:
        ImportError: it is not there, or broken.
    """
    with _true_types_in_place():
        return import_module(package)


def import_arrow() -> Any:
    """Import pyarrow now, and while time is frozen what it imports with its first array: pandas, where there is one.

    Raises:
        ImportError: it is not there, or broken.
    """
    with _true_types_in_place() as is_frozen:
        arrow = import_module("pyarrow")
        if is_frozen:
            arrow.array([])
    return arrow


@contextmanager
def _true_types_in_place() -> Iterator[bool]:
    # A package written in C takes `datetime` for what it is in C: with another class in its place, pandas crashes.
    names = vars(dt)
    standing_in = {"datetime": names["datetime"], "date": names["date"]}
    names.update(datetime=TrueTypes.DATETIME, date=TrueTypes.DATE)
    try:
        yield standing_in["datetime"] is not TrueTypes.DATETIME
    finally:
        names.update(standing_in)

"""What is imported by the first who needs it: packages that are slow or may be missing, and names of our own."""

import datetime as dt
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from threading import RLock
from typing import Any, ClassVar

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


def lazy_names(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package, which imports each public name as it is first used (PEP 562).

    Args:
        package: its name.
        homes: the names that each module of it is the home of.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        itself = sys.modules[package]
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=itself)
        found = getattr(import_late(home_of[name]), name)
        setattr(itself, name, found)  # the next who asks finds it at once
        return found

    return get


class _Standing:
    """What stands in for the true types, for when nobody imports any more. In a class, as modules are frozen."""

    lock: ClassVar[RLock] = RLock()
    importing: ClassVar[int] = 0
    names: ClassVar[dict[str, Any]] = {}


@contextmanager
def _true_types_in_place() -> Iterator[bool]:
    # A package written in C takes `datetime` for what it is in C: with another class in its place, pandas crashes.
    names = vars(dt)
    with _Standing.lock:
        # Threads may import at once: who comes later finds the true types in place, and who goes first leaves them.
        if not _Standing.importing or names["datetime"] is not TrueTypes.DATETIME:
            _Standing.names = {"datetime": names["datetime"], "date": names["date"]}
        names.update(datetime=TrueTypes.DATETIME, date=TrueTypes.DATE)
        _Standing.importing += 1
        is_frozen = _Standing.names["datetime"] is not TrueTypes.DATETIME
    try:
        yield is_frozen
    finally:
        with _Standing.lock:
            _Standing.importing -= 1
            if not _Standing.importing:
                names.update(_Standing.names)

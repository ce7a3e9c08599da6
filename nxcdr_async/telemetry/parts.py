"""Which part of an API's records a page is of."""

from datetime import date
from functools import lru_cache
from typing import TypeAlias

from nxcdr_async.moments import moment_at
from nxcdr_async.windows import Window

Part: TypeAlias = Window | date | str
"""A range of time, a day, or in words what else there is, such as "of order 'A1'"."""


@lru_cache(maxsize=64)  # a window has many pages
def edges_of(window: Window) -> tuple[str, str]:
    """Return the start and the end of a window as ISO 8601, in UTC."""
    start, end = (moment_at(edge).isoformat() for edge in (window.start, window.end))
    return start, end

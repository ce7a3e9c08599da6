"""What all pagers share: how reading a window ends, and how it is told that a gateway ignores the range."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeVar

from attrs import define

from nxcdr_async.errors import IncompleteError
from nxcdr_async.paging.page_rows import first_of_each
from nxcdr_async.protocol.responses import Page, Row
from nxcdr_async.telemetry.watch import PageWatch, Part, edges_of
from nxcdr_async.windows import FARTHEST_OUTSIDE, HOUR, Window

RecordT = TypeVar("RecordT")

Ask = Callable[[Mapping[str, Any]], Awaitable[Page]]
"""Sends one query, as its parameters in the vendor's terms, and returns the page that answers it."""

Watch = Callable[[Part, int | None], PageWatch]
"""Watches the request for a page, given which part of the records it is of and its number."""

OnBadRow = Literal["raise", "skip"]


@define(frozen=True)
class ReadResult:
    """The records of a window, each once; with an error, those before it."""

    records: list[Row]
    error: Exception | None = None
    duplicates: int = 0

    @classmethod
    def each_once(cls, rows: list[Row], error: Exception | None = None) -> "ReadResult":
        """Return the result of an API whose ids are unique to a row: of several rows with one id the first counts."""
        records = first_of_each(rows)
        return cls(records, error, len(rows) - len(records))


@define(frozen=True)
class Split:
    """A window that must be read in parts; without any, the pager cuts them itself when asked for the next window."""

    parts: list[Window]


Outcome = ReadResult | Split
"""How reading a window ends."""


def check_inside(
    window: Window,
    calls: list[Row],
    end_ms: Callable[[Any], float | None] | None,
    *,
    margin: int = FARTHEST_OUTSIDE,
) -> None:
    """Check that a gateway respects the time range: one that ignores it answers each window with calls of any time.

    Args:
        window: the range that was asked for.
        calls: those of a page of the answer.
        end_ms: returns when a call ends, epoch milliseconds, as a gateway may filter by that; None where it cannot.
        margin: seconds around the range in which a call proves nothing.

    Raises:
        IncompleteError: most calls both start and end far outside.
    """
    first, last = (window.start - margin) * 1000, (window.end + margin) * 1000
    strays = [call for call in calls if not first <= call.start_ms <= last]
    ends = map(end_ms, strays) if end_ms else [None] * len(strays)
    outside = sum(1 for end in ends if end is None or not first <= end <= last)
    if outside * 2 > len(calls):
        raise IncompleteError(
            f"{outside} of {len(calls)} calls given for {in_words(window)} lie over {margin // HOUR} h outside of it: "
            "the gateway, or something in front of it, ignores the time range",
        )


def in_words(part: Part) -> str:
    """Describe a part of the records, for errors."""
    if isinstance(part, Window):
        return " to ".join(edges_of(part))
    return part if isinstance(part, str) else f"of {part}"

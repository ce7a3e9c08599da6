"""What every pager is: it cuts a range into windows, in order of time, and reads each by steps that may run at once."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar

from attrs import define, field

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

Step = Callable[[], Awaitable[None]]
"""A piece of work on a window, mostly one request; the prefetcher decides how many run at once."""

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


class WindowReading(Protocol):
    """A window while it is read; `Pager.open` returns it."""

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None until then."""

    @property
    def forecast(self) -> float:
        """Calls it is expected to have in the end."""

    @property
    def calls_read(self) -> int:
        """About how many of its calls are in memory."""

    def next_step(self) -> Step | None:
        """Return what is to be done next; None while that depends on steps that are under way."""

    def next_speculative_step(self) -> Step | None:
        """Return what will probably be needed soon, worth doing only while nothing else is to be done."""


@define(eq=False)
class SingleStepReading:
    """A window that is read in one step."""

    read: Callable[[], Awaitable[Outcome]]
    outcome: Outcome | None = field(default=None, init=False)
    _was_given: bool = field(default=False, init=False)

    @property
    def forecast(self) -> float:
        """Calls read, as no more is known before they come."""
        return self.calls_read

    @property
    def calls_read(self) -> int:
        """Calls read."""
        return len(self.outcome.records) if isinstance(self.outcome, ReadResult) else 0

    def next_step(self) -> Step | None:
        """Return the step, once."""
        if self._was_given:
            return None
        self._was_given = True
        return self._run

    def next_speculative_step(self) -> Step | None:
        """Return None: there is nothing to guess."""
        return None

    async def _run(self) -> None:
        self.outcome = await self.read()


class Pager(Protocol):
    """A range that is read window by window."""

    def next(self) -> Window | None:
        """Cut the next window, in order of time; None when there is none for now, or at the end of the range."""

    def open(self, window: Window) -> WindowReading:
        """Begin reading a window."""


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

"""What a paginator reads: a pager that cuts its range into windows, in order of time, and reads one at a time."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar

from attrs import define, field

from nxcdr_async.errors import IncompleteError
from nxcdr_async.paging.page_rows import first_of_each
from nxcdr_async.protocol.responses import Dated, Page
from nxcdr_async.telemetry.watch import SILENCE, PageWatch, Part, edges_of
from nxcdr_async.windows import FARTHEST_OUTSIDE, HOUR, Window

RecordT = TypeVar("RecordT")

Ask = Callable[[Mapping[str, Any]], Awaitable[Page]]
"""All a source needs of the world: the parameters of a question to the page that answers it."""

Watch = Callable[[Part, int | None], PageWatch]
"""Watches a page that is asked for, whose part and number it is told."""

Step = Callable[[], Awaitable[None]]
"""Something to do for a window that takes one of the places worth having at once; mostly one question."""

OnBadRow = Literal["raise", "skip"]


@define(frozen=True)
class ReadResult:
    """A window that was read.

    Attributes:
        records: each once.
        error: what kept it from its end, if anything did.
        duplicates: rows left out because their record was there already.
    """

    records: list[Dated]
    error: Exception | None = None
    duplicates: int = 0

    @classmethod
    def each_once(cls, rows: list[Dated], error: Exception | None = None) -> "ReadResult":
        """Return what was read of an API whose ids are those of rows: of several with one id the first."""
        records = first_of_each(rows)
        return cls(records, error, len(rows) - len(records))


@define(frozen=True)
class Split:
    """A window that must be read in parts; none if the source will cut them itself when asked for the next window."""

    parts: list[Window]


Outcome = ReadResult | Split
"""How the reading of a window ends."""


class Reading(Protocol):
    """A window while it is read."""

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it is not over."""

    @property
    def forecast(self) -> float:
        """Calls it is going to hold."""

    @property
    def held(self) -> int:
        """About how many calls it holds already."""

    def next_step(self) -> Step | None:
        """Give what is to do next; None if that hangs on steps that were given already."""

    def next_guess(self) -> Step | None:
        """Give what will probably be to do soon; worth a try only while there is nothing else to do."""


@define(eq=False)
class OneStep:
    """The reading of a window that is one step."""

    read: Callable[[], Awaitable[Outcome]]
    outcome: Outcome | None = field(default=None, init=False)
    _was_given: bool = field(default=False, init=False)

    @property
    def forecast(self) -> float:
        """Calls it holds; how many will come is not known before."""
        return self.held

    @property
    def held(self) -> int:
        """Calls it holds."""
        return len(self.outcome.records) if isinstance(self.outcome, ReadResult) else 0

    def next_step(self) -> Step | None:
        """Give the step, once."""
        if self._was_given:
            return None
        self._was_given = True
        return self._run

    def next_guess(self) -> Step | None:
        """Give nothing: there is nothing to guess."""
        return None

    async def _run(self) -> None:
        self.outcome = await self.read()


class Source(Protocol):
    """A range that can be read window by window."""

    def next(self) -> Window | None:
        """Cut the next window, in order of time; None at the end of the range."""

    def open(self, window: Window) -> Reading:
        """Begin to read a window."""


def _unwatched(_part: Part, _number: int | None) -> PageWatch:
    return SILENCE


def check_inside(
    window: Window,
    calls: list[Dated],
    end_ms: Callable[[Any], float | None] | None,
    *,
    margin: int = FARTHEST_OUTSIDE,
) -> None:
    """Notice a gateway that ignores the range: it answers each narrow window with calls of any time.

    Args:
        window: the range that was asked for.
        calls: those of a page of the answer.
        end_ms: the other time of a call that a gateway may filter by, epoch milliseconds, if there is one.
        margin: seconds around the range within which a call tells nothing.

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
    """Return a part in words, for errors."""
    if isinstance(part, Window):
        return " to ".join(edges_of(part))
    return part if isinstance(part, str) else f"of {part}"

"""What a paginator reads: a source that cuts its range into pieces, in order of time, and reads one at a time."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from attrs import define

from nxcdr_async.errors import RecordError
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window
from nxcdr_async.wire import Page

RecordT = TypeVar("RecordT")
RecordT_co = TypeVar("RecordT_co", covariant=True)

Ask = Callable[[Mapping[str, Any]], Awaitable[Page]]
"""All a source needs of the world: the parameters of a request to its page."""

MOST_PAGES = 2_000
"""Pages of one piece beyond which a gateway is taken to answer without end."""


@define(frozen=True)
class Piece:
    """A part of a range that is read in one go: [start, end), with what its reader needs to know of it."""

    start: datetime
    end: datetime
    window: Window


@define(frozen=True)
class Rows(Generic[RecordT_co]):
    """A piece that was read: its records, and the error that kept it from its end, if any."""

    records: list[RecordT_co]
    error: Exception | None = None


@define(frozen=True)
class Split:
    """A piece that must be read in parts; none if the source will cut them itself when asked for the next piece."""

    parts: list[Piece]


class Source(Protocol[RecordT_co]):
    """A range that can be read in pieces."""

    def next(self, *, readers: int) -> Piece | None:
        """Cut the next piece, in order of time; None at the end of the range."""

    async def read(self, piece: Piece) -> Rows[RecordT_co] | Split:
        """Read a piece to its end, or find that it must be split."""


@define
class RowStructurer(Generic[RecordT]):
    """Turns the rows of a page into records; a row that cannot be one is an error, or is handed to a callback.

    Attributes:
        structure: turns a row into a record or raises RecordError.
        on_bad_row: gets the error of each bad row, which is then left out; None to raise it.
    """

    structure: Callable[[Any], RecordT]
    on_bad_row: Callable[[RecordError], object] | None
    stats: PaginatorStats

    def records(self, rows: list[Any]) -> Iterator[RecordT]:
        """Yield the records of rows.

        Raises:
            RecordError: a row cannot be a record, and no callback takes it.
        """
        for row in rows:
            try:
                record = self.structure(row)
            except RecordError as bad:
                if self.on_bad_row is None:
                    raise
                self.stats.bad_rows += 1
                self.on_bad_row(bad)
            else:
                yield record


def piece_of(window: Window) -> Piece:
    """Return a window as a piece."""
    return Piece(datetime.fromtimestamp(window.start, UTC), datetime.fromtimestamp(window.end, UTC), window)


def span_of(window: Window) -> str:
    """Return a window in words, for errors."""
    start, end = (datetime.fromtimestamp(edge, UTC).isoformat() for edge in (window.start, window.end))
    return f"{start} to {end}"

"""The Paginator: records of a range as an async iterator that is safe to leave in any way."""

import asyncio
import warnings
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from nxcdr_async._util.counts import counted
from nxcdr_async._util.moments import moment_at
from nxcdr_async._util.tasks import cancel_and_wait, running_loop
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async.errors import ConfigurationError, NxcdrError, RecordError
from nxcdr_async.paging.prefetch import Prefetcher
from nxcdr_async.records.frames import FrameBuilder, arrow_table, pandas_frame, polars_frame
from nxcdr_async.stats import PaginatorStats

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]  # it ships no types; a user may have pandas-stubs
    import polars as pl
    import pyarrow as pa

RecordT = TypeVar("RecordT")
FrameT = TypeVar("FrameT")


class Paginator(Uncopied, Generic[RecordT]):
    """The records of a range: sorted by start time and id, each once, read concurrently while you iterate.

    The session makes it: `cdr.calls(start, end)` and the like. Nothing is requested before the first record is wanted,
    and it can be read once. `async with` leaves it cleanly:

    >>> async def answered(cdr, start, end):
    ...     async with cdr.calls(start, end, answered=True) as calls:
    ...         async for call in calls:
    ...             return call  # leaving the block ends every request that is still under way

    A bare `async for` that runs to its end needs no `async with`. One that is left early is stopped when the paginator
    is dropped, with a ResourceWarning, because nothing can wait for its requests to end then.

    An error is raised after the records before it. `complete_until` of an `NxcdrError` is the moment up to where the
    records are complete, so that a program can read on from there.
    """

    _instead = "ask the session for a new one; records can be copied and pickled"

    def __init__(
        self,
        prefetcher: Prefetcher[RecordT],
        on_start: Callable[["asyncio.Task[None]"], None],
        *,
        record_class: type[RecordT],
        asked_for: str,
        on_bad_row: Callable[[RecordError], object] | None = None,
    ) -> None:
        self._prefetcher = prefetcher
        self._on_start = on_start
        self._record_class = record_class
        self._asked_for = asked_for
        self._on_bad_row = on_bad_row
        self._task: asyncio.Task[None] | None = None
        self._batch: deque[RecordT] = deque()
        self._complete_until_before: int | None = None
        self._complete_until_after: int | None = None
        self._closed = False
        self._ended = False

    @property
    def stats(self) -> PaginatorStats:
        """What was counted so far; see `PaginatorStats`."""
        return self._prefetcher.stats

    @property
    def complete_until(self) -> datetime | None:
        """The moment (aware, UTC) before which no record is missing among those read so far; None until it is known.

        It lags behind the last record, and becomes the end of the range only when the paginator ends.
        """
        reached = self._complete_until_before if self._batch else self._complete_until_after
        return None if reached is None else moment_at(reached)

    def pages(self) -> "PageIterator[RecordT]":
        """Return an async iterator over lists of records, as they come: never empty, of no fixed length.

        Its `aclose` is that of the paginator, so `async with contextlib.aclosing(paginator.pages())` leaves it cleanly.

        Raises:
            ConfigurationError: the paginator was read to its end already.
        """
        self._check_not_ended()
        return PageIterator(self._rest_of_page, self.aclose)

    async def collect(self) -> list[RecordT]:
        """Read everything that is left into one list, for ranges that fit into memory.

        Raises:
            NxcdrError: there is no list then. `complete_until` of the error is up to where one can be had: read a range
                that ends there.
        """
        records: list[RecordT] = []
        async with self:
            async for page in self.pages():
                records += page
        return records

    async def to_arrow(self) -> "pa.Table":
        """Read everything that is left into a `pyarrow.Table`; needs pyarrow (the extra `files`).

        It has a column for each attribute of a record, like the tables of a backfill: times in UTC to the microsecond,
        directions as names, `extra` as JSON text, null without keys. Money is `decimal128(18, 8)`, which leaves Arrow
        room to add and multiply; a column with an amount of more digits than that is `decimal128(38, 18)`: nothing is
        ever rounded. A range without records gives a table without rows. Records become rows at once, so only the table
        is kept in memory, in chunks of a thousand rows or so; `combine_chunks()` makes them one.

        Raises:
            ConfigurationError: a package is missing; nothing was requested.
            RecordError: a record that fits into no table, such as an amount of forty digits, unless the paginator is to
                skip bad rows.
            NxcdrError: as for `collect`.
        """
        return await self._fill(arrow_table(self._record_class))

    async def to_pandas(self) -> "pd.DataFrame":
        """Read everything that is left into a `pandas.DataFrame`; needs pandas 2 or newer, and pyarrow.

        The columns are those of `to_arrow`, exact, nulls and all: times `datetime64[us, UTC]`, all else of Arrow's
        types, as pandas has no exact money of its own. The errors are those of `to_arrow`.

        >>> async def spent_by_hour(cdr, start, end):
        ...     calls = await cdr.calls(start, end).to_pandas()
        ...     return calls.set_index("start_time").resample("1h").total_customer_price.sum()
        """
        return await self._fill(pandas_frame(self._record_class))

    async def to_polars(self) -> "pl.DataFrame":
        """Read everything that is left into a `polars.DataFrame`; needs polars and pyarrow.

        The columns are those of `to_arrow`: `Datetime("us", "UTC")`, `Decimal(18, 8)`, `Int64`, `Boolean`, `String`.
        It comes in chunks; `rechunk()` makes them one. The errors are those of `to_arrow`.
        """
        return await self._fill(polars_frame(self._record_class))

    async def aclose(self) -> None:
        """Stop, and wait until no request is under way. Closing twice does no harm.

        Raises:
            ConfigurationError: it is read in another event loop, which goes on undisturbed.
        """
        if self._task is not None and not self._task.done():
            loop = self._task.get_loop()
            if loop is not asyncio.get_running_loop() and loop.is_running():
                raise ConfigurationError(
                    "the paginator is read in another event loop, which is running: close it there"
                )
        self._closed = True
        if self._task is not None:
            await cancel_and_wait([self._task])

    def __aiter__(self) -> Self:
        self._check_not_ended()
        return self

    async def __anext__(self) -> RecordT:
        while not self._batch:
            self._batch.extend(await self._next_batch())
        return self._batch.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        until = self.complete_until
        reached = "" if until is None else f", complete until {until.isoformat()}"
        return f"<Paginator of {self._asked_for}: {self._state}, {counted(self.stats.records, 'record')} read{reached}>"

    def __del__(self) -> None:
        task = getattr(self, "_task", None)
        if task is None or task.done() or self._closed:
            return
        loop = task.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
        warnings.warn(
            "a Paginator was dropped before its end: use `async with` around an `async for` that may be left early",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )

    @property
    def _state(self) -> str:
        if self._ended:
            return "read to its end"
        if self._prefetcher.error is not None:
            return f"failed with {type(self._prefetcher.error).__name__}"
        if self._closed:
            return "closed"
        return "not started" if self._task is None else "being read"

    async def _fill(self, builder: FrameBuilder[FrameT]) -> FrameT:
        on_bad_row = None if self._on_bad_row is None else self._skip
        async with self:
            async for page in self.pages():
                builder.add(page, self.complete_until, on_bad_row)
            return builder.finish(on_bad_row)

    def _skip(self, bad: RecordError) -> None:
        self.stats.bad_rows += 1
        if self._on_bad_row is not None:
            self._on_bad_row(bad)

    def _check_not_ended(self) -> None:
        if self._ended:
            raise ConfigurationError("a Paginator can be read once: ask the session for a new one")

    async def _rest_of_page(self) -> list[RecordT]:
        if not self._batch:
            return await self._next_batch()
        self._check_loop()
        rest = list(self._batch)
        self._batch.clear()
        return rest

    async def _next_batch(self) -> list[RecordT]:
        if self._closed:
            raise ConfigurationError("the paginator is closed: ask the session for a new one")
        self._start()
        batch = await self._prefetcher.queue.get()
        if batch is not None:
            self._complete_until_before, self._complete_until_after = self._complete_until_after, batch.complete_until
            return batch.records
        if self._prefetcher.error is not None:
            raise _visible(self._prefetcher.error)
        if self._closed:
            raise ConfigurationError("the paginator was closed while it was read")
        if not self._prefetcher.is_finished:
            raise ConfigurationError("the session was closed before its paginator was read to the end")
        self._ended = True
        self._complete_until_after = self._prefetcher.read_until
        raise StopAsyncIteration

    def _start(self) -> None:
        if self._task is None:
            # The one unstructured task of the package. The prefetcher does not refer to the paginator, so a paginator
            # that is no longer referred to is dropped at once, and its task with it.
            self._task = running_loop().create_task(self._prefetcher.run(), name="nxcdr_async paginator")
            # Even a task that is cancelled before its first step ends the wait for its batches.
            queue = self._prefetcher.queue
            self._task.add_done_callback(lambda _: queue.close())
            self._on_start(self._task)
        self._check_loop()

    def _check_loop(self) -> None:
        if self._task is not None and self._task.get_loop() is not asyncio.get_running_loop():
            raise ConfigurationError("the paginator was started in another event loop: read it there")


def _visible(error: Exception) -> Exception:
    """Return what to raise for an error: itself, but for one that an `async for` would take for the end."""
    if isinstance(error, NxcdrError):
        # Its frames hold rows as they came; the frames of errors of a callback are what its author looks for.
        return error.with_traceback(None)
    if not isinstance(error, StopAsyncIteration):
        return error
    return RuntimeError("a callback raised StopAsyncIteration")


class PageIterator(Uncopied, AsyncIterator[list[RecordT]]):
    """An async iterator over lists of records, with the `aclose` of its paginator."""

    def __init__(self, next_page: Callable[[], Awaitable[list[RecordT]]], close: Callable[[], Awaitable[None]]) -> None:
        self._next_page = next_page
        self._close = close

    async def __anext__(self) -> list[RecordT]:
        return await self._next_page()

    async def aclose(self) -> None:
        """Stop the paginator, and wait until no request is under way. Closing twice does no harm."""
        await self._close()

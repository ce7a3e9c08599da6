"""The Paginator: records of a range as an async iterator that is safe to leave in any way."""

import asyncio
import warnings
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio

from nxcdr_async.errors import ConfigurationError, NxcdrError
from nxcdr_async.pages.pump import Pump
from nxcdr_async.stats import PaginatorStats

RecordT = TypeVar("RecordT")


async def cancel_and_wait(tasks: Collection["asyncio.Task[None]"]) -> None:
    """Cancel tasks and wait for their end, however often this is cancelled meanwhile.

    Tasks of another event loop are told, but cannot be waited for.
    """
    here = asyncio.get_running_loop()
    under_way = [task for task in tasks if not task.done() and not task.get_loop().is_closed()]
    for task in under_way:
        task.get_loop().call_soon_threadsafe(task.cancel)
    await wait_for_end([task for task in under_way if task.get_loop() is here])


async def wait_for_end(futures: Collection["asyncio.Future[Any]"]) -> None:
    """Wait until all are done, whatever their results, however often this is cancelled meanwhile."""
    left = set(futures)
    cancelled: asyncio.CancelledError | None = None
    while left:
        try:
            with anyio.CancelScope(shield=True):
                _, left = await asyncio.wait(left)
        except asyncio.CancelledError as again:  # noqa: ASYNC103 - raised once nothing is under way any more
            cancelled = again
            left = {future for future in left if not future.done()}
    if cancelled is not None:
        raise cancelled


class Paginator(Generic[RecordT]):
    """The records of a range: sorted by start time and id, each once, read concurrently while you iterate.

    Nothing is asked before the first record is wanted, and it can be read once. It is left cleanly by `async with`:

    >>> async def answered(cdr, start, end):
    ...     async with cdr.calls(start, end, answered=True) as calls:
    ...         async for call in calls:
    ...             return call  # leaving the block ends every request that is still under way

    A bare `async for` that runs to its end needs no `async with`. One that is left early is stopped when the paginator
    is dropped, with a ResourceWarning, because nothing can wait for its requests to end then.

    An error is raised after the records before it, with `complete_until` telling up to where they are complete.
    """

    def __init__(self, pump: Pump[RecordT], on_start: Callable[["asyncio.Task[None]"], None]) -> None:
        self._pump = pump
        self._on_start = on_start
        self._task: asyncio.Task[None] | None = None
        self._batch: deque[RecordT] = deque()
        self._complete_until_before: int | None = None
        self._complete_until_after: int | None = None
        self._closed = False
        self._ended = False

    @property
    def stats(self) -> PaginatorStats:
        """What was counted so far; see `PaginatorStats`."""
        return self._pump.stats

    @property
    def complete_until(self) -> datetime | None:
        """The moment (UTC) before which no record is missing among those handed out so far; None before it is known.

        It lags behind the last record, and becomes the end of the range only when the paginator ends.
        """
        reached = self._complete_until_before if self._batch else self._complete_until_after
        return None if reached is None else datetime.fromtimestamp(reached, UTC)

    def pages(self) -> AsyncIterator[list[RecordT]]:
        """Return an async iterator over lists of records, as they come: never empty, of no fixed length."""
        self._check_not_ended()
        return _Pages(self._rest_of_page)

    async def collect(self) -> list[RecordT]:
        """Read everything that is left into one list. Use it for ranges that fit into memory."""
        records: list[RecordT] = []
        async with self:
            async for page in self.pages():
                records += page
        return records

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
        batch = await self._pump.mailbox.take()
        if batch is not None:
            self._complete_until_before, self._complete_until_after = self._complete_until_after, batch.complete_until
            return batch.records
        if self._pump.error is not None:
            raise _visible(self._pump.error)
        if self._closed:
            raise ConfigurationError("the paginator was closed while it was read")
        if not self._pump.is_finished:
            raise ConfigurationError("the session was closed before its paginator was read to the end")
        self._ended = True
        self._complete_until_after = self._pump.read_until
        raise StopAsyncIteration

    def _start(self) -> None:
        if self._task is None:
            # The one unstructured task of the package. The pump knows nothing of the paginator, so that a paginator
            # nobody holds any more is dropped at once, and its task with it.
            self._task = asyncio.create_task(self._pump.run(), name="nxcdr_async paginator")
            # Even a task that is cancelled before its first step ends the wait for its batches.
            mailbox = self._pump.mailbox
            self._task.add_done_callback(lambda _: mailbox.end())
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


class _Pages(Generic[RecordT]):
    """An async iterator over lists of records."""

    def __init__(self, take: Callable[[], Awaitable[list[RecordT]]]) -> None:
        self._take = take

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[RecordT]:
        return await self._take()

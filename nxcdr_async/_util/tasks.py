"""Tasks and threads: where this runs, and how to wait for the end of what was begun, however often one is cancelled."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import anyio

from nxcdr_async.errors import ConfigurationError

ResultT = TypeVar("ResultT")


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs here.

    Raises:
        ConfigurationError: none does, or it is not of asyncio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "no event loop of asyncio runs here, and a session works in no other: with anyio, and in its pytest "
            'plugin, choose the backend "asyncio" and not trio'
        ) from None


def is_cancelled() -> bool:
    """Return whether the task that runs here is cancelled, and not something that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def in_thread(work: Callable[[], ResultT]) -> ResultT:
    """Do work in a worker thread and wait for its end, however often this is cancelled meanwhile.

    anyio's own way to do so is left at once by `task.cancel()` and `asyncio.timeout`, while the thread goes on.
    """
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        await wait_for_end([future])
    except asyncio.CancelledError:
        future.exception()  # else the loop would complain that nobody asked for it
        raise
    return future.result()


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

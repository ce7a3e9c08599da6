"""Work in threads, which is never left alone: whoever has begun it waits for its end."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from nxcdr_async.pages import wait_for_end

ResultT = TypeVar("ResultT")


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

"""Timers of tests: what a limiter waits for, by a way of sleeping that a test gives."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


def after(sleep: Callable[[float], Awaitable[Any]]) -> Callable[[float, Callable[[], None]], Callable[[], None]]:
    """Return a way to have something called after so many seconds; what that returns cancels it."""

    def call_later(seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        async def wait() -> None:
            await sleep(seconds)
            call()

        task = asyncio.create_task(wait())

        def cancel() -> None:
            task.cancel()

        return cancel

    return call_later

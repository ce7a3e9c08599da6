"""Pushes of one call take turns: while one is worked on, the others wait for what becomes of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.lowlevel import RunVar
from attrs import define, field


@define(eq=False)
class _Queue:
    lock: anyio.Lock = field(factory=anyio.Lock)
    wanted_by: int = 0


@define(eq=False)
class Turns:
    """Turns by the id of a call.

    Each event loop has turns of its own: one that ended in the middle of a turn must not block the next one for ever.
    """

    _queues: RunVar[dict[str, _Queue]] = field(factory=lambda: RunVar("turns of calls"), init=False, repr=False)

    @asynccontextmanager
    async def of(self, call_id: str, *, patience: float) -> AsyncIterator[None]:
        """Wait for the turn of a push, and hold it.

        Args:
            call_id: of its call.
            patience: seconds to wait.

        Raises:
            TimeoutError: the turn did not come.
        """
        queues = self._here()
        queue = queues.setdefault(call_id, _Queue())
        queue.wanted_by += 1
        try:
            with anyio.fail_after(patience):
                await queue.lock.acquire()
            try:
                yield
            finally:
                queue.lock.release()
        finally:
            queue.wanted_by -= 1
            if not queue.wanted_by:
                del queues[call_id]

    def _here(self) -> dict[str, _Queue]:
        queues = self._queues.get(None)
        if queues is None:
            queues = {}
            self._queues.set(queues)
        return queues

"""One push of a call at a time: while one is worked on, others of its call wait for what becomes of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.lowlevel import RunVar
from attrs import define, field

from nxcdr_async.machine_clocks import fail_after


@define(eq=False)
class _CallLock:
    lock: anyio.Lock = field(factory=anyio.Lock)
    wanted_by: int = 0


@define(eq=False)
class CallLocks:
    """Locks by the id of a call, each there as long as a push wants it.

    Each event loop has locks of its own: one that ended while it held some must not block the next one for ever.
    """

    _locks: RunVar[dict[str, _CallLock]] = field(factory=lambda: RunVar("locks of calls"), init=False, repr=False)

    @asynccontextmanager
    async def held(self, call_id: str, *, patience: float) -> AsyncIterator[None]:
        """Wait for the lock of a call, and hold it.

        Args:
            call_id: of the call.
            patience: seconds to wait.

        Raises:
            TimeoutError: others held it for longer.
        """
        locks = self._here()
        this = locks.setdefault(call_id, _CallLock())
        this.wanted_by += 1
        try:
            with fail_after(patience):
                await this.lock.acquire()
            try:
                yield
            finally:
                this.lock.release()
        finally:
            this.wanted_by -= 1
            if not this.wanted_by:
                del locks[call_id]

    def _here(self) -> dict[str, _CallLock]:
        locks = self._locks.get(None)
        if locks is None:
            locks = {}
            self._locks.set(locks)
        return locks

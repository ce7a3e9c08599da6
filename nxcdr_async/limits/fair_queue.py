"""Whose request starts next: clients take turns, and the requests of one client start in the order they came.

A paginator is one client, however many of its requests wait; so is a single query.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable

from attrs import define, field

_Waiters = OrderedDict[asyncio.Future[None], None]
"""The waiting requests of a client, first come first; ordered by key, so that a cancelled one is removed at no cost."""


@define(eq=False)
class FairQueue:
    """A lock that clients acquire in turn.

    A client that begins to wait goes to the end, and so does one that releases the lock while more of its requests
    wait. So while a client waits, each other client has the lock once at most.
    """

    # The first client has the lock, even if none of its requests waits; without clients the lock is free.
    _clients: OrderedDict[Hashable, _Waiters] = field(factory=OrderedDict, init=False)

    @property
    def is_free(self) -> bool:
        """Whether nobody has the lock, nor waits for it."""
        return not self._clients

    async def acquire(self, client: Hashable) -> None:
        """Wait for the lock. A request that is cancelled meanwhile does not have it."""
        if not self._clients:
            self._clients[client] = OrderedDict()
            return
        waiter = asyncio.get_running_loop().create_future()
        self._clients.setdefault(client, OrderedDict())[waiter] = None
        try:
            await waiter
        except BaseException:
            self._leave(client, waiter)
            raise

    def release(self) -> None:
        """Hand the lock to the next request, which has it in the same step."""
        client, waiters = next(iter(self._clients.items()))
        if waiters:
            self._clients.move_to_end(client)
        else:
            del self._clients[client]
        while self._clients:
            client, waiters = next(iter(self._clients.items()))
            while waiters:
                waiter, _ = waiters.popitem(last=False)
                # One that was cancelled a moment ago has not yet had the chance to leave.
                if not waiter.done():
                    waiter.set_result(None)
                    return
            del self._clients[client]

    def _leave(self, client: Hashable, waiter: "asyncio.Future[None]") -> None:
        if not waiter.cancelled() and waiter.done():
            # Cancelled in the very step in which it got the lock.
            self.release()
            return
        waiters = self._clients.get(client)
        if waiters is None:
            return
        waiters.pop(waiter, None)
        if not waiters and client != next(iter(self._clients)):
            del self._clients[client]

"""Who is next: sessions take turns, the clients of a session too, and what one client asks stays in order. Pure.

A paginator is one client, however many of its requests wait; so is a single query.
"""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from attrs import define, field

SessionT = TypeVar("SessionT", bound=Hashable)
WaiterT = TypeVar("WaiterT", bound=Hashable)


@define(eq=False)
class FairQueue(Generic[SessionT, WaiterT]):
    """Requests that wait; all the orders are those of dicts, so that one that gives up is removed at no cost."""

    _sessions: dict[SessionT, dict[Hashable, dict[WaiterT, None]]] = field(factory=dict, init=False)

    def __iter__(self) -> Iterator[SessionT]:
        """Yield the sessions that wait, in turn."""
        return iter(self._sessions)

    def __contains__(self, session: object) -> bool:
        return session in self._sessions

    def __bool__(self) -> bool:
        return bool(self._sessions)

    def add(self, session: SessionT, client: Hashable, waiter: WaiterT) -> None:
        """Let a request wait behind those of its client; a client or session that begins to wait goes to the end."""
        self._sessions.setdefault(session, {}).setdefault(client, {})[waiter] = None

    def remove(self, session: SessionT, client: Hashable, waiter: WaiterT) -> None:
        """Remove a request that gave up, if it is there; its session and its client keep their turns."""
        clients = self._sessions.get(session, {})
        waiters = clients.get(client, {})
        waiters.pop(waiter, None)
        if not waiters:
            clients.pop(client, None)
        if not clients:
            self._sessions.pop(session, None)

    def pop(self, session: SessionT) -> WaiterT:
        """Remove and return the request of a session that is next; its client and the session go to the end."""
        clients = self._sessions.pop(session)
        client = next(iter(clients))
        waiters = clients.pop(client)
        waiter = next(iter(waiters))
        del waiters[waiter]
        if waiters:
            clients[client] = waiters
        if clients:
            self._sessions[session] = clients
        return waiter

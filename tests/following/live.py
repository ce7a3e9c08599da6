"""A live tenant whose time passes only while somebody waits: calls show up when they are due, and nothing sleeps."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import define, field

from nxcdr_async import CdrSession, Follower
from nxcdr_async.testing import Gateway

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR = 60.0, 3600.0


class TimeIsUpError(Exception):
    """The time that a test watches is over."""


@define(eq=False)
class LiveTenant:
    """An emulator and a session on it, whose clocks go together.

    Attributes:
        passed: seconds since `NOON`.
        due: what is to happen, and when.
    """

    gateway: Gateway
    session: CdrSession
    passed: float = 0.0
    until: float = float("inf")
    due: list[tuple[float, Callable[[], object]]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.gateway.clock.move_to(NOON)
        client = self.session._transport
        client.now = client.wall = lambda: NOON.timestamp() + self.passed
        client.sleep = self.sleep

    async def sleep(self, seconds: float) -> None:
        """Let the time pass, and what is due in it happen."""
        await asyncio.sleep(0)
        target = self.passed + seconds
        self.due.sort(key=lambda each: each[0])
        while self.due and self.due[0][0] <= target:
            at, happen = self.due.pop(0)
            self._go_to(at)
            happen()
        self._go_to(target)
        if self.passed >= self.until:
            raise TimeIsUpError

    def at(self, seconds: float, happen: Callable[[], object]) -> None:
        """Have something happen once so many seconds have passed since noon."""
        self.due.append((seconds, happen))

    def add_call(self, call_id: str, *, start: float, shows_up: float) -> None:
        """Have a call show up at a time, in seconds since noon; it was over by then."""
        begin, end = NOON + timedelta(seconds=start), NOON + timedelta(seconds=min(shows_up, start + 60))
        self.at(shows_up, lambda: self.gateway.add_call(callId=call_id, startTime=begin, endTime=end))

    def follow(self, *args: Any, **options: Any) -> Follower[Any]:
        return self.session.follow(*args, **{"since": NOON, **options})

    async def watch(self, follower: Follower[Any], until: float) -> dict[str, float]:
        """Follow for a time; return the ids of the calls that came, each once, and when they did."""
        seen: dict[str, float] = {}
        self.until = until
        try:
            async for call in follower:
                assert call.call_id not in seen
                seen[call.call_id] = self.passed
        except TimeIsUpError:
            return seen
        raise AssertionError("a follower does not end by itself")

    async def records(self, follower: Follower[Any], until: float) -> list[Any]:
        """Follow for a time; return all that came."""
        found = []
        self.until = until
        try:
            async for page in follower.pages():
                found += page
        except TimeIsUpError:
            return found
        raise AssertionError("a follower does not end by itself")

    def _go_to(self, passed: float) -> None:
        # The real clock goes on too, which is why the emulator's is set, and not moved.
        self.passed = max(self.passed, passed)
        self.gateway.clock.move_to(NOON + timedelta(seconds=self.passed))


def over_json(position: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(position))  # type: ignore[no-any-return] # an object, as it was

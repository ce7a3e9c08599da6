"""Limiters against a model of a gateway that refuses, in virtual time: minutes of traffic in a moment."""

import asyncio
import math
import random
import selectors
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from attrs import define, field

from nxcdr_async.limits.limiter import Limiter
from nxcdr_async.transport.retry import delay_before

GATEWAY = "https://gateway.example"
ACCOUNT = "account"


class _Selector(selectors.SelectSelector):
    """Waits for nothing: where a loop would wait, time goes on at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits for somebody else"
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is that of its sleepers."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


@define
class Bounds:
    """What the model refuses; None for no bound.

    Attributes:
        at_once: more requests than this at once are refused.
        a_second: more requests than this in any second are refused.
        by_chance: share of the requests that is refused whatever the load.
    """

    at_once: int | None = None
    a_second: float | None = None
    by_chance: float = 0.0


@define
class Line:
    """What lies between a session and the gateway, in seconds.

    Attributes:
        latency: how long an answer takes to be made, drawn evenly between the two.
        way: how long a request and its answer are on their way, together.
        unevenness: up to how much later a request arrives by chance.
        work: what a session takes for an answer that has arrived, one after the other, before it lets go of its slot.
        pause: what a refusal asks for in `Retry-After`, 0 for nothing.
    """

    latency: tuple[float, float] = (0.05, 0.05)
    way: float = 0.0
    unevenness: float = 0.0
    work: float = 0.0
    pause: float = 0.0


@define(frozen=True)
class Response:
    at: float
    is_good: bool
    session: int


@define
class ModelGateway:
    """A gateway that takes so much, and notes what it took and what it refused."""

    bounds: Bounds
    line: Line
    chance: random.Random = field(factory=lambda: random.Random(1))
    replies: list[Response] = field(factory=list)
    _in_flight: int = 0
    _latest: deque[float] = field(factory=deque)

    async def ask(self, session: int) -> bool:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.line.way / 2 + self.chance.uniform(0, self.line.unevenness))
        self._in_flight += 1
        try:
            is_good = self._takes(loop.time())
            if is_good:
                await asyncio.sleep(self.chance.uniform(*self.line.latency))
        finally:
            self._in_flight -= 1
        self.replies.append(Response(loop.time(), is_good, session))
        await asyncio.sleep(self.line.way / 2)
        return is_good

    def _takes(self, now: float) -> bool:
        bounds = self.bounds
        if bounds.at_once is not None and self._in_flight > bounds.at_once:
            return False
        if self.chance.random() < bounds.by_chance:
            return False
        if bounds.a_second is None:
            return True
        span, allowed = (1.0, int(bounds.a_second)) if bounds.a_second >= 1 else (1 / bounds.a_second, 1)
        while self._latest and self._latest[0] <= now - span:
            self._latest.popleft()
        if len(self._latest) >= allowed:
            return False
        self._latest.append(now)
        return True


@define
class Outcome:
    """What a run came to.

    Attributes:
        replies: all of them, in order.
        wall: when it ended, in seconds.
    """

    replies: list[Response]
    wall: float

    def a_second(self, start: float, end: float) -> float:
        """Good replies a second between two moments."""
        return sum(1 for reply in self.replies if reply.is_good and start <= reply.at < end) / (end - start)

    def throttled_share(self, start: float = 0.0, end: float = math.inf) -> float:
        """Share of the replies between two moments that throttled."""
        found = [reply.is_good for reply in self.replies if start <= reply.at < end]
        return found.count(False) / len(found)

    def by_session(self, start: float, end: float) -> list[int]:
        """Good replies of each session between two moments."""
        counts = Counter(reply.session for reply in self.replies if reply.is_good and start <= reply.at < end)
        return [counts[session] for session in sorted(counts)]


def run(
    seconds: float,
    bounds: Bounds | Sequence[tuple[float, Bounds]],
    line: Line | None = None,
    *,
    sessions: int = 1,
    workers: int = 80,
    pages: float = math.inf,
    seed: int = 1,
    **of_limiter: Any,
) -> Outcome:
    """Have sessions ask as much as they may for so long, or for so many pages; the bounds may change meanwhile."""
    loop = VirtualLoop()
    stages = [(0.0, bounds)] if isinstance(bounds, Bounds) else list(bounds)
    gateway = ModelGateway(stages[0][1], line or Line(), random.Random(seed))
    for moment, stage in stages:
        loop.call_at(moment, setattr, gateway, "bounds", stage)
    try:
        loop.run_until_complete(_ask_all(gateway, seconds, sessions, workers, pages, of_limiter))
        return Outcome(gateway.replies, loop.time())
    finally:
        loop.close()


async def _ask_all(
    gateway: ModelGateway, seconds: float, sessions: int, workers: int, pages: float, of_limiter: dict[str, Any]
) -> None:
    now = asyncio.get_running_loop().time
    limiters = [Limiter(now=now, **of_limiter) for _ in range(sessions)]
    async with asyncio.TaskGroup() as group:
        for session, limiter in enumerate(limiters):
            _Crew(gateway, limiter, session, workers, seconds, pages / sessions, group).grow()


@define(eq=False)
class _Crew:
    """The workers of a session: as many as are worth it, as a paginator has, but no more than there are."""

    gateway: ModelGateway
    limiter: Limiter
    session: int
    most: int
    until: float
    pages: float
    group: asyncio.TaskGroup
    count: int = 0
    processor: asyncio.Lock = field(factory=asyncio.Lock)

    @property
    def wanted(self) -> int:
        return min(self.most, self.limiter.useful_concurrency(GATEWAY, ACCOUNT))

    def grow(self) -> None:
        while self.count < self.wanted and self.pages > 0:
            self.count += 1
            self.group.create_task(self._work())

    async def _work(self) -> None:
        """Ask for one page after the other, with the waits of a retry after a refusal."""
        now = asyncio.get_running_loop().time
        while now() < self.until and self.count <= self.wanted and self.pages > 0:
            self.pages -= 1
            attempt = 1
            while not await self._ask() and now() < self.until:
                attempt += 1
                await asyncio.sleep(delay_before(attempt, chance=self.gateway.chance.random()))
            self.grow()
        self.count -= 1

    async def _ask(self) -> bool:
        async with self.limiter.slot(GATEWAY, ACCOUNT) as slot:
            is_good = await self.gateway.ask(self.session)
            if is_good:
                if self.gateway.line.work:
                    async with self.processor:
                        await asyncio.sleep(self.gateway.line.work)
                slot.on_success()
                return True
            slot.on_throttled(self.gateway.line.pause)
            if self.gateway.line.pause:
                self.limiter.pause_for(GATEWAY, ACCOUNT, self.gateway.line.pause)
            return False

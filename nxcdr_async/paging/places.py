"""Who sends the next request: the earliest open window, then a new one; guesses fill the places that are left.

A place is the right to one request at a time, of as many as are worth sending at once. It is given only when it is
free, as the limiter starts the requests of a paginator in the order they came: one that waits there cannot be overtaken
by one that has become more urgent.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from operator import itemgetter
from typing import Generic, Protocol, TypeVar

from anyio.abc import TaskGroup
from attrs import define, field

from nxcdr_async.errors import TransportError
from nxcdr_async.paging.base import Outcome, ReadResult, Split
from nxcdr_async.windows import Window

AnswerT = TypeVar("AnswerT")

FEWEST_WINDOWS = 4
"""Windows open at once, whatever the concurrency and the calls forecast."""

MOST_CALLS_FORECAST = 16_000
"""Calls forecast for the open windows, from which on no more are opened."""

MOST_CALLS_IN_MEMORY = 24_000
"""Calls in memory, some 32 MB, from which on only the earliest window is read, until it can be handed over."""


class Pager(Protocol):
    """A range that is read window by window, several of them at once."""

    def next(self) -> Window | None:
        """Cut the next window, in order of time; None when there is none for now, or at the end of the range."""

    async def read(self, window: Window, places: "WindowPlaces") -> Outcome:
        """Read a window, with a request at a time in each place that it takes."""


@define(eq=False)
class Answers(Generic[AnswerT]):
    """What came of requests that were sent at once; those that come when nobody looks any more are dropped.

    Attributes:
        changed: is set when one comes.
        under_way: how many have not come yet.
        came: the number of each request, and its answer or error.
    """

    changed: asyncio.Event
    under_way: int = field(default=0, init=False)
    came: deque[tuple[int, AnswerT | Exception]] = field(factory=deque, init=False)


@define(eq=False)
class WindowPlaces:
    """The places of one window, each for one request at a time, and what its reading tells of itself.

    Attributes:
        sure: places it wants for requests that are needed.
        guesses: places it wants for requests that will probably be needed.
        given: places it was given and has not taken yet.
        is_begun: whether its reading has begun, as it does with the first place.
        forecast: calls it is expected to have in the end.
        calls_read: about how many of its calls are in memory.
        result: its records, once it is read.
    """

    window: Window
    all_places: "Places"
    sure: int = field(default=1, init=False)
    guesses: int = field(default=0, init=False)
    given: int = field(default=0, init=False)
    is_begun: bool = field(default=False, init=False)
    forecast: float = field(default=0.0, init=False)
    calls_read: int = field(default=0, init=False)
    result: ReadResult | None = field(default=None, init=False)
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)

    def answers(self) -> Answers[AnswerT]:
        """Return what the answers to requests of this window come to."""
        return Answers(self._changed)

    def take(self, sure: int, guesses: int = 0) -> int:
        """Take those of so many places that were given, and say that the others are wanted; return how many were."""
        taken = min(self.given, sure + guesses)
        self.all_places.release(self.given - taken)
        self.given, self.sure = 0, max(0, sure - taken)
        self.guesses = sure + guesses - taken - self.sure
        return taken

    async def wait(self) -> None:
        """Wait until a place is given, or an answer comes."""
        self.all_places.changed.set()
        await self._changed.wait()
        self._changed.clear()

    def give(self) -> None:
        """Give it a place that it wants."""
        self.given += 1
        if self.sure:
            self.sure -= 1
        else:
            self.guesses -= 1
        self._changed.set()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a place, for requests one after the other."""
        while not self.take(1):
            await self.wait()
        try:
            yield
        finally:
            self.all_places.release(1)

    def send(self, ask: Callable[[], Awaitable[AnswerT]], number: int, answers: Answers[AnswerT]) -> None:
        """Send a request in a place that was taken, without waiting for its answer."""
        answers.under_way += 1
        self.all_places.group.start_soon(self.all_places.send, ask, number, answers)

    async def at_once(self, asks: Sequence[Callable[[], Awaitable[AnswerT]]]) -> list[AnswerT]:
        """Send requests in places of their own, wait for all, and return the answers; the first error is raised."""
        answers: Answers[AnswerT] = self.answers()
        sent = 0
        while sent < len(asks) or answers.under_way:
            taken = self.take(len(asks) - sent)
            for number in range(sent, sent + taken):
                self.send(asks[number], number, answers)
            sent += taken
            await self.wait()
        found: list[AnswerT] = []
        for _, came in sorted(answers.came, key=itemgetter(0)):
            if isinstance(came, Exception):
                raise came
            found.append(came)
        return found


@define(eq=False)
class Places:
    """All windows of a pager that are open, and the places for requests at once, which these share.

    Attributes:
        concurrency: returns how many requests are worth sending at once, which may change at any time.
        group: what all tasks run in.
        windows: in order of time; those that were read are removed by `next_result`.
        taken: places that are not free.
        changed: is set when another place may be given.
    """

    pager: Pager
    concurrency: Callable[[], int]
    group: TaskGroup
    windows: list[WindowPlaces] = field(factory=list, init=False)
    taken: int = field(default=0, init=False)
    changed: asyncio.Event = field(factory=asyncio.Event, init=False)
    _progress: asyncio.Event = field(factory=asyncio.Event, init=False)
    _is_at_end: bool = field(default=False, init=False)

    async def hand_out(self) -> None:
        """Give places, and open windows, whenever something has changed."""
        while True:
            # Whoever got an answer or a first place a moment ago says first what it wants next, and forecasts.
            await asyncio.sleep(0)
            self.changed.clear()
            if not self._give_places():
                await self.changed.wait()

    async def next_result(self) -> tuple[Window, ReadResult] | None:
        """Wait until the first window is read, and remove it; None at the end of the range."""
        while not self._is_at_end:
            if self.windows and (result := self.windows[0].result) is not None:
                self.changed.set()
                return self.windows.pop(0).window, result
            self._progress.clear()
            await self._progress.wait()
        return None

    def release(self, places: int) -> None:
        """Free some places."""
        self.taken -= places
        self.changed.set()

    async def send(self, ask: Callable[[], Awaitable[AnswerT]], number: int, answers: Answers[AnswerT]) -> None:
        """Send a request, and free its place once it is answered."""
        try:
            came: AnswerT | Exception = await ask()
        except asyncio.CancelledError as cancelled:  # noqa: ASYNC103 - raised again if it is ours
            came = self._error_of(cancelled)
        except Exception as error:  # noqa: BLE001 - handed on: it may be of a page that is not needed
            came = error
        answers.under_way -= 1
        answers.came.append((number, came))
        answers.changed.set()
        self.release(1)

    def _give_places(self) -> bool:
        """Give the free places, up to the first one of a window that begins with it; return whether one does."""
        if not self.windows and self._open_window() is None:
            self._is_at_end = True
            self._progress.set()
        while self.taken < self.concurrency() and (chosen := self._next_window()) is not None:
            self.taken += 1
            chosen.give()
            if not chosen.is_begun:
                chosen.is_begun = True
                self.group.start_soon(self._read, chosen)
                return True
        return False

    def _next_window(self) -> WindowPlaces | None:
        """Return the window that is next to get a place: the earliest that needs one, a new one, or one that guesses.

        While very many calls are in memory, only the earliest window goes on.
        """
        is_full = sum(each.calls_read for each in self.windows) >= MOST_CALLS_IN_MEMORY
        windows = self.windows[:1] if is_full else self.windows
        return (
            next((each for each in windows if each.sure), None)
            or (None if is_full else self._open_window())
            or next((each for each in windows if each.guesses), None)
        )

    def _open_window(self) -> WindowPlaces | None:
        """Cut one more window, unless enough are open; it wants a place for its first page."""
        windows = len(self.windows)
        if windows >= max(FEWEST_WINDOWS, self.concurrency()):
            return None
        if windows >= FEWEST_WINDOWS and sum(each.forecast for each in self.windows) >= MOST_CALLS_FORECAST:
            return None
        window = self.pager.next()
        if window is None:
            return None
        self.windows.append(WindowPlaces(window, self))
        return self.windows[-1]

    async def _read(self, places: WindowPlaces) -> None:
        try:
            outcome = await self.pager.read(places.window, places)
        except asyncio.CancelledError as cancelled:  # noqa: ASYNC103 - raised again if it is ours
            outcome = ReadResult([], self._error_of(cancelled))
        except Exception as error:  # noqa: BLE001 - raised by the paginator after the records before it
            outcome = ReadResult([], error)
        places.take(0)
        if isinstance(outcome, Split):
            place = self.windows.index(places)
            self.windows[place : place + 1] = [WindowPlaces(part, self) for part in outcome.parts]
        else:
            places.result = outcome
            places.forecast = places.calls_read = len(outcome.records)
        self.changed.set()
        self._progress.set()

    def _error_of(self, cancelled: asyncio.CancelledError) -> TransportError:
        """Return the error of a task that was cancelled from outside; raise again what is our own.

        Were it let through, the group would take it for its own and end as if all were read.
        """
        if self.group.cancel_scope.cancel_called:
            raise cancelled
        return TransportError("a request was cancelled from outside; was its client session closed?")

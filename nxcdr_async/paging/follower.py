"""The Follower: records as they turn up, each once, for as long as it is iterated."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async._util.validation import as_whole
from nxcdr_async.errors import (
    ClockSkewError,
    ConfigurationError,
    GatewayError,
    IncompleteError,
    NxcdrError,
    SaturatedDayError,
    ServerError,
    ThrottledError,
)
from nxcdr_async.paging.follow_schedule import FollowSchedule
from nxcdr_async.paging.handed_out import HandedOut, digest_of
from nxcdr_async.paging.paginator import PageIterator, Paginator
from nxcdr_async.protocol.endpoints import Endpoint
from nxcdr_async.records.json_lines import json_lines
from nxcdr_async.telemetry.log import log_follow_retry
from nxcdr_async.transport.clock_skew import Interval
from nxcdr_async.transport.retry import is_worth_retrying
from nxcdr_async.windows import Window

RecordT = TypeVar("RecordT")

Position = Mapping[str, Any]
"""Where a following is, as JSON can tell it."""

LONGEST_BACKOFF = 300.0
"""Seconds between rounds at most while the gateway fails, unless rounds are farther apart, or it asks for more."""


def may_pass(error: NxcdrError) -> bool:
    """Return whether a reading that failed may succeed in a later round: all but what somebody has to mend."""
    if isinstance(error, ThrottledError | ServerError | ClockSkewError):
        return True
    is_contradiction = isinstance(error, IncompleteError) and not isinstance(error, SaturatedDayError)
    return is_contradiction or is_worth_retrying(error)


def backoff(failures: int, error: NxcdrError, *, every: float, chance: float) -> float:
    """Return the seconds to wait after so many failures, one after the other: half of a doubling time or more."""
    longest = max(every, LONGEST_BACKOFF)
    ceiling = longest if failures > math.log2(longest / every) else every * 2 ** (failures - 1)
    asked_for = (error.retry_after or 0.0) if isinstance(error, GatewayError) else 0.0
    return max(asked_for, ceiling * (1 + chance) / 2)


@define(frozen=True)
class FollowedSource(Generic[RecordT]):
    """What is followed, and how it is asked.

    Attributes:
        endpoint: the API.
        read: returns a paginator over a window.
        widened: returns the least window that can be asked for and holds another.
        margin: seconds a record may lie outside the window that it comes for.
        time: returns the earliest and the latest that it may be now by the gateway's clock, epoch seconds.
        steady: our clock, which never jumps, in seconds.
        sleep: waits some seconds.
        chance: returns a random number in [0, 1).
        asked_for: tells positions of one question from those of others.
    """

    endpoint: Endpoint[RecordT]
    read: Callable[[Window], Paginator[RecordT]]
    widened: Callable[[Window], Window]
    margin: int
    time: Callable[[], Interval]
    steady: Callable[[], float]
    sleep: Callable[[float], Awaitable[Any]]
    chance: Callable[[], float]
    asked_for: str

    def moment_ms(self, record: RecordT) -> float:
        """Return the later of the start and the end of a record, as a gateway may filter by either."""
        start, end = self.endpoint.start_ms(record), getattr(record, "end_time", None)
        return start if end is None else max(start, end.timestamp() * 1000)

    def identity(self, record: RecordT) -> str:
        """Return the id of a record, or all of it where the vendor left it out."""
        found = self.endpoint.identity(record)
        return json_lines([record]).decode() if found is None else str(found)


@define(eq=False)
class Reading(Generic[RecordT]):
    """A window while it is read.

    Attributes:
        began: when, by our steady clock.
        began_at: when, by the gateway's clock, of what only goes along with the newest: when that began; None where it
            is known at the end only.
        level: of the schedule, None for the newest.
    """

    window: Window
    paginator: Paginator[RecordT]
    began: float
    began_at: int | None = None
    level: int | None = None
    pages: PageIterator[RecordT] = field(init=False)
    _start_ms: float = field(default=-math.inf, init=False)
    _occurrences: dict[str, int] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.pages = self.paginator.pages()

    def occurrence(self, identity: str, start_ms: float) -> int:
        """Return how many records with this id and start came before; those of one start come one after the other."""
        if start_ms != self._start_ms:
            self._start_ms, self._occurrences = start_ms, {}
        before = self._occurrences.get(identity, 0)
        self._occurrences[identity] = before + 1
        return before


@define(frozen=True)
class _News(Generic[RecordT]):
    """A record that was not handed out yet, and what it is known by."""

    record: RecordT
    moment_ms: float
    digest: bytes


class Follower(Uncopied, Generic[RecordT]):
    """The records of an API as they turn up, each once, also those that turn up late; it ends by being left.

    The session makes it: `cdr.follow("calls", since=…)`. Each round reads what is new, and of what was read before as
    much as late records are to be expected in; while it waits for the next, nothing is under way.

    >>> async def watch(cdr, since, saved):
    ...     async with cdr.follow("calls", since=since, position=saved) as calls:
    ...         async for call in calls:
    ...             await store(call, calls.position)  # together, so that a restart neither loses nor doubles it

    A gateway that fails is asked again in later rounds, for as long as it takes. An iteration that is cancelled or
    times out loses nothing: iterate again.
    """

    _instead = "ask the session for a new one with its position"

    def __init__(
        self,
        source: FollowedSource[RecordT],
        schedule: FollowSchedule,
        *,
        handed_out: HandedOut | None = None,
        not_before: int | None = None,
        on_retry: Callable[[NxcdrError], object] | None = None,
    ) -> None:
        self._source = source
        self._schedule = schedule
        self._handed_out = HandedOut() if handed_out is None else handed_out
        self._not_before = not_before
        self._on_retry = on_retry
        self._newest: Reading[RecordT] | None = None
        self._older: Reading[RecordT] | None = None
        self._batch: deque[_News[RecordT]] = deque()
        self._after_batch: Callable[[], None] | None = None
        self._next_round = -math.inf
        self._failures = 0
        self._records = 0
        self._closed = False
        self._lock = asyncio.Lock()

    @property
    def position(self) -> dict[str, Any]:
        """Where this is, after all records handed out so far and before all others: a value that JSON can hold.

        Give it to `cdr.follow` of the same source and filters, to go on from there in another process. It has a
        fingerprint of each record that may still be read again, eight characters for each call of the time to settle
        and a quarter of it more.
        """
        return {
            "version": 1,
            "asked_for": self._source.asked_for,
            "not_before": self._not_before,
            "closed_until": self._schedule.closed_until,
            "read_until": self._schedule.read_until,
            "handed_out": self._handed_out.text(),
        }

    @property
    def complete_until(self) -> datetime:
        """The moment (aware, UTC) before which no record will turn up any more, as all has settled."""
        return moment_at(self._schedule.closed_until)

    @property
    def read_until(self) -> datetime:
        """The moment (aware, UTC) before which all was handed out but for what turns up late."""
        return moment_at(self._schedule.read_until)

    def pages(self) -> PageIterator[RecordT]:
        """Return an async iterator over lists of records, as they turn up: never empty, a hundred at most.

        `position` counts all of a list as handed out. Its `aclose` is that of the follower.
        """
        return PageIterator(self._rest_of_page, self.aclose)

    async def aclose(self) -> None:
        """Stop, and wait until no request is under way. Closing twice does no harm."""
        self._closed = True
        self._batch.clear()
        self._after_batch = None
        for reading in (self._newest, self._older):
            if reading is not None:
                await reading.paginator.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecordT:
        async with self._lock:
            if not self._batch:
                await self._fill_batch()
            return self._hand_out(self._batch.popleft())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "going on"
        until = self.read_until.isoformat()
        return f"<Follower of {self._source.endpoint.noun}: {state}, {self._records} handed out, read until {until}>"

    async def _rest_of_page(self) -> list[RecordT]:
        async with self._lock:
            if not self._batch:
                await self._fill_batch()
            page = []
            while self._batch:
                page.append(self._hand_out(self._batch.popleft()))
            return page

    def _hand_out(self, news: _News[RecordT]) -> RecordT:
        self._handed_out.add(news.moment_ms, news.digest)
        self._records += 1
        if not self._batch:
            self._note_batch()
        return news.record

    def _note_batch(self) -> None:
        """Note what is complete now that all records of a batch are handed out."""
        note, self._after_batch = self._after_batch, None
        if note is not None:
            note()
            self._handed_out.forget(self._schedule.closed_until - self._source.margin)

    async def _fill_batch(self) -> None:
        """Read until there are records that were not handed out yet."""
        while not self._batch:
            if self._closed:
                raise ConfigurationError("the follower is closed: ask the session for a new one with its position")
            reading = self._next_reading()
            if reading is None:
                await self._source.sleep(max(0.0, self._next_round - self._source.steady()))
                continue
            try:
                page = await anext(reading.pages, None)
            except Exception as error:  # noqa: BLE001 - raised again, unless a later round may help
                await self._give_up(reading, error)
                continue
            if page is None:
                self._finish(reading)
                continue
            until = reading.paginator.complete_until
            self._batch.extend(self._news_of(reading, page))
            if until is not None:
                self._after_batch = self._progress_to(reading, int(until.timestamp()))
            if not self._batch:
                self._note_batch()

    def _next_reading(self) -> Reading[RecordT] | None:
        """Return what is to be read on, the newest first; None to wait."""
        if self._newest is None and self._source.steady() >= self._next_round:
            now = self._source.time()
            window = self._source.widened(self._schedule.newest(int(now.least), math.ceil(now.most) + 1))
            began = self._source.steady()
            self._newest = Reading(window, self._source.read(window), began)
            self._next_round = began + self._schedule.every
        return self._newest or self._older

    def _progress_to(self, reading: Reading[RecordT], until: int) -> Callable[[], None]:
        return lambda: self._schedule.note_progress(reading.window, until, self._began_at(reading))

    def _finish(self, reading: Reading[RecordT]) -> None:
        """Note that a window was read to its end, and see what else is due once that was the newest."""
        began_at = self._began_at(reading)
        self._failures = 0
        if reading.level is not None:
            self._older = None
            self._schedule.note_older(reading.window, reading.level, began_at)
            self._handed_out.forget(self._schedule.closed_until - self._source.margin)
            return
        self._newest = None
        self._schedule.note_newest(reading.window, began_at)
        self._handed_out.forget(self._schedule.closed_until - self._source.margin)
        due = self._schedule.older(began_at, reading.window.start) if self._older is None else None
        if due is not None:
            window, level = due
            window = self._source.widened(window)
            self._older = Reading(window, self._source.read(window), self._source.steady(), began_at, level)

    def _began_at(self, reading: Reading[RecordT]) -> int:
        """Return when a reading began by the gateway's clock, which its answers told."""
        if reading.began_at is not None:
            return reading.began_at
        return int(self._source.time().least - (self._source.steady() - reading.began))

    async def _give_up(self, reading: Reading[RecordT], error: Exception) -> None:
        """Leave a reading that failed to a later round.

        Raises:
            Exception: the error, if no later round would help.
        """
        if reading is self._newest:
            self._newest = None
        else:
            self._older = None
        await reading.paginator.aclose()
        if not isinstance(error, NxcdrError) or not may_pass(error):
            raise error
        self._failures += 1
        wait = backoff(self._failures, error, every=self._schedule.every, chance=self._source.chance())
        self._next_round = max(self._next_round, self._source.steady() + wait)
        log_follow_retry(self._source.endpoint, error, wait)
        if self._on_retry is not None:
            self._on_retry(error)

    def _news_of(self, reading: Reading[RecordT], page: list[RecordT]) -> list[_News[RecordT]]:
        """Return the records of a page that were not handed out yet."""
        source, first = self._source, None if self._not_before is None else self._not_before * 1000
        news = []
        for record in sorted(page, key=self._order):
            start_ms = source.endpoint.start_ms(record)
            identity, moment_ms = source.identity(record), source.moment_ms(record)
            digest = digest_of(identity, start_ms, reading.occurrence(identity, start_ms))
            if (first is None or start_ms >= first) and not self._handed_out.has(moment_ms, digest):
                news.append(_News(record, moment_ms, digest))
        return news

    def _order(self, record: RecordT) -> tuple[float, float]:
        # Of several with one id and start, the one that ended later turned up later.
        return self._source.endpoint.start_ms(record), self._source.moment_ms(record)


def restored(position: object, asked_for: str, every: int, settle: int) -> tuple[FollowSchedule, HandedOut, int | None]:
    """Return what a position says: what was read, what was handed out, and before when nothing is to be.

    Raises:
        ConfigurationError: it is none, or one of another source or other filters.
    """
    if not isinstance(position, Mapping) or position.get("version") != 1:
        raise ConfigurationError("position is none of a follower's: give what `position` returned, or None to begin")
    if position.get("asked_for") != asked_for:
        raise ConfigurationError(
            f"position is of {position.get('asked_for')!r}, and {asked_for!r} is asked for: follow the same source "
            "with the same filters, or leave the position out to begin anew"
        )
    closed, read = as_whole(position.get("closed_until")), as_whole(position.get("read_until"))
    not_before, text = position.get("not_before"), position.get("handed_out")
    if closed is None or read is None or not isinstance(text, str) or not isinstance(not_before, int | None):
        raise ConfigurationError("position lacks a part: give what `position` returned whole")
    try:
        handed_out = HandedOut.of(text)
    except ValueError as fault:
        raise ConfigurationError(f"position is damaged ({fault}): give what `position` returned unchanged") from None
    return FollowSchedule(every, settle, closed, read), handed_out, not_before

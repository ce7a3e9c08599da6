"""What a backfill is at, as its display tells it. Also while no news comes, which then is told too."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import anyio
from attrs import define, field

from nxcdr_async.backfill import BackfillProgress
from nxcdr_async.cli.output import duration
from nxcdr_async.cli.progress import ProgressDisplay, bar_or_lines
from nxcdr_async.machine_clocks import sleep, steady
from nxcdr_async.stats import SessionStats

ResultT = TypeVar("ResultT")

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_WITHOUT_NEWS = 3.0
"""Seconds without a page after which a rate of before would mislead."""


@define(frozen=True)
class BackfillNews:
    """How far a backfill is at one moment.

    Attributes:
        progress: what it told last, None before it told anything.
        stats: the session's counts.
        silent: seconds since it told that.
    """

    progress: BackfillProgress | None
    stats: SessionStats
    silent: float

    @property
    def share(self) -> float:
        """The part of the range that is stored."""
        return 0.0 if self.progress is None else self.progress.share

    @property
    def count(self) -> str:
        """Windows stored, of how many."""
        if self.progress is None:
            return "0"
        return f"{self.progress.windows:,} of about {self.progress.windows_expected:,}"

    @property
    def details(self) -> tuple[str, ...]:
        """Rows, requests, and up to where it is complete."""
        return (self._rows, self._requests, self._reached)

    @property
    def _rows(self) -> str:
        if self.progress is None:
            return "nothing read yet"
        rows, left = f"{self.progress.rows_read:,} rows", self.progress.seconds_left
        is_silent = self.silent >= SECONDS_WITHOUT_NEWS
        pace = f"no news for {duration(self.silent)}" if is_silent else f"{self.progress.rows_per_second:,.0f} rows/s"
        return f"{rows}, {pace}, {'?' if left is None else duration(left)} left"

    @property
    def _requests(self) -> str:
        stats = self.stats
        return (
            f"{stats.in_flight} of {stats.limit} requests in flight, {stats.requests:,} sent, "
            f"{stats.throttled:,} throttled, {stats.retries:,} retries"
        )

    @property
    def _reached(self) -> str:
        if self.progress is None:
            return "complete until ?"
        complete, reached = self.progress.complete_until, self.progress.reached
        told = f"complete until {_moment(complete)}"
        return told if reached in {None, complete} else f"{told}, stored to {_moment(reached)}"


@define(eq=False)
class Monitor:
    """Takes the news of a backfill and shows it.

    Attributes:
        stats: the session's counts at this moment.
        on_news: gets the news, too, and first.
        latest: the last news.
    """

    stats: Callable[[], SessionStats]
    on_news: Callable[[BackfillProgress], None]
    latest: BackfillProgress | None = field(default=None, init=False)
    _told: float = field(factory=steady, init=False)

    def take(self, progress: BackfillProgress) -> None:
        """Take news."""
        self.on_news(progress)
        self.latest = progress
        self._told = steady()

    async def show(self, display: ProgressDisplay) -> None:
        """Show what is known, until cancelled."""
        while True:
            display.show(BackfillNews(self.latest, self.stats(), steady() - self._told))
            await sleep(SECONDS_BETWEEN_LOOKS)


async def watched(monitor: Monitor, work: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Do some work, and show how far it is meanwhile; returns what it returns, and raises what it raises."""
    failures: list[Exception] = []
    results: list[ResultT] = []
    with bar_or_lines("windows", SECONDS_BETWEEN_LINES) as display:
        async with anyio.create_task_group() as group:
            group.start_soon(monitor.show, display)
            try:
                results.append(await work())
            except Exception as error:  # noqa: BLE001 - raised below, bare, not in a group
                failures.append(error)
            group.cancel_scope.cancel()
    if failures:
        raise failures[0]
    return results[0]


def _moment(moment: datetime | None) -> str:
    return "?" if moment is None else f"{moment:%Y-%m-%d %H:%M}Z"

"""How far a long work is: a bar on a terminal, now and then a line elsewhere, or nothing."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Protocol, TextIO, TypeVar, cast

import anyio
from attrs import define, field

from nxcdr_async._util.clocks import sleep, steady
from nxcdr_async.cli.terminal import duration, say
from nxcdr_async.ingest.report import BackfillProgress
from nxcdr_async.stats import SessionStats

if TYPE_CHECKING:
    from rich.console import RenderableType

SECONDS_BETWEEN_LINES = 1.0


class News(Protocol):
    """How far a work is, in the words of whoever does it."""

    @property
    def share(self) -> float:
        """How much of the work is done, 0 to 1."""

    @property
    def count(self) -> str:
        """What was done."""

    @property
    def details(self) -> tuple[str, ...]:
        """How it goes, line by line."""


class ProgressDisplay(Protocol):
    """Shows progress in some way."""

    def show(self, news: News) -> None:
        """Show how far it is."""


@define(frozen=True)
class Progress:
    """How far a reading is at one moment.

    Attributes:
        done: records read.
        share: how much of the work that is, 0 to 1.
        seconds: since it began.
        stats: the session's counts.
        total: records there are about, None where nobody knows.
    """

    done: int
    share: float
    seconds: float
    stats: SessionStats
    total: int | None = None

    @property
    def count(self) -> str:
        """What was done, in words."""
        return f"{self.done:,}" if self.total is None else f"{self.done:,} of about {self.total:,}"

    @property
    def details(self) -> tuple[str, ...]:
        """How it goes, in words."""
        pace = self.done / self.seconds if self.seconds else 0.0
        in_flight, throttled = f"{self.stats.in_flight} in flight", f"{self.stats.throttled} throttled"
        return (f"{pace:,.0f}/s, {in_flight}, {throttled}, {self._time_left} left",)

    @property
    def _time_left(self) -> str:
        if not self.share:
            return "?"
        return duration(self.seconds * (1 - self.share) / self.share)


@define
class ProgressTracker:
    """Tells a display how far a reading is, whenever a page has come.

    Attributes:
        display: where it is shown.
        stats: the session's counts at this moment.
        total: records there are about, None where nobody knows.
    """

    display: ProgressDisplay
    stats: Callable[[], SessionStats]
    total: int | None = None
    _done: int = field(default=0, init=False)
    _began: float = field(factory=steady, init=False)

    def __attrs_post_init__(self) -> None:
        self.advance(0)

    def advance(self, records: int, share: float | None = None) -> None:
        """Count more records; `share` is how much of the work is done, where the total does not tell it."""
        self._done += records
        reached = self._done / self.total if share is None and self.total else share or 0.0
        seconds = steady() - self._began
        self.display.show(Progress(self._done, min(1.0, max(0.0, reached)), seconds, self.stats(), self.total))


@contextmanager
def bar_or_lines(unit: str, seconds: float = SECONDS_BETWEEN_LINES) -> Iterator[ProgressDisplay]:
    """Show a bar where stderr is a terminal, else a line every so many seconds."""
    if not sys.stderr.isatty():
        yield _Lines(unit, seconds)
        return
    with _bar(unit) as bar:
        yield bar


@contextmanager
def bar_or_nothing(unit: str) -> Iterator[ProgressDisplay]:
    """Show a bar where stderr is a terminal that does not show the records as well."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield _Nothing()
        return
    with _bar(unit) as bar:
        yield bar


@define
class _Lines:
    """A line on stderr now and then: for logs, and for whoever pipes stderr somewhere."""

    unit: str
    seconds: float
    _next: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._next = steady() + self.seconds

    def show(self, news: News) -> None:
        now = steady()
        if now >= self._next:
            self._next = now + self.seconds
            say(", ".join([f"{news.count} {self.unit}", *news.details]))


class _Nothing:
    def show(self, news: News) -> None:
        """Keep quiet."""


@contextmanager
def _bar(unit: str) -> Iterator[ProgressDisplay]:
    from rich.console import Console  # noqa: PLC0415 - rich takes a while, and is of no use without a terminal
    from rich.live import Live  # noqa: PLC0415 - likewise

    console = Console(file=cast(IO[str], _InPassing(sys.stderr)))
    with Live(console=console, transient=True, refresh_per_second=8) as live:

        class Bar:
            def show(self, news: News) -> None:
                live.update(_drawn(news, unit))

        yield Bar()


@define
class _InPassing:
    """A stream that is written to if it can be: work goes on after its terminal has gone."""

    stream: TextIO

    def write(self, text: str) -> int:
        with suppress(OSError):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _drawn(news: News, unit: str) -> "RenderableType":
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.progress_bar import ProgressBar  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    first = Table.grid(padding=(0, 1), expand=True)
    first.add_column(ratio=1)
    first.add_column(no_wrap=True)
    first.add_row(ProgressBar(total=1.0, completed=news.share), Text(f"{news.share:4.0%}  {news.count} {unit}"))
    return Group(first, *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in news.details))


ResultT = TypeVar("ResultT")

SECONDS_BETWEEN_NEWS = 5.0
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
    with bar_or_lines("windows", SECONDS_BETWEEN_NEWS) as display:
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

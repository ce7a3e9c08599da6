"""How far a long work is: a bar on a terminal, now and then a line elsewhere, or nothing."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, tzinfo
from typing import IO, TYPE_CHECKING, Any, Protocol, TextIO, TypeVar, cast

import anyio
from attrs import define, field

from nxcdr_async._util.clocks import sleep, steady
from nxcdr_async._util.counts import counted
from nxcdr_async.cli.stdout import is_read_by_another
from nxcdr_async.cli.terminal import Manner, duration, say
from nxcdr_async.ingest.report import BackfillProgress
from nxcdr_async.stats import SessionStats

if TYPE_CHECKING:
    from rich.console import RenderableType

SECONDS_BETWEEN_LINES = 1.0
SECONDS_BETWEEN_LINES_BESIDE_RECORDS = 5.0
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_OF_SILENCE = 3.0
"""Seconds without a page after which a rate of before would mislead."""


ResultT = TypeVar("ResultT")


class Status(Protocol):
    """How far a work is at one moment, in words."""

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

    def show(self, status: Status) -> None:
        """Show how far it is."""


async def shown_while(
    display: ProgressDisplay, status: Callable[[], Status], work: Callable[[], Awaitable[ResultT]]
) -> ResultT:
    """Do some work, and show how far it is all the while; returns what it returns, raises what it raises."""
    failures: list[Exception] = []
    results: list[ResultT] = []

    async def show() -> None:
        while True:
            display.show(status())
            await sleep(SECONDS_BETWEEN_LOOKS)

    async with anyio.create_task_group() as group:
        group.start_soon(show)
        try:
            results.append(await work())
        except Exception as error:  # noqa: BLE001 - raised below, bare, not in a group
            failures.append(error)
        group.cancel_scope.cancel()
    if failures:
        raise failures[0]
    return results[0]


def _within_bounds(share: float) -> float:
    return min(1.0, max(0.0, share))


def _how_fast(rate: str, seconds_left: float | None, *, silent: float, stats: SessionStats) -> str:
    """Say how fast it goes and how long it still takes, or, where nothing has come for a while, what is known of that.

    Args:
        rate: how fast it goes, while something comes.
        seconds_left: how long it still takes, None if that is not known.
        silent: seconds since something came.
        stats: the session's counts.
    """
    if silent < SECONDS_OF_SILENCE:
        return rate if seconds_left is None else f"{rate}, ~{duration(seconds_left)} left"
    if stats.gives_up_in is not None:
        return f"the gateway does not answer: giving up within {duration(stats.gives_up_in)}"
    return f"no news for {duration(silent)}"


@define(frozen=True)
class ReadStatus:
    """How far a reading is at one moment.

    Attributes:
        done: records read.
        share: how much of the work that is; a little more or less than 0 to 1 is taken for that.
        seconds: since it began.
        stats: the session's counts.
        silent: seconds since records came.
        total: records there are, None where that is not known.
    """

    done: int
    share: float = field(converter=_within_bounds)
    seconds: float
    stats: SessionStats
    silent: float = 0.0
    total: int | None = None

    @property
    def count(self) -> str:
        """What was done, in words."""
        return counted(self.done, "record") if self.total is None else f"{self.done:,} of {counted(self.total, 'call')}"

    @property
    def details(self) -> tuple[str, ...]:
        """How it goes, in words."""
        rate = f"{self.done / self.seconds if self.seconds else 0.0:,.0f}/s"
        left = self.seconds * (1 - self.share) / self.share if self.share else None
        speed = _how_fast(rate, left, silent=self.silent, stats=self.stats)
        return (f"{speed}, {self.stats.in_flight} in flight, {self.stats.throttled:,} throttled",)


@define(frozen=True)
class RunStatus:
    """How far a run into a store is at one moment.

    Attributes:
        progress: what it said last, None before it said anything.
        stats: the session's counts.
        silent: seconds since it said that.
        zone: of the times that are shown.
    """

    progress: BackfillProgress | None
    stats: SessionStats
    silent: float
    zone: tzinfo = UTC

    @property
    def share(self) -> float:
        """The part of the range that is stored."""
        return 0.0 if self.progress is None else self.progress.share

    @property
    def count(self) -> str:
        """Windows stored, of about how many."""
        progress = self.progress
        if progress is None or not progress.windows:
            return "0 windows" if progress is None else f"{progress.source}: 0 windows"
        return f"{progress.source}: {progress.windows:,} of ~{counted(progress.windows_expected, 'window')}"

    @property
    def details(self) -> tuple[str, ...]:
        """Rows, requests, and up to where it is complete."""
        return (self._rows, self._requests, self._reached)

    @property
    def _rows(self) -> str:
        if self.progress is None:
            return f"nothing read yet, {_how_fast('starting', None, silent=self.silent, stats=self.stats)}"
        rate = f"{self.progress.rows_per_second:,.0f} rows/s"
        speed = _how_fast(rate, self.progress.seconds_left, silent=self.silent, stats=self.stats)
        return f"{counted(self.progress.rows_read, 'row')}, {speed}"

    @property
    def _requests(self) -> str:
        stats = self.stats
        return (
            f"{stats.in_flight} of {stats.concurrency_limit} requests in flight, {stats.requests:,} sent, "
            f"{stats.throttled:,} throttled, {counted(stats.retries, 'retry', 'retries')}"
        )

    @property
    def _reached(self) -> str:
        if self.progress is None:
            return "complete until ?"
        complete, reached = self.progress.complete_until, self.progress.reached
        text = f"complete until {self._moment(complete)}"
        return text if reached in {None, complete} else f"{text}, stored to {self._moment(reached)}"

    def _moment(self, moment: datetime | None) -> str:
        return "?" if moment is None else minute_text(moment, self.zone)


@contextmanager
def bar_or_lines(seconds: float = SECONDS_BETWEEN_LINES) -> Iterator[ProgressDisplay]:
    """Show a bar where stderr is a terminal, else a line every so many seconds."""
    if not Manner.shows_bars():
        yield _Lines(seconds)
        return
    with _bar() as bar:
        yield bar


@contextmanager
def bar_beside_records() -> Iterator[ProgressDisplay]:
    """Show how far it is where stderr is a terminal that does not show the records as well.

    If they go through a pipe, whatever reads it may write to that terminal too: a line now and then stays whole beside
    it, where a bar would be drawn over its output.
    """
    if not Manner.shows_bars() or sys.stdout.isatty():
        yield _NoDisplay()
    elif is_read_by_another(sys.stdout):
        yield _Lines(SECONDS_BETWEEN_LINES_BESIDE_RECORDS)
    else:
        with _bar() as bar:
            yield bar


@define
class _Lines:
    """A line on stderr now and then: for logs, and for whoever pipes stderr somewhere."""

    seconds: float
    _next: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._next = steady() + self.seconds

    def show(self, status: Status) -> None:
        now = steady()
        if now >= self._next:
            self._next = now + self.seconds
            say(", ".join([status.count, *status.details]))


class _NoDisplay:
    def show(self, status: Status) -> None:
        """Keep quiet."""


@contextmanager
def _bar() -> Iterator[ProgressDisplay]:
    from rich.console import Console  # noqa: PLC0415 - rich takes a while, and is of no use without a terminal
    from rich.live import Live  # noqa: PLC0415 - likewise

    console = Console(file=cast(IO[str], _Forgiving(sys.stderr)))
    with Live(console=console, transient=True, refresh_per_second=8) as live:

        class Bar:
            def show(self, status: Status) -> None:
                live.update(_drawing(status))

        yield Bar()


@define
class _Forgiving:
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


def _drawing(status: Status) -> "RenderableType":
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.progress_bar import ProgressBar  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    first = Table.grid(padding=(0, 1), expand=True)
    first.add_column(ratio=1)
    first.add_column(no_wrap=True)
    first.add_row(ProgressBar(total=1.0, completed=status.share), Text(f"{int(status.share * 100):3}%  {status.count}"))
    return Group(first, *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in status.details))


def minute_text(moment: datetime, zone: tzinfo) -> str:
    """Return a time in a zone, to the minute."""
    return moment.astimezone(zone).isoformat(" ", "minutes").replace("+00:00", "Z")

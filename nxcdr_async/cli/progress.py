"""How far a long work is: a bar on a terminal, now and then a line elsewhere, or nothing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Protocol, TextIO, cast

from attrs import define, field

from nxcdr_async._util.clocks import steady
from nxcdr_async.cli.terminal import duration, say
from nxcdr_async.ingest.report import BackfillProgress
from nxcdr_async.stats import SessionStats

if TYPE_CHECKING:
    from rich.console import RenderableType

SECONDS_BETWEEN_LINES = 1.0
SECONDS_OF_SILENCE = 3.0
"""Seconds without a page after which a rate of before would mislead."""


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


def _within_bounds(share: float) -> float:
    return min(1.0, max(0.0, share))


@define(frozen=True)
class ReadStatus:
    """How far a reading is at one moment.

    Attributes:
        done: records read.
        share: how much of the work that is; a little more or less than 0 to 1 is taken for that.
        seconds: since it began.
        stats: the session's counts.
        total: records there are about, None where that is not known.
    """

    done: int
    share: float = field(converter=_within_bounds)
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
        rate = self.done / self.seconds if self.seconds else 0.0
        in_flight, throttled = f"{self.stats.in_flight} in flight", f"{self.stats.throttled} throttled"
        return (f"{rate:,.0f}/s, {in_flight}, {throttled}, {self._time_left} left",)

    @property
    def _time_left(self) -> str:
        if not self.share:
            return "?"
        return duration(self.seconds * (1 - self.share) / self.share)


@define(frozen=True)
class RunStatus:
    """How far a run into a store is at one moment.

    Attributes:
        progress: what it said last, None before it said anything.
        stats: the session's counts.
        silent: seconds since it said that.
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
        is_silent = self.silent >= SECONDS_OF_SILENCE
        rate = f"no news for {duration(self.silent)}" if is_silent else f"{self.progress.rows_per_second:,.0f} rows/s"
        return f"{rows}, {rate}, {'?' if left is None else duration(left)} left"

    @property
    def _requests(self) -> str:
        stats = self.stats
        return (
            f"{stats.in_flight} of {stats.concurrency_limit} requests in flight, {stats.requests:,} sent, "
            f"{stats.throttled:,} throttled, {stats.retries:,} retries"
        )

    @property
    def _reached(self) -> str:
        if self.progress is None:
            return "complete until ?"
        complete, reached = self.progress.complete_until, self.progress.reached
        text = f"complete until {_moment(complete)}"
        return text if reached in {None, complete} else f"{text}, stored to {_moment(reached)}"


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
        yield _NoDisplay()
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

    def show(self, status: Status) -> None:
        now = steady()
        if now >= self._next:
            self._next = now + self.seconds
            say(", ".join([f"{status.count} {self.unit}", *status.details]))


class _NoDisplay:
    def show(self, status: Status) -> None:
        """Keep quiet."""


@contextmanager
def _bar(unit: str) -> Iterator[ProgressDisplay]:
    from rich.console import Console  # noqa: PLC0415 - rich takes a while, and is of no use without a terminal
    from rich.live import Live  # noqa: PLC0415 - likewise

    console = Console(file=cast(IO[str], _Forgiving(sys.stderr)))
    with Live(console=console, transient=True, refresh_per_second=8) as live:

        class Bar:
            def show(self, status: Status) -> None:
                live.update(_drawing(status, unit))

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


def _drawing(status: Status, unit: str) -> "RenderableType":
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.progress_bar import ProgressBar  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    first = Table.grid(padding=(0, 1), expand=True)
    first.add_column(ratio=1)
    first.add_column(no_wrap=True)
    first.add_row(ProgressBar(total=1.0, completed=status.share), Text(f"{status.share:4.0%}  {status.count} {unit}"))
    return Group(first, *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in status.details))


def _moment(moment: datetime | None) -> str:
    return "?" if moment is None else f"{moment:%Y-%m-%d %H:%M}Z"

"""How far a long work is: a bar on a terminal, now and then a line elsewhere, or nothing."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Protocol, TextIO, cast

from attrs import define, field

from nxcdr_async.cli.output import duration, say
from nxcdr_async.machine_clocks import steady
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

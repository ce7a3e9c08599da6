"""How far a long reading is: a bar on a terminal, a line every second elsewhere, or nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from attrs import define, field

from nxcdr_async.cli.output import duration, say
from nxcdr_async.stats import SessionStats

SECONDS_BETWEEN_LINES = 1.0
_STEPS = 1000


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
    def details(self) -> str:
        """How it goes, in words."""
        pace = self.done / self.seconds if self.seconds else 0.0
        return (
            f"{pace:,.0f}/s, {self.stats.in_flight} in flight, {self.stats.throttled} throttled, {self._time_left} left"
        )

    @property
    def _time_left(self) -> str:
        if not self.share:
            return "?"
        return duration(self.seconds * (1 - self.share) / self.share)


class ProgressDisplay(Protocol):
    """Shows progress in some way."""

    def show(self, progress: Progress) -> None:
        """Show how far a reading is."""


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
    _began: float = field(factory=time.monotonic, init=False)

    def __attrs_post_init__(self) -> None:
        self.advance(0)

    def advance(self, records: int, share: float | None = None) -> None:
        """Count more records; `share` is how much of the work is done, where the total does not tell it."""
        self._done += records
        reached = self._done / self.total if share is None and self.total else share or 0.0
        seconds = time.monotonic() - self._began
        self.display.show(Progress(self._done, min(1.0, max(0.0, reached)), seconds, self.stats(), self.total))


@define
class _Lines:
    """A line on stderr every second: for logs, and for whoever pipes stderr somewhere."""

    unit: str
    _next: float = field(factory=lambda: time.monotonic() + SECONDS_BETWEEN_LINES, init=False)

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + SECONDS_BETWEEN_LINES
            say(f"{progress.count} {self.unit}, {progress.details}")


class _Nothing:
    def show(self, progress: Progress) -> None:
        """Keep quiet."""


@contextmanager
def bar_or_lines(unit: str) -> Iterator[ProgressDisplay]:
    """Show a bar where stderr is a terminal, else a line every second."""
    if not sys.stderr.isatty():
        yield _Lines(unit)
        return
    with _bar() as bar:
        yield bar


@contextmanager
def bar_or_nothing() -> Iterator[ProgressDisplay]:
    """Show a bar where stderr is a terminal that does not show the records as well."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield _Nothing()
        return
    with _bar() as bar:
        yield bar


@contextmanager
def _bar() -> Iterator[ProgressDisplay]:
    from rich.console import Console  # noqa: PLC0415 - rich takes a while, and is of no use without a terminal
    from rich.progress import BarColumn, Progress as RichProgress, TextColumn  # noqa: PLC0415 - likewise

    columns = (
        BarColumn(bar_width=None),
        TextColumn("{task.fields[count]}", markup=False),
        TextColumn("{task.fields[details]}", markup=False, style="dim"),
    )
    console = Console(stderr=True)
    with RichProgress(*columns, console=console, transient=True, expand=True, refresh_per_second=8) as bar:
        task = bar.add_task("", total=_STEPS, count="", details="")

        class Bar:
            def show(self, progress: Progress) -> None:
                steps = progress.share * _STEPS
                bar.update(task, completed=steps, count=progress.count, details=progress.details)

        yield Bar()

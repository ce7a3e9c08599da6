"""The report of a run into a store, or of a verification: as lines for people, and as JSON for programs."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from tempfile import mkstemp
from typing import Any, Literal

import msgspec
from attrs import asdict, define, field

from nxcdr_async._util.clocks import present, steady
from nxcdr_async._util.counts import counted
from nxcdr_async.cli.stdout import ReaderGoneError, escaped, write_at_once
from nxcdr_async.cli.terminal import LABEL_WIDTH, Manner, discard, duration, say, say_labelled
from nxcdr_async.errors import BusyError, ConfigurationError, NxcdrError, SinkError
from nxcdr_async.ingest.report import BackfillProgress, BackfillReport, Gap
from nxcdr_async.records.models import SourceName
from nxcdr_async.sinks.factory import path_of
from nxcdr_async.sinks.paths import RANDOM_CHARACTERS, as_path, name_beside

STDOUT = "-"
MOST_GAPS_SHOWN = 5

Outcome = Literal["done", "gaps", "failed", "stopped"]

_CLOCKS = {
    "timestamps": "the gateway's Date is missing or another clock's, so its time is known to within a minute",
    "machine": "nothing told the gateway's time, so this machine's clock was used: keep it set",
}


@define(frozen=True)
class ReportPlace:
    """Where a report goes as JSON: a file, replaced as a whole and readable to its owner only, or stdout.

    Attributes:
        path: the file, None for stdout.
    """

    path: Path | None

    @classmethod
    def checked(cls, given: str, to: str) -> "ReportPlace":
        """Return the place, where a report can be written; one that is there is left alone.

        Args:
            given: the file, or - for stdout.
            to: where the records go.

        Raises:
            ConfigurationError: it cannot be a file, or the records go there.
            SinkError: it cannot be written.
        """
        if given == STDOUT:
            return cls(None)
        path, sink = as_path(given).resolve(), path_of(to)
        if sink is not None and (path == sink.resolve() or sink.resolve() in path.parents):
            raise ConfigurationError(f"--report {given} lies where the rows go: give it another place")
        place = cls(path)
        with place._errors_named():
            if not path.parent.is_dir():
                raise ConfigurationError(f"there is no folder {path.parent}: make it first, or give another --report")
            if path.exists() and not path.is_file():
                raise ConfigurationError(f"--report {given} is no file: give a file, or - for stdout")
            with _written_aside(path, b""):
                return place

    @property
    def is_taken(self) -> bool:
        """Whether a report is there."""
        return self.path is not None and self.path.exists()

    def clear(self) -> None:
        """Remove an earlier report.

        Raises:
            SinkError: it cannot be removed.
        """
        if self.path is not None:
            with self._errors_named():
                self.path.unlink(missing_ok=True)

    def write(self, report: bytes) -> None:
        """Write a report.

        Raises:
            SinkError: it cannot be written.
        """
        if self.path is None:
            _print(report)
            return
        with self._errors_named(), _written_aside(self.path, report) as aside:
            aside.replace(self.path)

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SinkError(f"cannot write the report {self.path}: {error.strerror or error}") from None


@define(eq=False)
class RunReport:
    """What a run has said of its progress, and what becomes of it as JSON however the run ends.

    The report of an earlier run is left alone until this one has hold of the store. So it is not lost to a run that
    finds the store in use, perhaps by the one that is going to write there.

    Attributes:
        place: where to, None if nobody asked for one.
        source: what is read, None for all that is stored.
        started: when the run began.
        updated: when it last said something, by the clock that nobody stops.
    """

    place: ReportPlace | None
    source: SourceName | None
    started: datetime = field(factory=present)
    updated: float = field(factory=steady, init=False)
    _progress: dict[SourceName, BackfillProgress] = field(factory=dict, init=False)

    @classmethod
    def checked(cls, given: str | None, to: str, source: SourceName | None) -> "RunReport":
        """Return a report that can be written; the arguments and errors are those of `ReportPlace.checked`."""
        return cls(None if given is None else ReportPlace.checked(given, to), source)

    @property
    def latest(self) -> BackfillProgress | None:
        """What the run said last, None before it said anything; of several sources, which come in turn, the last."""
        return next(reversed(self._progress.values()), None)

    def update(self, progress: BackfillProgress) -> None:
        """Note the progress of the run, which has hold of the store then: if killed it leaves no report of an earlier.

        Raises:
            SinkError: an earlier report cannot be removed.
        """
        if not self._progress and self.place is not None:
            self.place.clear()
        self._progress[progress.source] = progress
        self.updated = steady()

    def end(self, outcome: str, report: dict[str, Any]) -> None:
        """Report a run that came to its end.

        Raises:
            SinkError: it cannot be written.
        """
        if self.place is not None:
            self.place.write(json_line(whole_report(outcome, report)))

    def fail(self, ended: BaseException) -> None:
        """Report a run that did not come to its end; if that fails too, a note on what ended it says so.

        Args:
            ended: an error of ours, or that it was stopped.
        """
        if self.place is None or not (self._progress or self._may_report_unbegun(ended, self.place)):
            return
        try:
            self.place.write(json_line(self.failure(ended)))
        except NxcdrError as failure:  # the error that ended the run is the one to show
            ended.add_note(str(failure))

    def _may_report_unbegun(self, ended: BaseException, place: ReportPlace) -> bool:
        """Return whether a run that never had hold of the store may report so: not in place of another run's report."""
        return place.path is None or not (place.is_taken or isinstance(ended, BusyError))

    def failure(self, ended: BaseException) -> dict[str, Any]:
        """Return the report of a run that did not come to its end, with what is known of it."""
        is_ours = isinstance(ended, NxcdrError)
        outcome: Outcome = "failed" if is_ours else "stopped"
        return {
            "outcome": outcome,
            "error": str(ended) or None,
            "error_class": type(ended).__name__ if is_ours else None,
            "source": self.source,
            **self._figures(),
            "started": self.started,
            "finished": present(),
        }

    def _figures(self) -> dict[str, Any]:
        """Return what is known of the run, by the names a report has for it; of several sources what holds for all."""
        last = {} if self.latest is None else asdict(self.latest)
        names = ("requests", "retries", "throttled", "reached", "seconds")
        complete = [progress.complete_until for progress in self._progress.values()]
        known = [moment for moment in complete if moment is not None]
        return {
            "rows": sum(progress.rows for progress in self._progress.values()),
            "windows": sum(progress.windows for progress in self._progress.values()),
            **{name: last.get(name) for name in names},
            "complete_until": min(known) if known and len(known) == len(complete) else None,
        }


def show_report(report: BackfillReport, zone: tzinfo) -> None:
    """Say on stderr what a run did, as people like to read it; on one line if that is for programs, or for nobody.

    Args:
        report: what it did.
        zone: of the times that are shown.
    """
    if Manner.is_json or Manner.is_quiet:
        say(summary_of(report, zone), "warning" if report.gaps else "info", **facts_of(report))
        return
    new, changed, unchanged = (f"{rows:,}" for rows in (report.rows_new, report.rows_changed, report.rows_unchanged))
    complete = "not known yet" if report.complete_until is None else f"until {moment_text(report.complete_until, zone)}"
    held = f"{'' if report.pruned_before is None else '~'}{report.rows_held:,}"
    start, end = moment_text(report.start, zone), moment_text(report.end, zone)
    lines = {
        "done": f"{report.source} {start} to {end}, in {report.sink}",
        "rows": f"{new} new, {changed} changed, {unchanged} unchanged; {held} in the store",
        "windows": f"{report.windows:,} stored, {report.windows_before:,} by earlier runs, "
        f"{report.windows_open:,} still open for late rows",
        "requests": f"{report.requests:,}, {report.waste:,} of them beyond full pages",
        "faults": f"{counted(report.retries, 'request')} sent again, "
        f"{counted(report.throttled, 'reply', 'replies')} asked for less",
        "gaps": "none known" if not report.gaps else f"{len(report.gaps):,}",
        "complete": complete,
        "time": _time_taken(report),
    }
    for label, text in lines.items():
        say_labelled(label, text)
        if label == "gaps":
            show_gaps(report.gaps, zone)
    if report.legs:
        legs = counted(report.legs, "call")
        say_labelled("legs", f"{legs} beside another one with their call id, such as legs of a transfer")
    if report.windows_lost:
        lost = counted(report.windows_lost, "window")
        say_labelled(
            "lost",
            f"{lost} of earlier runs had lost rows: what lies in this range was read again, the next sync reads the "
            "rest",
        )
    if report.pruned_before is not None:
        say_labelled(
            "pruned", f"rows before {moment_text(report.pruned_before, zone)} were removed on purpose and stay so"
        )
    if report.clock_source != "date":
        say_labelled("clock", _CLOCKS[report.clock_source])


def summary_of(report: BackfillReport, zone: tzinfo) -> str:
    """Return what a run did as one line for people, with its times in a zone."""
    gaps = f", {counted(len(report.gaps), 'gap')} known" if report.gaps else ""
    until = report.complete_until
    complete = "" if until is None else f", complete until {moment_text(until, zone)}"
    return (
        f"{report.source}: {report.rows_new:,} new, {report.rows_changed:,} changed{gaps}{complete}, "
        f"{counted(report.requests, 'request')}, {duration(report.seconds)}"
    )


def facts_of(report: BackfillReport) -> dict[str, Any]:
    """Return what a run did as facts of one line of JSON; what is long, such as the list of gaps, as a number."""
    return {"outcome": outcome_of(report), **asdict(report), "rows": report.rows, "gaps": len(report.gaps)}


def outcome_of(report: BackfillReport) -> Literal["done", "gaps"]:
    """Return how a run ended that came to its end."""
    return "gaps" if report.gaps else "done"


def whole_report(outcome: str, report: dict[str, Any]) -> dict[str, Any]:
    """Return the report of a run that came to its end, as it is written."""
    return {"outcome": outcome, "error": None, "error_class": None, **report}


def show_gaps(gaps: tuple[Gap, ...], zone: tzinfo) -> None:
    """Say on stderr what is known to be missing, some of it."""
    for gap in gaps[:MOST_GAPS_SHOWN]:
        say_item(gap_text(gap, zone))
    if len(gaps) > MOST_GAPS_SHOWN:
        say_item(f"and {len(gaps) - MOST_GAPS_SHOWN:,} more, which --report names")


def say_item(text: str) -> None:
    """Say one of several things that stand under a label."""
    say(f"{'':{LABEL_WIDTH}}- {text}", indent=LABEL_WIDTH + 2)


def _time_taken(report: BackfillReport) -> str:
    if not report.rows:
        return duration(report.seconds)
    return f"{duration(report.seconds)}, {report.rows / max(report.seconds, 1e-6):,.0f} rows/s"


def gap_text(gap: Gap, zone: tzinfo) -> str:
    """Return what is known to be missing, as people like to read it."""
    start, end = moment_text(gap.start, zone), moment_text(gap.end, zone)
    return {
        "saturated second": f"the second {start} holds more calls than the gateway shows",
        "saturated day": f"{start} to {end} is a day of more calls than the gateway shows",
        "refused range": f"{start} to {end} lies further back than the gateway tells",
        "never read": f"{start} to {end} was never read",
        "bad rows": f"left out {counted(gap.rows or 0, 'row')} of {start} to {end} that could not be read",
    }[gap.kind]


def moment_text(moment: datetime, zone: tzinfo = UTC) -> str:
    """Return a time as people write it, in a zone."""
    return moment.astimezone(zone).isoformat().replace("+00:00", "Z")


def json_line(report: dict[str, Any]) -> bytes:
    """Return a report as a line of JSON that any terminal can show."""
    return escaped(msgspec.json.encode(report)) + b"\n"


def _print(report: bytes) -> None:
    try:
        write_at_once(report)
    except ReaderGoneError:  # how the run ended still has its exit code
        discard(sys.stdout)


@contextmanager
def _written_aside(path: Path, content: bytes) -> Iterator[Path]:
    """Write a file beside another, readable to its owner only, to be put in its place; it is gone afterwards."""
    descriptor, aside = mkstemp(dir=path.parent, prefix=name_beside(path.name, ".", random=RANDOM_CHARACTERS))
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield Path(aside)
    finally:
        Path(aside).unlink(missing_ok=True)

"""The report of a backfill: as lines for people, and as JSON for programs."""

import os
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import mkstemp
from typing import Any, Literal

import msgspec
from attrs import asdict, define

from nxcdr_async.backfill import BackfillProgress, BackfillReport, Gap
from nxcdr_async.cli.lines import ReaderGoneError, escaped, write_at_once
from nxcdr_async.cli.output import duration, say
from nxcdr_async.cli.streams import point_to_nowhere
from nxcdr_async.errors import ConfigurationError, NxcdrError, SinkError

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
        """Return the place, where nothing is left of an earlier report: a run that is killed leaves none.

        Args:
            given: the file, or - for stdout.
            to: where the records go.

        Raises:
            ConfigurationError: it cannot be a file, or the records go there.
            SinkError: it cannot be written.
        """
        if given == STDOUT:
            return cls(None)
        path, sink = Path(given).resolve(), Path(to).resolve()
        if path == sink or sink in path.parents:
            raise ConfigurationError(f"--report {given} lies where the rows go: give it another place")
        if not path.parent.is_dir():
            raise ConfigurationError(f"there is no folder {path.parent}: make it first, or give another --report")
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"--report {given} is no file: give a file, or - for stdout")
        place = cls(path)
        place.write(b"")
        path.unlink(missing_ok=True)
        return place

    def write(self, report: bytes) -> None:
        """Write a report.

        Raises:
            SinkError: it cannot be written.
        """
        if self.path is None:
            _print(report)
            return
        try:
            _replace(self.path, report)
        except OSError as error:
            raise SinkError(f"cannot write the report {self.path}: {error.strerror or error}") from None


def as_json(outcome: Outcome, report: BackfillReport) -> bytes:
    """Return the report of a run that came to its end."""
    return json_line({"outcome": outcome, "error": None, **asdict(report), "rows": report.rows})


def report_failure(
    place: ReportPlace, ended: BaseException, source: str | None, latest: BackfillProgress | None
) -> None:
    """Report a run that did not come to its end; if that fails too, a note on what ended it says so.

    Args:
        place: where to.
        ended: an error of ours, or that it was stopped.
        source: what was read, None for all that is stored.
        latest: the figures it told last, which go under the names a report has for them.
    """
    outcome: Outcome = "failed" if isinstance(ended, NxcdrError) else "stopped"
    known = {} if latest is None else asdict(latest)
    names = ("rows", "windows", "requests", "retries", "throttled", "reached", "complete_until", "seconds")
    figures = {name: known.get(name) for name in names}
    try:
        place.write(json_line({"outcome": outcome, "error": str(ended) or None, "source": source, **figures}))
    except NxcdrError as failure:  # what ended the run is what has to be told
        ended.add_note(str(failure))


def show_report(report: BackfillReport) -> None:
    """Say on stderr what a run did, as people like to read it."""
    rate = report.rows / report.seconds if report.seconds else 0.0
    new, changed, unchanged = (f"{rows:,}" for rows in (report.rows_new, report.rows_changed, report.rows_unchanged))
    complete = "not known yet" if report.complete_until is None else f"until {moment_text(report.complete_until)}"
    lines = {
        "done": f"{report.source} {moment_text(report.start)} to {moment_text(report.end)}, in {report.sink}",
        "rows": f"{new} new, {changed} changed, {unchanged} unchanged",
        "windows": f"{report.windows:,} stored, {report.windows_before:,} by earlier runs, "
        f"{report.windows_open:,} still open for late rows",
        "requests": f"{report.requests:,}, {report.waste:,} of them beyond full pages",
        "faults": f"{report.retries:,} requests sent again, {report.throttled:,} replies asked for less",
        "gaps": "none known" if not report.gaps else f"{len(report.gaps):,}",
        "complete": complete,
        "time": f"{duration(report.seconds)}, {rate:,.0f} rows/s",
    }
    for label, text in lines.items():
        say(f"{label:<9} {text}")
        if label == "gaps":
            show_gaps(report.gaps)
    if report.legs:
        say(f"{'legs':<9} {report.legs:,} calls beside another one with their call id, such as legs of a transfer")
    if report.clock_source != "date":
        say(f"{'clock':<9} {_CLOCKS[report.clock_source]}")


def show_gaps(gaps: tuple[Gap, ...]) -> None:
    """Say on stderr what is known to be missing, some of it."""
    for gap in gaps[:MOST_GAPS_SHOWN]:
        say(f"{'':9} - {_told(gap)}")
    if len(gaps) > MOST_GAPS_SHOWN:
        say(f"{'':9} - and {len(gaps) - MOST_GAPS_SHOWN:,} more, which --report names")


def _told(gap: Gap) -> str:
    if gap.kind == "saturated second":
        return f"the second {moment_text(gap.start)} holds more flash calls than the vendor's list can tell"
    return (
        f"{gap.rows:,} rows of {moment_text(gap.start)} to {moment_text(gap.end)} could not be read and were left out"
    )


def moment_text(moment: datetime) -> str:
    """Return a time in UTC as people write it."""
    return moment.isoformat().replace("+00:00", "Z")


def json_line(report: dict[str, Any]) -> bytes:
    """Return a report as a line of JSON that any terminal can show."""
    return escaped(msgspec.json.encode(report)) + b"\n"


def _print(report: bytes) -> None:
    try:
        write_at_once(report)
    except ReaderGoneError:  # how the run ended still has its exit code
        point_to_nowhere(sys.stdout)


def _replace(path: Path, content: bytes) -> None:
    """Write a file aside, readable to its owner only, and put it in place."""
    descriptor, aside = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(aside).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(aside).unlink()
        raise

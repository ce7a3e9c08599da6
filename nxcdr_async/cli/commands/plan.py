"""`nxcdr plan`: a reading is estimated before it is started."""

import math
import shutil
from datetime import datetime, tzinfo
from typing import Annotated

import msgspec
import typer
from attrs import asdict, evolve
from rich.table import Table
from rich.text import Text

from nxcdr_async._util.counts import counted
from nxcdr_async.cli.console import PlainConsole
from nxcdr_async.cli.estimate import Estimate, estimate
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import (
    LastOption,
    RangeEndOption,
    RangeOptions,
    RangeStartOption,
    RangeWords,
    SourceArgument,
    ZoneOption,
    parse_target,
    parse_zone,
)
from nxcdr_async.cli.report import moment_text
from nxcdr_async.cli.stdout import write_at_once
from nxcdr_async.cli.terminal import duration, say, size_text
from nxcdr_async.sinks.factory import path_of, sink_for
from nxcdr_async.sinks.paths import as_path

PART_OF_JSON_LINES = {".duckdb": 0.25, ".sqlite": 0.55, ".parquet": 0.1, ".jsonl": 1.0, ".csv": 0.45}
"""Bytes a store takes for each byte of the same records as JSON lines.

Measured by backfills of 60,000 calls, 12,000 DID calls and 12,000 flash calls of the emulator, and rounded up for
calls: SQLite takes 0.48, 0.54 and 0.62, DuckDB 0.15, 0.26 and 0.43, Parquet 0.08, 0.07 and 0.16. Of the columns alone,
CSV takes 0.41, 0.50 and 0.49, JSON lines 0.93, 1.07 and 1.02. What a PostgreSQL server takes is for itself to say.
"""

_MINUTE = 60


def plan(
    *,
    source: SourceArgument,
    start: RangeStartOption = None,
    end: RangeEndOption = None,
    last: LastOption = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="PLACE", help="The store a backfill would fill; JSON lines if not given."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of a table.")] = False,
    gateway: RangeOptions,
    tz: ZoneOption = "UTC",
) -> ExitCode:
    if to is not None:
        sink_for(parse_target(to))  # refused before anything is asked
    first, until = RangeWords(start, end, last, tz).of(source)
    estimated = estimate(source.value, gateway.arguments_for(source.value), first, until)
    if to is not None:
        estimated = stored(estimated, to)
        warn_of_disk(estimated)
    if as_json:
        write_at_once(msgspec.json.encode(asdict(estimated)) + b"\n")
    else:
        _show_table(estimated, parse_zone(tz))
    return ExitCode.DONE


def stored(estimated: Estimate, to: str) -> Estimate:
    """Return an estimate of what a backfill into a store takes; a server has its own disk."""
    place, lines = path_of(to), estimated.disk_bytes
    part = None if place is None else PART_OF_JSON_LINES.get(place.suffix)
    if part is None or lines is None:
        return evolve(estimated, to=to, disk_bytes=None)
    return evolve(estimated, to=to, disk_bytes=round(part * lines), free_bytes=_free_bytes(to))


def warn_of_disk(estimated: Estimate) -> None:
    """Say it if there is too little room."""
    if not estimated.fits:
        say(
            f"warning: {estimated.to} needs about {size_text(estimated.disk_bytes or 0)}, and only "
            f"{size_text(estimated.free_bytes or 0)} are free there",
            indent=len("warning: "),
        )


def _show_table(estimated: Estimate, zone: tzinfo) -> None:
    table = Table.grid(padding=(0, 2))
    at_once = f"with {counted(estimated.at_once, 'request')} at once"
    table.add_row("rows", _about(estimated.rows))
    table.add_row("requests", _about(estimated.requests))
    table.add_row("windows", f"{_about(estimated.windows)} of a backfill")
    table.add_row("time", f"about {duration(math.ceil(estimated.minutes * _MINUTE))} {at_once}")
    table.add_row("disk", _disk(estimated))
    if estimated.refused_until is not None:
        table.add_row("refused", f"what is before about {_shown(estimated.refused_until, zone)}")
    console = PlainConsole()
    console.print(
        Text(
            f"nxcdr {estimated.source}, {_shown(estimated.start, zone)} to {_shown(estimated.end, zone)}", style="bold"
        )
    )
    console.print(table)
    console.print(Text(f"An estimate from {counted(estimated.samples, 'sample')}: it may well be off by half."))


def _disk(estimated: Estimate) -> str:
    if estimated.disk_bytes is None:
        return "that of the server"
    if estimated.to is not None:
        return f"about {size_text(estimated.disk_bytes)} of {size_text(estimated.free_bytes or 0)} that are free"
    others = {".parquet", ".duckdb", ".sqlite"}
    sizes = [f"{size_text(PART_OF_JSON_LINES[one] * estimated.disk_bytes)} as {one}" for one in sorted(others)]
    return f"about {size_text(estimated.disk_bytes)} as JSON lines, {', '.join(sizes)}"


def _shown(text: str, zone: tzinfo) -> str:
    """Return a time in a zone, a day as it is."""
    moment = datetime.fromisoformat(text)
    return text if moment.tzinfo is None else moment_text(moment, zone)


def _free_bytes(to: str) -> int:
    """Return how much room is left where a file or folder is to be."""
    place = as_path(to).resolve()
    return shutil.disk_usage(next(path for path in (place, *place.parents) if path.exists())).free


def _about(number: int) -> str:
    """Write a number with the two digits that an estimate is good for."""
    return f"about {round(number, 2 - len(str(number))):,}"

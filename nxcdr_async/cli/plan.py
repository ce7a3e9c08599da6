"""How much a reading will be: a few samples, and what they come to over the whole range."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import partial
from statistics import fmean
from typing import Any

import anyio
import msgspec
from attrs import asdict, define, evolve
from rich.table import Table
from rich.text import Text

from nxcdr_async._util.clocks import steady
from nxcdr_async._util.moments import moment_at
from nxcdr_async.cli.disk import PART_OF_JSON_LINES, free_bytes, part_of_json_lines
from nxcdr_async.cli.stdout import write_at_once
from nxcdr_async.cli.terminal import PlainConsole, duration, megabytes, say
from nxcdr_async.errors import GatewayError, RecordError
from nxcdr_async.limits.concurrency import FIRST_LIMIT
from nxcdr_async.protocol.codes import may_refuse_range
from nxcdr_async.protocol.endpoints import CALLS, DID, FLASH, Endpoint
from nxcdr_async.protocol.responses import Page
from nxcdr_async.records.converter import UTC_PLUS_8, structure_row
from nxcdr_async.records.json_lines import json_lines
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession
from nxcdr_async.sinks.ledger import ROWS_A_WINDOW, SECONDS_A_WINDOW
from nxcdr_async.sources.queries import CallQuery, DidQuery, checked_days, flash_parameters
from nxcdr_async.windows import HOUR, OVERLAP, Window, window_of

MOST_SAMPLES = 12
MOST_DAYS = 8
ROWS_OF_A_DAY_SAMPLE = 100

REQUESTS_A_FULL_PAGE = 1.07
"""Requests for each hundred calls, as `benchmarks/wall.py` measures it: windows end in pages that are not full."""

ROWS_A_FLASH_REQUEST = 45
"""Flash calls a request comes to, as measured: lists that turn out full are asked again in parts."""

_NARROWER = 6
_GOLDEN = 0.618
_MINUTE = 60


@define(frozen=True)
class Sample:
    """One answer: from when on, how many rows, of how many seconds or days, how long it took, how long its rows are."""

    start: int
    rows: int
    width: float
    took: float
    row_bytes: float | None


@define(frozen=True)
class Samples:
    """Some answers.

    Attributes:
        samples: at least one.
        since: where the first of them begins (epoch seconds) if those before it lie further back than the gateway
            tells; None if it tells all.
    """

    samples: list[Sample]
    since: int | None = None

    @classmethod
    async def of(cls, asks: Iterable[Callable[[], Awaitable[Sample]]], endpoint: Endpoint[Any]) -> "Samples":
        """Take samples, in order of time.

        Raises:
            NxcdrError: none can be taken, or not for another reason than how far back they lie.
        """
        samples: list[Sample] = []
        refused: GatewayError | None = None
        for ask in asks:
            try:
                samples.append(await ask())
            except GatewayError as error:
                if samples or not may_refuse_range(error, endpoint.codes):
                    raise
                refused = error
        if not samples and refused is not None:
            raise refused
        return cls(samples, None if refused is None else samples[0].start)


@define(frozen=True)
class Estimate:
    """What a reading comes to, about.

    Attributes:
        source: what is read.
        start: its first moment or day, ISO 8601.
        end: its end, ISO 8601.
        samples: how many were taken.
        rows: records.
        requests: requests.
        minutes: how long it takes.
        at_once: requests in flight, taken for that.
        windows: windows a backfill stores.
        disk_bytes: size in the store given, else as JSON lines; None in a server.
        to: the store, None if none was given.
        free_bytes: room left there, None if none was given, or in a server.
        refused_until: up to when the range lies further back than the gateway tells, ISO 8601, about; None if nothing
            of it does. The figures are of the rest.
    """

    source: str
    start: str
    end: str
    samples: int
    rows: int
    requests: int
    minutes: float
    at_once: int
    windows: int
    disk_bytes: int | None
    to: str | None = None
    free_bytes: int | None = None
    refused_until: str | None = None

    @property
    def fits(self) -> bool:
        """Whether there is room for it, as far as anybody knows."""
        return self.free_bytes is None or self.disk_bytes is None or self.disk_bytes <= self.free_bytes


def estimate_calls(arguments: dict[str, Any], start: datetime, end: datetime) -> Estimate:
    """Estimate `nxcdr calls` from one-hour samples, narrower ones where an hour fills a page."""
    whole = window_of(start, end)
    query = CallQuery()
    taken = anyio.run(
        _sample_windows, arguments, CALLS, whole, lambda window: query.page(window, number=1, size=CALLS.page_size)
    )
    told = Window(taken.since or whole.start, whole.end)
    rows = fmean(sample.rows / sample.width for sample in taken.samples) * told.seconds
    requests = max(1 + rows / CALLS.page_size * REQUESTS_A_FULL_PAGE, _fewest_questions(arguments, told))
    return _estimate("calls", _span(start, end), arguments=arguments, taken=taken, rows=rows, requests=requests)


def estimate_flash(arguments: dict[str, Any], start: datetime, end: datetime) -> Estimate:
    """Estimate `nxcdr flash` from one-hour samples, narrower ones where an hour fills the list."""
    whole = window_of(start, end)
    taken = anyio.run(_sample_windows, arguments, FLASH, whole, _flash_parameters)
    told = Window(taken.since or whole.start, whole.end)
    rows = fmean(sample.rows / sample.width for sample in taken.samples) * told.seconds
    requests = max(1 + rows / ROWS_A_FLASH_REQUEST, _fewest_questions(arguments, told))
    return _estimate("flash", _span(start, end), arguments=arguments, taken=taken, rows=rows, requests=requests)


def estimate_did(arguments: dict[str, Any], first_day: date, last_day: date) -> Estimate:
    """Estimate `nxcdr did` from the totals of a few days."""
    first, last = checked_days(first_day, last_day)
    taken = anyio.run(_sample_days, arguments, first, last)
    refused = 0 if taken.since is None else (moment_at(taken.since).astimezone(UTC_PLUS_8).date() - first).days
    days = (last - first).days + 1 - refused
    rows = fmean(sample.rows for sample in taken.samples) * days
    requests = fmean(max(1, math.ceil(sample.rows / DID.page_size)) for sample in taken.samples) * days
    return _estimate(
        "did",
        (first.isoformat(), last.isoformat()),
        arguments=arguments,
        taken=taken,
        rows=rows,
        requests=requests,
    )


ESTIMATES: dict[SourceName, Callable[[dict[str, Any], Any, Any], Estimate]] = {
    "calls": estimate_calls,
    "did": estimate_did,
    "flash": estimate_flash,
}
"""How each source is estimated: of the arguments of a session, and the start and the end."""


def stored(estimate: Estimate, to: str) -> Estimate:
    """Return an estimate of what a backfill into a store takes."""
    part, lines = part_of_json_lines(to), estimate.disk_bytes
    if part is None or lines is None:
        return evolve(estimate, to=to, disk_bytes=None)
    return evolve(estimate, to=to, disk_bytes=round(part * lines), free_bytes=free_bytes(to))


def warn_of_disk(estimate: Estimate) -> None:
    """Say it if there is too little room."""
    if not estimate.fits:
        say(
            f"warning: {estimate.to} needs about {megabytes(estimate.disk_bytes or 0)}, and only "
            f"{megabytes(estimate.free_bytes or 0)} are free there"
        )


def show_json(estimate: Estimate) -> None:
    """Print an estimate as a line of JSON."""
    write_at_once(msgspec.json.encode(asdict(estimate)) + b"\n")


def show_table(estimate: Estimate) -> None:
    """Print an estimate as a table."""
    table = Table.grid(padding=(0, 2))
    at_once = f"with {estimate.at_once} requests at once"
    table.add_row("rows", _about(estimate.rows))
    table.add_row("requests", _about(estimate.requests))
    table.add_row("windows", f"{_about(estimate.windows)} of a backfill")
    table.add_row("time", f"about {duration(math.ceil(estimate.minutes * _MINUTE))} {at_once}")
    table.add_row("disk", _disk(estimate))
    if estimate.refused_until is not None:
        table.add_row("refused", f"what is before about {estimate.refused_until}")
    console = PlainConsole()
    console.print(Text(f"nxcdr {estimate.source}, {estimate.start} to {estimate.end}", style="bold"))
    console.print(table)
    console.print(Text(f"An estimate from {estimate.samples} samples: it may well be off by half."))


def spread(whole: Window, samples: int) -> list[Window]:
    """Return hours spread over a range, one in each part of it, at a different time of each part.

    They are a second short of an hour, as what is asked of a gateway begins a second early.
    """
    parts = whole.parts(samples)
    width = min(HOUR - OVERLAP, *(part.seconds for part in parts))
    starts = [part.start + int((part.seconds - width) * (index * _GOLDEN % 1)) for index, part in enumerate(parts)]
    return [Window(start, start + width) for start in starts]


async def _sample_windows(
    arguments: dict[str, Any],
    endpoint: Endpoint[Any],
    whole: Window,
    parameters: Callable[[Window], Mapping[str, Any]],
) -> Samples:
    wanted = min(MOST_SAMPLES, math.ceil(whole.seconds / HOUR))
    async with CdrSession.from_env(**arguments) as session:
        asks = [partial(_sample_window, session, endpoint, window, parameters) for window in spread(whole, wanted)]
        return await Samples.of(asks, endpoint)


async def _sample_window(
    session: CdrSession,
    endpoint: Endpoint[Any],
    window: Window,
    parameters: Callable[[Window], Mapping[str, Any]],
) -> Sample:
    while True:
        began = steady()
        page = await session.ask_page(endpoint, parameters(window))
        if len(page.rows) < endpoint.page_size or window.seconds == 1:
            took = steady() - began
            return Sample(window.start, len(page.rows), window.seconds, took, _row_bytes(session, endpoint, page))
        window = Window(window.start, window.start + math.ceil(window.seconds / _NARROWER))


async def _sample_days(arguments: dict[str, Any], first: date, last: date) -> Samples:
    days = (last - first).days + 1
    step = days / min(days, MOST_DAYS)
    async with CdrSession.from_env(**arguments) as session:
        chosen = [first + timedelta(days=int(index * step)) for index in range(min(days, MOST_DAYS))]
        return await Samples.of([partial(_sample_day, session, day) for day in chosen], DID)


async def _sample_day(session: CdrSession, day: date) -> Sample:
    began = steady()
    page = await session.ask_page(DID, DidQuery().page(day, number=1, size=ROWS_OF_A_DAY_SAMPLE))
    took = steady() - began
    rows = len(page.rows) if page.total_rows is None else page.total_rows
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC_PLUS_8).timestamp())
    return Sample(midnight, rows, 1, took, _row_bytes(session, DID, page))


def _fewest_questions(arguments: Mapping[str, Any], told: Window) -> int:
    """Return in how many parts a range has to be asked for, however few its rows are."""
    max_span: timedelta | None = arguments.get("max_span")
    return 1 if max_span is None else math.ceil(told.seconds / max_span.total_seconds())


def _flash_parameters(window: Window) -> Mapping[str, Any]:
    start, end = window.bounds
    return flash_parameters(start, end, UTC_PLUS_8)


def _row_bytes(session: CdrSession, endpoint: Endpoint[Any], page: Page) -> float | None:
    records: list[Any] = []
    for row in page.rows:
        with suppress(RecordError):  # whether to stop at it is for the reading itself to decide
            records.append(structure_row(session.converter, row, endpoint.record_class))
    return len(json_lines(records)) / len(records) if records else None


def _estimate(
    source: str,
    span: tuple[str, str],
    *,
    arguments: dict[str, Any],
    taken: Samples,
    rows: float,
    requests: float,
) -> Estimate:
    samples = taken.samples
    at_once = min(arguments.get("concurrency", FIRST_LIMIT), math.ceil(requests))
    seconds = fmean(sample.took for sample in samples) * requests / at_once
    if rate := arguments.get("rate"):
        seconds = max(seconds, requests / rate)
    sizes = [sample.row_bytes for sample in samples if sample.row_bytes is not None]
    return Estimate(
        source=source,
        start=span[0],
        end=span[1],
        samples=len(samples),
        rows=round(rows),
        requests=round(requests),
        minutes=round(seconds / _MINUTE, 3),
        at_once=at_once,
        windows=max(1, math.ceil(rows / ROWS_A_WINDOW), math.ceil(seconds / SECONDS_A_WINDOW)),
        disk_bytes=round(rows * fmean(sizes)) if sizes else 0,
        refused_until=None if taken.since is None else moment_at(taken.since).isoformat(),
    )


def _disk(estimate: Estimate) -> str:
    if estimate.disk_bytes is None:
        return "that of the server"
    if estimate.to is not None:
        return f"about {megabytes(estimate.disk_bytes)} of {megabytes(estimate.free_bytes or 0)} that are free"
    others = {".parquet", ".duckdb", ".sqlite"}
    told = [f"{megabytes(PART_OF_JSON_LINES[one] * estimate.disk_bytes)} as {one}" for one in sorted(others)]
    return f"about {megabytes(estimate.disk_bytes)} as JSON lines, {', '.join(told)}"


def _span(start: datetime, end: datetime) -> tuple[str, str]:
    return start.isoformat(), end.isoformat()


def _about(number: int) -> str:
    """Write a number with the two digits that an estimate is good for."""
    return f"about {round(number, 2 - len(str(number))):,}"

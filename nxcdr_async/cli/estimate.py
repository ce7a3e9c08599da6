"""How much a reading will be: a few samples, and what they come to over the whole range."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import partial
from statistics import fmean
from typing import Any

import anyio
from attrs import define

from nxcdr_async._util.clocks import steady
from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import GatewayError, RecordError
from nxcdr_async.limits.concurrency import FIRST_LIMIT
from nxcdr_async.protocol.codes import may_refuse_range
from nxcdr_async.protocol.endpoints import Endpoint
from nxcdr_async.protocol.responses import Page
from nxcdr_async.records.converter import UTC_PLUS_8, structure_row
from nxcdr_async.records.json_lines import json_lines
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession, context_of
from nxcdr_async.sinks.ledger import ROWS_A_WINDOW, SECONDS_A_WINDOW
from nxcdr_async.sources import SOURCES
from nxcdr_async.sources.base import Source
from nxcdr_async.sources.units import checked_days
from nxcdr_async.windows import HOUR, OVERLAP, Window, window_of

MOST_SAMPLES = 12
MOST_DAYS = 8

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


def estimate(source: SourceName, arguments: dict[str, Any], start: date, end: date) -> Estimate:
    """Estimate the reading of a source by a session of these arguments.

    Args:
        source: what is read.
        arguments: of the session.
        start: an aware time, or the first day.
        end: an aware time, or the last day.
    """
    if isinstance(start, datetime) and isinstance(end, datetime):
        return estimate_by_hours(source, arguments, start, end)
    return estimate_by_days(source, arguments, start, end)


def estimate_by_hours(name: SourceName, arguments: dict[str, Any], start: datetime, end: datetime) -> Estimate:
    """Estimate from one-hour samples, narrower ones where an hour fills a page."""
    whole = window_of(start, end)
    source, taken = anyio.run(_sample_windows, name, arguments, whole)
    shown = Window(taken.since or whole.start, whole.end)
    rows = fmean(sample.rows / sample.width for sample in taken.samples) * shown.seconds
    requests = max(source.requests_for(rows), _fewest_questions(arguments, shown))
    return _estimate(name, _span(start, end), arguments=arguments, taken=taken, rows=rows, requests=requests)


def estimate_by_days(name: SourceName, arguments: dict[str, Any], first_day: date, last_day: date) -> Estimate:
    """Estimate from the totals of a few days."""
    first, last = checked_days(first_day, last_day)
    source, taken = anyio.run(_sample_days, name, arguments, first, last)
    refused = 0 if taken.since is None else (moment_at(taken.since).astimezone(UTC_PLUS_8).date() - first).days
    days = (last - first).days + 1 - refused
    rows = fmean(sample.rows for sample in taken.samples) * days
    requests = fmean(source.requests_for(sample.rows) for sample in taken.samples) * days
    span = first.isoformat(), last.isoformat()
    return _estimate(name, span, arguments=arguments, taken=taken, rows=rows, requests=requests)


def spread(whole: Window, samples: int) -> list[Window]:
    """Return hours spread over a range, one in each part of it, at a different time of each part.

    They are a second short of an hour, as what is asked of a gateway begins a second early.
    """
    parts = whole.parts(samples)
    width = min(HOUR - OVERLAP, *(part.seconds for part in parts))
    starts = [part.start + int((part.seconds - width) * (index * _GOLDEN % 1)) for index, part in enumerate(parts)]
    return [Window(start, start + width) for start in starts]


async def _sample_windows(name: SourceName, arguments: dict[str, Any], whole: Window) -> tuple[Source, Samples]:
    wanted = min(MOST_SAMPLES, math.ceil(whole.seconds / HOUR))
    async with CdrSession.from_env(**arguments) as session:
        source = SOURCES[name](context_of(session))
        asks = [partial(_sample_window, source, window) for window in spread(whole, wanted)]
        return source, await Samples.of(asks, source.endpoint)


async def _sample_window(source: Source, window: Window) -> Sample:
    while True:
        began = steady()
        page = await source.context.ask(source.endpoint, source.sample_question(window))
        if len(page.rows) < source.endpoint.page_size or window.seconds == 1:
            took = steady() - began
            return Sample(window.start, len(page.rows), window.seconds, took, _row_bytes(source, page))
        window = Window(window.start, window.start + math.ceil(window.seconds / _NARROWER))


async def _sample_days(name: SourceName, arguments: dict[str, Any], first: date, last: date) -> tuple[Source, Samples]:
    days = (last - first).days + 1
    step = days / min(days, MOST_DAYS)
    async with CdrSession.from_env(**arguments) as session:
        source = SOURCES[name](context_of(session))
        chosen = [first + timedelta(days=int(index * step)) for index in range(min(days, MOST_DAYS))]
        return source, await Samples.of([partial(_sample_day, source, day) for day in chosen], source.endpoint)


async def _sample_day(source: Source, day: date) -> Sample:
    window = source.unit.whole(day, day)
    began = steady()
    page = await source.context.ask(source.endpoint, source.sample_question(window))
    took = steady() - began
    rows = len(page.rows) if page.total_rows is None else page.total_rows
    return Sample(window.start, rows, 1, took, _row_bytes(source, page))


def _fewest_questions(arguments: Mapping[str, Any], shown: Window) -> int:
    """Return in how many parts a range has to be asked for, however few its rows are."""
    max_span: timedelta | None = arguments.get("max_span")
    return 1 if max_span is None else math.ceil(shown.seconds / max_span.total_seconds())


def _row_bytes(source: Source, page: Page) -> float | None:
    records: list[Any] = []
    for row in page.rows:
        with suppress(RecordError):  # whether to stop at it is for the reading itself to decide
            records.append(structure_row(source.context.converter, row, source.endpoint.record_class))
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


def _span(start: datetime, end: datetime) -> tuple[str, str]:
    return start.isoformat(), end.isoformat()

"""Putting streams together: what a session has learned of each API of its gateways, and the parts that go by it."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from attrs import define, field
from cattrs import Converter

from nxcdr_async.errors import RecordError, RefusedRangeError
from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.base import OnBadRow, Source
from nxcdr_async.paging.bounded import BoundedSource, Questions
from nxcdr_async.paging.capped import CappedList
from nxcdr_async.paging.counted import CountedPages
from nxcdr_async.paging.page_reader import PageReader, PageSize, RowStructurer, bad_row_taker
from nxcdr_async.paging.paginator import Paginator
from nxcdr_async.paging.planner import WindowPlan
from nxcdr_async.paging.prefetch import Pump
from nxcdr_async.paging.sequencer import Sequencer
from nxcdr_async.paging.uncounted import WindowedPages
from nxcdr_async.protocol.codes import may_refuse_range
from nxcdr_async.protocol.endpoints import Endpoint
from nxcdr_async.protocol.filter_check import FilterCheck
from nxcdr_async.protocol.responses import ReadTyped
from nxcdr_async.protocol.typed_rows import TypedRows
from nxcdr_async.records.converter import structure_row
from nxcdr_async.records.models import CallRecord
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.transport.client import Transport
from nxcdr_async.windows import Window

RecordT = TypeVar("RecordT")


@define(eq=False)
class Streams:
    """The streams of a session.

    Attributes:
        transport: asks the gateways.
        max_seconds: between the ends of the widest question that may be asked, where a user told it.
        tasks: those of the streams that are being read.
    """

    transport: Transport
    max_seconds: int | None = None
    tasks: set["asyncio.Task[None]"] = field(factory=set, init=False)
    _page_sizes: dict[str, PageSize] = field(factory=dict, init=False)
    _limits: dict[str, AnswerLimits] = field(factory=dict, init=False)
    _rows: dict[str, TypedRows[CallRecord]] = field(factory=dict, init=False)

    def page_size(self, endpoint: Endpoint[Any]) -> PageSize:
        """Return how many rows fill a page of an API."""
        return self._page_sizes.setdefault(endpoint.name, PageSize(endpoint.page_size))

    def limits(self, endpoint: Endpoint[Any]) -> AnswerLimits:
        """Return how far the answers of an API reach."""
        return self._limits.setdefault(endpoint.name, AnswerLimits(self.max_seconds))

    def typed_rows(self, endpoint: Endpoint[CallRecord], converter: Converter) -> TypedRows[CallRecord]:
        """Return the typed rows of an API, which go on learning as long as the converter is the same."""
        rows = self._rows.get(endpoint.name)
        if rows is None or rows.converter is not converter:
            rows = self._rows[endpoint.name] = TypedRows(endpoint, converter, self.transport.redactor)
        return rows

    def structure(self, endpoint: Endpoint[RecordT], converter: Converter) -> Callable[[Any], RecordT]:
        """Return what turns a raw row of an API into a record."""
        redactor = self.transport.redactor
        return partial(structure_row, converter, record_class=endpoint.record_class, redactor=redactor)

    def structurer(
        self,
        endpoint: Endpoint[RecordT],
        structure: Callable[[Any], RecordT],
        on_bad_row: OnBadRow,
        bad_row_callback: Callable[[RecordError], object] | None,
    ) -> RowStructurer[RecordT]:
        """Return what turns the rows of pages into records, with counts of its own."""
        return RowStructurer(
            structure=structure,
            start_ms=endpoint.start_ms,
            identity=endpoint.identity,
            on_bad_row=bad_row_taker(on_bad_row, bad_row_callback),
            stats=PaginatorStats(),
        )

    def reader(
        self,
        endpoint: Endpoint[Any],
        stats: PaginatorStats,
        filter_check: FilterCheck,
        read_typed: ReadTyped | None = None,
    ) -> PageReader:
        """Return what asks an API for pages."""
        ask = partial(self.transport.ask, endpoint, asker=object(), read_typed=read_typed)
        watch = partial(self.transport.telemetry.page, endpoint)
        return PageReader(ask, stats, endpoint.noun, filter_check, watch)

    def plan(self, endpoint: Endpoint[Any], whole: Window, *, most_rows: int, most_at_once: int) -> WindowPlan:
        """Return what cuts a range into windows that an API answers."""
        return WindowPlan(whole, most_rows=most_rows, most_at_once=most_at_once, limits=self.limits(endpoint))

    def range_within_limits(
        self,
        endpoint: Endpoint[Any],
        source: WindowedPages | CappedList,
        on_refused_range: Callable[[RefusedRangeError], object] | None,
    ) -> BoundedSource:
        """Return what reads a range of which a gateway may refuse parts."""
        questions = Questions.about_range(
            source.plan.whole, source.first_page, partial(self._now, endpoint), self._may_refuse(endpoint)
        )
        limits = self.limits(endpoint)
        return BoundedSource(source, questions, limits, source.stats, source.plan, on_refused_range)

    def days_within_limits(
        self,
        endpoint: Endpoint[Any],
        days: CountedPages,
        on_refused_range: Callable[[RefusedRangeError], object] | None,
    ) -> BoundedSource:
        """Return what reads days of which a gateway may refuse the earlier ones."""
        questions = days.questions(partial(self._now, endpoint), self._may_refuse(endpoint))
        limits = self.limits(endpoint)
        return BoundedSource(days, questions, limits, days.stats, on_refused_range=on_refused_range)

    def paginator(
        self,
        endpoint: Endpoint[RecordT],
        source: Source,
        finish: Callable[[list[Any]], list[RecordT]],
        structurer: RowStructurer[RecordT],
        range_in_words: str,
    ) -> Paginator[RecordT]:
        """Return the stream of a source."""
        readers = partial(self.transport.worthwhile, endpoint)
        return Paginator(
            Pump(source, Sequencer(endpoint.end_ms), finish, readers=readers, stats=structurer.stats),
            self._own,
            record_class=endpoint.record_class,
            asked_for=f"{endpoint.noun} {range_in_words}",
            on_bad_row=structurer.on_bad_row,
        )

    def _may_refuse(self, endpoint: Endpoint[Any]) -> Callable[[Exception], bool]:
        return partial(may_refuse_range, codes=endpoint.codes)

    def _now(self, endpoint: Endpoint[Any]) -> int:
        return int(self.transport.time_at(endpoint).most)

    def _own(self, task: "asyncio.Task[None]") -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

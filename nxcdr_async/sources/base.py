"""What all sources share: the session's access to its APIs, units of time, and what is left out while one is read."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from attrs import define, field
from cattrs import Converter

from nxcdr_async.errors import NxcdrError, RecordError, RefusedRangeError, SaturatedSecondError
from nxcdr_async.paging.answer_limits import AnswerLimits
from nxcdr_async.paging.base import OnBadRow
from nxcdr_async.paging.bounded import BoundedPager, RangeProbes
from nxcdr_async.paging.capped import CappedPager
from nxcdr_async.paging.counted import CountedPager
from nxcdr_async.paging.empty_answers import EmptyAnswers
from nxcdr_async.paging.page_reader import PageReader, PageSize, RowStructurer, bad_row_handler
from nxcdr_async.paging.paginator import Paginator
from nxcdr_async.paging.places import Pager
from nxcdr_async.paging.planner import WindowPlanner
from nxcdr_async.paging.prefetch import Prefetcher
from nxcdr_async.paging.sequencer import Sequencer
from nxcdr_async.paging.uncounted import UncountedPager
from nxcdr_async.protocol.codes import may_refuse_range
from nxcdr_async.protocol.endpoints import Endpoint
from nxcdr_async.protocol.filter_check import Filter, FilterCheck
from nxcdr_async.protocol.responses import Page, ReadSuccess
from nxcdr_async.protocol.wire_rows import PageDecoder
from nxcdr_async.records.models import CallRecord, SourceName
from nxcdr_async.sources.units import TimeUnit
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.transport.client import GatewayClient
from nxcdr_async.transport.clock_skew import Interval
from nxcdr_async.transport.proxies import Route
from nxcdr_async.windows import Window, merged

RecordT = TypeVar("RecordT")

MOST_GAPS_TOLD = 1_000
"""Gaps that a follower remembers to have told of, before it may tell of one again."""


@define(eq=False)
class SourceState:
    """What a session has learned of each of its APIs, and its paginators at work.

    Attributes:
        max_seconds: between the ends of the widest question that may be asked, where a user said so.
        tasks: those of the paginators that are being read.
    """

    max_seconds: int | None = None
    tasks: set["asyncio.Task[None]"] = field(factory=set, init=False)
    _page_sizes: dict[str, PageSize] = field(factory=dict, init=False)
    _limits: dict[str, AnswerLimits] = field(factory=dict, init=False)
    _empty_answers: dict[str, EmptyAnswers] = field(factory=dict, init=False)
    _page_decoders: dict[str, PageDecoder] = field(factory=dict, init=False)

    def page_size(self, endpoint: Endpoint[Any]) -> PageSize:
        """Return how many rows fill a page of an API."""
        return self._page_sizes.setdefault(endpoint.name, PageSize(endpoint.page_size))

    def limits(self, endpoint: Endpoint[Any]) -> AnswerLimits:
        """Return how far the answers of an API reach."""
        return self._limits.setdefault(endpoint.name, AnswerLimits(self.max_seconds))

    def empty_answers(self, endpoint: Endpoint[Any]) -> EmptyAnswers:
        """Return which empty answers of an API are believed at once."""
        return self._empty_answers.setdefault(endpoint.name, EmptyAnswers())

    def page_decoder(self, endpoint: Endpoint[CallRecord]) -> PageDecoder:
        """Return what decodes the pages of an API quickly, and goes on learning its keys."""
        return self._page_decoders.setdefault(endpoint.name, PageDecoder(endpoint))

    def own(self, task: "asyncio.Task[None]") -> None:
        """Keep the task of a paginator until it is done."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


@define(frozen=True)
class SourceContext:
    """How a session reads its APIs: everything a source needs that is not its own.

    Attributes:
        client: asks the gateways.
        state: what was learned so far.
        converter: turns rows into records.
        zone: of the local times and days of the vendor.
    """

    client: GatewayClient
    state: SourceState
    converter: Converter
    zone: tzinfo

    async def ask(self, endpoint: Endpoint[Any], parameters: Mapping[str, Any]) -> Page:
        """Ask one question, in the vendor's terms, and return the raw rows of its answer.

        Raises:
            NxcdrError: see `errors`.
        """
        return await self.client.ask(endpoint, parameters)

    def time_at(self, endpoint: Endpoint[Any]) -> Interval:
        """Return the earliest and the latest that it may be now by the clock of an API's gateway, epoch seconds."""
        return self.client.time_at(endpoint)

    def need_keys(self, endpoint: Endpoint[Any]) -> None:
        """Check that there are keys to ask an API with.

        Raises:
            ConfigurationError: there are none.
        """
        self.client.need_key(endpoint)

    def account_of(self, endpoint: Endpoint[Any]) -> str:
        """Return an id of the account that an API is asked for, which does not show its key.

        Raises:
            ConfigurationError: no keys for it.
        """
        return sha256(self.client.need_key(endpoint).encode()).hexdigest()[:16]

    def gateway_of(self, endpoint: Endpoint[Any]) -> str:
        """Return the base URL that an API is asked at."""
        return self.client.gateways[endpoint.gateway].url

    def route_to(self, endpoint: Endpoint[Any]) -> Route:
        """Return how the gateway of an API is reached: through which proxy, and why, or why through none."""
        return self.client.connection.routes[self.gateway_of(endpoint)]

    def structurer(
        self,
        endpoint: Endpoint[RecordT],
        on_bad_row: OnBadRow,
        bad_row_callback: Callable[[RecordError], object] | None,
    ) -> RowStructurer[RecordT]:
        """Return what turns the rows of pages into records, with counts of its own.

        Args:
            endpoint: whose rows.
            on_bad_row: as for `CdrSession.calls`.
            bad_row_callback: likewise.
        """
        on_bad = bad_row_handler(on_bad_row, bad_row_callback)
        return RowStructurer(endpoint, self.converter, on_bad, PaginatorStats(), self.client.redactor)

    def reader(
        self,
        endpoint: Endpoint[Any],
        stats: PaginatorStats,
        filters: Sequence[Filter] = (),
        read_success: ReadSuccess | None = None,
    ) -> PageReader:
        """Return what asks an API for pages."""
        ask = partial(self.client.ask, endpoint, client=object(), read_success=read_success)
        watch = partial(self.client.telemetry.page, endpoint)
        return PageReader(
            ask,
            stats,
            endpoint.noun,
            FilterCheck(filters, self.client.redactor),
            watch,
            self.state.empty_answers(endpoint),
            partial(self.client.has_failed_lately, endpoint),
        )

    def planner(self, endpoint: Endpoint[Any], whole: Window, *, most_rows: int, most_at_once: int) -> WindowPlanner:
        """Return what cuts a range into windows that an API answers."""
        limits = self.state.limits(endpoint)
        return WindowPlanner(whole, most_rows=most_rows, most_at_once=most_at_once, limits=limits)

    def range_within_limits(
        self,
        endpoint: Endpoint[Any],
        pager: UncountedPager | CappedPager,
        on_refused_range: Callable[[RefusedRangeError], object] | None,
    ) -> BoundedPager:
        """Return what reads a range of which a gateway may refuse parts."""
        probes = RangeProbes.about_range(
            pager.planner.whole, pager.first_page, partial(self._now, endpoint), self._may_refuse(endpoint)
        )
        return BoundedPager(pager, probes, self.state.limits(endpoint), pager.stats, pager.planner, on_refused_range)

    def days_within_limits(
        self,
        endpoint: Endpoint[Any],
        pager: CountedPager,
        on_refused_range: Callable[[RefusedRangeError], object] | None,
    ) -> BoundedPager:
        """Return what reads days of which a gateway may refuse the earlier ones."""
        probes = pager.range_probes(partial(self._now, endpoint), self._may_refuse(endpoint))
        limits = self.state.limits(endpoint)
        return BoundedPager(pager, probes, limits, pager.stats, on_refused_range=on_refused_range)

    def paginator(
        self,
        endpoint: Endpoint[RecordT],
        pager: Pager,
        structurer: RowStructurer[RecordT],
        range_in_words: str,
    ) -> Paginator[RecordT]:
        """Return the stream of a pager's records.

        Args:
            endpoint: whose records.
            pager: reads the range.
            structurer: made the rows, and has the counts.
            range_in_words: for errors.
        """
        concurrency = partial(self.client.useful_concurrency, endpoint)
        return Paginator(
            Prefetcher(pager, Sequencer(endpoint.end_ms), concurrency=concurrency, stats=structurer.stats),
            self.state.own,
            record_class=endpoint.record_class,
            asked_for=f"{endpoint.noun} {range_in_words}",
            on_bad_row=structurer.on_bad_row,
        )

    def _may_refuse(self, endpoint: Endpoint[Any]) -> Callable[[Exception], bool]:
        return partial(may_refuse_range, codes=endpoint.codes)

    def _now(self, endpoint: Endpoint[Any]) -> int:
        return int(self.client.time_at(endpoint).most)


@define
class SkippedRows:
    """What was left out while a source was read.

    Attributes:
        bad_rows: rows that could not be records, since this was last asked.
        saturated: seconds that the gateway does not show all calls of; of days, their first.
        refused: what lies further back than the gateway answers.
        on_bad_row: gets the error of each bad row; None to stop at the first.
    """

    on_bad_row: Callable[[RecordError], object] | None = None
    bad_rows: int = 0
    saturated: set[int] = field(factory=set)
    refused: list[Window] = field(factory=list)

    @property
    def bad_row_handler(self) -> Callable[[RecordError], object] | None:
        """What takes the error of a bad row; None if it is to be raised."""
        return None if self.on_bad_row is None else self.note_bad_row

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments for whatever reads a source."""
        skipping = {} if self.on_bad_row is None else {"on_bad_row": "skip", "bad_row_callback": self.note_bad_row}
        return {"on_refused_range": self.note_refused_range, **skipping}

    def note_bad_row(self, bad: RecordError) -> None:
        """Count a bad row and hand it on."""
        self.bad_rows += 1
        if self.on_bad_row is not None:
            self.on_bad_row(bad)

    def note_saturated_second(self, saturated: SaturatedSecondError) -> None:
        """Note a second."""
        self.saturated.add(int(saturated.second.timestamp()))

    def note_refused_range(self, refused: RefusedRangeError) -> None:
        """Note a range."""
        self.refused.append(Window(int(refused.start.timestamp()), int(refused.end.timestamp())))

    def saturated_until(self, end: int) -> tuple[int, ...]:
        """Take out the seconds noted before a moment, in order of time."""
        found = sorted(second for second in self.saturated if second < end)
        self.saturated.difference_update(found)
        return tuple(found)

    def refused_in(self, window: Window) -> tuple[Window, ...]:
        """Return the parts of a window that were refused, in order of time."""
        return merged(part for refused in self.refused if (part := refused.shared_with(window)))


@define
class FollowOptions:
    """What becomes of what cannot be handed out while a source is followed.

    Attributes:
        on_bad_row: as for `CdrSession.calls`.
        bad_row_callback: likewise.
        on_gap: gets the error of what the gateway does not show, once; None to raise it.
    """

    on_bad_row: OnBadRow = "raise"
    bad_row_callback: Callable[[RecordError], object] | None = None
    on_gap: Callable[[NxcdrError], object] | None = None
    _told: set[str] = field(factory=set, init=False)

    @property
    def gap_handler(self) -> Callable[[NxcdrError], object] | None:
        """What takes the error of a gap, which is met again in each round; None if it is to be raised."""
        return None if self.on_gap is None else self._tell_once

    def _tell_once(self, gap: NxcdrError) -> None:
        # By what is refused at all, not up to when, as that moves on with the clock.
        name = type(gap).__name__ if isinstance(gap, RefusedRangeError) else str(gap)
        if name in self._told or self.on_gap is None:
            return
        if len(self._told) >= MOST_GAPS_TOLD:
            self._told.clear()
        self._told.add(name)
        self.on_gap(gap)


class Source(Protocol):
    """Records of a range that can be stored; its table and key are `records.arrow.TABLES[source.name]`."""

    @property
    def name(self) -> SourceName:
        """What users call it."""

    @property
    def context(self) -> SourceContext:
        """The session's access to its API."""

    @property
    def endpoint(self) -> Endpoint[Any]:
        """The API that is asked."""

    @property
    def unit(self) -> TimeUnit:
        """Where windows of it may end."""

    def smallest_question(self, window: Window) -> Mapping[str, Any]:
        """Return the parameters of a question about a range that is answered with little."""

    def sample_question(self, window: Window) -> Mapping[str, Any]:
        """Return the parameters of a question by whose rows the rows of a range are estimated."""

    def requests_for(self, rows: float) -> float:
        """Return about how many requests it takes to read so many rows of a range, or of one day."""

    def read_window(self, window: Window, skipped: SkippedRows) -> Paginator[Any]:
        """Return a paginator over a part of the range, which notes what it has to leave out."""

    def question(self, filters: Mapping[str, Any]) -> Any:
        """Return a query with filters of a user's.

        Raises:
            ConfigurationError: it has none such, or one has a wrong value.
        """

    def follow_window(self, window: Window, query: Any, options: FollowOptions) -> Paginator[Any]:
        """Return a paginator over a window, for whoever follows what a query finds."""


def unit_at(source: Source, moment: int) -> Window:
    """Return the least part of a source that can be asked for, a second or a day, which holds a moment."""
    return Window(source.unit.floor(moment), source.unit.ceiling(moment + 1))

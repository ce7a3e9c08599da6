"""The calls of the call center (cdr/page): pages without a total, asked for by seconds."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypedDict

from attrs import define

from nxcdr_async.errors import ConfigurationError, RecordError, RefusedRangeError, SaturatedSecondError
from nxcdr_async.paging.base import OnBadRow, in_words
from nxcdr_async.paging.paginator import Paginator
from nxcdr_async.paging.uncounted import UncountedPager
from nxcdr_async.paging.window_pages import WindowPageReader
from nxcdr_async.protocol.endpoints import CALLS, Endpoint
from nxcdr_async.protocol.filter_check import (
    Filter,
    answered_filter,
    direction_filter,
    id_filter,
    text_filter,
)
from nxcdr_async.records.models import CallRecord, Direction, SourceName
from nxcdr_async.sources.base import FollowOptions, SkippedRows, SourceContext
from nxcdr_async.sources.checks import check_direction, given, make_plain, query_of
from nxcdr_async.sources.units import Seconds, TimeUnit
from nxcdr_async.windows import Window

MOST_ROWS = 4_000
"""Calls a window should hold: at 100 a page, the short page at its end costs little, and memory holds some windows."""

MOST_AT_ONCE = 10_000
"""Calls up to which a range is read as one window, which takes the fewest round trips."""

REQUESTS_A_FULL_PAGE = 1.07
"""Requests for each hundred calls, as `benchmarks/wall.py` measures it: windows end in pages that are not full."""


@define(frozen=True, kw_only=True)
class CallQuery:
    """Filters of cdr/page; None leaves one out."""

    direction: Direction | None = None
    answered: bool | None = None
    agent: str | None = None
    caller: str | None = None
    callee: str | None = None
    call_id: str | None = None
    order_id: str | None = None

    def __attrs_post_init__(self) -> None:
        check_direction(self.direction, {Direction.INBOUND, Direction.OUTBOUND, Direction.AICC})
        if self.answered is not None and not isinstance(self.answered, bool):
            raise ConfigurationError(f"answered is {self.answered!r}: give True, False or None")
        make_plain(self, "agent", "caller", "callee", "call_id", "order_id")

    def page(self, window: Window, number: int, size: int) -> Mapping[str, Any]:
        """Return the parameters of one page. A request counts directions and answers one higher than a reply."""
        start, end = window.bounds
        filters = {
            "direction": None if self.direction is None else self.direction + 1,
            "answered": None if self.answered is None else 1 + self.answered,
            "name": self.agent,
            "caller": self.caller,
            "callee": self.callee,
            "callId": self.call_id,
            "orderId": self.order_id,
        }
        return {"startTime": start, "endTime": end, **given(filters), "size": size, "page": number}

    @property
    def is_look_up(self) -> bool:
        """Whether calls are asked for by id."""
        return bool(self.call_id or self.order_id)

    @property
    def filters(self) -> tuple[Filter, ...]:
        """What every row of an answer has to be like."""
        possible = (
            self.direction is not None and direction_filter(self.direction, "direction"),
            self.answered is not None and answered_filter(self.answered),
            self.agent and text_filter("agent", self.agent, "agentName", "agentNickName"),
            self.caller and text_filter("caller", self.caller, "caller"),
            self.callee and text_filter("callee", self.callee, "callee"),
            self.call_id and id_filter("call_id", self.call_id, "callId"),
            self.order_id and id_filter("order_id", self.order_id, "orderId"),
        )
        return tuple(one for one in possible if one)


class CallFilters(TypedDict, total=False):
    """The filters of a `CallQuery` by name."""

    direction: Direction | None
    answered: bool | None
    agent: str | None
    caller: str | None
    callee: str | None
    call_id: str | None
    order_id: str | None


EVERY_CALL = CallQuery()


@define(frozen=True)
class CallSource:
    """The calls of the call center."""

    context: SourceContext
    name: ClassVar[SourceName] = "calls"
    endpoint: ClassVar[Endpoint[CallRecord]] = CALLS
    unit: ClassVar[TimeUnit] = Seconds()

    def read(
        self,
        window: Window,
        query: CallQuery,
        *,
        may_be_empty: Window | None,
        on_bad_row: OnBadRow = "raise",
        bad_row_callback: Callable[[RecordError], object] | None = None,
        on_saturated_second: Callable[[SaturatedSecondError], object] | None = None,
        on_refused_range: Callable[[RefusedRangeError], object] | None = None,
    ) -> Paginator[CallRecord]:
        """Return a paginator over a range.

        Args:
            window: the range.
            query: narrows the calls.
            may_be_empty: as for `WindowPageReader`.
            on_bad_row: as for `CdrSession.calls`, and so are the other callbacks.
            bad_row_callback: likewise.
            on_saturated_second: likewise.
            on_refused_range: likewise.
        """
        context, endpoint = self.context, self.endpoint
        context.need_keys(endpoint)
        structurer = context.structurer(endpoint, on_bad_row, bad_row_callback)
        read_success = context.state.page_decoder(endpoint).page
        pager = UncountedPager(
            planner=context.planner(endpoint, window, most_rows=MOST_ROWS, most_at_once=MOST_AT_ONCE),
            pages=WindowPageReader(
                reader=context.reader(endpoint, structurer.stats, query.filters, read_success),
                parameters=partial(query.page, size=endpoint.page_size),
                row_key=endpoint.row_key,
                page_size=context.state.page_size(endpoint),
                may_be_empty=may_be_empty,
                filters=None if query == EVERY_CALL else query,
                is_look_up=query.is_look_up,
            ),
            structurer=structurer,
            end_ms=endpoint.end_ms,
            stats=structurer.stats,
            on_saturated_second=on_saturated_second,
        )
        bounded = context.range_within_limits(endpoint, pager, on_refused_range)
        return context.paginator(endpoint, bounded, structurer, in_words(window))

    def read_window(self, window: Window, skipped: SkippedRows) -> Paginator[CallRecord]:
        """Read all calls; seconds that the gateway does not show whole are noted."""
        return self.read(
            window,
            EVERY_CALL,
            may_be_empty=None,  # a store counts the range as read for good
            on_saturated_second=skipped.note_saturated_second,
            **skipped.options,
        )

    def question(self, filters: Mapping[str, Any]) -> CallQuery:
        """Return a query with some filters."""
        return query_of(CallQuery, filters, self.name)

    def follow_window(self, window: Window, query: CallQuery, options: FollowOptions) -> Paginator[CallRecord]:
        """Read what a query finds in a window; no empty answer is believed before it came twice."""
        return self.read(
            window,
            query,
            on_bad_row=options.on_bad_row,
            bad_row_callback=options.bad_row_callback,
            on_saturated_second=options.gap_handler,
            on_refused_range=options.gap_handler,
            may_be_empty=None,
        )

    def smallest_question(self, window: Window) -> Mapping[str, Any]:
        """Ask for one call."""
        return EVERY_CALL.page(window, number=1, size=1)

    def sample_question(self, window: Window) -> Mapping[str, Any]:
        """Ask for the first page."""
        return EVERY_CALL.page(window, number=1, size=self.endpoint.page_size)

    def requests_for(self, rows: float) -> float:
        """Return a page for each hundred calls, and one to begin with."""
        return 1 + rows / self.endpoint.page_size * REQUESTS_A_FULL_PAGE

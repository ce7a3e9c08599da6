"""The flash calls (otp/call/list): a hundred rows at most and no pages, asked for by seconds."""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from functools import partial
from typing import Any, ClassVar

from attrs import define

from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import RecordError, RefusedRangeError, SaturatedSecondError
from nxcdr_async.paging.base import OnBadRow, in_words
from nxcdr_async.paging.capped import CappedPager
from nxcdr_async.paging.paginator import Paginator
from nxcdr_async.protocol.endpoints import FLASH, Endpoint
from nxcdr_async.records.converter import to_local
from nxcdr_async.records.models import FlashCallRecord, SourceName
from nxcdr_async.sources.base import FollowOptions, SkippedRows, SourceContext
from nxcdr_async.sources.checks import query_of
from nxcdr_async.sources.units import Seconds, TimeUnit
from nxcdr_async.windows import Window, check_offset

MOST_ROWS = 60
"""Flash calls a window should hold: safely under the hundred its answer is cut off at."""

ROWS_A_REQUEST = 45
"""Flash calls a request comes to, as measured: lists that turn out full are asked again in parts."""


@define(frozen=True)
class FlashQuery:
    """What narrows the flash-call list: nothing does."""


def flash_parameters(start: int, end: int, zone: tzinfo) -> Mapping[str, str]:
    """Return the parameters of the flash-call list for what lies between two seconds (epoch), in the vendor's zone."""
    return {name: to_local(moment_at(at), zone) for name, at in (("start", start), ("end", end))}


@define(frozen=True)
class FlashSource:
    """The flash calls."""

    context: SourceContext
    name: ClassVar[SourceName] = "flash"
    endpoint: ClassVar[Endpoint[FlashCallRecord]] = FLASH
    unit: ClassVar[TimeUnit] = Seconds()

    def read(
        self,
        window: Window,
        *,
        on_bad_row: OnBadRow = "raise",
        bad_row_callback: Callable[[RecordError], object] | None = None,
        on_saturated_second: Callable[[SaturatedSecondError], object] | None = None,
        on_refused_range: Callable[[RefusedRangeError], object] | None = None,
    ) -> Paginator[FlashCallRecord]:
        """Return a paginator over a range; the arguments are those of `CdrSession.flash_calls`."""
        context, endpoint = self.context, self.endpoint
        check_offset(context.zone, window)
        context.need_keys(endpoint)
        structurer = context.structurer(endpoint, on_bad_row, bad_row_callback)
        pager = CappedPager(
            planner=context.planner(endpoint, window, most_rows=MOST_ROWS, most_at_once=MOST_ROWS),
            reader=context.reader(endpoint, structurer.stats),
            parameters=partial(flash_parameters, zone=context.zone),
            structurer=structurer,
            row_key=endpoint.row_key,
            page_size=context.state.page_size(endpoint),
            stats=structurer.stats,
            on_saturated_second=on_saturated_second,
        )
        bounded = context.range_within_limits(endpoint, pager, on_refused_range)
        return context.paginator(endpoint, bounded, structurer, in_words(window))

    def read_window(self, window: Window, skipped: SkippedRows) -> Paginator[FlashCallRecord]:
        """Read flash calls; seconds that the list cannot show whole are noted."""
        return self.read(window, on_saturated_second=skipped.note_saturated_second, **skipped.options)

    def question(self, filters: Mapping[str, Any]) -> FlashQuery:
        """Return a query without filters."""
        return query_of(FlashQuery, filters, self.name)

    def follow_window(self, window: Window, query: FlashQuery, options: FollowOptions) -> Paginator[FlashCallRecord]:  # noqa: ARG002 - the protocol has it
        """Read the flash calls of a window."""
        return self.read(
            window,
            on_bad_row=options.on_bad_row,
            bad_row_callback=options.bad_row_callback,
            on_saturated_second=options.gap_handler,
            on_refused_range=options.gap_handler,
        )

    def smallest_question(self, window: Window) -> Mapping[str, Any]:
        """Ask for one second."""
        return flash_parameters(window.start, window.start + 1, self.context.zone)

    def sample_question(self, window: Window) -> Mapping[str, Any]:
        """Ask for the list."""
        return flash_parameters(*window.bounds, self.context.zone)

    def requests_for(self, rows: float) -> float:
        """Return a list for so many flash calls, and one to begin with."""
        return 1 + rows / ROWS_A_REQUEST

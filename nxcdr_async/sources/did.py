"""The calls over DID numbers (did/cdr): pages with their total, asked for by local days."""

import math
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Any, ClassVar, TypedDict

from attrs import define

from nxcdr_async.errors import RecordError, RefusedRangeError, SaturatedDayError
from nxcdr_async.paging.base import OnBadRow
from nxcdr_async.paging.counted import CountedPager
from nxcdr_async.paging.paginator import Paginator
from nxcdr_async.protocol.endpoints import DID, Endpoint
from nxcdr_async.protocol.filter_check import Filter, direction_filter, text_filter
from nxcdr_async.records.models import DidCallRecord, Direction, SourceName
from nxcdr_async.sources.base import FollowOptions, SkippedRows, SourceContext
from nxcdr_async.sources.checks import check_direction, given, make_plain, query_of
from nxcdr_async.sources.units import Days
from nxcdr_async.windows import Window, day_at, midnight

ROWS_OF_A_SAMPLE = 100
"""Calls of a day by which it is estimated how long their rows are; the answer says how many it has in all."""


@define(frozen=True, kw_only=True)
class DidQuery:
    """Filters of did/cdr; None leaves one out."""

    did_number: str | None = None
    call_number: str | None = None
    direction: Direction | None = None

    def __attrs_post_init__(self) -> None:
        check_direction(self.direction, {Direction.INBOUND, Direction.OUTBOUND})
        make_plain(self, "did_number", "call_number")

    def page(self, day: date, number: int, size: int) -> Mapping[str, Any]:
        """Return the parameters of one page."""
        filters = {
            "didNumber": self.did_number,
            "callNumber": self.call_number,
            "type": None if self.direction is None else int(self.direction),
        }
        return {"date": day.isoformat(), **given(filters), "pageSize": size, "page": number}

    @property
    def filters(self) -> tuple[Filter, ...]:
        """What every row of an answer has to be like."""
        possible = (
            self.did_number and text_filter("did_number", self.did_number, "number"),
            self.call_number and text_filter("call_number", self.call_number, "callNumber"),
            self.direction is not None and direction_filter(self.direction, "callType"),
        )
        return tuple(one for one in possible if one)


class DidFilters(TypedDict, total=False):
    """The filters of a `DidQuery` by name."""

    did_number: str | None
    call_number: str | None
    direction: Direction | None


EVERY_DID_CALL = DidQuery()


@define(frozen=True)
class DidSource:
    """The calls over DID numbers, which the vendor keeps by local days."""

    context: SourceContext
    name: ClassVar[SourceName] = "did"
    endpoint: ClassVar[Endpoint[DidCallRecord]] = DID

    @property
    def unit(self) -> Days:
        """Days of the vendor's."""
        return Days(self.context.zone)

    def read(
        self,
        first_day: date,
        last_day: date,
        query: DidQuery,
        *,
        on_bad_row: OnBadRow = "raise",
        bad_row_callback: Callable[[RecordError], object] | None = None,
        on_saturated_day: Callable[[SaturatedDayError], object] | None = None,
        on_refused_range: Callable[[RefusedRangeError], object] | None = None,
    ) -> Paginator[DidCallRecord]:
        """Return a paginator over days, both inclusive; the arguments are those of `CdrSession.did_calls`."""
        context, endpoint = self.context, self.endpoint
        context.need_keys(endpoint)
        structurer = context.structurer(endpoint, on_bad_row, bad_row_callback)
        pager = CountedPager(
            first_day=first_day,
            last_day=last_day,
            zone=context.zone,
            reader=context.reader(endpoint, structurer.stats, query.filters),
            parameters=partial(query.page, size=endpoint.page_size),
            structurer=structurer,
            row_key=endpoint.row_key,
            page_size=endpoint.page_size,
            stats=structurer.stats,
            on_saturated_day=on_saturated_day,
        )
        bounded = context.days_within_limits(endpoint, pager, on_refused_range)
        return context.paginator(endpoint, bounded, structurer, f"{first_day} to {last_day}")

    def read_window(self, window: Window, skipped: SkippedRows) -> Paginator[DidCallRecord]:
        """Read all calls of days; those that the gateway does not show whole are noted."""
        zone = self.context.zone

        def note_saturated_day(saturated: SaturatedDayError) -> None:
            skipped.saturated.add(midnight(saturated.day, zone))

        return self.read(*self.unit.of(window), EVERY_DID_CALL, on_saturated_day=note_saturated_day, **skipped.options)

    def question(self, filters: Mapping[str, Any]) -> DidQuery:
        """Return a query with some filters."""
        return query_of(DidQuery, filters, self.name)

    def follow_window(self, window: Window, query: DidQuery, options: FollowOptions) -> Paginator[DidCallRecord]:
        """Read what a query finds in the days of a window."""
        return self.read(
            *self.unit.of(window),
            query,
            on_bad_row=options.on_bad_row,
            bad_row_callback=options.bad_row_callback,
            on_saturated_day=options.gap_handler,
            on_refused_range=options.gap_handler,
        )

    def smallest_question(self, window: Window) -> Mapping[str, Any]:
        """Ask for one call of the first day."""
        return EVERY_DID_CALL.page(day_at(window.start, self.context.zone), number=1, size=1)

    def sample_question(self, window: Window) -> Mapping[str, Any]:
        """Ask for some calls of the first day."""
        return EVERY_DID_CALL.page(day_at(window.start, self.context.zone), number=1, size=ROWS_OF_A_SAMPLE)

    def requests_for(self, rows: float) -> float:
        """Return the pages of a day."""
        return max(1, math.ceil(rows / self.endpoint.page_size))

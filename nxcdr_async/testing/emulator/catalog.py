"""Looking up in a history what a request asks for, as the switches say."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any
from zlib import crc32

from attrs import evolve

from nxcdr_async.records.converter import UTC_PLUS_8
from nxcdr_async.testing.data.call_rows import LONGEST_CALL_MS, Row
from nxcdr_async.testing.data.history import CallHistory
from nxcdr_async.testing.data.timeline import AddedRow, Listing, RowId, Timeline
from nxcdr_async.testing.data.times import epoch_ms, local_ms, offset_text
from nxcdr_async.testing.emulator.replies import RefusedError
from nxcdr_async.testing.emulator.requests import CallQuestion, DidQuestion, FlashQuestion
from nxcdr_async.testing.emulator.switches import Switches

_LIST_LIMIT = 100
_KEPT_RESULTS = 32
_KEPT_ENDS = 100_000
_DAY = timedelta(days=1)

Admits = Callable[[Row], bool]


class Catalog:
    """Finds the rows that answer requests in one history; the switches are read anew for each."""

    def __init__(self, history: CallHistory, switches: Switches, now_ms: Callable[[], int]) -> None:
        self._history = history
        self._switches = switches
        self._now_ms = now_ms
        self._results: OrderedDict[Any, list[int]] = OrderedDict()
        self._ends = {
            timeline: lru_cache(_KEPT_ENDS)(_end_and_lot_of(timeline))
            for timeline in (history.call_timeline, history.did_timeline, history.flash_timeline)
        }

    def calls(self, question: CallQuestion) -> list[Row]:
        """Return one page of cdr/page."""
        if self._switches.ignore_filters:
            question = evolve(question, filters=())
        self._check_span(question.start * 1000, question.end * 1000)
        from_ms, until_ms = self.call_bounds(question)
        from_ms = max(from_ms, self._oldest_ms(question.start * 1000))
        timeline = self._history.call_timeline
        ranks, added = self._calls_between(question, from_ms, until_ms)
        if question.is_filtered:
            added = [one for one in added if question.admits(one.row)]
        ranks, added = self._published(timeline, ranks, added)
        listing = Listing(timeline, ranks, added, self._switches.order)
        return self._as_shown(self._page(listing, question.page, question.size, self._switches.page_overlap))

    def call_bounds(self, question: CallQuestion) -> tuple[int, int]:
        """Return the half-open range of epoch milliseconds that a request of cdr/page is for."""
        if self._switches.ignore_range:
            arrivals = self._history.call_timeline.arrivals
            return arrivals.first_ms, arrivals.end_ms
        return self._switches.bounds_ms(question.start, question.end)

    def calls_of_order(self, order_id: str) -> list[Row]:
        """Return the calls of one order."""
        timeline = self._history.call_timeline
        if self._switches.ignore_filters:
            listing = Listing(timeline, *self._published(timeline, timeline.ranks(), timeline.added()))
            return self._with_extra_keys(self._as_shown(listing.rows(0, _LIST_LIMIT)))
        ranks: Sequence[int] = self._history.call_rows.ranks_of_order(order_id)
        ranks, added = self._published(timeline, ranks, timeline.added())
        rows = chain(map(timeline.row, ranks), (dict(one.row) for one in added))
        found = [row for row in rows if row.get("orderId") == order_id]
        return self._with_extra_keys(self._as_shown(found))

    def did_calls(self, question: DidQuestion) -> dict[str, Any]:
        """Return the `data` of did/cdr: one page with its totals."""
        if self._switches.ignore_filters:
            question = evolve(question, filters=())
        timeline = self._history.did_timeline
        first = datetime.combine(question.day, time(), UTC_PLUS_8)
        start_ms, end_ms = epoch_ms(first), epoch_ms(first + _DAY)
        is_told = self._oldest_ms(end_ms - 1) < end_ms
        from_ms, until_ms = self._ms_unless_ignored(start_ms if is_told else end_ms, end_ms)
        candidates = timeline.ranks(from_ms, until_ms)
        ranks: Sequence[int] = candidates
        added = timeline.added(from_ms, until_ms)
        if question.is_filtered:
            ranks = self._filtered(timeline, candidates, question.filters, question.admits)
            added = [one for one in added if question.admits(one.row)]
        ranks, added = self._published(timeline, ranks, added)
        listing = Listing(timeline, ranks, added, self._switches.order)
        size = self._switches.capped(question.size)
        return {
            "totalRow": len(listing),
            "pageNumber": question.page,
            "totalPage": -(-len(listing) // size),
            "pageSize": size,
            "list": self._page(listing, question.page, size, 0),
        }

    def flash_calls(self, question: FlashQuestion) -> list[Row]:
        """Return the flash list: the first hundred of the range, which its texts give to the second."""
        timeline = self._history.flash_timeline
        self._check_span(question.start_ms, question.end_ms)
        start_ms = question.start_ms if self._switches.start_inclusive else question.start_ms + 1000
        from_ms, until_ms = self._ms_unless_ignored(
            max(start_ms, self._oldest_ms(question.start_ms)),
            question.end_ms + 1000 if self._switches.end_inclusive else question.end_ms,
        )
        found = self._published(timeline, timeline.ranks(from_ms, until_ms), timeline.added(from_ms, until_ms))
        listing = Listing(timeline, *found, self._switches.flash_order)
        return self._with_extra_keys(listing.rows(0, self._switches.capped(_LIST_LIMIT)))

    def flash_call(self, request_id: str) -> Row | None:
        """Return the flash call of a request as otp/call/get shows it; None if there is none, or it is too old."""
        timeline = self._history.flash_timeline
        if self._switches.ignore_filters:
            found = Listing(timeline, timeline.ranks(), timeline.added()).rows(0, 1)
        else:
            found = [dict(one.row) for one in timeline.added() if one.row.get("requestId") == request_id]
            found += map(timeline.row, self._history.flash_rows.ranks_of_request(request_id))
        if not found or self._is_forgotten(local_ms(found[0]["gmtCreate"])):
            return None
        (row,) = self._with_extra_keys(found[:1])
        return row | {"cost": row.get("price"), "gmtCreate": offset_text(local_ms(row["gmtCreate"]))}

    def _is_forgotten(self, moment_ms: int) -> bool:
        retention = self._switches.retention
        return retention is not None and moment_ms < self._now_ms() - int(retention * 1000)

    def _ms_unless_ignored(self, from_ms: int, until_ms: int) -> tuple[int | None, int | None]:
        return (None, None) if self._switches.ignore_range else (from_ms, until_ms)

    def _check_span(self, start_ms: int, end_ms: int) -> None:
        """Refuse a range that is too wide.

        Raises:
            RefusedError: it is.
        """
        most = self._switches.max_span
        if most is not None and end_ms - start_ms > most * 1000:
            raise RefusedError(self._switches.max_span_code)

    def _oldest_ms(self, asked_ms: int) -> int:
        """Return the epoch milliseconds before which nothing is shown.

        Raises:
            RefusedError: what was asked for is older, and that is refused.
        """
        retention, code = self._switches.retention, self._switches.retention_code
        if retention is None:
            return 0
        oldest_ms = self._now_ms() - int(retention * 1000)
        if asked_ms < oldest_ms and code is not None:
            raise RefusedError(code)
        return oldest_ms

    def _page(self, listing: Listing, page: int, size: int, overlap: int) -> list[Row]:
        size = self._switches.capped(size)
        step = max(1, size - overlap)
        if self._switches.ignore_page:
            page = 1
        shown = len(listing) if self._switches.depth_cap is None else min(len(listing), self._switches.depth_cap)
        if self._switches.repeat_last_page:
            page = min(page, max(1, -(-(shown - overlap) // step)))
        first = (page - 1) * step
        if first >= shown and shown < len(listing) and self._switches.depth_cap_code is not None:
            raise RefusedError(self._switches.depth_cap_code)
        return self._with_extra_keys(listing.rows(first, min(first + size, shown)))

    def _with_extra_keys(self, rows: list[Row]) -> list[Row]:
        extra = self._switches.extra_keys
        return [row | extra for row in rows] if extra else rows

    def _calls_between(
        self, question: CallQuestion, from_ms: int, until_ms: int
    ) -> tuple[Sequence[int], list[AddedRow]]:
        timeline = self._history.call_timeline
        if self._switches.filter_by == "start":
            candidates = self._narrowed(timeline.ranks(from_ms, until_ms), question)
            added = timeline.added(from_ms, until_ms)
            if not question.is_filtered:
                return candidates, added
            return self._filtered(timeline, candidates, question.filters, question.admits), added

        def admits(row: Row) -> bool:
            return from_ms <= _end_of(row) < until_ms and question.admits(row)

        # A call that ends in the range started at most the longest call earlier.
        candidates = timeline.ranks(from_ms - LONGEST_CALL_MS, until_ms)
        ranks = self._filtered(timeline, candidates, ("end", from_ms, until_ms, question.filters), admits)
        return ranks, [one for one in timeline.added() if from_ms <= one.end_ms < until_ms]

    def _narrowed(self, ranks: range, question: CallQuestion) -> range:
        """Leave only the ranks that can have the ids asked for, so that one call of a year is found at once."""
        rows = self._history.call_rows
        for value, find in ((question.call_id, rows.ranks_of_call), (question.order_id, rows.ranks_of_order)):
            if value is not None:
                ranks = _common(ranks, find(value))
        return ranks

    def _filtered(self, timeline: Timeline, candidates: range, filters: Any, admits: Admits) -> list[int]:
        """Return the candidates that pass, each looked at once and remembered for the pages to come."""
        key = (id(timeline), timeline.changes, candidates.start, candidates.stop, filters)
        found = self._results.pop(key, None)
        if found is None:
            found = [rank for rank in candidates if admits(timeline.row(rank))]
        self._results[key] = found
        if len(self._results) > _KEPT_RESULTS:
            self._results.popitem(last=False)
        return found

    def _published(
        self, timeline: Timeline, ranks: Sequence[int], added: list[AddedRow]
    ) -> tuple[Sequence[int], list[AddedRow]]:
        """Leave out the calls that ended too recently to be published."""
        delay = self._switches.publish_delay
        if delay is None:
            return ranks, added
        newest_end, ends = self._now_ms() - int(delay * 1000), self._ends[timeline]
        latest_ms = max((int(seconds * 1000) for _, seconds in self._switches.late_calls), default=0)
        split = bisect_left(ranks, timeline.arrivals.rank_at(newest_end - latest_ms - LONGEST_CALL_MS))

        def is_out(end_ms: int, lot: float) -> bool:
            return end_ms <= newest_end and end_ms + self._lateness_ms(lot) <= newest_end

        late = [rank for rank in ranks[split:] if is_out(*ends(rank))]
        shown = [one for one in added if is_out(one.end_ms, _lot_of(one.row_id))]
        return [*ranks[:split], *late], shown

    def _lateness_ms(self, lot: float) -> int:
        for share, seconds in self._switches.late_calls:
            if lot < share:
                return int(seconds * 1000)
            lot -= share
        return 0

    def _as_shown(self, rows: list[Row]) -> list[Row]:
        """Return rows of calls without what is filled in later."""
        price, url = self._switches.price_delay, self._switches.record_url_delay
        later = (("totalCustomerPrice", price, 0), ("recordUrl", url, None), ("leaveMsgUrl", url, None))
        end_of, now_ms = self._history.call_timeline.end_of, self._now_ms()
        for key, delay, before in later:
            if delay is not None:
                for row in rows:
                    if key in row and now_ms < end_of(row) + delay * 1000:
                        row[key] = before
        return rows


def _end_of(row: Row) -> int:
    return int(row["endTime"])


def _end_and_lot_of(timeline: Timeline) -> Callable[[int], tuple[int, float]]:
    def look(rank: int) -> tuple[int, float]:
        return timeline.end_of(timeline.row(rank)), _lot_of(timeline.row_id(rank))

    return look


def _lot_of(row_id: RowId) -> float:
    """Return a number from 0 to 1 for a row, the same each time."""
    return crc32(str(row_id).encode()) / 2**32


def _common(one: range, other: range) -> range:
    first = max(one.start, other.start)
    return range(first, max(first, min(one.stop, other.stop)))

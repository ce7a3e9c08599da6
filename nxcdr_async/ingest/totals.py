"""Totals of a verification: rows, cost and talk time by day, as the store has them and as the gateway tells. Pure."""

from collections.abc import Sequence
from datetime import date, timedelta, tzinfo
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field

from nxcdr_async.ingest.report import DayTotals, Totals
from nxcdr_async.records.arrow import Table
from nxcdr_async.records.models import SourceName
from nxcdr_async.sinks.values import MICROSECONDS, inside
from nxcdr_async.windows import FARTHEST_OUTSIDE, Window, day_at, window_of_day

_COST: dict[SourceName, str] = {"calls": "total_customer_price", "did": "call_price", "flash": "price"}
_TALK: dict[SourceName, str | None] = {"calls": "call_duration", "did": "call_duration", "flash": None}


@define(eq=False)
class TotalsByDay:
    """Counts what is stored and what the gateway tells, of windows that are read again in order of time.

    Attributes:
        table: whose rows.
        zone: whose days.
        windows: what is read again, in order of time; windows that touch each other are one.
        whole: rows of other times are not counted.
    """

    table: Table
    zone: tzinfo
    windows: Sequence[Window]
    whole: Window
    _stored: dict[date, Totals] = field(factory=dict, init=False)
    _found: dict[date, Totals] = field(factory=dict, init=False)
    # Key and time of rows of late that the gateway told: it may give a row with either of two neighbours, or both.
    _seen: set[tuple[object, int]] = field(factory=set, init=False)

    def add(self, window: Window, stored: pa.Table, found: pa.Table) -> None:
        """Count the rows stored in a window, and those that the gateway gave with it."""
        for part in self._counted_parts(window):
            self._count(self._stored, part, stored.filter(inside(self.table, stored, part)))
        extent = Window(window.start - FARTHEST_OUTSIDE, window.end + FARTHEST_OUTSIDE)
        new = self._not_seen(found, extent.start)
        for part in self._counted_parts(extent):
            self._count(self._found, part, new.filter(inside(self.table, new, part)))

    def days(self) -> tuple[DayTotals, ...]:
        """Return the totals of each day of which something was read again, in order of time."""
        read = {
            day
            for window in self.windows
            if (part := window.shared_with(self.whole))
            for day in _days_of(part, self.zone)
        }
        nothing = _nothing(self.table)
        return tuple(
            DayTotals(
                day, self._stored.get(day, nothing), self._found.get(day, nothing), is_whole=self._has_all_of(day)
            )
            for day in sorted(read)
        )

    def _has_all_of(self, day: date) -> bool:
        asked = window_of_day(day, self.zone).shared_with(self.whole)
        return any(asked is None or (read.start <= asked.start and asked.end <= read.end) for read in self.windows)

    def _counted_parts(self, window: Window) -> list[Window]:
        """Return the parts of a window that are read again and asked for."""
        wanted = window.shared_with(self.whole)
        return [] if wanted is None else [part for read in self.windows if (part := read.shared_with(wanted))]

    def _not_seen(self, rows: pa.Table, since: int) -> pa.Table:
        """Leave out rows that came with an earlier window, too; those without a key are told apart by nothing."""
        keys, times = rows[self.table.key].to_pylist(), rows[self.table.time].cast(pa.int64()).to_pylist()
        pairs = list(zip(keys, times, strict=True))
        is_new = [key is None or (key, time) not in self._seen for key, time in pairs]
        self._seen = {pair for pair in self._seen if pair[1] >= since * MICROSECONDS}
        self._seen.update((key, time) for key, time in pairs if key is not None and time is not None)
        return rows.filter(pa.array(is_new, pa.bool_()))

    def _count(self, totals: dict[date, Totals], part: Window, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        for day in _days_of(part, self.zone):
            of_day = rows.filter(inside(self.table, rows, window_of_day(day, self.zone)))
            totals[day] = totals.get(day, _nothing(self.table)) + totals_of(self.table, of_day)


def totals_of(table: Table, rows: pa.Table) -> Totals:
    """Return the totals of some rows."""
    talk = _TALK[table.source]
    return Totals(
        rows=rows.num_rows,
        cost=pc.sum(rows[_COST[table.source]]).as_py() or Decimal(0),
        talk_seconds=None if talk is None else pc.sum(rows[talk]).as_py() or 0,
    )


def _nothing(table: Table) -> Totals:
    return totals_of(table, table.empty())


def _days_of(window: Window, zone: tzinfo) -> list[date]:
    first, last = day_at(window.start, zone), day_at(window.end - 1, zone)
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]

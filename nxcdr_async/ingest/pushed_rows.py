"""Stores calls that were pushed in a sink, which is locked only as long as that takes. Lives in worker threads."""

from collections.abc import Sequence
from functools import reduce
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve

from nxcdr_async.errors import ConfigurationError, RecordError
from nxcdr_async.ingest.job import origin_of
from nxcdr_async.ingest.table_writer import AllowedChanges, TableWriter
from nxcdr_async.records.arrow import CALLS, EXTRA, Table, rows_of
from nxcdr_async.records.models import CallRecord
from nxcdr_async.session import CdrSession, context_of
from nxcdr_async.sinks.ledger import CLOCK_TOLERANCE, Ledger
from nxcdr_async.sinks.matching import Matched, match
from nxcdr_async.sinks.merge import fill_nulls, merge, merged_columns
from nxcdr_async.sinks.protocol import Origin, PushSink, Sink
from nxcdr_async.sinks.values import seconds_of
from nxcdr_async.sources.calls import CallSource
from nxcdr_async.telemetry.log import log_late_pushes, log_pushes_left
from nxcdr_async.windows import EVER, Window


@define(frozen=True)
class PushWriter:
    """Stores pushed calls in the table of calls.

    Attributes:
        sink: where that is.
        origin: where the calls come from.
        allowed: in what the origin of the table may differ from that.
    """

    sink: PushSink
    origin: Origin
    allowed: AllowedChanges

    @classmethod
    def of(cls, session: CdrSession, sink: Sink, allowed: AllowedChanges) -> Self:
        """Return one for the calls of a session.

        Raises:
            ConfigurationError: the sink has no place for them, or the session no keys.
        """
        if not isinstance(sink, PushSink):
            raise ConfigurationError(
                f"{sink.name} cannot take pushed calls, as it only stores whole windows that were read: give "
                "postgresql://…, a file .sqlite or .duckdb, or a sink of your own that has the method add"
            )
        return cls(sink, origin_of(CallSource(context_of(session))), allowed)

    def rows_of(self, calls: Sequence[CallRecord]) -> pa.Table:
        """Return calls as rows.

        Raises:
            RecordError: no sink can hold one of them.
        """
        rows = rows_of(CALLS, calls)
        for call, second in zip(calls, seconds_of(rows, CALLS.time), strict=True):
            if second is None or not EVER.start <= second < EVER.end:
                raise RecordError("at such a time no call can be", row={"callId": call.call_id}, path="startTime")
        return rows

    def put(self, rows: pa.Table) -> None:
        """Open the sink, store rows with keys of their own in it, and close it.

        Raises:
            BusyError: another run writes it.
            ConfigurationError: it holds the records of another account, or cannot be a sink.
            SinkError: it could not be stored; nothing of it is then.
        """
        if not rows.num_rows:
            return
        try:
            self.sink.open()
            writer = TableWriter(self.sink, CALLS, settle=0)
            writer.begin(self.origin, self.allowed)
            rows = writer.without_pruned(rows)
            if not rows.num_rows:
                return
            writer.create()
            merged = _merged(writer.ledger, self.sink.find(CALLS, rows), rows)
            if merged.num_rows:
                self.sink.add(CALLS, merged)
        finally:
            self.sink.close()


def _merged(ledger: Ledger, stored: pa.Table, rows: pa.Table) -> pa.Table:
    """Put pushed rows over what is stored; what was read from the gateway stays, and they only add to it.

    A push may be sent again late, or at another time of its call than the gateway tells, and nothing corrects a row
    whose window is sealed. So one that is none of the rows that the gateway told of its call id is left to the sync.
    One that comes after a newer push of its call only adds to that, too.
    """
    read_keys = stored.filter(_were_read(ledger, stored))[CALLS.key].combine_chunks()
    was_read = pc.is_in(rows[CALLS.key], value_set=read_keys)
    beside_read = match(CALLS, stored, rows.filter(was_read))
    if beside_read.new.num_rows:
        log_pushes_left(beside_read.new.num_rows)
    pushed_only = rows.filter(pc.invert(was_read))
    late_pushes = late(CALLS, match(CALLS, stored, pushed_only))
    if contradictions := contradicting(CALLS, late_pushes):
        log_late_pushes(contradictions)
    is_late = pc.is_in(pushed_only[CALLS.key], value_set=late_pushes.known[CALLS.key].combine_chunks())
    return pa.concat_tables(
        [
            fill_nulls(CALLS, stored, pa.concat_tables([beside_read.known, pushed_only.filter(is_late)])).rows,
            merge(CALLS, stored, pushed_only.filter(pc.invert(is_late))).rows,
        ]
    )


def _were_read(ledger: Ledger, stored: pa.Table) -> pa.Array:
    """Tell of each stored row whether it may have been read from the gateway, rather than only pushed."""
    times = zip(seconds_of(stored, CALLS.time), seconds_of(stored, END), strict=True)
    return pa.array([_was_read(ledger, start, end) for start, end in times], pa.bool_())


def _was_read(ledger: Ledger, start: int | None, end: int | None) -> bool:
    """A gateway shows a call once it has ended: one that ended after its time was read is known by a push alone."""
    entries = [] if start is None else ledger.within(Window(start, start + 1))
    return any(entry.is_doubtful or end is None or end <= entry.read_at + CLOCK_TOLERANCE for entry in entries)


END = "end_time"


def late(table: Table, matched: Matched) -> Matched:
    """Return of the rows that were pushed again those that came late, beside how these are stored.

    A push that was tried again after a newer one was taken tells less than that: no end of a call that ended, or
    nothing that is not there, and not all that is. One that tells as much, or more, is taken for the newer one.
    """
    stored, pushed = matched.stored, matched.known
    names = [name for name in table.columns if name != EXTRA]
    is_there, is_pushed = ([pc.is_valid(rows[name]) for name in names] for rows in (stored, pushed))
    tells_less = reduce(pc.or_, map(pc.and_not, is_there, is_pushed))
    tells_more = reduce(pc.or_, map(pc.and_not, is_pushed, is_there))
    has_no_end = pc.and_not(is_there[names.index(END)], is_pushed[names.index(END)])
    is_late = pc.or_(has_no_end, pc.and_not(tells_less, tells_more))
    return evolve(matched, stored=stored.filter(is_late), known=pushed.filter(is_late))


def contradicting(table: Table, matched: Matched) -> int:
    """Count the pushed rows that have another value than is stored."""
    columns = [column for column in merged_columns(table, matched) if column.name != EXTRA]
    contradicts = [pc.and_(column.differs, pc.is_valid(matched.stored[column.name])) for column in columns]
    return int(pc.sum(reduce(pc.or_, contradicts)).as_py() or 0)

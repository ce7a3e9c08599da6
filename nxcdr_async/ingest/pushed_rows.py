"""Rows of calls that were pushed, put into a sink that is held for as long as that takes. Lives in worker threads."""

from collections.abc import Sequence
from functools import reduce
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve

from nxcdr_async.errors import ConfigurationError, RecordError
from nxcdr_async.ingest.feeds import FEEDS
from nxcdr_async.ingest.job import origin_of
from nxcdr_async.ingest.table_writer import Allowed, Store
from nxcdr_async.records.arrow import CALLS, EXTRA, Table, rows_of
from nxcdr_async.records.models import CallRecord
from nxcdr_async.session import CdrSession
from nxcdr_async.sinks.ledger import CLOCK_TOLERANCE, Ledger
from nxcdr_async.sinks.matching import Matched, match
from nxcdr_async.sinks.merge import complete, merge, merged_columns
from nxcdr_async.sinks.protocol import Origin, PushSink, Sink
from nxcdr_async.sinks.values import seconds_of
from nxcdr_async.telemetry.log import log_late_pushes, log_pushes_left
from nxcdr_async.windows import EVER, Window


@define(frozen=True)
class PushedRows:
    """The way of pushed calls into the table of calls.

    Attributes:
        sink: takes them.
        origin: where they come from.
        allowed: in what the sink may differ from that.
    """

    sink: PushSink
    origin: Origin
    allowed: Allowed

    @classmethod
    def of(cls, session: CdrSession, sink: Sink, allowed: Allowed) -> Self:
        """Return the way of the calls of a session into a sink.

        Raises:
            ConfigurationError: the sink has no place for them, or the session no keys.
        """
        if not isinstance(sink, PushSink):
            raise ConfigurationError(
                f"{sink.name} cannot take pushed calls, as it only stores whole windows that were read: give "
                "postgresql://…, a file .sqlite or .duckdb, or a sink of your own that has the method add"
            )
        return cls(sink, origin_of(session, FEEDS[CALLS.source](session)), allowed)

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
        """Take hold of the sink, store rows with keys of their own in it, and let go of it.

        Raises:
            BusyError: another run has hold of it.
            ConfigurationError: it holds the records of another account, or cannot be a sink.
            SinkError: it could not be stored; nothing of it is then.
        """
        if not rows.num_rows:
            return
        try:
            self.sink.open()
            store = Store(self.sink, CALLS, settle=0)
            store.begin(self.origin, self.allowed)
            wanted = store.wanted(rows)
            if not wanted.num_rows:
                return
            store.create()
            merged = _merged(store.ledger, self.sink.find(CALLS, wanted), wanted)
            if merged.num_rows:
                self.sink.add(CALLS, merged)
        finally:
            self.sink.close()


def _merged(ledger: Ledger, stored: pa.Table, rows: pa.Table) -> pa.Table:
    """Put pushed rows over what is stored; where the gateway told, that stays, and they only add to it.

    A push may be sent again late, or at another time of its call than the gateway tells, and nothing corrects a row
    whose window is sealed. So one that is none of the rows that the gateway told of its call id is left to the sync.
    One that comes after a newer push of its call only adds to that, too.
    """
    told = stored.filter(_were_told(ledger, stored))[CALLS.key].combine_chunks()
    is_told = pc.is_in(rows[CALLS.key], value_set=told)
    known = match(CALLS, stored, rows.filter(is_told))
    if known.new.num_rows:
        log_pushes_left(known.new.num_rows)
    others = rows.filter(pc.invert(is_told))
    behind = late(CALLS, match(CALLS, stored, others))
    if contradictions := contradicting(CALLS, behind):
        log_late_pushes(contradictions)
    is_late = pc.is_in(others[CALLS.key], value_set=behind.known[CALLS.key].combine_chunks())
    return pa.concat_tables(
        [
            complete(CALLS, stored, pa.concat_tables([known.known, others.filter(is_late)])).rows,
            merge(CALLS, stored, others.filter(pc.invert(is_late))).rows,
        ]
    )


def _were_told(ledger: Ledger, stored: pa.Table) -> pa.Array:
    """Tell of each stored row whether the gateway may have told it, rather than a push alone."""
    times = zip(seconds_of(stored, CALLS.time), seconds_of(stored, END), strict=True)
    return pa.array([_was_told(ledger, start, end) for start, end in times], pa.bool_())


def _was_told(ledger: Ledger, start: int | None, end: int | None) -> bool:
    """A gateway tells a call once it has ended: one that ended after its time was read is known by a push alone."""
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
    is_there, is_told = ([pc.is_valid(rows[name]) for name in names] for rows in (stored, pushed))
    tells_less = reduce(pc.or_, map(pc.and_not, is_there, is_told))
    tells_more = reduce(pc.or_, map(pc.and_not, is_told, is_there))
    has_no_end = pc.and_not(is_there[names.index(END)], is_told[names.index(END)])
    is_late = pc.or_(has_no_end, pc.and_not(tells_less, tells_more))
    return evolve(matched, stored=stored.filter(is_late), known=pushed.filter(is_late))


def contradicting(table: Table, matched: Matched) -> int:
    """Count the pushed rows that tell another value than is stored."""
    columns = [column for column in merged_columns(table, matched) if column.name != EXTRA]
    contradicts = [pc.and_(column.differs, pc.is_valid(matched.stored[column.name])) for column in columns]
    return int(pc.sum(reduce(pc.or_, contradicts)).as_py() or 0)

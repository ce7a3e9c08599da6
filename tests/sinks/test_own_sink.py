"""A sink of a user's own, as README shows one: all the protocol asks for, in memory."""

from collections.abc import Callable
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from nxcdr_async import CdrSession
from nxcdr_async.ingest.api import backfill, verify
from nxcdr_async.records.arrow import Table
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.protocol import Origin, Sink, TableState
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import Window


class MemorySink:
    name = "memory"

    def __init__(self) -> None:
        self.rows: dict[str, pa.Table] = {}
        self.origins: dict[str, Origin] = {}
        self.ledger: dict[str, list[LedgerEntry]] = {}

    def open(self) -> None: ...

    def close(self) -> None: ...

    def inspect(self, table: Table) -> TableState | None:
        return TableState(self.origins[table.name], self.ledger[table.name]) if table.name in self.rows else None

    def create(self, table: Table, origin: Origin) -> None:
        self.origins[table.name] = origin
        self.rows.setdefault(table.name, table.empty())
        self.ledger.setdefault(table.name, [])

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        return self.rows[table.name].filter(self._is_among(table, rows))

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        kept = self.rows[table.name].filter(pc.invert(self._is_among(table, rows, skip_nulls=True)))
        self.rows[table.name] = pa.concat_tables([kept, rows])
        left = [entry for entry in self.ledger[table.name] if entry not in change.replaced]
        self.ledger[table.name] = [*left, change.entry]

    def scan(self, table: Table, window: Window) -> pa.Table:
        start, end = (
            pa.scalar(moment * 1_000_000, pa.timestamp("us", tz="UTC")) for moment in (window.start, window.end)
        )
        times = self.rows[table.name][table.time]
        return self.rows[table.name].filter(pc.and_(pc.greater_equal(times, start), pc.less(times, end)))

    def _is_among(self, table: Table, rows: pa.Table, *, skip_nulls: bool = False) -> pa.ChunkedArray:
        keys = rows[table.key].combine_chunks()
        return pc.is_in(self.rows[table.name][table.key], value_set=keys, skip_nulls=skip_nulls)


async def test_a_sink_of_ones_own_gets_every_row_once(
    open_session: Callable[..., CdrSession], gateway: Gateway
) -> None:
    sink: Sink = MemorySink()
    end = gateway.last_call + timedelta(days=3)
    first = await backfill(open_session(), "calls", gateway.first_call, end, to=sink)
    again = await backfill(open_session(), "calls", gateway.first_call, end, to=sink)
    assert isinstance(sink, MemorySink)
    assert sorted(sink.rows["calls"]["call_id"].to_pylist()) == sorted(gateway.call_ids())
    assert (first.rows_new, first.sink) == (2_000, "memory")
    assert (again.rows, again.windows_before) == (0, first.windows)


async def test_a_sink_of_ones_own_can_be_verified_and_mended(
    open_session: Callable[..., CdrSession], gateway: Gateway
) -> None:
    sink, end = MemorySink(), gateway.last_call + timedelta(days=3)
    await backfill(open_session(), "calls", gateway.first_call, end, to=sink)
    whole = sink.rows["calls"]
    sink.rows["calls"] = whole.slice(1)
    found = await verify(open_session(), sink, sample=None, fix=True)
    assert [(source.missing, source.extra, source.fixed) for source in found.sources] == [(1, 0, 1)]
    assert sink.rows["calls"].sort_by("call_id") == whole.sort_by("call_id")


async def test_a_sink_of_ones_own_takes_every_source(open_session: Callable[..., CdrSession], gateway: Gateway) -> None:
    sink, end = MemorySink(), gateway.last_call + timedelta(days=3)
    for source in ("did", "flash"):
        await backfill(open_session(), source, gateway.first_call, end, to=sink)
    assert sorted(sink.rows["did_calls"]["id"].to_pylist()) == sorted(gateway.did_ids())
    calls = sink.rows["flash_calls"]["id"].to_pylist()
    assert len(calls) == len(set(calls)) > 0

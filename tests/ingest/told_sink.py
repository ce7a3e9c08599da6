"""A sink that tells what it is about to do, so that a test can kill, block or break it right there."""

from collections.abc import Callable

import pyarrow as pa
from attrs import define

from nxcdr_async.records.arrow import Table
from nxcdr_async.sinks.ledger import LedgerChange, RunNote
from nxcdr_async.sinks.protocol import Origin, PushSink, RunNoteSink, Sink, TableState
from nxcdr_async.windows import Window

OPENING, INSPECTING, READING, FINDING, WRITING, CLOSING, CLOSED = "olrfwcd"
"""What a run is doing with its sink; reading is all that is between the windows."""


@define(eq=False)
class ToldSink:
    """Does as another sink, and tells each step before it.

    Attributes:
        sink: the other one.
        tell: gets the step, in the thread of the step.
    """

    sink: Sink
    tell: Callable[[str], object]

    @property
    def name(self) -> str:
        return self.sink.name

    def open(self) -> None:
        self.tell(OPENING)
        self.sink.open()

    def inspect(self, table: Table) -> TableState | None:
        self.tell(INSPECTING)
        return self.sink.inspect(table)

    def create(self, table: Table, origin: Origin) -> None:
        self.sink.create(table, origin)

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        self.tell(FINDING)
        return self.sink.find(table, rows)

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        self.tell(WRITING)
        self.sink.write(table, rows, change)
        self.tell(READING)

    def add(self, table: Table, rows: pa.Table) -> None:
        self.tell(WRITING)
        assert isinstance(self.sink, PushSink)
        self.sink.add(table, rows)
        self.tell(READING)

    def note_run(self, table: Table, run: RunNote) -> None:
        assert isinstance(self.sink, RunNoteSink)
        self.sink.note_run(table, run)

    def scan(self, table: Table, window: Window) -> pa.Table:
        return self.sink.scan(table, window)

    def close(self) -> None:
        self.tell(CLOSING)
        self.sink.close()
        self.tell(CLOSED)

"""Backfills of an emulator at a time of its own, and what is in their sinks after them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import define

from nxcdr_async import BackfillReport, CdrSession, backfill, sync
from nxcdr_async.records.arrow import TABLES
from nxcdr_async.records.models import SourceName
from nxcdr_async.sinks.ledger import Ledger
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import Window
from tests.sinks.all_sinks import opened

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    """Return a moment of the month the emulator's history begins in."""
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def window(start: datetime, end: datetime) -> Window:
    return Window(seconds(start), seconds(end))


@define(eq=False)
class Filling:
    """A sink that is filled from an emulator.

    Attributes:
        gateway: the emulator.
        session: asks it.
        to: the sink.
        source: what is read.
    """

    gateway: Gateway
    session: CdrSession
    to: Path
    source: SourceName = "calls"

    async def backfill(self, start: Any, end: Any, **options: Any) -> BackfillReport:
        return await backfill(self.session, self.source, start, end, self.to, **options)

    async def sync(self, **options: Any) -> BackfillReport:
        return await sync(self.session, self.source, self.to, **options)

    def add_call(self, start: datetime, end: datetime | None = None) -> str:
        """Add a call, which was over a minute later or when told."""
        over = end or start + timedelta(minutes=1)
        return self.gateway.add_call(startTime=1000 * seconds(start), endTime=1000 * seconds(over))

    def stored_keys(self) -> set[Any]:
        """Return the keys of all rows in the sink."""
        with opened(str(self.to)) as sink:
            table = TABLES[self.source]
            return set(sink.scan(table, Window(0, 2**33))[table.key].to_pylist())

    def ledger(self) -> Ledger:
        with opened(str(self.to)) as sink:
            state = sink.inspect(TABLES[self.source])
            return Ledger([] if state is None else state.entries)

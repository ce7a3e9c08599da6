"""What the sinks that speak SQL have in common: the ledger as tables, and the check of a table that is there. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from nxcdr_async.backfill.ledger import Entry
from nxcdr_async.backfill.sinks.protocol import Held, Origin
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.export.tables import Table
from nxcdr_async.windows import Window

WINDOWS = "nxcdr_windows"
"""The ledger: a row for each window that was read, times as epoch seconds."""

SOURCES = "nxcdr_sources"
"""A row for each source: the account it is read from, the zone of its local times, and how far it is complete."""


LATEST = 253_402_300_800
"""The second after the year 9999."""


class LedgerRow(NamedTuple):
    """A row of the table of windows."""

    source: str
    start_second: int
    end_second: int
    read_at: int
    row_count: int
    bad_rows: int
    saturated: str

    @classmethod
    def of(cls, table: Table, entry: Entry) -> "LedgerRow":
        """Return the row of an entry."""
        window, saturated = entry.window, msgspec.json.encode(entry.saturated).decode()
        return cls(table.source, window.start, window.end, entry.read_at, entry.rows, entry.bad_rows, saturated)

    @property
    def entry(self) -> Entry:
        """The entry of the row.

        Raises:
            ValueError: it is none, as somebody has changed it.
        """
        numbers = (self.start_second, self.end_second, self.read_at, self.row_count, self.bad_rows)
        if not all(isinstance(number, int) for number in numbers) or not isinstance(self.saturated, str):
            raise ValueError("a number is none")
        if not 0 <= self.start_second < self.end_second <= LATEST:
            raise ValueError("it begins or ends at no time")
        return Entry(
            window=Window(self.start_second, self.end_second),
            read_at=self.read_at,
            rows=self.row_count,
            bad_rows=self.bad_rows,
            saturated=tuple(msgspec.json.decode(self.saturated, type=list[int])),
        )


def held_by(sink: str, origins: Sequence[Sequence[Any]], windows: Iterable[Sequence[Any]]) -> Held:
    """Return what the ledger says of a table.

    Args:
        sink: what to call the sink.
        origins: account and zone of its source; nothing, if somebody has taken that row away.
        windows: the rows of its windows.

    Raises:
        ConfigurationError: somebody has changed it.
    """
    return Held(Origin(*origins[0]) if origins else None, [_entry(sink, LedgerRow(*row)) for row in windows])


def _entry(sink: str, row: LedgerRow) -> Entry:
    try:
        return row.entry
    except ValueError as fault:  # msgspec's, too
        raise ConfigurationError(
            f"the window from {row.start_second!r} to {row.end_second!r} of {row.source} in the table {WINDOWS} of "
            f"{sink} was changed by hand ({fault}): remove that row, and what it stands for is read again"
        ) from None


def quoted(names: Iterable[str]) -> str:
    """Return names of columns as SQL writes them in a list."""
    return ", ".join(f'"{name}"' for name in names)


def check_columns(sink: str, table: Table, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Check that a table that is there is one of ours.

    Args:
        sink: what to call the sink.
        table: the table.
        found: the types of its columns.
        wanted: what they should be.

    Raises:
        ConfigurationError: it has other columns, or some of other types.
    """
    if dict(found) == dict(wanted):
        return
    differences = [
        f"{name} is {found.get(name, 'missing')} there and {wanted.get(name, 'not known')} here"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]
    raise ConfigurationError(
        f"the table {table.name} in {sink} was not made by this version of a backfill ({'; '.join(differences[:3])}): "
        "give another --to, or move that table away"
    )

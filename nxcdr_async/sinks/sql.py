"""What the sinks that speak SQL write and read alike: the ledger as tables, and the check of a table. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from nxcdr_async.errors import ConfigurationError
from nxcdr_async.records.arrow import Table
from nxcdr_async.sinks.ledger import LedgerEntry, RunNote
from nxcdr_async.sinks.protocol import Origin, TableState
from nxcdr_async.windows import EVER, Window

WINDOWS = "nxcdr_windows"
"""The ledger: a row for each window that was read, times as epoch seconds."""

SOURCES = "nxcdr_sources"
"""A row for each source: where it is read from, how far it is complete, before when its rows were removed, and what its
last run came to, as JSON."""

STORED = "stored"
"""The column of the table of windows that says how many rows of the table lie in a window."""


class LedgerTable(NamedTuple):
    """How a table of the ledger is made.

    Attributes:
        columns: the definition of each column. One that came with a later version has a default, or may be null.
        constraints: what follows the columns.
        options: what follows the definition.
    """

    columns: Mapping[str, str]
    constraints: str = ""
    options: str = ""


ONE_ROW_A_WINDOW = ", PRIMARY KEY (source, start_second)"
"""The constraint of the table of windows, for engines that keep keys."""


def windows_columns(text: str, integer: str) -> dict[str, str]:
    """Return the columns of the table of windows, given an engine's types."""
    return {
        "source": f"{text} NOT NULL",
        "start_second": f"{integer} NOT NULL",
        "end_second": f"{integer} NOT NULL",
        "read_at": f"{integer} NOT NULL",
        "row_count": f"{integer} NOT NULL",
        "bad_rows": f"{integer} NOT NULL",
        "saturated": f"{text} NOT NULL",
        "refused": f"{text} NOT NULL DEFAULT '[]'",
        STORED: integer,
    }


def sources_columns(text: str, integer: str, time: str) -> dict[str, str]:
    """Return the columns of the table of sources, given an engine's types."""
    return {
        "source": f"{text} PRIMARY KEY",
        "account": f"{text} NOT NULL",
        "zone": f"{text} NOT NULL",
        "complete_until": time,
        "gateway": text,
        "pruned_before": integer,
        "last_run": text,
    }


class WindowRow(NamedTuple):
    """A row of the table of windows."""

    source: str
    start_second: int
    end_second: int
    read_at: int
    row_count: int
    bad_rows: int
    saturated: str
    refused: str = "[]"

    @classmethod
    def of(cls, table: Table, entry: LedgerEntry) -> "WindowRow":
        """Return the row of an entry."""
        window, saturated = entry.window, msgspec.json.encode(entry.saturated).decode()
        refused = msgspec.json.encode([(part.start, part.end) for part in entry.refused]).decode()
        return cls(
            table.source, window.start, window.end, entry.read_at, entry.rows, entry.bad_rows, saturated, refused
        )

    @property
    def entry(self) -> LedgerEntry:
        """The entry of the row.

        Raises:
            ValueError: it is none, as somebody has changed it.
        """
        numbers = (self.start_second, self.end_second, self.read_at, self.row_count, self.bad_rows)
        texts = (self.saturated, self.refused)
        if not all(isinstance(number, int) for number in numbers) or not all(isinstance(text, str) for text in texts):
            raise ValueError("a number is none")
        if not 0 <= self.start_second < self.end_second <= EVER.end:
            raise ValueError("it begins or ends at no time")
        return LedgerEntry(
            window=Window(self.start_second, self.end_second),
            read_at=self.read_at,
            rows=self.row_count,
            bad_rows=self.bad_rows,
            saturated=tuple(msgspec.json.decode(self.saturated, type=list[int])),
            refused=tuple(Window(*part) for part in msgspec.json.decode(self.refused, type=list[tuple[int, int]])),
        )


class SourceRow(NamedTuple):
    """A row of the table of sources, but for how far it is complete, which readers alone ask for.

    Its later columns may be missing in a store of an earlier version.
    """

    source: str
    account: str
    zone: str
    gateway: str | None = None
    pruned_before: int | None = None
    last_run: str | None = None

    @property
    def run(self) -> RunNote | None:
        """The run that filled its table last, as far as anything was noted that can be read."""
        try:
            return None if self.last_run is None else msgspec.json.decode(self.last_run, type=RunNote)
        except (msgspec.MsgspecError, TypeError):
            return None

    @property
    def origin(self) -> Origin:
        """Where the rows of its table come from."""
        return Origin(self.account, self.zone, self.gateway)


class WindowCounts(NamedTuple):
    """How many rows of a window the ledger notes.

    Attributes:
        window: the window.
        row_count: how many records came with it, some of which may lie in its neighbours.
        stored: how many rows of the table lie in it; None if nobody has counted them yet.
    """

    window: Window
    row_count: int
    stored: int | None

    @property
    def may_lack_rows(self) -> bool:
        """Whether it has any that can be gone."""
        return bool(self.row_count if self.stored is None else self.stored)


def lost_windows(noted: Iterable[WindowCounts], found: Mapping[Window, int]) -> list[Window]:
    """Return the windows that have fewer rows than were stored in them; where nobody knows how many, none at all.

    Args:
        noted: what the ledger says of those that may lack rows.
        found: how many rows the table has in each of them; nothing if it has no rows at all.
    """
    if not found:
        return [counts.window for counts in noted]
    return [counts.window for counts in noted if counts.stored is not None and found[counts.window] < counts.stored]


def table_state(
    sink: str,
    source: SourceRow | None,
    windows: Iterable[WindowRow],
    *,
    is_current: bool = True,
    is_empty: bool = False,
) -> TableState:
    """Return what the ledger says of a table.

    Args:
        sink: what to call the sink.
        source: the row of its source; None, if somebody has taken that row away.
        windows: the rows of its windows.
        is_current: as `TableState` has it.
        is_empty: likewise.

    Raises:
        ConfigurationError: somebody has changed it.
    """
    return TableState(
        origin=None if source is None else source.origin,
        entries=[_entry(sink, row) for row in windows],
        pruned_before=None if source is None else source.pruned_before,
        is_current=is_current,
        is_empty=is_empty,
        last_run=None if source is None else source.run,
    )


def _entry(sink: str, row: WindowRow) -> LedgerEntry:
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


def placeholders(values: Sequence[Any]) -> str:
    """Return a placeholder for each value, as SQL writes them in a list."""
    return ", ".join("?" * len(values))


def check_columns(sink: str, table: Table, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Check that a table that is there is one of ours.

    Args:
        sink: what to call the sink.
        table: the table.
        found: the types of its columns.
        expected: what they should be.

    Raises:
        ConfigurationError: it has other columns, or some of other types.
    """
    if dict(found) == dict(expected):
        return
    differences = [
        f"{name} is {found.get(name, 'missing') or 'of no type'} there and {expected.get(name, 'not known')} here"
        for name in sorted(found.keys() | expected.keys())
        if found.get(name) != expected.get(name)
    ]
    raise ConfigurationError(
        f"the table {table.name} in {sink} was not made by this version of a backfill ({'; '.join(differences[:3])}): "
        "give another --to, or move that table away"
    )

"""What the sinks that speak SQL do alike: the ledger, in two tables beside those of the records."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, TypeVar

import pyarrow as pa
from attrs import define, field

from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.records.arrow import Table
from nxcdr_async.sinks.ledger import LedgerChange
from nxcdr_async.sinks.protocol import Held, Origin
from nxcdr_async.sinks.sql import (
    SOURCES,
    STORED,
    WINDOWS,
    LedgerRow,
    LedgerTable,
    SourceRow,
    StoredRows,
    check_columns,
    held_by,
    lost_windows,
    placed,
    quoted,
)
from nxcdr_async.sinks.values import extent_of
from nxcdr_async.windows import EVER, Window

RowT = TypeVar("RowT", LedgerRow, SourceRow)


@define(eq=False)
class SqlSink(Uncopied, ABC):
    """A sink that speaks SQL. Its statements have a question mark for each value."""

    LEDGER: ClassVar[Mapping[str, LedgerTable]]

    # Tables of records that are known to be there.
    _there: set[str] = field(factory=set, init=False, repr=False)
    # In which seconds the rows of a table lay that were found last, which those that are written may replace.
    _found_in: dict[str, Window | None] = field(factory=dict, init=False, repr=False)

    @property
    @abstractmethod
    def name(self) -> str:
        """What to call it in messages."""

    @abstractmethod
    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement; return what it gives."""

    @abstractmethod
    def _telling(self) -> AbstractContextManager[None]:
        """Tell the errors of a block in our words."""

    @abstractmethod
    def _columns_of(self, name: str) -> Mapping[str, str]:
        """Return the columns that a table has there, with their types; none if it is not there."""

    @abstractmethod
    def _found_columns(self, table: Table) -> Mapping[str, str]:
        """Return what to hold against `_wanted_columns`."""

    @abstractmethod
    def _wanted_columns(self, table: Table) -> Mapping[str, str]:
        """Return the columns that a table has to have, with their types."""

    @abstractmethod
    def _counts(self, table: Table, windows: Sequence[Window]) -> dict[Window, int]:
        """Return how many rows of a table lie in each of some windows that do not overlap."""

    @abstractmethod
    def _moment(self, second: int) -> Any:
        """Return epoch seconds as times are stored."""

    @abstractmethod
    def _put(self, table: Table, rows: pa.Table) -> None:
        """Store rows in place of those with their keys."""

    def _qualified(self, name: str) -> str:
        """Return the name of a table as statements have it."""
        return name

    def look(self, table: Table) -> Held | None:
        """Return what is known of a table."""
        with self._telling():
            found, there = self._found_columns(table), {name: self._columns_of(name) for name in self.LEDGER}
            source = next(iter(self._noted(SOURCES, SourceRow, table, there[SOURCES])), None)
            windows = self._noted(WINDOWS, LedgerRow, table, there[WINDOWS])
            lacking, is_empty = self._lacking(there), not windows and self._is_empty(table)
        if found:
            check_columns(self.name, table, found, self._wanted_columns(table))
            self._there.add(table.name)
        elif not windows and (source is None or source.pruned_before is None):
            return None
        is_current = bool(found) and not lacking
        return held_by(self.name, source, windows, is_current=is_current, is_empty=is_empty)

    def lost(self, table: Table) -> list[Window]:
        """Return the windows that have fewer rows than were stored in them."""
        with self._telling():
            noted = [rows for rows in self._stored_rows(table) if rows.is_worth_counting]
            if not noted or self._is_empty(table):
                return lost_windows(noted, {})
            return lost_windows(noted, self._counts(table, [rows.window for rows in noted]))

    def _is_there(self, table: Table) -> bool:
        """Tell whether a table of records is there."""
        with self._telling():
            if table.name not in self._there and self._columns_of(table.name):
                self._there.add(table.name)
        return table.name in self._there

    def _is_empty(self, table: Table) -> bool:
        return not self._is_there(table) or not self._execute(f"SELECT 1 FROM {self._qualified(table.name)} LIMIT 1")

    def _noted(self, name: str, row_class: type[RowT], table: Table, there: Collection[str]) -> list[RowT]:
        """Return the rows of a table of the ledger, whose later columns may not be there."""
        columns = [column for column in row_class._fields if column in there]
        if not columns:
            return []
        found = self._execute(f"SELECT {quoted(columns)} FROM {self._qualified(name)} WHERE source = ?", [table.source])
        return [row_class(**dict(zip(columns, row, strict=True))) for row in found]

    def _stored_rows(self, table: Table) -> list[StoredRows]:
        there = self._columns_of(WINDOWS)
        if not there:
            return []
        stored = STORED if STORED in there else "NULL"
        found = self._execute(
            f"SELECT start_second, end_second, row_count, {stored} FROM {self._qualified(WINDOWS)} WHERE source = ?",
            [table.source],
        )
        return [StoredRows(Window(start, end), row_count, rows) for start, end, row_count, rows in found]

    def _lacking(self, there: Mapping[str, Collection[str]]) -> list[tuple[str, str]]:
        """Return the tables and columns of the ledger that are not there, as in a store of an earlier version."""
        return [
            (name, column)
            for name, wanted in self.LEDGER.items()
            for column in wanted.columns
            if column not in there[name]
        ]

    def _make_ledger(self, table: Table) -> None:
        """Make the tables of the ledger, or the columns that they lack; within a transaction."""
        for name, wanted in self.LEDGER.items():
            if not self._columns_of(name):
                columns = ", ".join(f"{column} {definition}" for column, definition in wanted.columns.items())
                self._execute(f"CREATE TABLE {self._qualified(name)} ({columns}{wanted.constraints}){wanted.options}")
        for name, column in self._lacking({name: self._columns_of(name) for name in self.LEDGER}):
            definition = self.LEDGER[name].columns[column]
            self._execute(f"ALTER TABLE {self._qualified(name)} ADD COLUMN {column} {definition}")
        self._learn_counts(table)

    def _learn_counts(self, table: Table) -> None:
        """Count the rows of windows that nobody has; of one that should have some and has none, nothing is said."""
        unknown = {rows.window: rows for rows in self._stored_rows(table) if rows.stored is None}
        if unknown and self._is_there(table):
            counts = self._counts(table, list(unknown)).items()
            self._note_counts(
                table, {window: count for window, count in counts if count or not unknown[window].row_count}
            )

    def _note_counts(self, table: Table, counts: Mapping[Window, int]) -> None:
        for window, count in counts.items():
            self._execute(
                f"UPDATE {self._qualified(WINDOWS)} SET {STORED} = ? WHERE source = ? AND start_second = ?",
                [count, table.source, window.start],
            )

    def _note_origin(self, table: Table, origin: Origin) -> None:
        """Note where the rows of a table come from; within a transaction."""
        place, noted = self._qualified(SOURCES), [origin.account, origin.zone, origin.gateway]
        if self._execute(f"SELECT 1 FROM {place} WHERE source = ?", [table.source]):
            statement = f"UPDATE {place} SET account = ?, zone = ?, gateway = ? WHERE source = ?"
        else:
            statement = f"INSERT INTO {place} (account, zone, gateway, source) VALUES (?, ?, ?, ?)"
        self._execute(statement, [*noted, table.source])

    def _take_in(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and a change of the ledger; within a transaction."""
        windows, own = self._qualified(WINDOWS), change.entry.window
        with self._counting(table, rows, {own, *(entry.window for entry in change.replaced)}):
            self._put(table, rows)
        for entry in change.replaced:
            self._execute(
                f"DELETE FROM {windows} WHERE source = ? AND start_second = ?", [table.source, entry.window.start]
            )
        row = LedgerRow.of(table, change.entry)
        self._execute(f"INSERT INTO {windows} ({quoted(row._fields)}) VALUES ({placed(row)})", row)
        self._note_counts(table, self._counts(table, [own]))
        for entry in change.reopened:
            self._execute(
                f"UPDATE {windows} SET read_at = ? WHERE source = ? AND start_second = ?",
                [entry.read_at, table.source, entry.window.start],
            )
        until = None if change.complete_until is None else self._moment(change.complete_until)
        self._execute(
            f"UPDATE {self._qualified(SOURCES)} SET complete_until = ? WHERE source = ?", [until, table.source]
        )

    @contextmanager
    def _counting(self, table: Table, rows: pa.Table, going: Collection[Window] = ()) -> Iterator[None]:
        """Keep right how many rows the ledger says lie in each window, but for some, while these rows are stored.

        Only what changes meanwhile is taken in, so that rows somebody took away before stay known as missing.
        """
        spans = [span for span in (extent_of(table, rows), self._found_in.get(table.name)) if span is not None]
        if not spans:
            yield
            return
        span = Window(min(span.start for span in spans), max(span.end for span in spans))
        with self._counting_in(table, span, going):
            yield

    @contextmanager
    def _counting_in(self, table: Table, span: Window, going: Collection[Window] = ()) -> Iterator[None]:
        """Keep these counts right while rows of a span change."""
        found = self._execute(
            f"SELECT start_second, end_second, {STORED} FROM {self._qualified(WINDOWS)} "
            "WHERE source = ? AND start_second < ? AND end_second > ?",
            [table.source, span.end, span.start],
        )
        noted = {Window(start, end): stored for start, end, stored in found if stored is not None}
        touched = [window for window in noted if window not in going]
        before = self._counts(table, touched) if touched else {}
        yield
        after = self._counts(table, touched) if touched else {}
        changes = {window: after[window] - before[window] for window in touched}
        self._note_counts(table, {window: noted[window] + change for window, change in changes.items() if change})

    def _remove_before(self, table: Table, before: int) -> int:
        """Remove rows, and note that; return how many they were; within a transaction."""
        self._make_ledger(table)
        self._note_pruned(table, before)
        rows = self._rows_before(table, before)
        if rows:
            with self._counting_in(table, Window(EVER.start, before)):
                self._execute(
                    f'DELETE FROM {self._qualified(table.name)} WHERE "{table.time}" < ?', [self._moment(before)]
                )
            if left := self._rows_before(table, before):
                raise self._kept_by_trigger(table, left, "from being removed")
        return rows

    def _kept_by_trigger(self, table: Table, rows: int, what: str) -> ConfigurationError:
        """Return the error of rows that something in the database does not let us store or remove."""
        return ConfigurationError(
            f"a trigger or rule of {table.name} in {self.name} keeps {rows} rows {what}: drop it, or have it let all "
            "rows pass, or give another --to"
        )

    def _note_pruned(self, table: Table, before: int) -> None:
        place = self._qualified(SOURCES)
        noted = self._execute(f"SELECT pruned_before FROM {place} WHERE source = ?", [table.source])
        if not noted:
            raise ConfigurationError(
                f"the table {SOURCES} of {self.name} does not tell any more where {table.name} come from: run a sync "
                "first, which notes it again"
            )
        ((earlier,),) = noted
        latest = before if earlier is None else max(before, earlier)
        self._execute(f"UPDATE {place} SET pruned_before = ? WHERE source = ?", [latest, table.source])

    def _rows_before(self, table: Table, before: int) -> int:
        """Count the rows that would be removed."""
        if not self._is_there(table):
            return 0
        ((rows,),) = self._execute(
            f'SELECT count(*) FROM {self._qualified(table.name)} WHERE "{table.time}" < ?', [self._moment(before)]
        )
        return int(rows)

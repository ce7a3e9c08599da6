"""The sinks that speak SQL: rows and ledger in one transaction, the ledger in two tables beside the records."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec
import pyarrow as pa
from attrs import define, field

from nxcdr_async._util.counts import counted
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async.errors import ConfigurationError, SinkError
from nxcdr_async.records.arrow import Table
from nxcdr_async.sinks.files import FileIdentity, check_not_replaced
from nxcdr_async.sinks.ledger import LedgerChange, RunNote
from nxcdr_async.sinks.locks import SinkLock
from nxcdr_async.sinks.paths import check_is_there
from nxcdr_async.sinks.protocol import Origin, StoreSurvey, TableState, TableSurvey
from nxcdr_async.sinks.sql import (
    SOURCES,
    STORED,
    WINDOWS,
    LedgerTable,
    SourceRow,
    WindowCounts,
    WindowRow,
    check_columns,
    lost_windows,
    placeholders,
    quoted,
    table_state,
)
from nxcdr_async.sinks.values import extent_of
from nxcdr_async.windows import EVER, Window

RowT = TypeVar("RowT", WindowRow, SourceRow)


@define(eq=False)
class SqlSink(Uncopied, ABC):
    """A sink that speaks SQL. Its statements have a question mark for each value."""

    LEDGER: ClassVar[Mapping[str, LedgerTable]]

    # Tables of records that are known to be there.
    _existing: set[str] = field(factory=set, init=False, repr=False)
    # In which seconds the rows of a table lay that were found last, which those that are written may replace.
    _found_extent: dict[str, Window | None] = field(factory=dict, init=False, repr=False)
    # Keys of a table that were looked for last and are not in it: as nobody else writes there, until we do.
    _absent_keys: dict[str, pa.Array] = field(factory=dict, init=False, repr=False)

    @property
    @abstractmethod
    def name(self) -> str:
        """What to call it in messages."""

    @abstractmethod
    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement; return what it gives."""

    @abstractmethod
    def _translating_errors(self) -> AbstractContextManager[None]:
        """Raise errors of the engine in a block as ours."""

    @abstractmethod
    def _transaction(self, table: Table) -> AbstractContextManager[None]:
        """Do all of a block that changes a table, or nothing of it; raise errors as ours."""

    @abstractmethod
    def _columns_of(self, name: str) -> Mapping[str, str]:
        """Return the columns that a table has there, with their types; none if it is not there."""

    @abstractmethod
    def _expected_columns(self, table: Table) -> Mapping[str, str]:
        """Return the columns that a table of records has to have, with their types."""

    @abstractmethod
    def _make_table(self, table: Table) -> None:
        """Make a table of records, if it is not there; within a transaction."""

    @abstractmethod
    def _time_value(self, second: int) -> Any:
        """Return epoch seconds as times are stored."""

    @abstractmethod
    def _count_rows(self, table: Table, windows: Sequence[Window]) -> dict[Window, int]:
        """Return how many rows of a table lie in each of some windows that do not overlap."""

    @abstractmethod
    def _select(self, table: Table, condition: str, values: Sequence[Any]) -> pa.Table:
        """Return the rows that meet a condition; raise errors as ours."""

    @abstractmethod
    def _find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under the keys of these rows; those without a key, at their times."""

    @abstractmethod
    def _replace_rows(self, table: Table, rows: pa.Table) -> None:
        """Store rows in place of those with their keys; within a transaction."""

    @abstractmethod
    def _erase_removed(self, table: Table) -> None:
        """Have what was removed from a table not left in the bytes of the database, as far as that goes."""

    @abstractmethod
    def _only_reading(self) -> AbstractContextManager[None]:
        """Be connected for a block, by a connection that changes nothing and locks nobody out; raise errors as ours."""

    @abstractmethod
    def _size(self) -> int:
        """Return how many bytes all of it takes."""

    @abstractmethod
    def _size_of(self, table: Table) -> int | None:
        """Return how many bytes a table takes that is there or not; None if nobody can tell."""

    @abstractmethod
    def _is_in_use(self) -> bool | None:
        """Return whether somebody has the lock of it; None if that cannot be told from here."""

    def _found_columns(self, table: Table) -> Mapping[str, str]:
        """Return the columns of a table of records that is there, as `_expected_columns` spells them."""
        return self._columns_of(table.name)

    def _qualified(self, name: str) -> str:
        """Return the name of a table as statements have it."""
        return name

    def inspect(self, table: Table) -> TableState | None:
        """Return what is known of a table."""
        return self._state_of(table)

    def _state_of(self, table: Table) -> TableState | None:
        with self._translating_errors():
            found, ledger = self._found_columns(table), self._ledger_columns()
            source = next(iter(self._ledger_rows(SOURCES, SourceRow, table, ledger[SOURCES])), None)
            windows = self._ledger_rows(WINDOWS, WindowRow, table, ledger[WINDOWS])
            lacking, is_empty = self._lacking_columns(ledger), not windows and self._is_empty(table)
        if found:
            check_columns(self.name, table, found, self._expected_columns(table))
            self._existing.add(table.name)
        elif not windows and (source is None or source.pruned_before is None):
            return None
        is_current = bool(found) and not lacking
        return table_state(self.name, source, windows, is_current=is_current, is_empty=is_empty)

    def lost(self, table: Table) -> list[Window]:
        """Return the windows that have fewer rows than were stored in them."""
        with self._translating_errors():
            noted = [counts for counts in self._window_counts(table) if counts.may_lack_rows]
            if not noted or self._is_empty(table):
                return lost_windows(noted, {})
            return lost_windows(noted, self._count_rows(table, [counts.window for counts in noted]))

    def create(self, table: Table, origin: Origin) -> None:
        """Make a table, and note where its rows come from."""
        with self._transaction(table):
            self._make_table(table)
            self._make_ledger(table)
            self._note_origin(table, origin)

    def find(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return the rows stored under these keys; those without a key, at their times."""
        if not self._exists(table):
            return table.empty()
        stored = self._find(table, rows)
        self._found_extent[table.name] = extent_of(table, stored)
        return stored

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and the change of the ledger in one transaction."""
        with self._transaction(table):
            self._store(table, rows, change)

    def add(self, table: Table, rows: pa.Table) -> None:
        """Store rows in one transaction; of the ledger only the count of rows changes."""
        with self._transaction(table), self._updating_counts(table, rows):
            self._replace_rows(table, rows)

    def scan(self, table: Table, window: Window) -> pa.Table:
        """Return the rows whose time lies in a window."""
        if not self._exists(table):
            return table.empty()
        edges = [self._time_value(window.start), self._time_value(window.end)]
        return self._select(table, f'"{table.time}" >= ? AND "{table.time}" < ?', edges)

    def note_run(self, table: Table, run: RunNote) -> None:
        """Note a run in place of the one before."""
        with self._transaction(table):
            self._execute(
                f"UPDATE {self._qualified(SOURCES)} SET last_run = ? WHERE source = ?",
                [msgspec.json.encode(run).decode(), table.source],
            )

    def survey(self, tables: Sequence[Table]) -> StoreSurvey:
        """Tell what is there of some tables, by a connection that can change nothing."""
        with self._only_reading():
            found = {table.source: survey for table in tables if (survey := self._survey_of(table)) is not None}
            with self._translating_errors():
                return StoreSurvey(found, self._size(), self._is_in_use())

    def prune(self, table: Table, before: int, *, is_trial: bool) -> int:
        """Remove old rows in one transaction, then their bytes."""
        if is_trial:
            with self._translating_errors():
                return self._count_before(table, before)
        with self._transaction(table):
            rows = self._remove_before(table, before)
        self._erase_removed(table)
        return rows

    def _survey_of(self, table: Table) -> TableSurvey | None:
        """Return what is there of a table; None if neither it nor a ledger of it is."""
        state = self._state_of(table)
        if state is None:
            return None
        rows = 0
        if self._exists(table):
            with self._translating_errors():
                ((rows,),) = self._execute(f"SELECT count(*) FROM {self._qualified(table.name)}")
        return TableSurvey(state, int(rows), self._size_of(table))

    def _forget(self) -> None:
        """Forget what is known of tables, as others may change them from now on."""
        self._existing.clear()
        self._found_extent.clear()
        self._absent_keys.clear()

    def _exists(self, table: Table) -> bool:
        """Return whether a table of records is there."""
        with self._translating_errors():
            if table.name not in self._existing and self._columns_of(table.name):
                self._existing.add(table.name)
        return table.name in self._existing

    def _is_empty(self, table: Table) -> bool:
        return not self._exists(table) or not self._execute(f"SELECT 1 FROM {self._qualified(table.name)} LIMIT 1")

    def _ledger_columns(self) -> dict[str, Mapping[str, str]]:
        """Return the columns that each table of the ledger has there."""
        return {name: self._columns_of(name) for name in self.LEDGER}

    def _lacking_columns(self, found: Mapping[str, Collection[str]]) -> list[tuple[str, str]]:
        """Return the tables and columns of the ledger that are not there, as in a store of an earlier version."""
        return [
            (name, column)
            for name, expected in self.LEDGER.items()
            for column in expected.columns
            if column not in found[name]
        ]

    def _ledger_rows(self, name: str, row_class: type[RowT], table: Table, found: Collection[str]) -> list[RowT]:
        """Return the rows of a table of the ledger, whose later columns may not be there."""
        columns = [column for column in row_class._fields if column in found]
        if not columns:
            return []
        rows = self._execute(f"SELECT {quoted(columns)} FROM {self._qualified(name)} WHERE source = ?", [table.source])
        return [row_class(**dict(zip(columns, row, strict=True))) for row in rows]

    def _window_counts(self, table: Table) -> list[WindowCounts]:
        columns = self._columns_of(WINDOWS)
        if not columns:
            return []
        stored = STORED if STORED in columns else "NULL"
        rows = self._execute(
            f"SELECT start_second, end_second, row_count, {stored} FROM {self._qualified(WINDOWS)} WHERE source = ?",
            [table.source],
        )
        return [WindowCounts(Window(start, end), row_count, count) for start, end, row_count, count in rows]

    def _make_ledger(self, table: Table) -> None:
        """Make the tables of the ledger, or the columns that they lack; within a transaction."""
        for name, wanted in self.LEDGER.items():
            if not self._columns_of(name):
                columns = ", ".join(f"{column} {definition}" for column, definition in wanted.columns.items())
                self._execute(f"CREATE TABLE {self._qualified(name)} ({columns}{wanted.constraints}){wanted.options}")
        for addition in self._missing_ledger_columns():
            self._execute(addition)
        self._count_uncounted(table)

    def _missing_ledger_columns(self) -> list[str]:
        """Return the statements that add the columns that tables of the ledger lack."""
        return [
            f"ALTER TABLE {self._qualified(name)} ADD COLUMN {column} {self.LEDGER[name].columns[column]}"
            for name, column in self._lacking_columns(self._ledger_columns())
        ]

    def _count_uncounted(self, table: Table) -> None:
        """Count the rows of windows that nobody has; of one that should have some and has none, nothing is said."""
        uncounted = {counts.window: counts for counts in self._window_counts(table) if counts.stored is None}
        if uncounted and self._exists(table):
            found = self._count_rows(table, list(uncounted)).items()
            self._note_counts(
                table, {window: rows for window, rows in found if rows or not uncounted[window].row_count}
            )

    def _note_counts(self, table: Table, counts: Mapping[Window, int]) -> None:
        for window, rows in counts.items():
            self._execute(
                f"UPDATE {self._qualified(WINDOWS)} SET {STORED} = ? WHERE source = ? AND start_second = ?",
                [rows, table.source, window.start],
            )

    def _note_origin(self, table: Table, origin: Origin) -> None:
        """Note where the rows of a table come from; within a transaction."""
        sources, values = self._qualified(SOURCES), [origin.account, origin.zone, origin.gateway]
        if self._execute(f"SELECT 1 FROM {sources} WHERE source = ?", [table.source]):
            statement = f"UPDATE {sources} SET account = ?, zone = ?, gateway = ? WHERE source = ?"
        else:
            statement = f"INSERT INTO {sources} (account, zone, gateway, source) VALUES (?, ?, ?, ?)"
        self._execute(statement, [*values, table.source])

    def _store(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and a change of the ledger; within a transaction."""
        windows, own = self._qualified(WINDOWS), change.entry.window
        with self._updating_counts(table, rows, {own, *(entry.window for entry in change.replaced)}):
            self._replace_rows(table, rows)
        for entry in change.replaced:
            self._execute(
                f"DELETE FROM {windows} WHERE source = ? AND start_second = ?", [table.source, entry.window.start]
            )
        row = WindowRow.of(table, change.entry)
        self._execute(f"INSERT INTO {windows} ({quoted(row._fields)}) VALUES ({placeholders(row)})", row)
        self._note_counts(table, self._count_rows(table, [own]))
        for entry in change.reopened:
            self._execute(
                f"UPDATE {windows} SET read_at = ? WHERE source = ? AND start_second = ?",
                [entry.read_at, table.source, entry.window.start],
            )
        until = None if change.complete_until is None else self._time_value(change.complete_until)
        self._execute(
            f"UPDATE {self._qualified(SOURCES)} SET complete_until = ? WHERE source = ?", [until, table.source]
        )

    @contextmanager
    def _updating_counts(self, table: Table, rows: pa.Table, besides: Collection[Window] = ()) -> Iterator[None]:
        """Keep right how many rows the ledger says lie in each window, but for some, while these rows are stored."""
        extents = [extent_of(table, rows), self._found_extent.get(table.name)]
        touched = [extent for extent in extents if extent is not None]
        if not touched:
            yield
            return
        whole = Window(min(extent.start for extent in touched), max(extent.end for extent in touched))
        with self._updating_counts_in(table, whole, besides):
            yield

    @contextmanager
    def _updating_counts_in(self, table: Table, extent: Window, besides: Collection[Window] = ()) -> Iterator[None]:
        """Keep these counts right while rows of some seconds change.

        Only what changes meanwhile is taken in, so that rows somebody took away before stay known as missing.
        """
        rows = self._execute(
            f"SELECT start_second, end_second, {STORED} FROM {self._qualified(WINDOWS)} "
            "WHERE source = ? AND start_second < ? AND end_second > ?",
            [table.source, extent.end, extent.start],
        )
        noted = {Window(start, end): stored for start, end, stored in rows if stored is not None}
        touched = [window for window in noted if window not in besides]
        before = self._count_rows(table, touched) if touched else {}
        yield
        after = self._count_rows(table, touched) if touched else {}
        changes = {window: after[window] - before[window] for window in touched}
        self._note_counts(table, {window: noted[window] + change for window, change in changes.items() if change})

    def _remove_before(self, table: Table, before: int) -> int:
        """Remove rows, and note that; return how many they were; within a transaction."""
        self._make_ledger(table)
        self._note_pruned(table, before)
        rows = self._count_before(table, before)
        if rows:
            with self._updating_counts_in(table, Window(EVER.start, before)):
                self._execute(
                    f'DELETE FROM {self._qualified(table.name)} WHERE "{table.time}" < ?', [self._time_value(before)]
                )
            if left := self._count_before(table, before):
                raise self._trigger_error(table, left, "from being removed")
        return rows

    def _note_pruned(self, table: Table, before: int) -> None:
        sources = self._qualified(SOURCES)
        noted = self._execute(f"SELECT pruned_before FROM {sources} WHERE source = ?", [table.source])
        if not noted:
            raise ConfigurationError(
                f"the table {SOURCES} of {self.name} does not tell any more where {table.name} come from: run a sync "
                "first, which notes it again"
            )
        ((earlier,),) = noted
        latest = before if earlier is None else max(before, earlier)
        self._execute(f"UPDATE {sources} SET pruned_before = ? WHERE source = ?", [latest, table.source])

    def _count_before(self, table: Table, before: int) -> int:
        """Count the rows that would be removed."""
        if not self._exists(table):
            return 0
        ((rows,),) = self._execute(
            f'SELECT count(*) FROM {self._qualified(table.name)} WHERE "{table.time}" < ?', [self._time_value(before)]
        )
        return int(rows)

    def _trigger_error(self, table: Table, rows: int, what: str) -> ConfigurationError:
        """Return the error of rows that something in the database does not let us store or remove."""
        return ConfigurationError(
            f"a trigger or rule of {table.name} in {self.name} keeps {counted(rows, 'row')} {what}: drop it, or have "
            "it let all rows pass, or give another --to"
        )


@define(eq=False)
class SqlFileSink(SqlSink):
    """A file of a database, with a lock beside it; readable to its owner only if it is new."""

    path: Path
    _lock: SinkLock = field(init=False)
    # Tells the file that we opened from any other that takes its place.
    _identity: FileIdentity | None = field(default=None, init=False)

    @property
    @abstractmethod
    def _is_connected(self) -> bool:
        """Whether there is a file, and it is open."""

    @abstractmethod
    def _connect(self) -> None:
        """Open the file that is there."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Close the file, if it is open."""

    @abstractmethod
    def _make_file(self) -> None:
        """Make the file."""

    @abstractmethod
    def _connect_to_read(self) -> None:
        """Open the file that is there so that nothing can be changed by it, nor beside it."""

    @abstractmethod
    def _files(self) -> list[Path]:
        """Return the file, and those that belong to it."""

    @abstractmethod
    def _remove_file(self) -> None:
        """Remove the file, which was closed, with all that belongs to it."""

    @abstractmethod
    def _columns_in_file(self, name: str) -> dict[str, str]:
        """Return the columns that a table has in the file, which is open."""

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def create(self, table: Table, origin: Origin) -> None:
        """Make a table, and a file if there is none, and note where its rows come from."""
        is_new = not self.path.exists()
        try:
            if not self._is_connected:
                self._make_file()
                self._connect()
            super().create(table, origin)
        except BaseException:
            if is_new:
                self._disconnect()
                self._remove_file()
            raise

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and the change of the ledger in one transaction."""
        super().write(table, rows, change)
        check_not_replaced(self.path, self._identity)

    def add(self, table: Table, rows: pa.Table) -> None:
        """Store rows in one transaction; of the ledger only the count of rows changes."""
        super().add(table, rows)
        check_not_replaced(self.path, self._identity)

    def close(self) -> None:
        """Close and unlock the file."""
        self._forget()
        self._disconnect()
        self._lock.release()

    @contextmanager
    def _only_reading(self) -> Iterator[None]:
        check_is_there(self.path)
        try:
            self._connect_to_read()
            yield
        finally:
            self._forget()
            self._disconnect()

    def _size(self) -> int:
        return sum(path.stat().st_size for path in self._files() if path.exists())

    def _size_of(self, _table: Table) -> None:
        return None

    def _is_in_use(self) -> bool | None:
        return self._lock.is_taken()

    def _columns_of(self, name: str) -> dict[str, str]:
        if self._is_connected:
            return self._columns_in_file(name)
        if not self._lock.is_held:
            raise self._not_open_error()
        return {}  # there is no file yet

    def _not_open_error(self) -> SinkError:
        return SinkError(f"{self.path} is not open")

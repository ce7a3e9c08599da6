"""A SQLite file. Times are ISO 8601 in UTC, money is exact text, booleans are 0 and 1.

It is written by Python's own `sqlite3`. Two SQLite libraries in one process do not see each other's locks, as POSIX
drops all locks of a process on a file once any part of it closes that file; so it has to be the one that others use.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field

from nxcdr_async.errors import BusyError, ConfigurationError, NxcdrError, SinkError
from nxcdr_async.records.arrow import Table
from nxcdr_async.sinks.files import FileIdentity, ensure_private_file, file_identity
from nxcdr_async.sinks.ledger import LedgerChange, RunNote
from nxcdr_async.sinks.locks import SinkLock, lost_lock_error, no_locks_error, why_no_locks
from nxcdr_async.sinks.paths import check_file_place
from nxcdr_async.sinks.protocol import Origin, UnfitError
from nxcdr_async.sinks.sql import (
    ONE_ROW_A_WINDOW,
    SOURCES,
    WINDOWS,
    LedgerTable,
    quoted,
    sources_columns,
    windows_columns,
)
from nxcdr_async.sinks.sql_sink import SqlFileSink
from nxcdr_async.sinks.values import MICROSECONDS, not_among, plain_amounts, plain_times
from nxcdr_async.windows import Window

SECONDS_TO_WAIT = 30.0
"""How long to wait for others who keep the file locked."""

MILLISECONDS_FOR_LOG = 1_000
"""How long to wait for a moment at which nobody reads, to begin or end with a write-ahead log."""

LONGEST_SUFFIX = "-journal"
"""The longest end of the names of files that SQLite keeps beside a file."""

ROWS_A_STATEMENT = 100
"""Rows handed over at once: few enough for the event loop to get the interpreter between them every millisecond."""

_LOG = "-wal"
_CANNOT_OPEN = "SQLITE_CANTOPEN"
_NEEDS_MENDING = ("SQLITE_READONLY", _CANNOT_OPEN)
"""How it takes what a killed run left half-written, where it may change nothing."""

_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED")
_UNLOCKED = (*_LOCKED, "SQLITE_IOERR")
"""How it takes a lock that the file system refuses."""

# TEXT in the name of a type keeps SQLite from taking an amount for a binary fraction. By the first word of one Python
# (`detect_types=PARSE_DECLTYPES`) looks for what reads a value: for TIMESTAMP and DATE it has something of its own,
# which fails on times with a zone.
_TIME = "DATETIME TEXT"
_MONEY = "DECIMAL TEXT"
_TYPES = {
    pa.string(): "TEXT",
    pa.int64(): "INTEGER",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", tz="UTC"): _TIME,
}

_EARLIER_TYPES = {"TIMESTAMP TEXT": _TIME}
"""The types of columns in stores of earlier versions that are others today, and hold the same."""

_LEDGER = {
    WINDOWS: LedgerTable(windows_columns("TEXT", "INTEGER"), ONE_ROW_A_WINDOW, options=" WITHOUT ROWID"),
    SOURCES: LedgerTable(sources_columns("TEXT", "INTEGER", _TIME)),
}

_NO_DATABASE = "SQLITE_NOTADB"
_DAMAGED = "SQLITE_CORRUPT"
_TOO_LONG = "SQLITE_TOOBIG"
_NO_ROOM = ("SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_IOERR")


@define(eq=False)
class SqliteSink(SqlFileSink):
    """A SQLite file. Others may always read it, and write tables of their own.

    While windows are written it has a write-ahead log, so that readers and the run do not wait for each other. Once it
    is let go of there is none, unless a reader keeps it: a file at rest can be read without the right to write.

    Attributes:
        path: the file.
    """

    LEDGER = _LEDGER

    _database: sqlite3.Connection | None = field(default=None, init=False)
    _has_ledger: bool = field(default=False, init=False)
    # Tells the write-ahead log we wrote from any other; None if we wrote none.
    _log: FileIdentity | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._lock = SinkLock(self.path)

    def open(self) -> None:
        """Lock and open the file, or lock the place of one that is not there yet."""
        try:
            check_file_place(self.path, LONGEST_SUFFIX)
            self._lock.acquire()
            if self.path.exists():
                self._connect()
        except BaseException:
            self.close()
            raise

    def create(self, table: Table, origin: Origin) -> None:
        """Make a table, and a file if there is none, and note where its rows come from."""
        super().create(table, origin)
        self._has_ledger = True

    def write(self, table: Table, rows: pa.Table, change: LedgerChange) -> None:
        """Store rows and the change of the ledger in one transaction."""
        with self._translating_errors():
            self._begin_log()
        super().write(table, rows, change)

    def note_run(self, table: Table, run: RunNote) -> None:
        """Note a run in place of the one before."""
        with self._translating_errors():
            self._begin_log()
        super().note_run(table, run)

    def prune(self, table: Table, before: int, *, is_trial: bool) -> int:
        """Remove old rows in one transaction, then write the file anew, as removed rows stay in its free pages else."""
        if not is_trial:
            with self._translating_errors():
                self._run("PRAGMA secure_delete = ON")
        return super().prune(table, before, is_trial=is_trial)

    def close(self) -> None:
        """Close and unlock the file."""
        if self._database is not None and self._has_ledger:
            _end_log(self._database)
        super().close()

    def _find(self, table: Table, rows: pa.Table) -> pa.Table:
        keys, keyless = rows[table.key].drop_null(), rows.filter(pc.is_null(rows[table.key]))
        found: list[tuple[Any, ...]] = []
        for part in _parts(keys):
            found += self._select_rows(table, _is_among(table.key, part), part)
        place = table.columns.index(table.key)
        self._absent_keys[table.name] = not_among(keys, pa.array([row[place] for row in found], table.kind(table.key)))
        for times in _parts(plain_times(keyless[table.time]).drop_null()):
            found += self._select_rows(table, f'"{table.key}" IS NULL AND {_is_among(table.time, times)}', times)
        return self._read(table, found)

    def _erase_removed(self, _table: Table) -> None:
        with self._translating_errors():
            self._write_anew()
            ((is_busy, _, _),) = self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if is_busy:
            raise BusyError(
                f"rows were removed from {self.path}, and their bytes are still in its log, as another program is "
                "reading it: close that, and do the same again"
            )

    def _write_anew(self) -> None:
        """Write the file anew, by way of a copy in the system's folder of temporary files, or beside it."""
        try:
            self._run("VACUUM")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(_NO_ROOM):
                raise
            # That folder may be small, or not to be written, where the file itself has room: in a container, say.
            self._keep_temporary_files_in(str(self.path.absolute().parent))
            try:
                self._run("VACUUM")
            except sqlite3.OperationalError as refused:
                raise SinkError(
                    f"rows were removed from {self.path}, and their bytes are still in it, as it cannot be written "
                    f"anew ({refused}): make twice as much room beside it as it takes, and do the same again"
                ) from None
            finally:
                self._keep_temporary_files_in("")

    def _keep_temporary_files_in(self, folder: str) -> None:
        """Choose the folder for temporary files of this process; "" leaves it to the system."""
        # Deprecated, but the environment, which is the other way, is read by SQLite only once.
        escaped = folder.replace("'", "''")
        self._run(f"PRAGMA temp_store_directory = '{escaped}'")

    @property
    def _is_connected(self) -> bool:
        return self._database is not None

    def _make_file(self) -> None:
        ensure_private_file(self.path)

    def _remove_file(self) -> None:
        self.path.unlink(missing_ok=True)

    def _connect(self) -> None:
        with self._translating_errors():
            self._database = _connected(self.path)
            self._run("PRAGMA schema_version")  # else a file that is none would be noticed later
            self._has_ledger = bool(self._columns_of(WINDOWS))
        self._identity = file_identity(self.path)

    def _connect_to_read(self) -> None:
        with self._translating_errors():
            try:
                self._database = _connected_to_read(self.path)
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith(_NEEDS_MENDING):
                    raise
                raise SinkError(
                    f"{self.path} was left by a run that was killed while it wrote, and can be read by nobody who may "
                    "not change it: the next run into it, such as a sync, puts that right"
                ) from None

    def _files(self) -> list[Path]:
        return [self.path, _beside(self.path, _LOG), _beside(self.path, LONGEST_SUFFIX)]

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = self._log = None

    @property
    def _open_database(self) -> sqlite3.Connection:
        if self._database is None:
            raise self._not_open_error()
        return self._database

    def _begin_log(self) -> None:
        """Have a write-ahead log from now on, so that nobody waits; without one if others are at work."""
        database = self._open_database
        database.execute(f"PRAGMA busy_timeout = {MILLISECONDS_FOR_LOG}")
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(_LOCKED):
                raise
        finally:
            database.execute(f"PRAGMA busy_timeout = {SECONDS_TO_WAIT * 1000:.0f}")

    def _run(self, statement: str, values: Sequence[Any] = ()) -> None:
        self._open_database.execute(statement, values)

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._open_database.execute(statement, values).fetchall()

    def _columns_in_file(self, name: str) -> dict[str, str]:
        return dict(self._execute("SELECT name, type FROM pragma_table_info(?)", [name]))

    def _found_columns(self, table: Table) -> dict[str, str]:
        return {name: _EARLIER_TYPES.get(kind, kind) for name, kind in self._columns_of(table.name).items()}

    def _expected_columns(self, table: Table) -> dict[str, str]:
        return _columns(table)

    def _make_table(self, table: Table) -> None:
        self._run(f"CREATE TABLE IF NOT EXISTS {table.name} ({_definition(table)})")
        for statement in _indexes(table):
            self._run(statement)

    def _count_rows(self, table: Table, windows: Sequence[Window]) -> dict[Window, int]:
        """Count window by window, as the index of times is no use to a join."""
        query = f'SELECT count(*) FROM {table.name} WHERE "{table.time}" >= ? AND "{table.time}" < ?'
        starts, ends = (_times(edges) for edges in ([w.start for w in windows], [w.end for w in windows]))
        counts = [self._execute(query, edges)[0][0] for edges in zip(starts, ends, strict=True)]
        return dict(zip(windows, counts, strict=True))

    def _time_value(self, second: int) -> str:
        return _times([second])[0]

    def _replace_rows(self, table: Table, rows: pa.Table) -> None:
        """Store rows, some at a time: a statement for all of them would keep the interpreter for itself."""
        keys = rows[table.key].drop_null()
        if pc.count_distinct(keys).as_py() < len(keys):
            self._let_keys_repeat(table)
        absent = self._absent_keys.pop(table.name, pa.array([], keys.type))
        for part in _parts(not_among(keys, absent).unique()):
            self._run(f"DELETE FROM {table.name} WHERE {_is_among(table.key, part)}", part)
            ((left,),) = self._execute(f"SELECT count(*) FROM {table.name} WHERE {_is_among(table.key, part)}", part)
            if left:
                raise self._trigger_error(table, left, "from being replaced")
        places = f"({', '.join('?' * len(table.columns))})"
        most = self._open_database.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // len(table.columns)
        written = _written(rows)
        for start in range(0, rows.num_rows, min(most, ROWS_A_STATEMENT)):
            part = written.slice(start, min(most, ROWS_A_STATEMENT))
            columns = [column.to_pylist() for column in part.columns]
            values = [value for row in zip(*columns, strict=True) for value in row]
            adding = f"INSERT INTO {table.name} ({quoted(table.columns)}) VALUES {', '.join([places] * part.num_rows)}"
            lacking = part.num_rows - self._open_database.execute(adding, values).rowcount
            if lacking:
                raise self._trigger_error(table, lacking, "from being stored")

    def _let_keys_repeat(self, table: Table) -> None:
        """Make a table of an earlier version anew, whose keys had to be unique, with all that hangs on it."""
        unique = "SELECT 1 FROM pragma_index_list(?) WHERE \"unique\" AND origin = 'u'"
        if not self._execute(unique, [table.name]):
            return
        further = "SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND type <> 'table' AND sql IS NOT NULL"
        statements = [*(statement for (statement,) in self._execute(further, [table.name])), *_indexes(table)]
        anew, columns = f"nxcdr_new_{table.name}", quoted(table.columns)
        self._run(f"CREATE TABLE {anew} ({_definition(table)})")
        self._run(f"INSERT INTO {anew} ({columns}) SELECT {columns} FROM {table.name}")
        self._run(f"DROP TABLE {table.name}")
        # As a view or a key of a user's may name the table, which is not there for a moment.
        self._run("PRAGMA legacy_alter_table = ON")
        self._run(f"ALTER TABLE {anew} RENAME TO {table.name}")
        for statement in statements:
            self._run(statement)

    def _select(self, table: Table, condition: str, values: Sequence[Any]) -> pa.Table:
        return self._read(table, self._select_rows(table, condition, values))

    def _select_rows(self, table: Table, condition: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        self._check_log()
        with self._translating_errors():
            return self._execute(f"SELECT {quoted(table.columns)} FROM {table.name} WHERE {condition}", values)

    def _read(self, table: Table, found: list[tuple[Any, ...]]) -> pa.Table:
        """Return rows as SQLite gave them with the types of their columns."""
        try:
            columns = zip(*found, strict=True) if found else ((),) * len(table.columns)
            read = [_read(values, table.kind(name)) for name, values in zip(table.columns, columns, strict=True)]
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SinkError(f"the table {table.name} in {self.path} holds what no backfill stored: {error}") from None
        return pa.table(read, schema=table.schema)

    @contextmanager
    def _transaction(self, _table: Table) -> Iterator[None]:
        self._check_log()
        with self._translating_errors():
            self._run("BEGIN IMMEDIATE")
            self._log = self._log_identity()
            try:
                yield
                self._run("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk may have rolled it back already
                    self._run("ROLLBACK")
                raise
        self._check_log()

    def _check_log(self) -> None:
        """Check that the log is the one we wrote: nobody who respects our locks clears it away while we are here."""
        if self._log is not None and self._log_identity() != self._log:
            raise lost_lock_error(self.path)

    def _log_identity(self) -> FileIdentity | None:
        return file_identity(_beside(self.path, _LOG))

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            raise _translated(self.path, error) from None


def _connected(path: Path) -> sqlite3.Connection:
    """Return a connection to a file that is there; our own statements begin and end its transactions."""
    # Not by a name that SQLite takes for an address. One thread after the other works with it.
    database = sqlite3.connect(path.absolute(), timeout=SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA synchronous = FULL")
    return database


def _beside(path: Path, suffix: str) -> Path:
    real = path.resolve()  # there, and not beside a link to it, SQLite keeps its files
    return real.with_name(f"{real.name}{suffix}")


def _connected_to_read(path: Path) -> sqlite3.Connection:
    """Return a connection that changes neither a file nor what SQLite keeps beside it, in a transaction that reads.

    SQLite would make a log for a file that has had one, and note in the index of a log who reads it.
    """
    if not _beside(path, _LOG).exists():
        # Without locks SQLite opens no file that has had a log, and makes none: nobody is at work in such a one.
        unlocked = _opened(path, "mode=ro&nolock=1")
        try:
            unlocked.execute("PRAGMA schema_version")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != _CANNOT_OPEN:
                raise
            return _opened(path, "immutable=1")
        finally:
            unlocked.close()
    database = _opened(path, "mode=ro&readonly_shm=1")
    try:
        database.execute("BEGIN")
        database.execute("PRAGMA schema_version")
    except BaseException:
        database.close()
        raise
    return database


def _opened(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path.resolve()))}?{options}",
        uri=True,
        timeout=SECONDS_TO_WAIT,
        isolation_level=None,
        check_same_thread=False,
    )


def _end_log(database: sqlite3.Connection) -> None:
    """Move the log into the file and do without: who may not write can else not read it. A reader may hold it up.

    The last of those who have the file open clears the log away then, and the next run comes back to this.
    """
    with suppress(sqlite3.OperationalError):
        database.execute(f"PRAGMA busy_timeout = {MILLISECONDS_FOR_LOG}")
        database.execute("PRAGMA journal_mode = DELETE")


def _translated(path: Path, error: sqlite3.Error | OverflowError) -> NxcdrError:
    """Return an error of SQLite as one of ours."""
    name = getattr(error, "sqlite_errorname", "")
    if name == _NO_DATABASE:
        return ConfigurationError(f"{path} is there and no SQLite file: give another --to")
    refused = why_no_locks(path.resolve().parent) if name.startswith(_UNLOCKED) else None
    if refused is not None:
        return no_locks_error(path, refused)
    if name.startswith(_LOCKED):
        return BusyError(
            f"cannot store in {path}: another program has kept it locked for {SECONDS_TO_WAIT:.0f} seconds; end its "
            "transaction there, or the query that it has not read to the end"
        )
    if name.startswith(_DAMAGED):
        return SinkError(f"{path} is damaged ({error}): put it back from a backup, or fill a new store by a backfill")
    kind = UnfitError if isinstance(error, OverflowError) or name == _TOO_LONG else SinkError
    return kind(f"cannot store in {path}: {error}")


def _parts(values: pa.ChunkedArray | pa.Array) -> Iterator[list[Any]]:
    """Yield some values at a time, as many as go into a statement."""
    for start in range(0, len(values), ROWS_A_STATEMENT):
        yield values.slice(start, ROWS_A_STATEMENT).to_pylist()


def _is_among(column: str, values: Sequence[Any]) -> str:
    # Bound one by one: within JSON, SQLite cuts a text at its first NUL.
    return f'"{column}" IN ({", ".join("?" * len(values))})'


def _written(rows: pa.Table) -> pa.Table:
    """Return rows as SQLite keeps them."""
    return pa.table({name: _written_column(rows[name]) for name in rows.schema.names})


def _written_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return plain_times(column)
    if pa.types.is_decimal(column.type):
        return plain_amounts(column)
    return column.cast(pa.int64()) if pa.types.is_boolean(column.type) else column


def _read(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return the values of a column of SQLite with its type."""
    as_kept = pa.string() if pa.types.is_timestamp(kind) or pa.types.is_decimal(kind) else kind
    return pa.array(values, pa.int64() if pa.types.is_boolean(kind) else as_kept).cast(kind)


def _times(seconds: Sequence[int]) -> list[str]:
    moments = pa.array([second * MICROSECONDS for second in seconds], pa.timestamp("us", tz="UTC"))
    times: list[str] = plain_times(moments).to_pylist()
    return times


def _columns(table: Table) -> dict[str, str]:
    """Return the columns of a table with their types."""
    return {name: _TYPES.get(table.kind(name), _MONEY) for name in table.columns}


def _definition(table: Table) -> str:
    """Return the columns of a table as SQL defines them."""
    unique = {table.key: " UNIQUE"} if table.is_key_unique else {}
    return ", ".join(f'"{name}" {kind}{unique.get(name, "")}' for name, kind in _columns(table).items())


def _indexes(table: Table) -> list[str]:
    """Return the statements that make the indexes of a table, where they are not there."""
    columns = {"time": table.time} if table.is_key_unique else {"time": table.time, "key": table.key}
    return [
        f'CREATE INDEX IF NOT EXISTS {table.name}_{name} ON {table.name} ("{column}")'
        for name, column in columns.items()
    ]

"""Calls in a DuckDB file: written aside, in batches, and put in place only when it is whole."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Self, get_args

import duckdb
import msgspec
import pyarrow as pa
from attrs import define, field, fields

from nxcdr_async.cli.rows import row_of
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.records import CallRecord, Direction

MARKER = "demo"
"""The table by which a file is known to come from the demo."""

_MONEY = (38, 10)
_OWNER_ONLY = 0o600

_TYPES: dict[Any, tuple[str, pa.DataType]] = {
    str: ("VARCHAR", pa.string()),
    Direction: ("VARCHAR", pa.string()),
    int: ("BIGINT", pa.int64()),
    bool: ("BOOLEAN", pa.bool_()),
    float: ("DOUBLE", pa.float64()),
    datetime: ("TIMESTAMPTZ", pa.timestamp("us", tz="UTC")),
    Decimal: (f"DECIMAL{_MONEY}", pa.decimal128(*_MONEY)),
    dict: ("JSON", pa.string()),
}
_DERIVED = {"queue_wait": float, "hangup_party": str, "hangup_meaning": str}


def _columns() -> dict[str, tuple[str, pa.DataType]]:
    known = {attribute.name: attribute.type for attribute in fields(CallRecord) if attribute.name != "extra"}
    plain = {name: next(iter(get_args(kind)), kind) for name, kind in known.items()}
    return {name: _TYPES[kind] for name, kind in {**plain, **_DERIVED, "extra": dict}.items()}


COLUMNS = _columns()
"""The columns of the table `calls`: its names are those of a record, then what is derived, then `extra`."""

_SCHEMA = pa.schema([(name, arrow) for name, (_, arrow) in COLUMNS.items()])


def free_target(path: Path) -> Path:
    """Return a path a database can be put at, whatever stands there now.

    Raises:
        ConfigurationError: its folder is not there or not ours to write to, or it is a folder itself.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(f"there is no folder {path.parent}: make it first, or give another file with --to")
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder: give a file with --to")
    if not os.access(path.parent, os.W_OK):
        raise ConfigurationError(f"the folder {path.parent} cannot be written to: give another file with --to")
    return path


def checked_target(path: Path) -> Path:
    """Return a path a database can be put at: a free one, or one that holds an earlier demo.

    Raises:
        ConfigurationError: something else stands there, or its folder will not do.
    """
    if free_target(path).exists() and not _is_from_demo(path):
        raise ConfigurationError(
            f"{path} is there already and not from a demo, or in use: give another file with --to, or --force"
        )
    return path


def _is_from_demo(path: Path) -> bool:
    try:
        with duckdb.connect(str(path), read_only=True) as database:
            tables = {name for (name,) in database.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    except duckdb.Error:
        return False
    return {MARKER, "calls"} <= tables


@define(eq=False)
class CallStore:
    """A database that is being written, readable to its owner only. Not for two threads at once.

    Attributes:
        target: where it goes when it is finished.
        part: where it is until then, in a folder of its own.
        database: its connection.
    """

    target: Path
    part: Path
    database: duckdb.DuckDBPyConnection
    _finished: bool = field(default=False, init=False)

    @classmethod
    def create(cls, target: Path) -> Self:
        """Begin a database beside its target.

        Raises:
            ConfigurationError: there is no way to write there.
        """
        # Whatever the umask, nobody else can look into such a folder, nor put a link where DuckDB makes its files.
        try:
            with ExitStack() as unless_begun:
                part = Path(mkdtemp(".part", f".{target.name}.", target.parent)) / target.name
                unless_begun.callback(rmtree, part.parent, ignore_errors=True)
                database = unless_begun.enter_context(duckdb.connect(str(part)))
                part.chmod(_OWNER_ONLY)
                _make_tables(database)
                unless_begun.pop_all()
        except OSError as error:
            raise ConfigurationError(f"cannot write {target}: {error.strerror}") from None
        except duckdb.Error as error:
            raise ConfigurationError(f"cannot write {target}: {error}") from None
        return cls(target, part, database)

    def add(self, calls: Sequence[CallRecord]) -> None:
        """Add calls."""
        rows = [row_of(call) for call in calls]
        for row in rows:
            row["extra"] = msgspec.json.encode(row["extra"]).decode()
        self.database.register("batch", pa.Table.from_pylist(rows, schema=_SCHEMA))
        self.database.execute("INSERT INTO calls BY NAME SELECT * FROM batch")
        self.database.unregister("batch")

    def finish(self, calls: int, days: int, seed: int) -> None:
        """Mark the database as the demo's, and put it in place of what stood there."""
        self.database.execute(f"INSERT INTO {MARKER} VALUES (?, ?, ?)", [calls, days, seed])  # noqa: S608 - a constant
        self.database.commit()
        self.database.close()
        # What an interrupted program may have left beside the old file must not be replayed into the new one.
        _log_of(self.target).unlink(missing_ok=True)
        self.part.replace(self.target)
        self._finished = True
        rmtree(self.part.parent, ignore_errors=True)

    def discard(self) -> None:
        """Leave nothing behind, unless it is finished."""
        if not self._finished:
            self.database.close()
            rmtree(self.part.parent, ignore_errors=True)


def _make_tables(database: duckdb.DuckDBPyConnection) -> None:
    table = ", ".join(f"{name} {sql}" for name, (sql, _) in COLUMNS.items())
    database.execute(f"CREATE TABLE calls ({table})")
    database.execute(f"CREATE TABLE {MARKER} (calls BIGINT, days BIGINT, seed BIGINT)")
    database.begin()


def _log_of(path: Path) -> Path:
    """Return where DuckDB keeps the write-ahead log of a file."""
    return path.with_name(f"{path.name}.wal")

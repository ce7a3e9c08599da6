"""The file of a DuckDB sink, and its write-ahead log: made, opened, copied and put in place."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from nxcdr_async._util.clocks import steady
from nxcdr_async.sinks.files import OWNER_ONLY, OWNER_ONLY_FOLDER, sync_folder
from nxcdr_async.sinks.locks import SECONDS_BETWEEN_TRIES, SECONDS_TO_WAIT
from nxcdr_async.sinks.paths import name_beside

MEMORY = 40_000_000
"""Bytes that DuckDB may use, its cache included, unless a window is large."""

ROWS_A_GROUP = 10_240
"""Rows DuckDB compresses at a time, about those of a window: its own 122,880 want all that memory and more."""

STORAGE = "v1.4.0"
"""For which DuckDB files are written, the oldest that we support: any later one reads them, too."""

LOG_BYTES = 2_000_000
"""How long the log grows before its rows are moved into the file proper; until then they take up memory."""

_CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,  # each has buffers of its own, and a run waits for the gateway, not for a processor
    "temp_directory": "",  # what DuckDB swaps out would lie open to others
    "autoinstall_known_extensions": False,  # nothing is fetched from the network, whatever the file is
    "autoload_known_extensions": False,
    "checkpoint_threshold": "1TB",  # never as a part of a commit, where it takes more memory: we say when
}
_OPTIONS = f"TYPE duckdb, ROW_GROUP_SIZE {ROWS_A_GROUP}"
LOCKED = "Could not set lock"
"""What DuckDB says where another process has a file open."""

_SINK, _COPY = "sink", "copy_of_sink"


def connected(place: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection to a file, made if it is not there; attached, as only that takes the size of groups."""
    database = duckdb.connect(":memory:", config=_CONFIGURATION)
    try:
        # A file that is there stays what it is, as one that a later DuckDB has made cannot be had lower.
        options = _OPTIONS if place.exists() else _options(STORAGE)
        _attach(database, f"ATTACH '{_quoted(place)}' AS {_SINK} ({options})")
        # Only now, as a log that a killed run left is read back at once, however long it is.
        shorten_log(database, place)
        limit_memory(database, MEMORY)
    except duckdb.Error:
        database.close()
        raise
    return database


def connected_to_read(place: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection to a file that is there, by which nothing can be changed; its log is read, and left."""
    database = duckdb.connect(":memory:", config=_CONFIGURATION)
    try:
        _attach(database, f"ATTACH '{_quoted(place)}' AS {_SINK} (TYPE duckdb, READ_ONLY)")
    except duckdb.Error:
        database.close()
        raise
    return database


def _attach(database: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Attach a file, and wait a moment for others who have it open only to look at it."""
    until = steady() + SECONDS_TO_WAIT
    while True:
        try:
            database.execute(statement)
        except duckdb.IOException as error:
            if LOCKED not in str(error) or steady() >= until:
                raise
        else:
            break
        time.sleep(SECONDS_BETWEEN_TRIES)
    database.execute(f"USE {_SINK}")


def _options(storage: str) -> str:
    return f"{_OPTIONS}, STORAGE_VERSION '{storage}'"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def limit_memory(database: duckdb.DuckDBPyConnection, memory: int) -> None:
    """Let DuckDB use so many bytes."""
    database.execute(f"SET memory_limit = '{memory}B'")


def shorten_log(database: duckdb.DuckDBPyConnection, place: Path) -> None:
    """Move the rows of a log that has grown long into the file."""
    log = log_of(place)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        database.execute("CHECKPOINT")


def leave_log(database: duckdb.DuckDBPyConnection) -> None:
    """Have a file, with its log, stay as it is once it is closed."""
    database.execute("PRAGMA disable_checkpoint_on_shutdown")


def make_file(place: Path) -> None:
    """Make a file with nothing in it: aside and renamed, so that nobody meets it half-made or open to others."""
    with aside(place) as made:
        connected(made).close()
        made.chmod(OWNER_ONLY)
        put_in_place(made, place)


@contextmanager
def aside(place: Path) -> Iterator[Path]:
    """Give a place in a folder of its own for a file that is to become another."""
    folder = place.with_name(name_beside(place.name, ".new"))
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir(OWNER_ONLY_FOLDER)
    try:
        yield folder / place.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(made: Path, place: Path) -> None:
    """Put a file that was made aside in its place, whether one is there or not."""
    # The log of a file that is gone must not be replayed into this one.
    log_of(place).unlink(missing_ok=True)
    made.replace(place)
    sync_folder(place.parent)


def copy_into(database: duckdb.DuckDBPyConnection, made: Path) -> None:
    """Copy all that a file holds into a new one, of the same version of the format, as another may lack its types."""
    found = database.execute("SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = ?", [_SINK])
    ((storage,),) = found.fetchall()
    database.execute(f"ATTACH '{_quoted(made)}' AS {_COPY} ({_options(storage.removesuffix('+'))})")
    database.execute(f"COPY FROM DATABASE {_SINK} TO {_COPY}")
    database.execute(f"DETACH {_COPY}")


def log_of(place: Path) -> Path:
    """Return where DuckDB keeps the write-ahead log of a file."""
    return place.with_name(f"{place.name}.wal")


def make_private(log: Path) -> None:
    """Have the log there before DuckDB makes it anew for everybody to read, as it does after each checkpoint."""
    try:
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
    except FileExistsError:
        return
    sync_folder(log.parent)

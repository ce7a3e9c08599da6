"""The demo's database: a DuckDB file that is put in place as a whole, and known by a table that marks it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import duckdb

from nxcdr_async.cli.run import CommandError
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.sinks.duckdb_file import log_of
from nxcdr_async.sinks.paths import RANDOM_CHARACTERS, check_name, name_beside

MARKER = "demo"
"""The table by which a file is known to come from the demo."""

_ASIDE = ".part"


def free_target(path: Path) -> Path:
    """Return a path a database can be put at, whatever stands there now.

    Raises:
        ConfigurationError: its folder is not there or not ours to write to, or it is a folder itself.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(f"there is no folder {path.parent}: make it first, or give another file with --to")
    if path.name:  # "." has none
        check_name(path, log_of(path).suffix)
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


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Give a path in a folder of its own, and put the file that is there at the end in place of the target.

    If the block ends in an error, nothing is left behind and what stood there stays.

    Raises:
        CommandError: it cannot be written.
    """
    try:
        # Nobody else can look into such a folder, nor put a link where files are made.
        prefix = name_beside(target.name, ".", random=RANDOM_CHARACTERS + len(_ASIDE))
        folder = Path(mkdtemp(_ASIDE, prefix, target.parent))
        try:
            part = folder / target.name
            yield part
            # What an interrupted program may have left beside the old file must not be replayed into the new one.
            log_of(target).unlink(missing_ok=True)
            part.replace(target)
        finally:
            rmtree(folder, ignore_errors=True)
    except (duckdb.Error, OSError) as error:
        raise CommandError(f"cannot write {target}: {error}") from None


def mark(path: Path, calls: int, days: int, seed: int) -> None:
    """Mark a database as the demo's."""
    with duckdb.connect(path) as database:
        database.execute(f"CREATE TABLE {MARKER} (calls BIGINT, days BIGINT, seed BIGINT)")
        database.execute(f"INSERT INTO {MARKER} VALUES (?, ?, ?)", [calls, days, seed])  # noqa: S608 - a constant


def _is_from_demo(path: Path) -> bool:
    try:
        with duckdb.connect(path, read_only=True) as database:
            tables = {name for (name,) in database.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    except duckdb.Error:
        return False
    return {MARKER, "calls"} <= tables

"""Places a backfill can be measured with, and what their own clients say they hold."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from attrs import define


@define(frozen=True)
class Place:
    """A kind of sink.

    Attributes:
        name: what it is called.
        make: makes a fresh one, in a folder of its own where it is a file.
    """

    name: str
    make: Callable[[Path], str]


def _in_folder(name: str) -> Callable[[], AbstractContextManager[Place]]:
    @contextmanager
    def place() -> Iterator[Place]:
        yield Place(name, lambda folder: str(folder / f"calls.{name}"))

    return place


PLACES = {name: _in_folder(name) for name in ("duckdb", "sqlite", "parquet", "jsonl", "csv")}


def count_of(to: str) -> tuple[int, int]:
    """Return how many calls a place holds, and how many different ones."""
    with closing(sqlite3.connect(to)) as database:
        rows, different = database.execute("SELECT count(*), count(DISTINCT call_id) FROM calls").fetchone()
    return rows, different

"""Places a backfill can be measured with, and what their own clients say they hold."""

import csv
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow.parquet as pq
from attrs import define

from shared.postgresql_server import drop_database, found_binaries, new_database, run_server

_COUNT = "SELECT count(*), count(DISTINCT call_id) FROM calls"


@define(frozen=True)
class Place:
    """A kind of sink.

    Attributes:
        name: what it is called.
        fresh: makes one for as long as a block lasts, in an empty folder where it is a file; gives its `to`.
        count: tells how many calls such a place holds, and how many different ones.
    """

    name: str
    fresh: Callable[[Path], AbstractContextManager[str]]
    count: Callable[[str], tuple[int, int]]


def _duckdb(to: str) -> tuple[int, int]:
    with duckdb.connect(to, read_only=True) as database:
        return _pair(database.execute(_COUNT).fetchone())


def _sqlite(to: str) -> tuple[int, int]:
    with closing(sqlite3.connect(to)) as database:
        return _pair(database.execute(_COUNT).fetchone())


def _postgresql(to: str) -> tuple[int, int]:
    with psycopg.connect(to) as database:
        return _pair(database.execute(_COUNT).fetchone())


def _pair(row: Any) -> tuple[int, int]:
    rows, different = row
    return rows, different


def _parquet(to: str) -> tuple[int, int]:
    return _counted(key for path in _files(to) for key in pq.read_table(path, columns=["call_id"])[0].to_pylist())


def _jsonl(to: str) -> tuple[int, int]:
    lines = (line for path in _files(to) for line in path.read_bytes().splitlines())
    return _counted(json.loads(line)["call_id"] for line in lines)


def _csv(to: str) -> tuple[int, int]:
    texts = (StringIO(path.read_text(encoding="utf-8-sig"), newline="") for path in _files(to))
    return _counted(row["call_id"] for text in texts for row in csv.DictReader(text))


def _files(to: str) -> Iterator[Path]:
    return Path(to).glob(f"**/calls-*{Path(to).suffix}")


def _counted(keys: Iterable[str]) -> tuple[int, int]:
    every = list(keys)
    return len(every), len(set(every))


def _on_disk(name: str, count: Callable[[str], tuple[int, int]]) -> Callable[[], AbstractContextManager[Place]]:
    @contextmanager
    def fresh(folder: Path) -> Iterator[str]:
        yield str(folder / f"calls.{name}")

    @contextmanager
    def place() -> Iterator[Place]:
        yield Place(name, fresh, count)

    return place


@contextmanager
def _on_a_server() -> Iterator[Place]:
    """Give databases of a PostgreSQL server with the settings it comes with: what is committed outlasts a crash."""
    with run_server(next(iter(found_binaries().values()))) as server:

        @contextmanager
        def fresh(_: Path) -> Iterator[str]:
            name = new_database(server)
            yield server.address(name)
            drop_database(server, name)

        yield Place("postgresql", fresh, _postgresql)


PLACES: dict[str, Callable[[], AbstractContextManager[Place]]] = {
    "duckdb": _on_disk("duckdb", _duckdb),
    "sqlite": _on_disk("sqlite", _sqlite),
    "postgresql": _on_a_server,
    "parquet": _on_disk("parquet", _parquet),
    "jsonl": _on_disk("jsonl", _jsonl),
    "csv": _on_disk("csv", _csv),
}

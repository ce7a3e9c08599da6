"""Every sink there is, each with fresh places to try it at: whoever writes a further one adds it here."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.sinks.protocol import Sink

SUFFIXES = {"sqlite": ".sqlite", "duckdb": ".duckdb", "parquet": ".parquet", "jsonl": ".jsonl", "csv": ".csv"}
"""The sinks that are a file or a folder."""

KINDS = [*SUFFIXES, "postgresql"]

ON_DISK = [kind for kind in KINDS if kind in SUFFIXES]

WITH_TYPES = [kind for kind in KINDS if kind not in ("jsonl", "csv")]
"""The sinks that keep the types of columns; lines of text keep their names only."""

FOR_PUSHES = ["sqlite", "duckdb", "postgresql"]
"""The sinks that take rows of no window."""


class Places:
    """Makes places that nothing was stored at yet.

    Args:
        folder: for the sinks on disk.
        request: of the test, for the PostgreSQL server, which is started for nobody else.
    """

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self._folder = folder
        self._request = request
        self._numbers = count()

    def fresh(self, kind: str) -> str:
        """Return a new place for a sink of this kind, as it is given to a backfill."""
        if kind == "postgresql":
            make_database: Any = self._request.getfixturevalue("fresh_postgresql")
            return str(make_database())
        folder = self._folder / f"{next(self._numbers)}"
        folder.mkdir()
        return str(folder / f"calls{SUFFIXES[kind]}")


@contextmanager
def opened(to: str) -> Iterator[Sink]:
    """Give the sink at a place, open."""
    sink = sink_for(to)
    sink.open()
    try:
        yield sink
    finally:
        sink.close()

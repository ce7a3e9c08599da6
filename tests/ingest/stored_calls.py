"""What a sink holds, read by the libraries made for it and none of ours, and what it should hold."""

import csv
import json
import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import attrs

from nxcdr_async import CallRecord, Direction, make_converter
from nxcdr_async.testing import Gateway

Values = dict[str, Any]

_KINDS = {
    attribute.name: get_args(attribute.type)[0] if isinstance(attribute.type, UnionType) else attribute.type
    for attribute in attrs.fields(CallRecord)
}


def known_calls(gateway: Gateway) -> dict[str, Values]:
    """Return all that an emulator knows, by the ids of calls."""
    return {row["call_id"]: row for row in known_rows(gateway)}


def stored_calls(kind: str, to: str) -> dict[str, Values]:
    """Return all that a sink holds, by the ids of calls, none of which may be there twice."""
    rows = stored_rows(kind, to)
    found = {row["call_id"]: row for row in rows}
    assert len(found) == len(rows), "doubled"
    return found


def stored_rows(kind: str, to: str) -> list[Values]:
    """Return all that a sink holds, in order of ids and times, as several calls may share an id."""
    return in_order(plain(row) for row in _READERS[kind](to))


def known_rows(gateway: Gateway) -> list[Values]:
    """Return all that an emulator knows, in the same order."""
    structure = make_converter().structure
    calls = [structure(row, CallRecord) for row in gateway.history.calls()]
    return in_order(plain({name: getattr(call, name) for name in _KINDS}) for call in calls)


def in_order(rows: Iterable[Values]) -> list[Values]:
    return sorted(rows, key=lambda row: (row["call_id"], row["start_time"]))


def plain(row: Values) -> Values:
    """Return values as one type each, however a library writes them."""
    assert set(row) == set(_KINDS)
    return {name: None if row[name] in (None, "") else _PLAIN.get(_KINDS[name], _object)(row[name]) for name in _KINDS}


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    assert moment.tzinfo is not None
    return moment.astimezone(UTC)


def _direction(value: Any) -> str:
    return value.name.lower() if isinstance(value, Direction) else str(value)


def _object(value: Any) -> Values | None:
    known = json.loads(value, parse_float=Decimal) if isinstance(value, str) else value
    return {key: what for key, what in known.items() if what is not None} or None


_PLAIN: dict[Any, Callable[[Any], Any]] = {
    datetime: _moment,
    Direction: _direction,
    bool: lambda value: {True: True, False: False, "true": True, "false": False}[value],
    Decimal: lambda value: Decimal(str(value)),
    int: int,
    str: lambda value: value,
}


def _sqlite(to: str) -> Iterable[Values]:
    database = sqlite3.connect(f"file:{to}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in database.execute("SELECT * FROM calls")]
    finally:
        database.close()


def _duckdb(to: str) -> Iterable[Values]:
    import duckdb  # noqa: PLC0415 - only where it is tested

    with duckdb.connect(to, read_only=True) as database:
        found = database.execute("SELECT * FROM calls")
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _postgresql(to: str) -> Iterable[Values]:
    import psycopg  # noqa: PLC0415 - only where it is tested
    from psycopg.rows import dict_row  # noqa: PLC0415 - as above

    with psycopg.connect(to, row_factory=dict_row) as database:
        return database.execute("SELECT * FROM calls").fetchall()


def _parquet(to: str) -> Iterable[Values]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - only where it is tested

    return [row for file in _files(to, "parquet") for row in pq.ParquetFile(file).read().to_pylist()]


def _jsonl(to: str) -> Iterable[Values]:
    for file in _files(to, "jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield json.loads(line, parse_float=Decimal)


def _csv(to: str) -> Iterable[Values]:
    for file in _files(to, "csv"):
        with file.open(encoding="utf-8-sig", newline="") as text:
            # An apostrophe keeps spreadsheets from taking a text for a formula or a number.
            yield from ({name: cell.removeprefix("'") for name, cell in row.items()} for row in csv.DictReader(text))


def _files(to: str, suffix: str) -> list[Path]:
    return sorted(path for path in Path(to).rglob(f"*.{suffix}") if not path.name.startswith("."))


_READERS: dict[str, Callable[[str], Iterable[Values]]] = {
    "sqlite": _sqlite,
    "duckdb": _duckdb,
    "postgresql": _postgresql,
    "parquet": _parquet,
    "jsonl": _jsonl,
    "csv": _csv,
}

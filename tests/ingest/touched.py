"""Stores as others touch them: by the libraries made for them, and none of ours."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

SQL = ["sqlite", "duckdb", "postgresql"]
"""The kinds of sinks that speak SQL."""

FOLDERS = ["parquet", "jsonl", "csv"]

LATER_COLUMNS = {"nxcdr_windows": ["refused", "stored"], "nxcdr_sources": ["gateway", "pruned_before"]}
"""Columns of the ledger that came with a later version."""


def sql(kind: str, to: str, *statements: str) -> list[Any]:
    """Run statements in a store; return what the last one gives."""
    if kind == "sqlite":
        with closing(sqlite3.connect(to)) as database, database:
            return [database.execute(statement).fetchall() for statement in statements][-1]
    if kind == "duckdb":
        import duckdb  # noqa: PLC0415 - only where it is tested

        with duckdb.connect(to) as database:
            return [database.execute(statement).fetchall() for statement in statements][-1]
    import psycopg  # noqa: PLC0415 - only where it is tested

    with psycopg.connect(to) as database:
        cursors = [database.execute(statement) for statement in statements]
        return cursors[-1].fetchall() if cursors[-1].description else []


def tables(kind: str, to: str) -> set[str]:
    """Return the names of all tables."""
    queries = {
        "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'table'",
        "duckdb": "SELECT table_name FROM duckdb_tables()",
        "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    }
    return {name for (name,) in sql(kind, to, queries[kind])}


def files(to: str) -> list[Path]:
    """Return the files with rows of a folder, in order of time."""
    return sorted(Path(to).glob("**/calls-*"))


def ledger_lines(to: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(to) / "_ledger.ndjson").read_text().splitlines()]


def make_old(kind: str, to: str) -> None:
    """Take away what an earlier version did not note."""
    if kind in SQL:
        dropped = [
            f"ALTER TABLE {table} DROP COLUMN {column}"
            for table, columns in LATER_COLUMNS.items()
            for column in columns
        ]
        sql(kind, to, *dropped)
        return
    lines = ledger_lines(to)
    for line in lines:
        line.pop("files", None)
        line.get("origin", {}).pop("gateway", None)
        for added in line.get("added", []):
            added.pop("file", None)
    (Path(to) / "_ledger.ndjson").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def beside(to: str) -> dict[str, bytes]:
    """Return all files at a place and beside it."""
    return contents(Path(to).parent)


def copy_store(store: str | Path, place: str | Path) -> None:
    """Put a copy of a store in the place of what is there."""
    if Path(store).is_dir():
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(store, place)
    else:
        shutil.copyfile(store, place)


def copy_ledger(folder: str, other: str) -> None:
    """Put the ledger of a folder in the place of that of another."""
    shutil.copyfile(Path(folder) / "_ledger.ndjson", Path(other) / "_ledger.ndjson")

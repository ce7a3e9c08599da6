"""The tables of a SQLite sink as SQL defines them. Pure."""

from collections.abc import Mapping

import pyarrow as pa

from nxcdr_async.records.arrow import Table
from nxcdr_async.sinks.sql import SOURCES, STORED, WINDOWS, LedgerTable

_TIME = "DATETIME TEXT"
_MONEY = "DECIMAL TEXT"

# TEXT in the name of a type keeps SQLite from taking an amount for a binary fraction. By the first word of one Python
# (`detect_types=PARSE_DECLTYPES`) looks for what reads a value: for TIMESTAMP and DATE it has something of its own,
# which fails on times with a zone.
_TYPES = {
    pa.string(): "TEXT",
    pa.int64(): "INTEGER",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", tz="UTC"): _TIME,
}

_EARLIER_TYPES = {"TIMESTAMP TEXT": _TIME}
"""The types of columns in stores of earlier versions that are others today, and hold the same."""

LEDGER_TABLES = {
    WINDOWS: LedgerTable(
        {
            "source": "TEXT NOT NULL",
            "start_second": "INTEGER NOT NULL",
            "end_second": "INTEGER NOT NULL",
            "read_at": "INTEGER NOT NULL",
            "row_count": "INTEGER NOT NULL",
            "bad_rows": "INTEGER NOT NULL",
            "saturated": "TEXT NOT NULL",
            "refused": "TEXT NOT NULL DEFAULT '[]'",
            STORED: "INTEGER",
        },
        constraints=", PRIMARY KEY (source, start_second)",
        options=" WITHOUT ROWID",
    ),
    SOURCES: LedgerTable(
        {
            "source": "TEXT PRIMARY KEY",
            "account": "TEXT NOT NULL",
            "zone": "TEXT NOT NULL",
            "complete_until": _TIME,
            "gateway": "TEXT",
            "pruned_before": "INTEGER",
        }
    ),
}


def columns_of(table: Table) -> dict[str, str]:
    """Return the columns of a table with their types."""
    return {name: _TYPES.get(table.kind(name), _MONEY) for name in table.columns}


def types_found(columns: Mapping[str, str]) -> dict[str, str]:
    """Return columns as they are found with the types of today, where they have one of an earlier version."""
    return {name: _EARLIER_TYPES.get(kind, kind) for name, kind in columns.items()}


def definition(table: Table) -> str:
    """Return the columns of a table as SQL defines them."""
    unique = {table.key: " UNIQUE"} if table.is_key_unique else {}
    return ", ".join(f'"{name}" {kind}{unique.get(name, "")}' for name, kind in columns_of(table).items())


def indexes(table: Table) -> list[str]:
    """Return the statements that make the indexes of a table, where they are not there."""
    columns = {"time": table.time} if table.is_key_unique else {"time": table.time, "key": table.key}
    return [
        f'CREATE INDEX IF NOT EXISTS {table.name}_{name} ON {table.name} ("{column}")'
        for name, column in columns.items()
    ]

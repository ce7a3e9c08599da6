"""The tables of a PostgreSQL sink as SQL defines them, and statements as psycopg takes them. Pure."""

import re
from types import NoneType
from typing import get_args

import pyarrow as pa
from attrs import fields_dict

from nxcdr_async.records.arrow import EXTRA, Table
from nxcdr_async.sinks.sql import ONE_ROW_A_WINDOW, SOURCES, WINDOWS, LedgerTable, sources_columns, windows_columns

# As the server itself writes them.
_TYPES = {
    pa.string(): "text",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.timestamp("us", tz="UTC"): "timestamp with time zone",
}
_MONEY = "numeric"
_JSON = "jsonb"
UNIQUE = " unique"
"""What follows the type of a key that has to be unique."""

_NAME_OR_SIGN = re.compile(r'"(?:[^"]|"")*"|[?%]')

LEDGER_TABLES = {
    # What is a part of a key cannot be null anyway.
    WINDOWS: LedgerTable(
        {**windows_columns("text", "bigint"), "source": "text", "start_second": "bigint"}, ONE_ROW_A_WINDOW
    ),
    SOURCES: LedgerTable(sources_columns("text", "bigint", "timestamptz")),
}


def columns_of(table: Table) -> dict[str, str]:
    """Return the columns of a table with their types."""
    return {name: _JSON if name == EXTRA else _TYPES.get(table.kind(name), _MONEY) for name in table.columns}


def columns_with_key(table: Table) -> dict[str, str]:
    """Return the types of columns, and whether the key has to be unique."""
    columns = columns_of(table)
    return {**columns, table.key: columns[table.key] + UNIQUE} if table.is_key_unique else columns


def definition(table: Table) -> str:
    """Return the columns of a table as SQL defines them."""
    key = f'"{table.key}" {columns_of(table)[table.key]}'
    if not table.is_key_unique:
        key += " NOT NULL"
    else:
        key += " UNIQUE" if _may_lack_key(table) else " PRIMARY KEY"
    return ", ".join(key if name == table.key else f'"{name}" {kind}' for name, kind in columns_of(table).items())


def _may_lack_key(table: Table) -> bool:
    return NoneType in get_args(fields_dict(table.record_class)[table.key].type)


def identified_by_all_columns(name: str) -> str:
    """Return the statement that has all columns of a table tell its rows apart, for those who follow its changes."""
    return f"ALTER TABLE {name} REPLICA IDENTITY FULL"


def with_psycopg_placeholders(statement: str) -> str:
    """Return a statement with psycopg's placeholders, as names in quotes may have such signs, too."""
    return _NAME_OR_SIGN.sub(lambda found: "%s" if found[0] == "?" else found[0].replace("%", "%%"), statement)


def is_among_json(table: Table) -> str:
    """Return the condition that a key is in a JSON list: one row after the other, by the index of the key."""
    return f'"{table.key}" IN (SELECT json_array_elements_text(?)::{columns_of(table)[table.key]})'

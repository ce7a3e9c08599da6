"""The tables of a PostgreSQL sink as SQL defines them, and as the server describes them. Pure."""

from types import NoneType
from typing import get_args

import pyarrow as pa
from attrs import fields_dict

from nxcdr_async.backfill.sinks.sql import SOURCES, STORED, WINDOWS, LedgerTable
from nxcdr_async.export.tables import EXTRA, Table

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

LEDGER_TABLES = {
    WINDOWS: LedgerTable(
        {
            "source": "text",
            "start_second": "bigint",
            "end_second": "bigint NOT NULL",
            "read_at": "bigint NOT NULL",
            "row_count": "bigint NOT NULL",
            "bad_rows": "bigint NOT NULL",
            "saturated": "text NOT NULL",
            "refused": "text NOT NULL DEFAULT '[]'",
            STORED: "bigint",
        },
        constraints=", PRIMARY KEY (source, start_second)",
    ),
    SOURCES: LedgerTable(
        {
            "source": "text PRIMARY KEY",
            "account": "text NOT NULL",
            "zone": "text NOT NULL",
            "complete_until": "timestamptz",
            "gateway": "text",
            "pruned_before": "bigint",
        }
    ),
}

_MAKES_KEY_UNIQUE = (
    "indrelid = attrelid AND indisunique AND indisvalid AND indimmediate AND indpred IS NULL "
    "AND indnkeyatts = 1 AND indkey[0] = attnum"
)

COLUMNS = f"""
SELECT attname, format_type(atttypid, atttypmod) || CASE WHEN attname = %(key)s AND EXISTS (
    SELECT FROM pg_index WHERE {_MAKES_KEY_UNIQUE}
) THEN '{UNIQUE}' ELSE '' END || CASE WHEN relkind IN ('r', 'p') THEN '' ELSE ' of no table' END
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE attrelid = to_regclass(%(table)s) AND attnum > 0 AND NOT attisdropped
"""

UNIQUE_INDEXES = f"""
SELECT indexrelid::regclass::text, (
    SELECT quote_ident(conname) FROM pg_constraint WHERE conindid = indexrelid AND contype <> 'f'
)
FROM pg_index JOIN pg_attribute ON {_MAKES_KEY_UNIQUE}
WHERE indrelid = to_regclass(%(table)s) AND attname = %(key)s
"""


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

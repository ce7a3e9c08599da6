"""The tables of a PostgreSQL sink as SQL defines them, and as the server describes them. Pure."""

import re
from types import NoneType
from typing import NamedTuple, get_args

import pyarrow as pa
from attrs import fields_dict

from nxcdr_async.records.arrow import EXTRA, Table
from nxcdr_async.sinks.sql import SOURCES, STORED, WINDOWS, LedgerTable

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
_NAME_OR_SIGN = re.compile(r'"(?:[^"]|"")*"|[?%]')

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

# A partition has an identity of its own.
LACKING_IDENTITY = """
WITH roots AS (SELECT to_regclass(name)::oid AS root FROM unnest(%s::text[]) AS names (name))
SELECT root, leaf, format('%%I.%%I', nspname, relname), pg_has_role(relowner, 'USAGE')
FROM (
    SELECT root, root AS leaf FROM roots
    UNION SELECT root, relid FROM roots, pg_partition_tree(root)
) AS leaves JOIN pg_class ON pg_class.oid = leaf JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND relreplident <> 'f' AND NOT EXISTS (
    SELECT FROM pg_index WHERE indrelid = leaf AND indisvalid AND indimmediate
    AND CASE relreplident WHEN 'd' THEN indisprimary WHEN 'i' THEN indisreplident ELSE false END
)
ORDER BY 3
"""

PUBLISHED = """
SELECT pg_class.oid FROM pg_publication JOIN pg_publication_tables USING (pubname)
JOIN pg_namespace ON nspname = schemaname JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = tablename
WHERE (pubupdate OR pubdelete) AND pg_class.oid = ANY (%s::oid[])
"""

# Of permissive policies one that lets all rows through is enough, of restrictive ones each has to.
ROW_SECURITY = """
SELECT place, EXISTS (
    SELECT FROM (VALUES ('r'), ('w'), ('d')) AS commands (command) WHERE NOT coalesce((
        SELECT bool_or(shown = 'true') FILTER (WHERE polpermissive)
            AND coalesce(bool_and(shown = 'true') FILTER (WHERE NOT polpermissive), true)
        FROM pg_policy, pg_get_expr(polqual, polrelid) AS shown
        WHERE polrelid = to_regclass(place) AND polcmd::text IN ('*', command)
        AND EXISTS (SELECT FROM unnest(polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE'))
    ), false)
)
FROM unnest(%s::text[]) AS places (place) WHERE row_security_active(to_regclass(place))
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


class LackingIdentity(NamedTuple):
    """A table whose rows a publication of changes could not tell apart, so that they could not be changed.

    Attributes:
        root: the number of the table that it is part of, or its own.
        leaf: its own.
        place: its name, as statements have it.
        is_owned: whether the user may change that.
    """

    root: int
    leaf: int
    place: str
    is_owned: bool

    @property
    def mending(self) -> str:
        """The statement that has all their columns tell rows apart."""
        return identified_by_all_columns(self.place)


class RowSecurity(NamedTuple):
    """A table that shows a user rows through policies only.

    Attributes:
        place: its name, as statements have it.
        may_hide: whether they may hide any from being read, changed or removed.
    """

    place: str
    may_hide: bool


def identified_by_all_columns(place: str) -> str:
    """Return the statement that has all columns of a table tell its rows apart, for those who follow its changes."""
    return f"ALTER TABLE {place} REPLICA IDENTITY FULL"


def as_psycopg_has_it(statement: str) -> str:
    """Return a statement with psycopg's placeholders, as names in quotes may have such signs, too."""
    return _NAME_OR_SIGN.sub(lambda found: "%s" if found[0] == "?" else found[0].replace("%", "%%"), statement)


def is_among_json(table: Table) -> str:
    """Return the condition that a key is in a JSON list: one row after the other, by the index of the key."""
    return f'"{table.key}" IN (SELECT json_array_elements_text(?)::{columns_of(table)[table.key]})'

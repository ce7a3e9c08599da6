"""What a PostgreSQL server says of the tables that are there: columns, unique keys, identity of rows, row security."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from attrs import define

from nxcdr_async.sinks.postgresql.tables import UNIQUE, identified_by_all_columns

_MAKES_KEY_UNIQUE = (
    "indrelid = attrelid AND indisunique AND indisvalid AND indimmediate AND indpred IS NULL "
    "AND indnkeyatts = 1 AND indkey[0] = attnum"
)

_COLUMNS = f"""
SELECT attname, format_type(atttypid, atttypmod) || CASE WHEN attname = %(key)s AND EXISTS (
    SELECT FROM pg_index WHERE {_MAKES_KEY_UNIQUE}
) THEN '{UNIQUE}' ELSE '' END || CASE WHEN relkind IN ('r', 'p') THEN '' ELSE ' of no table' END
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE attrelid = to_regclass(%(table)s) AND attnum > 0 AND NOT attisdropped
"""

_UNIQUE_INDEXES = f"""
SELECT indexrelid::regclass::text, (
    SELECT quote_ident(conname) FROM pg_constraint WHERE conindid = indexrelid AND contype <> 'f'
)
FROM pg_index JOIN pg_attribute ON {_MAKES_KEY_UNIQUE}
WHERE indrelid = to_regclass(%(table)s) AND attname = %(key)s
"""

# A partition has an identity of its own.
_LACKING_IDENTITY = """
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

_PUBLISHED = """
SELECT pg_class.oid FROM pg_publication JOIN pg_publication_tables USING (pubname)
JOIN pg_namespace ON nspname = schemaname JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = tablename
WHERE (pubupdate OR pubdelete) AND pg_class.oid = ANY (%s::oid[])
"""

# Of permissive policies one that lets all rows through is enough, of restrictive ones each has to.
_ROW_SECURITY = """
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


class LackingIdentity(NamedTuple):
    """A table whose rows a publication of changes could not tell apart, so that they could not be changed.

    Attributes:
        root: the number of the table that it is part of, or its own.
        leaf: its own.
        name: its own, as statements have it.
        is_owned: whether the user may change that.
    """

    root: int
    leaf: int
    name: str
    is_owned: bool

    @property
    def statement(self) -> str:
        """The statement that has all their columns tell rows apart."""
        return identified_by_all_columns(self.name)


class RowSecurity(NamedTuple):
    """A table that shows a user rows through policies only.

    Attributes:
        name: its own, as statements have it.
        may_hide: whether they may hide any from being read, changed or removed.
    """

    name: str
    may_hide: bool


@define(frozen=True)
class SchemaCatalog:
    """What the server says of tables of a schema. Its methods raise errors of psycopg."""

    connection: psycopg.Connection[Any]
    schema: str

    def qualified(self, name: str) -> str:
        """Return the name of a table of the schema as statements have it."""
        schema = self.schema.replace('"', '""')
        return f'"{schema}"."{name}"'

    def columns_of(self, name: str, key: str = "") -> dict[str, str]:
        """Return the columns of a table with their types; of its key also whether it is unique."""
        return dict(self._rows(_COLUMNS, {"table": self.qualified(name), "key": key}))

    def unique_indexes(self, name: str, key: str) -> list[tuple[str, str | None]]:
        """Return the indexes for which a key has to be unique, each with the constraint that it belongs to, if any."""
        return self._rows(_UNIQUE_INDEXES, {"table": self.qualified(name), "key": key})

    def lacking_identity(self, names: Sequence[str]) -> list[LackingIdentity]:
        """Return those of some tables, or parts of them, whose rows a publication could not tell apart."""
        found = self._rows(_LACKING_IDENTITY, [[self.qualified(name) for name in names]])
        return [LackingIdentity(*row) for row in found]

    def published(self, tables: Sequence[LackingIdentity]) -> list[LackingIdentity]:
        """Return those of some tables of which a publication sends what changes or goes."""
        if not tables:
            return []
        found = self._rows(_PUBLISHED, [[number for table in tables for number in (table.root, table.leaf)]])
        numbers = {number for (number,) in found}
        return [table for table in tables if numbers & {table.root, table.leaf}]

    def row_security(self, names: Sequence[str]) -> list[RowSecurity]:
        """Return those of some tables that show the user rows through policies only."""
        return [RowSecurity(*row) for row in self._rows(_ROW_SECURITY, [[self.qualified(name) for name in names]])]

    def _rows(self, query: str, values: Any) -> list[Any]:
        return self.connection.execute(query, values).fetchall()

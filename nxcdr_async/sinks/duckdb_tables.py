"""The tables of a DuckDB sink as SQL defines them. Pure."""

import pyarrow as pa

from nxcdr_async.records.arrow import EXTRA, MONEY, Table
from nxcdr_async.sinks.sql import SOURCES, STORED, WINDOWS, LedgerTable

_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
    pa.decimal128(*MONEY): "DECIMAL({},{})".format(*MONEY),
}

LEDGER_TABLES = {
    WINDOWS: LedgerTable(
        {
            "source": "VARCHAR NOT NULL",
            "start_second": "BIGINT NOT NULL",
            "end_second": "BIGINT NOT NULL",
            "read_at": "BIGINT NOT NULL",
            "row_count": "BIGINT NOT NULL",
            "bad_rows": "BIGINT NOT NULL",
            "saturated": "VARCHAR NOT NULL",
            "refused": "VARCHAR DEFAULT '[]'",  # DuckDB adds no column that may not be null
            STORED: "BIGINT",
        }
    ),
    SOURCES: LedgerTable(
        {
            "source": "VARCHAR NOT NULL",
            "account": "VARCHAR NOT NULL",
            "zone": "VARCHAR NOT NULL",
            "complete_until": "TIMESTAMPTZ",
            "gateway": "VARCHAR",
            "pruned_before": "BIGINT",
        }
    ),
}


def columns_of(table: Table) -> dict[str, str]:
    """Return the columns of a table with their types."""
    return {name: "JSON" if name == EXTRA else _TYPES[table.kind(name)] for name in table.columns}

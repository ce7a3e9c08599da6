"""Rows for the folders: any that a table can hold."""

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from nxcdr_async.records.arrow import EXTRA, MONEY, Table
from nxcdr_async.sinks.folder.files import FileFormat

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["", "null", "=1", "'", '"', "\\", "a\nb", "a\r\nb", "\x00", "\x1f", "\u2028", ",", "001", "🕮"]
)
_SECONDS_OF_2000_YEARS = 63_000_000_000
_OF_TYPE: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): TEXTS,
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.bool_(): st.booleans(),
    pa.timestamp("us", tz="UTC"): st.integers(0, _SECONDS_OF_2000_YEARS * 1_000_000),
    pa.decimal128(*MONEY): st.integers(-(10**27), 10**27).map(lambda digits: Decimal(digits).scaleb(-MONEY[1])),
}
_EXTRAS = st.dictionaries(TEXTS, TEXTS | st.integers() | st.lists(st.none()), min_size=1, max_size=2).map(json.dumps)


@st.composite
def any_rows(draw: st.DrawFn, table: Table) -> pa.Table:
    """Draw some rows of a table."""
    count = draw(st.integers(0, 4))
    columns = []
    for column in table.schema:
        values = _EXTRAS if column.name == EXTRA else _OF_TYPE[column.type]
        drawn = draw(st.lists(st.none() | values, min_size=count, max_size=count))
        columns.append(pa.array(drawn, column.type))
    return pa.Table.from_arrays(columns, schema=table.schema)


def written_by(form: FileFormat, rows: pa.Table) -> bytes:
    """Return the whole file."""
    return b"".join(bytes(piece) for piece in form.encode(rows))

"""Text for cells of a spreadsheet, which would run or change some of it. Pure.

Such text gets an apostrophe in front, as does text that has one there already: so it is read back as it was by taking
one away.
"""

import pyarrow as pa
import pyarrow.compute as pc

_APOSTROPHE = "'"

# What begins a formula, after blanks, too; the last four are what East Asian spreadsheets take for the first four.
# Numbers lose zeros in front of them, and digits after the fifteenth; those with an e are taken for powers of ten.
_UNSAFE = (
    "^(?:'"
    "|[ \u00a0\u3000]*[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20]"
    "|0[0-9]+$"
    "|[0-9]{16,}$"
    "|[0-9]+(?:\\.[0-9]*)?[eE][0-9]+$)"
)


def safe_cells(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as a spreadsheet shows them unchanged, and runs none of them."""
    marked = pc.binary_join_element_wise(_APOSTROPHE, texts, "")
    return pc.if_else(pc.match_substring_regex(texts, _UNSAFE), marked, texts)


def texts_of(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the texts that safe cells were made of."""
    return pc.if_else(pc.starts_with(cells, _APOSTROPHE), pc.utf8_slice_codeunits(cells, 1), cells)

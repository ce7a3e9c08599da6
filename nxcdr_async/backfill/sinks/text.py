"""Values as text, the same in every sink that writes them so. Pure."""

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc


def plain_amount(amount: Decimal) -> str:
    """Return an amount with all its digits and no more, never as a power of ten.

    >>> plain_amount(Decimal("0.202800000000"))
    '0.2028'
    """
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def amounts_as_text(amounts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of amounts as `plain_amount` writes each."""
    # Arrow writes small amounts as powers of ten, and 0 is by far the most frequent of them.
    is_zero = pc.equal(amounts, pa.scalar(Decimal(0), amounts.type))
    text = pc.if_else(is_zero, "0.0", amounts.cast(pa.string()))
    if pc.any(pc.match_substring(text, "E")).as_py():
        values = [None if value is None else plain_amount(value) for value in amounts.to_pylist()]
        return pa.chunked_array([pa.array(values, pa.string())])
    return pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), ".")


def times_as_text(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of times in UTC as ISO 8601, with six digits of a second, so that text sorts as the times do."""
    return pc.binary_join_element_wise(times.cast(pa.timestamp("us")).cast(pa.string()), "Z", "")

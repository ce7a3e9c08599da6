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


def plain_amounts(amounts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return amounts as `plain_amount` does, a column at once."""
    texts = pc.if_else(pc.equal(amounts, pa.scalar(Decimal(0), amounts.type)), "0", amounts.cast(pa.string()))
    has_point = pc.match_substring(texts, ".")
    short = pc.if_else(has_point, pc.replace_substring_regex(texts, r"\.?0+$", ""), texts)
    # Arrow writes the smallest amounts as powers of ten.
    is_power = pc.match_substring(texts, "E")
    powers = pa.array([plain_amount(amount) for amount in amounts.filter(is_power).to_pylist()], pa.string())
    return pc.replace_with_mask(short.combine_chunks(), is_power.combine_chunks(), powers)


def plain_times(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times in UTC as ISO 8601 to the microsecond, a column at once."""
    local = times.cast(pa.timestamp("us")).cast(pa.string())
    return pc.binary_join_element_wise(pc.replace_substring(local, " ", "T"), "Z", "")

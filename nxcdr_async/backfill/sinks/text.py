"""Values as text, the same in every sink that writes them so. Pure."""

from decimal import Decimal


def plain_amount(amount: Decimal) -> str:
    """Return an amount with all its digits and no more, never as a power of ten.

    >>> plain_amount(Decimal("0.202800000000"))
    '0.2028'
    """
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

"""JSON to plain values, its numbers exact. Pure."""

from decimal import Decimal, InvalidOperation

import msgspec


def read_number(text: str) -> Decimal | str:
    """Keep a number exactly; one that no Decimal can hold stays text, for its row alone to be refused."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


decode_plain = msgspec.json.Decoder(float_hook=read_number).decode
"""Decodes JSON to dicts and lists."""

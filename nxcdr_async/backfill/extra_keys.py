"""The keys nobody knows of stored rows: JSON objects as text. Pure."""

from decimal import Decimal

import msgspec
import pyarrow as pa

from nxcdr_async.backfill.sinks.text import plain_amount
from nxcdr_async.convert import are_sensible
from nxcdr_async.wire.json_text import read_number

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_encode_in_order = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


def united(stored: pa.ChunkedArray, read: pa.ChunkedArray) -> pa.ChunkedArray:
    """Unite the objects of the keys nobody knows."""
    both = [
        new if old is None or new is None or old == new else _both(old, new)
        for old, new in zip(stored.to_pylist(), read.to_pylist(), strict=True)
    ]
    return pa.chunked_array([pa.array(both, read.type)])


def _both(old: str, new: str) -> str:
    both = _encode({**_decode(old), **_decode(new)}).decode()
    # A sink may keep the keys in another order, and spell values otherwise.
    return old if meaning_of(both) == meaning_of(old) else both


def _number(digits: str) -> Decimal | str:
    number = read_number(digits)
    # Written in full, but for what would take a gigabyte so.
    return Decimal(plain_amount(number)) if isinstance(number, Decimal) and are_sensible([number]) else digits


_decode_whole = msgspec.json.Decoder(float_hook=_number).decode


def meaning_of(extra: str) -> bytes:
    """Return an object as all its spellings have it in common."""
    return _encode_in_order(_decode_whole(extra))

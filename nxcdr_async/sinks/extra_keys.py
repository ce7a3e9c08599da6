"""The keys nobody knows yet, a JSON object for each row: united, and compared however they are spelled. Pure."""

from decimal import Decimal

import msgspec
import pyarrow as pa

from nxcdr_async._util.json import read_number
from nxcdr_async.records.converter import are_sensible
from nxcdr_async.sinks.values import plain_amount

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_encode_in_order = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


def unite(stored: pa.ChunkedArray, read: pa.ChunkedArray) -> pa.ChunkedArray:
    """Unite objects row by row; where both have a key, the one that was read counts."""
    united = [
        new if old is None or new is None or old == new else _union(old, new)
        for old, new in zip(stored.to_pylist(), read.to_pylist(), strict=True)
    ]
    return pa.chunked_array([pa.array(united, read.type)])


def _union(old: str, new: str) -> str:
    union = _encode({**_decode(old), **_decode(new)}).decode()
    # A sink may keep the keys in another order, and spell values otherwise.
    return old if meaning_of(union) == meaning_of(old) else union


def _number(digits: str) -> Decimal | str:
    number = read_number(digits)
    # Written in full, but for what would take a gigabyte so.
    return Decimal(plain_amount(number)) if isinstance(number, Decimal) and are_sensible([number]) else digits


_decode_whole = msgspec.json.Decoder(float_hook=_number).decode


def meaning_of(extra: str) -> bytes:
    """Return an object as all its spellings have it in common."""
    return _encode_in_order(_decode_whole(extra))

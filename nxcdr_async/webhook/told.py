"""What a push tells of its call, value by value, in a few bytes each. Pure."""

import json
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from attrs import fields

from nxcdr_async.records import CallRecord

BYTES_A_VALUE = 8
"""Of what stands for a value: enough that no two values of one call are taken for each other by chance."""

_encode = json.JSONEncoder(sort_keys=True, default=str).encode


def told_by(call: CallRecord) -> frozenset[bytes]:
    """Return what stands for the values that a call has; two calls that tell the same have the same."""
    return frozenset(_digest(place, value) for place, value in _values(call) if value is not None)


def packed(told: frozenset[bytes]) -> bytes:
    """Return what was told in as little memory as it takes."""
    return b"".join(told)


def unpacked(told: bytes) -> frozenset[bytes]:
    """Return what was packed."""
    return frozenset(told[start : start + BYTES_A_VALUE] for start in range(0, len(told), BYTES_A_VALUE))


def _values(call: CallRecord) -> Iterator[tuple[list[str], Any]]:
    for attribute in fields(CallRecord):
        if attribute.name != "extra":
            yield [attribute.name], getattr(call, attribute.name)
    for key, value in call.extra.items():
        yield ["extra", key], value


def _digest(place: list[str], value: Any) -> bytes:
    return blake2b(_encode([place, value]).encode(), digest_size=BYTES_A_VALUE).digest()

"""Records as plain rows, and rows as JSON lines; what is derived from the vendor's raw numbers stands beside them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
from attrs import fields

from nxcdr_async.records import CallRecord, DidCallRecord, Direction, FlashCallRecord, read_whole

_encoder = msgspec.json.Encoder(decimal_format="string")


def row_of(record: Any) -> dict[str, Any]:
    """Return a record as a row: directions by name, and for a call its wait and what its hangup code means."""
    read_whole(record)
    row = {name: getattr(record, name) for name in _NAMES[type(record)]}
    for name, value in row.items():
        if isinstance(value, Direction):
            row[name] = value.name.lower()
    if isinstance(record, CallRecord):
        row |= _derived(record)
    row["extra"] = record.extra
    return row


def json_lines(records: Iterable[Any]) -> bytes:
    """Return records as JSON lines (NDJSON): an object of its attributes each, with some derived ones (`queue_wait`).

    Times are ISO 8601 in UTC, durations seconds, directions names, money is text: exact, never in powers of ten.

    >>> async def lines(calls):
    ...     async with calls:
    ...         async for page in calls.pages():
    ...             yield json_lines(page)
    """
    return _encoder.encode_lines(
        {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in row_of(record).items()}
        for record in records
    )


def _names(record_class: type[Any]) -> tuple[str, ...]:
    return tuple(attribute.name for attribute in fields(record_class) if attribute.name != "extra")


_NAMES = {record_class: _names(record_class) for record_class in (CallRecord, DidCallRecord, FlashCallRecord)}


def _derived(call: CallRecord) -> dict[str, Any]:
    return {
        "queue_wait": None if call.queue_wait is None else call.queue_wait.total_seconds(),
        "hangup_party": call.hangup_party.value,
        "hangup_meaning": None if call.hangup is None else call.hangup.meaning,
    }

"""Records as JSON lines, which may end with a line that says that they are complete. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby, islice
from operator import attrgetter
from typing import Any

import msgspec
from attrs import fields

from nxcdr_async._util.counts import counted
from nxcdr_async._util.moments import EPOCH, TrueTypes
from nxcdr_async._util.validation import as_whole
from nxcdr_async.errors import ConfigurationError, IncompleteError
from nxcdr_async.records.hangup import HangupParty
from nxcdr_async.records.models import CallRecord, DidCallRecord, Direction, FlashCallRecord

DERIVED: Mapping[type[Any], Mapping[str, Any]] = {
    CallRecord: {"queue_wait": float | None, "hangup_party": HangupParty, "hangup_meaning": str | None}
}
"""The derived values in a line beside the attributes of a record, and their types."""

_RECORDS_AT_ONCE = 1_000
"""Records that are rows at the same time: enough to make them by columns, and little memory."""

_LINE_ENDS = [(end.encode(), f"\\u{ord(end):04x}".encode()) for end in "\x85\u2028\u2029"]
"""Line ends of Unicode, which JSON allows as they are, and how they are escaped."""

_AS_THEY_ARE = {str, int, bool, TrueTypes.DATETIME, type(None)}
"""The types of values that need no conversion before they are encoded."""

_CLOSING = {"complete", "records"}
"""The keys of a closing line."""

_encode = msgspec.json.Encoder(decimal_format="string").encode_lines


def json_lines(records: Iterable[Any]) -> bytes:
    """Return records as JSON lines (NDJSON, UTF-8), each an object of a record's attributes and some derived values.

    Times are ISO 8601 in UTC, durations are seconds, directions are names, and money is text: exact, without an
    exponent. Calls also have `queue_wait`, `hangup_party` and `hangup_meaning`.

    Raises:
        ConfigurationError: something is not a record.

    >>> async def lines(calls):
    ...     async with calls:
    ...         async for page in calls.pages():
    ...             yield json_lines(page)
    """
    lines = _encode(row for part in _parts(records) for row in _rows(part))
    # A reader that splits text, and not bytes, into lines would cut a record in two there.
    for end, escaped in _LINE_ENDS:
        lines = lines.replace(end, escaped)
    return lines


def row_of(record: Any) -> dict[str, Any]:
    """Return the object that a record is in JSON lines, its times still datetimes.

    Raises:
        ConfigurationError: it is no record.
    """
    (row,) = _rows([record])
    return row


def _parts(records: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield records in parts that are of one class each."""
    for _, run in groupby(records, type):
        while part := list(islice(run, _RECORDS_AT_ONCE)):
            yield part


def _rows(records: list[Any]) -> Iterator[dict[str, Any]]:
    """Return records of one class as rows, made column by column, as most columns need no conversion."""
    record_class = next((known for known in _NAMES if isinstance(records[0], known)), None)
    if record_class is None:
        raise ConfigurationError(f"json_lines got a {type(records[0]).__name__}: give records of a session")
    names = _NAMES[record_class]
    columns = dict(zip(names, map(_written, zip(*map(attrgetter(*names), records), strict=True)), strict=True))
    if record_class is CallRecord:
        columns["hangup_meaning"] = [call.hangup and call.hangup.meaning for call in records]
    columns["extra"] = [record.extra for record in records]
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _written(column: tuple[Any, ...]) -> Iterable[Any]:
    return column if set(map(type, column)) <= _AS_THEY_ARE else map(_plain, column)


def _plain(value: Any) -> Any:
    if isinstance(value, Direction):
        return value.name.lower()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        # Of a subclass, such as that of pandas: the encoder knows the standard library's class only.
        return EPOCH + (value - EPOCH)
    return f"{value:f}" if isinstance(value, Decimal) else value


def _names(record_class: type[Any]) -> tuple[str, ...]:
    names = tuple(attribute.name for attribute in fields(record_class) if attribute.name != "extra")
    return (*names, "queue_wait", "hangup_party") if record_class is CallRecord else names


_NAMES = {record_class: _names(record_class) for record_class in (CallRecord, DidCallRecord, FlashCallRecord)}


def closing_line(records: int) -> bytes:
    """Return the line that says that the lines before it are complete, and how many: `{"complete":true,"records":2}`.

    Write it as the very last line, where readers expect it; no line of `json_lines` looks like it. A stream that breaks
    off lacks it, even if a proxy ends the response as if it were complete. `LineReader` checks it.

    Args:
        records: how many records were written before it.

    Raises:
        ConfigurationError: that is no whole number from 0 on.

    >>> async def lines(calls):
    ...     count = 0
    ...     async with calls:
    ...         async for page in calls.pages():
    ...             yield json_lines(page)
    ...             count += len(page)
    ...     yield closing_line(count)
    """
    count = as_whole(records)
    if count is None or count < 0:
        raise ConfigurationError(f"records is {records!r}: give how many were written, a whole number from 0 on")
    return msgspec.json.encode({"complete": True, "records": count}) + b"\n"


class LineReader:
    """Reads JSON lines that end with a `closing_line`, one by one, and checks at their end that none is missing.

    >>> def calls_in(lines):
    ...     reader = LineReader()
    ...     calls = [call for line in lines if (call := reader.read(line)) is not None]
    ...     reader.end()
    ...     return calls
    """

    def __init__(self) -> None:
        self._records = 0
        self._is_closed = False
        self._fault: str | None = None

    @property
    def records(self) -> int:
        """How many records were read so far."""
        return self._records

    def read(self, line: bytes | str) -> dict[str, Any] | None:
        """Return the record of a line as a dict, as `json_lines` wrote it; None for the closing line or an empty one.

        Raises:
            IncompleteError: the line was cut off, follows the closing line, or closes another number of records.
        """
        if not line.strip():
            return None
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            row = None
        self._fault = self._fault_of(row) or self._fault
        if row is None or self._fault is not None:
            raise IncompleteError(str(self._fault))
        if row.keys() == _CLOSING:
            self._is_closed = True
            return None
        self._records += 1
        return row

    def end(self) -> None:
        """Check, after the last line, that all records came.

        Raises:
            IncompleteError: the closing line did not come, so records are missing, or `read` refused a line.
        """
        if self._fault is not None:
            raise IncompleteError(self._fault)
        if not self._is_closed:
            raise IncompleteError(
                f"the lines broke off after {counted(self._records, 'record')}: there is no closing line"
            )

    def _fault_of(self, row: Mapping[str, Any] | None) -> str | None:
        if row is None:
            before = counted(self._records, "record")
            return f"the line after {before} is no JSON object: it was cut off, or is none of json_lines"
        if self._is_closed:
            return "a line stands behind the closing line: two streams may have been joined"
        if row.keys() == _CLOSING and (row["complete"] is not True or as_whole(row["records"]) != self._records):
            return f"{counted(self._records, 'record')} came, and the closing line says otherwise"
        return None

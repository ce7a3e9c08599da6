"""JSON lines that say at their end that they are whole, for streams that may break on the way. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from nxcdr_async.arguments import as_whole
from nxcdr_async.errors import ConfigurationError, IncompleteError

__all__ = ["LineReader", "closing_line"]

_CLOSING = {"complete", "records"}
"""The keys of a closing line."""


def closing_line(records: int) -> bytes:
    """Return the line that says that all lines before it are whole, and how many: `{"complete":true,"records":2}`.

    Write it as the very last one, where readers expect it; none of `json_lines` looks like it. A stream that breaks in
    the middle lacks it, even if whatever stands between ends the answer as if it were whole.

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
    """Reads JSON lines that end with a `closing_line`, one by one, and tells at their end whether they came whole.

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
        """Return the record of a line, as `json_lines` wrote it; None for the closing line, and for an empty one.

        Raises:
            IncompleteError: the line was cut off, stands behind the closing line, or closes another number of records.
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
        """Take in that there are no more lines.

        Raises:
            IncompleteError: the closing line did not come, so records are missing, or `read` refused a line.
        """
        if self._fault is not None:
            raise IncompleteError(self._fault)
        if not self._is_closed:
            raise IncompleteError(f"the lines broke off after {self._records} records: there is no closing line")

    def _fault_of(self, row: Mapping[str, Any] | None) -> str | None:
        if row is None:
            return f"the line after {self._records} records is no JSON object: it was cut off, or is none of json_lines"
        if self._is_closed:
            return "a line stands behind the closing line: two streams may have been joined"
        if row.keys() == _CLOSING and (row["complete"] is not True or as_whole(row["records"]) != self._records):
            return f"{self._records} records came, and the closing line says otherwise"
        return None

"""Reading an API that answers with all its rows at once: cdr/queryByOrderId."""

from collections.abc import Mapping
from typing import Any

from nxcdr_async.errors import RecordError
from nxcdr_async.paging.page_reader import PageReader, RowStructurer
from nxcdr_async.protocol.responses import Dated
from nxcdr_async.telemetry.watch import Part


async def read_at_once(
    reader: PageReader, structurer: RowStructurer[Any], parameters: Mapping[str, Any], part: Part
) -> list[Dated]:
    """Return all rows of an answer.

    Args:
        reader: asks for it.
        structurer: turns rows into records.
        parameters: in the vendor's terms.
        part: which part of the records it is, for errors.

    Raises:
        NxcdrError: see `errors`.
    """
    page = await reader.page_with_rows(parameters, part)
    rows: list[Dated] = []
    try:
        structurer.add(page, rows, reader.in_words(part))
    except RecordError as bad:
        raise bad.with_traceback(None) from None  # its frames hold the row as it came
    return rows

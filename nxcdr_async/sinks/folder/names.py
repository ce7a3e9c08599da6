"""How the files of a folder are called: by their table and their window. Pure."""

import re
from datetime import UTC, datetime

from nxcdr_async._util.moments import moment_at
from nxcdr_async.records.arrow import TABLES, Table
from nxcdr_async.windows import Window

_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(?P<table>[a-z_]+)-(?P<start>[0-9]{8}T[0-9]{6}Z)-(?P<end>[0-9]{8}T[0-9]{6}Z)(?P<suffix>\.[a-z]+)")
_TABLES = {table.name: table for table in TABLES.values()}


def file_name(table: Table, window: Window, suffix: str) -> str:
    """Return the name of the file with the rows of a window."""
    start, end = (moment_at(edge).strftime(_TIME) for edge in (window.start, window.end))
    return f"{table.name}-{start}-{end}{suffix}"


def table_and_window(name: str, suffix: str) -> tuple[Table, Window] | None:
    """Return whose rows a file has by its name; None if it is not one of ours."""
    found = _NAME.fullmatch(name)
    if found is None or found["table"] not in _TABLES:
        return None
    try:
        window = Window(_second(found["start"]), _second(found["end"]))
    except ValueError:
        return None
    table = _TABLES[found["table"]]
    return (table, window) if file_name(table, window, suffix) == name and window.seconds > 0 else None


def _second(text: str) -> int:
    return int(datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp())

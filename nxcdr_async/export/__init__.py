"""Records in other shapes: JSON lines, and Arrow tables for stores and data frames. Pure."""

from nxcdr_async.export.closing import LineReader, closing_line
from nxcdr_async.export.lines import json_lines

__all__ = ["LineReader", "closing_line", "json_lines"]

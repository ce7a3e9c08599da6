"""Records in other shapes: JSON lines, and Arrow tables for stores and data frames. Pure."""

from nxcdr_async.export.lines import json_lines

__all__ = ["json_lines"]

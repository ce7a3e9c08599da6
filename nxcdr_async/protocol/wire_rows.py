"""The quick way to read a page of calls: into structs of whatever values came, unknown keys among them. Pure.

No value is checked here: `records.columns` converts those of a page, whole columns at a time, or leaves a row to the
converter.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from nxcdr_async._util.json import decode_plain, read_number
from nxcdr_async.protocol.endpoints import Endpoint
from nxcdr_async.protocol.json_text import UNDECODABLE
from nxcdr_async.protocol.responses import Page, WireRow, page_of, read_code, read_count
from nxcdr_async.records.models import vendor_fields

MOST_UNKNOWN_KEYS = 64
"""Unknown keys that are learned at most; a gateway that makes up ever new ones must not fill the memory."""


class PageDecoder:
    """Decodes the pages of one API into wire rows, and learns unknown keys as they come.

    Args:
        endpoint: an API whose rows stand in a list at the top of its answers.
    """

    def __init__(self, endpoint: Endpoint[Any]) -> None:
        (self._rows_key,) = endpoint.rows_at
        # The vendor writes keys in about this order, and a key that comes next in order is found at once.
        self._known_keys = sorted(vendor_fields(endpoint.record_class), key=str.lower)
        self._unknown_keys: list[str] = []

    def page(self, body: bytes) -> Page | None:
        """Return the page in a body that is a plain success, with dicts where not all rows fit; None for any other."""
        try:
            success = self._decode(body)
        except UNDECODABLE:
            return self._page_of_dicts(body)
        total_rows, total_pages = read_count(success.totalRow), read_count(success.totalPage)
        return Page(getattr(success, self._rows_key), total_rows=total_rows, total_pages=total_pages)

    def _page_of_dicts(self, body: bytes) -> Page | None:
        try:
            envelope = decode_plain(body)
        except UNDECODABLE:
            return None
        if not isinstance(envelope, dict) or read_code(envelope) != 0:
            return None
        rows = envelope.get(self._rows_key)
        if not isinstance(rows, list):
            return None
        return self.page(body) if self._learn(rows) else page_of(envelope, (self._rows_key,))

    def _learn(self, rows: list[Any]) -> bool:
        """Add the unknown keys of rows to those of wire rows; return whether there were any new ones."""
        keys = set(chain.from_iterable(row for row in rows if isinstance(row, dict)))
        new = sorted(filter(_can_be_learned, keys.difference(self._known_keys, self._unknown_keys)))
        new = new[: MOST_UNKNOWN_KEYS - len(self._unknown_keys)]
        if new:
            self._unknown_keys += new
            del self._decode
        return bool(new)

    @cached_property
    def _decode(self) -> Callable[[bytes], Any]:
        unknown = {f"unknown_{number}": key for number, key in enumerate(self._unknown_keys)}
        row_class = msgspec.defstruct(
            "WireRow",
            [(name, Any, UNSET) for name in chain(self._known_keys, unknown)],
            bases=(WireRow,),
            rename=unknown,
            forbid_unknown_fields=True,
            gc=False,  # JSON has no circles
        )
        response_fields: list[Any] = [
            ("code", Literal[0, "0"]),
            (self._rows_key, list[row_class]),  # type: ignore[valid-type]  # made just now
            # Most are not used, but what is not even text must not pass for a success.
            *((key, Any, None) for key in ("msg", "message", "reqId", "requestId", "totalRow", "totalPage")),
        ]
        return msgspec.json.Decoder(msgspec.defstruct("Success", response_fields), float_hook=read_number).decode


def columns_of(rows: Sequence[Any], keys: Collection[str]) -> dict[str, Sequence[Any]]:
    """Return the values of the rows of a page, at least one, under these of the vendor's keys that any row may have.

    They are UNSET where a row lacks the key.
    """
    if isinstance(rows[0], WireRow):
        columns = zip(*map(msgspec.structs.astuple, rows), strict=True)
        fields = zip(rows[0].__struct_encode_fields__, columns, strict=True)
        return {key: values for key, values in fields if key in keys}
    members = [row if isinstance(row, dict) else {} for row in rows]
    return {key: [row.get(key, UNSET) for row in members] for key in keys}


def extras_of(rows: Sequence[Any], keys: Collection[str]) -> list[dict[str, Any] | None]:
    """Return the values that the rows of a page, at least one, have under other keys than these; None without any.

    So a row is equal to itself on another page, whether or not any row there has such a key. There is no column for
    each key, as a gateway may make up ever new ones.
    """
    if not isinstance(rows[0], WireRow):
        members = [row if isinstance(row, dict) else {} for row in rows]
        return [{key: row[key] for key in row if key not in keys} or None for row in members]
    fields = zip(rows[0].__struct_encode_fields__, rows[0].__struct_fields__, strict=True)
    unknown = [(key, name) for key, name in fields if key not in keys]
    if not unknown:
        return [None] * len(rows)
    return [{key: value for key, name in unknown if (value := getattr(row, name)) is not UNSET} or None for row in rows]


def _can_be_learned(key: str) -> bool:
    # msgspec takes no key that JSON has to escape.
    return msgspec.json.encode(key) == f'"{key}"'.encode()

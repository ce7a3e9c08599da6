"""The fast path of cdr/page: rows are decoded and checked at once, and converted when a value is asked for. Pure.

A typed row accepts a part of what the converter accepts, with the same meaning; every other row becomes a dict, which
the converter judges. So a page may have both.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache, cached_property
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeVar

import msgspec
from attrs import NOTHING, define
from cattrs import Converter
from msgspec import UNSET, Meta

from nxcdr_async._util.json import decode_plain, read_number
from nxcdr_async._util.moments import TrueTypes
from nxcdr_async._util.redaction import NO_SECRETS, Redactor
from nxcdr_async.protocol.endpoints import Endpoint
from nxcdr_async.protocol.json_rows import split_body
from nxcdr_async.protocol.json_text import UNDECODABLE, decode_body, read_row
from nxcdr_async.protocol.responses import Page, ReadTyped, RecordRow, page_of, read_code
from nxcdr_async.records.columns import convert_lazy_column
from nxcdr_async.records.converter import (
    EARLIEST_MS,
    SCALARS,
    are_sensible,
    has_only_own_hooks,
    structure_row,
)
from nxcdr_async.records.models import CallRecord, Direction, lazy_records, set_values, vendor_fields

RecordT = TypeVar("RecordT", bound=CallRecord)

MOST_UNKNOWN_KEYS = 64
"""Unknown keys that typed rows learn at most; a gateway that makes up ever new ones must not fill the memory."""

SHARE_WORTH_CONVERTING = 0.25
"""The share of records of which an attribute is asked for, above which its values are converted ahead."""

RECORDS_TO_JUDGE_BY = 100
"""Records after which it is judged which attributes are asked for."""

_LATEST = 253_402_300_799_999
"""Epoch milliseconds: the last of the year 9999, the latest of a datetime."""

_NO_TIMES = {None, 0, "", "0"}
"""What a typed row has in place of a missing time."""

_WIRE_TYPES: dict[Any, Any] = {
    str: Annotated[str, Meta(min_length=1)],
    str | None: str | int | None,
    int | None: int | None | Literal[""],
    bool | None: bool | None | Literal[""],
    Direction | None: int | None | Literal[""],
    Decimal | None: Decimal | None,
    TrueTypes.DATETIME: Annotated[int, Meta(ge=EARLIEST_MS, le=_LATEST)],
    TrueTypes.DATETIME | None: Annotated[int, Meta(ge=0, le=_LATEST)] | None | Literal["", "0"],
}
"""What the value of an attribute may be in a typed row, chosen so that the converter's hook cannot refuse it."""

_PLAIN: dict[Any, type] = {str: str, str | None: str, int | None: int, bool | None: bool, Decimal | None: Decimal}
"""The class of values that need no conversion, as the converter would return them unchanged."""


class TypedRow(msgspec.Struct):
    """A `LazyRow` of checked values; its subclasses are made from the record classes.

    Its id and its start are called `identity` and `start_ms`, as in `Row`; all else has the vendor's names.
    """

    if TYPE_CHECKING:
        identity: str
        start_ms: int
    converters: ClassVar[Mapping[str, Any]]
    access_counts: ClassVar[Counter[str]]
    unknown: ClassVar[Mapping[str, str]]

    @property
    def extra(self) -> dict[str, Any]:
        """The values of unknown keys."""
        return {key: value for key, name in self.unknown.items() if (value := getattr(self, name)) is not UNSET}

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RecordRow):
            (record,) = lazy_records(type(other.record), [self])
            return bool(record == other.record)
        # Rows that came before and after a key was learned are of two classes, and may be the same row.
        return isinstance(other, TypedRow) and msgspec.to_builtins(self) == msgspec.to_builtins(other)

    __hash__ = None  # type: ignore[assignment]


class TypedRows(Generic[RecordT]):
    """Reads the typed rows of one API for one converter, and learns unknown keys as they come.

    Args:
        endpoint: an API whose record class has times in epoch milliseconds.
        converter: converts the values.
        redactor: keeps secrets out of errors.
    """

    def __init__(self, endpoint: Endpoint[RecordT], converter: Converter, redactor: Redactor = NO_SECRETS) -> None:
        self.converter = converter
        self._redactor = redactor
        self._record_class = endpoint.record_class
        self._attributes = vendor_fields(endpoint.record_class)
        self._kinds = {self._record_class, *SCALARS, *(attribute.type for attribute in self._attributes.values())}
        money = [key for key, attribute in self._attributes.items() if attribute.type == Decimal | None]
        self._amounts = [attrgetter(key) for key in money]
        self._times = attrgetter(
            *(key for key, kind in self._attributes.items() if kind.type == TrueTypes.DATETIME | None)
        )
        (self._rows_key,) = endpoint.rows_at
        self._names = {endpoint.id_key: "identity", endpoint.start_key: "start_ms"}
        self._unknown: dict[str, str] = {}
        self._access_counts: Counter[str] = Counter()
        self._handed_out = 0
        # Everyone asks for the id and the start.
        self._converted_ahead = [self._attributes[key].name for key in self._names]

    def page(self, body: bytes) -> Page | None:
        """Return the page in a body that is a plain success; None for any other."""
        try:
            rows = getattr(self._decoders.response(body), self._rows_key)
        except UNDECODABLE:
            return self._page_row_by_row(body)
        return Page(rows, is_typed=True) if self._is_sensible(rows) else self._page_row_by_row(body)

    def reading(self) -> ReadTyped:
        """Return what reads the pages of one query: None for each, if the converter has hooks of the user's by then."""

        @cache
        def is_safe() -> bool:
            return has_only_own_hooks(self.converter, self._kinds)

        return lambda body: self.page(body) if is_safe() else None

    def record(self, row: Any) -> RecordT:
        """Return the record of a row of a page.

        Raises:
            RecordError: it cannot be one.
        """
        if not isinstance(row, TypedRow):
            return structure_row(self.converter, row, self._record_class, redactor=self._redactor)
        (record,) = self._make_records([row])
        return record

    def records(self, calls: list[Any]) -> list[RecordT]:
        """Return the records of calls that are to be handed out, typed rows or records already."""
        self._choose_converted_ahead(len(calls))
        if RecordRow not in set(map(type, calls)):
            return self._make_records(calls)
        return [call.record if isinstance(call, RecordRow) else self.record(call) for call in calls]

    def _choose_converted_ahead(self, count: int) -> None:
        """Convert the attributes ahead that many records were asked for: a column costs a fifth of one by one."""
        if self._handed_out >= RECORDS_TO_JUDGE_BY:
            counts = list(self._access_counts.items())  # at once, as another thread may read records meanwhile
            often = {name for name, times in counts if times > self._handed_out * SHARE_WORTH_CONVERTING}
            self._converted_ahead += sorted(often.difference(self._converted_ahead))
            self._access_counts.clear()
            self._handed_out = 0
        self._handed_out += count

    def _make_records(self, rows: list[Any]) -> list[RecordT]:
        records = lazy_records(self._record_class, rows)
        for name in self._converted_ahead if records else ():
            set_values(records, name, convert_lazy_column(rows, name))
        return records

    def _page_row_by_row(self, body: bytes) -> Page | None:
        """Return the page in a body with a row that is not as expected; None if it is no success."""
        try:
            envelope, raw_rows = self._split(body)
        except (*UNDECODABLE, KeyError):
            return None
        if read_code(envelope) != 0:
            return None
        return page_of({**envelope, self._rows_key: list(map(self._row, raw_rows))}, (self._rows_key,))

    def _split(self, body: bytes) -> tuple[dict[str, Any], Sequence[bytes | msgspec.Raw]]:
        """Return an envelope, and its rows as they came.

        Raises:
            Exception: one of `UNDECODABLE`, or KeyError: it cannot be found where the rows are.
        """
        try:
            envelope = _decode_envelope(body)
            raw_rows = _decode_list(envelope.pop(self._rows_key))
            return {key: decode_plain(raw) for key, raw in envelope.items()}, raw_rows
        except UNDECODABLE:
            split = split_body(body, (self._rows_key,))
            if split is None:
                raise
            return decode_body(split.envelope), split.rows

    def _row(self, raw: bytes | msgspec.Raw) -> Any:
        try:
            row = self._decoders.row(raw)
        except UNDECODABLE:
            plain = read_row(bytes(raw))
            return self._row(raw) if self._learn(plain) else plain
        return row if self._is_sensible([row]) else read_row(bytes(raw))

    def _is_sensible(self, rows: list[Any]) -> bool:
        """Return whether all amounts and times are of a sensible size; all else was checked as it was decoded."""
        times = set(chain.from_iterable(map(self._times, rows))) - _NO_TIMES
        if min(times, default=EARLIEST_MS) < EARLIEST_MS:
            return False
        return are_sensible([amount for get in self._amounts for amount in map(get, rows) if amount is not None])

    def _learn(self, row: Any) -> bool:
        """Add the unknown keys of a row to those of typed rows; return whether there were any new ones."""
        keys = row.keys() - self._attributes.keys() - self._unknown.keys() if isinstance(row, dict) else ()
        room = MOST_UNKNOWN_KEYS - len(self._unknown)
        new = sorted(filter(_can_be_learned, keys))[:room]
        for key in new:
            self._unknown[key] = f"unknown_{len(self._unknown)}"
        if new:
            del self._decoders
        return bool(new)

    @cached_property
    def _decoders(self) -> "_Decoders":
        row_class = self._row_class()
        response_fields: list[Any] = [
            ("code", Literal[0, "0"]),
            (self._rows_key, list[row_class]),  # type: ignore[valid-type]
            # Not used, but what is not even text must not pass for a success.
            *((key, Any, None) for key in ("msg", "message", "reqId", "requestId")),
        ]
        response_class = msgspec.defstruct("TypedReply", response_fields)
        return _Decoders(response=_decoder_of(response_class), row=_decoder_of(row_class))

    def _row_class(self) -> type[Any]:
        # The vendor writes keys in about this order, and a key that comes next in order is found at once.
        known = [self._known_field(key) for key in sorted(self._attributes, key=str.lower)]
        unknown = [(name, Any, UNSET) for name in self._unknown.values()]
        return msgspec.defstruct(
            "TypedRow",
            [*known, *unknown],
            bases=(TypedRow,),
            namespace={
                "converters": self._converters,
                "access_counts": self._access_counts,
                "unknown": dict(self._unknown),
            },
            rename={name: key for key, name in (self._names | self._unknown).items()},
            forbid_unknown_fields=True,
            kw_only=True,
            # Only the value of an unknown key can refer to others; without one the garbage collector need not look.
            gc=bool(unknown),
        )

    def _known_field(self, key: str) -> Any:
        attribute, name = self._attributes[key], self._names.get(key, key)
        wire_type = _WIRE_TYPES[attribute.type]
        return (name, wire_type) if attribute.default is NOTHING else (name, wire_type, None)

    @cached_property
    def _converters(self) -> Mapping[str, Any]:
        converters = {
            attribute.name: (
                self._names.get(key, key),
                _PLAIN.get(attribute.type),
                self.converter.get_structure_hook(attribute.type),
                attribute.type,
            )
            for key, attribute in self._attributes.items()
        }
        return {**converters, "extra": ("extra", dict, lambda extra, _: extra, dict)}


@define(frozen=True)
class _Decoders:
    response: Callable[[bytes], Any]
    row: Callable[[bytes | msgspec.Raw], Any]


_decode_envelope = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _decoder_of(struct_class: type[Any]) -> Callable[[Any], Any]:
    return msgspec.json.Decoder(struct_class, float_hook=read_number).decode


def _can_be_learned(key: str) -> bool:
    # msgspec takes no key that JSON has to escape.
    return msgspec.json.encode(key) == f'"{key}"'.encode()

"""Responses of the gateways: bytes to rows, or the error they stand for. Pure."""

from collections.abc import Callable, Mapping
from datetime import UTC
from decimal import Decimal
from email.utils import parsedate_to_datetime
from operator import attrgetter
from typing import Any

import msgspec
from attrs import define, evolve, field
from msgspec import UNSET

from nxcdr_async._util.redaction import Redactor
from nxcdr_async.errors import (
    GatewayError,
    MalformedReplyError,
    NxcdrError,
)
from nxcdr_async.protocol.charset import in_utf8
from nxcdr_async.protocol.codes import Meaning, has_no_body, is_partial, is_success, name_of, status_meaning
from nxcdr_async.protocol.json_rows import is_cut_off, split_body
from nxcdr_async.protocol.json_text import UNDECODABLE, decode_body, fault_in, read_row
from nxcdr_async.records.converter import are_sensible

LONGEST_RETRY_AFTER = 300.0
"""Seconds; a gateway that asks for a longer pause gets an error handed to the user instead of a silent sleep."""

MOST_ROWS = 10**12
"""A count above this is no count."""

_UNPACKED = {"", "identity", "gzip", "deflate"}
"""What is told of bodies that came as they are, or were unpacked by the connection; what else it is, is left packed."""

_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""How gzip and zstd begin, and no text does."""

_LONGEST_CODING = 40
"""Characters of it that a message shows."""

REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-correlation-id", "x-trace-id", "x-amzn-trace-id", "cf-ray")
"""Where servers and proxies put the id of a request, where the body does not."""


@define(frozen=True)
class Response:
    """An HTTP response, read to its end.

    Attributes:
        status: the HTTP status.
        headers: found by their names in lower case.
        body: the decoded body.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Row(msgspec.Struct, gc=False, frozen=True):
    """A record on its way, with what it is sorted and told apart by.

    Attributes:
        start_ms: the time it is sorted by, epoch milliseconds.
        identity: its id, None without one.
        values: its `RecordValues`, or the record itself where a converter with hooks of the user's made it.
    """

    start_ms: float
    identity: Any
    values: Any


class WireRow(msgspec.Struct):
    """A row of a page as it came, quicker than a dict: its subclasses have a field for each of the vendor's keys.

    A field holds any value of JSON, or UNSET where the row lacks its key.
    """

    def as_dict(self) -> dict[str, Any]:
        """Return the row as it would be without this class."""
        values = zip(self.__struct_encode_fields__, msgspec.structs.astuple(self), strict=True)
        return {key: value for key, value in values if value is not UNSET}


def column_of(rows: list[Any], key: str) -> list[Any]:
    """Return the values of rows of a page under a key; None, or UNSET, where a row has none, or is no object."""
    if rows and isinstance(rows[0], WireRow):
        return list(map(attrgetter(key), rows))
    return [row.get(key) if isinstance(row, dict) else None for row in rows]


@define(frozen=True)
class Page:
    """The rows of one response.

    Attributes:
        rows: as decoded from JSON, numbers with a fraction as Decimal: all wire rows, or else mostly dicts. A row that
            is no JSON is an `UnreadableRow`.
        is_vague: True when the response said success but `data` was null, absent or {}: perhaps no rows, perhaps a
            fault.
        total_rows: how many rows there are in all, where the vendor says so.
        total_pages: how many pages, where the vendor says so.
    """

    rows: list[Any] = field(repr=False)
    is_vague: bool = False
    total_rows: int | None = None
    total_pages: int | None = None


ReadSuccess = Callable[[bytes], Page | None]
"""A quicker way to read the body of a plain success; None for any other body."""


def plain_page(response: Response, read_success: ReadSuccess) -> Page | None:
    """Return the rows of a plain success by a quicker way; None for any other response, which `parse_page` reads."""
    if response.status != 200:  # noqa: PLR2004 - HTTP's plain success
        return None
    return read_success(in_utf8(response.body, response.headers.get("content-type")))


def parse_page(
    response: Response,
    *,
    rows_at: tuple[str, ...],
    codes: Mapping[int, Meaning],
    now: float,
    redactor: Redactor,
    is_single: bool = False,
) -> Page:
    """Return the rows of a response.

    Args:
        response: the response.
        rows_at: the keys that lead to the rows.
        codes: what its result codes mean.
        now: the gateway's time, epoch seconds, to read a `Retry-After` date against.
        redactor: takes out the secrets, which never get into an error, even if the gateway sends them back.
        is_single: whether one row stands where others have a list of them.

    Raises:
        GatewayError: the gateway refused; the subclass and the code say why.
        MalformedReplyError: the response is not what the vendor documents.
    """
    response = evolve(response, body=in_utf8(response.body, response.headers.get("content-type")))
    envelope = _decode(response.body, rows_at)
    if is_single and envelope is not None:
        envelope = _listed(envelope, rows_at[-1])
    try:
        return _page_in(envelope, response, rows_at, codes, now=now, redactor=redactor)
    except NxcdrError as error:
        request_id = _request_id_of(envelope) or request_id_in(response.headers)
        error.request_id = redactor.line(request_id) if request_id else None
        raise


def request_id_in(headers: Mapping[str, str]) -> str | None:
    """Return the id of a request in the headers of its response, as it came."""
    return next((headers[name] for name in REQUEST_ID_HEADERS if headers.get(name)), None)


def _request_id_of(envelope: Mapping[str, Any] | None) -> str | None:
    found = (envelope or {}).get("reqId") or (envelope or {}).get("requestId")
    return str(found) if found else None


def _page_in(
    envelope: Mapping[str, Any] | None,
    response: Response,
    rows_at: tuple[str, ...],
    codes: Mapping[int, Meaning],
    *,
    now: float,
    redactor: Redactor,
) -> Page:
    if is_partial(response.status):
        raise MalformedReplyError(
            f"the reply is only a part of an answer (HTTP {response.status}), which nobody asked for: does a cache or "
            "a proxy stand in front of the gateway?",
            is_whole=True,
        )
    if envelope is None:
        raise _without_envelope(response, now)
    code = read_code(envelope)
    if not is_success(response.status) or code:
        raise _refusal(response, envelope, code, codes, now=now, redactor=redactor)
    if code is None:
        raise MalformedReplyError("the reply has no result code; is this address a gateway of the vendor?")
    return page_of(envelope, rows_at)


def _decode(body: bytes, rows_at: tuple[str, ...]) -> Mapping[str, Any] | None:
    try:
        envelope = decode_body(body)
    except UNDECODABLE:
        return _decode_row_by_row(body, rows_at)
    return envelope if isinstance(envelope, dict) else None


def _listed(envelope: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an envelope with the one row of it in a list, as other APIs have theirs."""
    row = envelope.get(key)
    return {**envelope, key: [row]} if row and isinstance(row, dict) else envelope


def _decode_row_by_row(body: bytes, rows_at: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Decode a body of which some row is no JSON."""
    split = split_body(body, rows_at)
    if split is None:
        return None
    try:
        envelope = decode_body(split.envelope)
        holder = envelope
        for key in rows_at[:-1]:
            holder = holder[key]
        holder[rows_at[-1]] = list(map(read_row, split.rows))
    except (*UNDECODABLE, TypeError):  # the keys may stand there twice, and lead elsewhere
        return None
    return envelope if isinstance(envelope, dict) else None


def read_code(envelope: Mapping[str, Any]) -> int | None:
    """Return the result code of a response, None if it has no readable one."""
    code = envelope.get("code")
    if isinstance(code, bool) or not isinstance(code, int | str):
        return None
    try:
        return int(code)
    except ValueError:
        return None


def text_of(value: Any) -> str | None:
    """Return a value of a row as text, None for what is no plain value: 5, 5.0 and "5" are one."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value:.0f}" if are_sensible([value]) and value == value.to_integral_value() else None
    return str(value) if isinstance(value, int | str) else None


def page_of(envelope: Mapping[str, Any], rows_at: tuple[str, ...]) -> Page:
    """Return the rows of a success.

    Raises:
        MalformedReplyError: there is something else where they belong.
    """
    found: Any = envelope
    holder: Mapping[str, Any] = envelope
    for key in rows_at:
        if found is None or found == []:
            break
        if not isinstance(found, dict):
            raise MalformedReplyError(f"the reply holds {type(found).__name__} where an object with {key!r} belongs")
        holder, found = found, found.get(key)
    total_rows, total_pages = read_count(holder.get("totalRow")), read_count(holder.get("totalPage"))
    if found is None or found == {}:
        return Page([], is_vague=total_rows != 0, total_rows=total_rows, total_pages=total_pages)
    if not isinstance(found, list):
        raise MalformedReplyError(f"the reply holds {type(found).__name__} where a list of rows belongs")
    return Page(found, total_rows=total_rows, total_pages=total_pages)


def read_count(value: Any) -> int | None:
    """Return a count of rows or pages that a response tells, None if it is no sensible one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_ROWS else None


def _without_envelope(response: Response, now: float) -> NxcdrError:
    if not is_success(response.status):
        name = name_of(response.status)
        message = f"there is no readable answer{f', but {name}' if name else ''}"
        return _by_status(response, message, {"http_status": response.status}, now)
    return _unreadable(response)


def _unreadable(response: Response) -> MalformedReplyError:
    """Return the error of a success whose body cannot be read."""
    if not response.body.strip():
        if has_no_body(response.status):
            return MalformedReplyError(
                f"the reply is empty, as its status says (HTTP {response.status})", is_whole=True
            )
        return MalformedReplyError("the reply is empty")
    coding = response.headers.get("content-encoding", "").strip().lower()
    if response.body.startswith(_PACKED) or coding not in _UNPACKED:
        return MalformedReplyError(
            "the reply is packed in a way that was not asked for: something in front of the gateway packs it "
            f"{f'as {coding[:_LONGEST_CODING]!r}' if coding else 'and does not say so'}",
            is_whole=True,
        )
    if response.body.lstrip()[:1] == b"<":
        return MalformedReplyError(
            "the reply is a web page, not JSON: a proxy, a maintenance page, or an address that is no gateway",
        )
    if is_cut_off(response.body):
        return MalformedReplyError(
            f"the reply was cut off: it ends after {len(response.body)} bytes, in the middle of JSON"
        )
    return MalformedReplyError(
        f"the reply is no JSON object: {fault_in(response.body) or 'it is another value'}", is_whole=True
    )


def _refusal(
    response: Response,
    envelope: Mapping[str, Any],
    code: int | None,
    codes: Mapping[int, Meaning],
    *,
    now: float,
    redactor: Redactor,
) -> GatewayError:
    reason = envelope.get("msg") or envelope.get("message") or envelope.get("info")
    message = redactor.line(reason) if isinstance(reason, str) and reason else "the gateway refused without a reason"
    facts: dict[str, Any] = {"code": code, "http_status": response.status}
    known = codes.get(code or 0)
    if not code or response.status == 429 or (known is None and not is_success(response.status)):  # noqa: PLR2004 - HTTP
        return _by_status(response, message, facts, now)
    meaning = known or (GatewayError, "a code nobody has documented")
    return _made(message, meaning, facts, response, now=now)


def _by_status(response: Response, message: str, facts: dict[str, Any], now: float) -> GatewayError:
    return _made(message, status_meaning(response.status), facts, response, now=now)


def _made(message: str, meaning: Meaning, facts: dict[str, Any], response: Response, *, now: float) -> GatewayError:
    kind, hint = meaning
    pause = read_retry_after(response.headers.get("retry-after"), now=now)
    if pause is not None and pause > LONGEST_RETRY_AFTER:
        hint = f"{hint}; it asks for a pause of {pause:,.15g} s, which is longer than a session waits"
    return kind(message, retry_after=pause, hint=hint, **facts)


def read_retry_after(value: str | None, *, now: float) -> float | None:
    """Read a `Retry-After` header: seconds, also a fraction, or a date (against `now`, the gateway's epoch seconds)."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

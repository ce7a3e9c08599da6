"""The switches of a running emulator, and the faults that it can inject."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from attrs import Attribute, define, field, setters, validators

from nxcdr_async._util.validation import is_number, is_whole

FaultKind = Literal[
    "429",
    "429-retry-after",
    "429-retry-after-date",
    "503",
    "502",
    "88",
    "99",
    "1004",
    "empty",
    "truncated",
    "close",
    "reset",
    "cut-chunked",
    "html",
    "hang",
    "stall",
    "wrong-content-type",
    "gzip",
    "chunked",
    "no-rows",
]
"""Ways a reply can go wrong, or just be unusual.

"429", "502" and "503" are a proxy's HTML page; "429-retry-after" adds `Retry-After: 1`, "429-retry-after-date" the
date two seconds later by the emulator's clock. "88", "99" and "1004" are HTTP 200 with that code. "empty" is HTTP 200
without a body, "truncated" ends well in the middle of the JSON, "html" is HTTP 200 with a web page. "close" ends the
connection before a byte of the reply, "reset" in the middle of a body of known length, "cut-chunked" before the last
chunk of one in chunks. "hang" never answers, "stall" falls silent in the middle of the body. "wrong-content-type",
"gzip" and "chunked" carry the genuine reply, unusually packed. "no-rows" is a success that tells of no rows though
there are some, as of a gateway that is short of breath.

A connection that is refused is no reply; `gateway.stop()` makes one.
"""

EVERY_KIND: tuple[FaultKind, ...] = get_args(FaultKind)

FAULT_KINDS: tuple[FaultKind, ...] = tuple(kind for kind in EVERY_KIND if kind != "no-rows")
"""All but "no-rows", which a client cannot know from the truth where it is told twice."""

RowFaultKind = Literal["tab", "bad-utf8", "nan", "broken"]
"""Ways a single row can go wrong, while the rest of its reply is right; it has a further key `remark` for it.

"tab" has a raw TAB in a text, which JSON has to escape but which means one thing only. "bad-utf8" has half a character,
"nan" a NaN, "broken" a quote in a text that is not escaped: such a row cannot be a record.
"""

ROW_FAULT_KINDS: tuple[RowFaultKind, ...] = get_args(RowFaultKind)
"""All of them."""

Order = Literal["ascending", "descending", "shuffled"]
EndpointName = Literal["calls", "order", "did", "flash", "flash_call", "recording"]

DateMode = Literal["running", "frozen", "absent"]

_checked = setters.validate


def one_of(words: Sequence[str]) -> Callable[[object, "Attribute[Any]", object], None]:
    """Return a validator that says which words there are, and which came instead."""

    def check(_owner: object, attribute: "Attribute[Any]", word: object) -> None:
        if word not in words:
            raise ValueError(f"{attribute.name} is {word!r}: give one of {', '.join(map(repr, words))}")

    return check


def _check_latency(_switches: object, _attribute: object, latency: object) -> None:
    if not (isinstance(latency, tuple | list) and len(latency) == 2 and all(is_number(seconds) for seconds in latency)):  # noqa: PLR2004 - the least and the most
        raise ValueError(f"latency is {latency!r}: give the least and the most seconds, such as (0.05, 0.1)")


def _check_number(_switches: object, attribute: "Attribute[Any]", seconds: object) -> None:
    if not is_number(seconds):
        raise ValueError(f"{attribute.name} is {seconds!r}: give seconds, such as 86400.0")


def _check_share(_switches: object, attribute: "Attribute[Any]", share: object) -> None:
    if not (is_number(share) and 0 <= share <= 1):
        raise ValueError(f"{attribute.name} is {share!r}: give a share from 0 to 1, such as 0.01")


def _check_charset(_switches: object, attribute: "Attribute[Any]", charset: object) -> None:
    if not isinstance(charset, str) or not _is_known(charset):
        raise ValueError(f"{attribute.name} is {charset!r}: give a charset that Python knows, such as 'gbk'")


def _is_known(charset: str) -> bool:
    try:
        "".encode(charset)
    except LookupError:
        return False
    return True


def _check_declared(_switches: object, attribute: "Attribute[Any]", charset: object) -> None:
    if charset is not None and not (isinstance(charset, str) and charset.isascii() and charset.isprintable()):
        raise ValueError(f"{attribute.name} is {charset!r}: give what the header is to say, such as 'gbk'")


def _check_relays(_switches: object, _attribute: object, relays: object) -> None:
    if not (isinstance(relays, tuple | list) and all(is_number(seconds) for seconds in relays)):
        raise ValueError(f"relays is {relays!r}: give the seconds each relay's clock is ahead, such as (0.0, 300.0)")


def _check_depth(_switches: object, attribute: "Attribute[Any]", depth: object) -> None:
    if depth is not None and not (is_whole(depth) and depth >= 1):
        raise ValueError(f"{attribute.name} is {depth!r}: give a whole number of rows, at least 1, or None")


def _check_code(_switches: object, attribute: "Attribute[Any]", code: object) -> None:
    if code is not None and not (is_whole(code) and code != 0):
        raise ValueError(f"{attribute.name} is {code!r}: give a result code, which is a whole number other than 0")


def _check_span(_switches: object, attribute: "Attribute[Any]", seconds: object) -> None:
    if seconds is not None and not (is_number(seconds) and seconds > 0):
        raise ValueError(f"{attribute.name} is {seconds!r}: give seconds, more than 0, or None")


def _check_delay(_switches: object, attribute: "Attribute[Any]", seconds: object) -> None:
    if seconds is not None and not (is_number(seconds) and seconds >= 0):
        raise ValueError(f"{attribute.name} is {seconds!r}: give seconds, at least 0, or None")


def _check_late(_switches: object, attribute: "Attribute[Any]", late: object) -> None:
    if not (
        isinstance(late, tuple | list)
        and all(isinstance(part, tuple | list) and len(part) == 2 and all(map(is_number, part)) for part in late)  # noqa: PLR2004 - a share and seconds
        and all(share >= 0 and seconds >= 0 for share, seconds in late)
        and sum(share for share, _ in late) <= 1
    ):
        raise ValueError(f"{attribute.name} is {late!r}: give shares up to 1 with seconds, such as ((0.02, 3600.0),)")


def _check_legs(_switches: object, attribute: "Attribute[Any]", legs: object) -> None:
    if not (is_whole(legs) and legs >= 1):
        raise ValueError(f"{attribute.name} is {legs!r}: give a whole number, at least 1")


@define
class Switches:
    """How the emulator behaves where the vendor's documents are silent, and how badly. Read anew for each request.

    Attributes:
        latency: seconds each reply takes, drawn evenly between the two; (0, 0) answers at once.
        max_in_flight: more requests than this at once are refused with HTTP 429; None for no limit.
        max_per_second: more requests than this in a second are refused with HTTP 429; None for no limit.
        retry_after: seconds named in the `Retry-After` header of those refusals; None leaves the header out.
        fault_rate: share of the requests (0 to 1) that meet one of `faults`.
        faults: the kinds of faults to choose from.
        row_fault_rate: share of the rows (0 to 1), chosen by their ids, that always come with one of `row_faults`.
        row_faults: the kinds of faults of rows to choose from.
        charset: what the bodies are written in; a character that it lacks is escaped.
        declared_charset: what the header says of it; None for the truth.
        order: order of cdr/page and did/cdr: by start time, the newest first ("descending", as in the vendor's sample)
            or the earliest, or none ("shuffled"), but the same on every page.
        flash_order: order of the flash list, whose documentation tells to go on from its last row: the earliest first.
        start_inclusive: whether a row at exactly `startTime` belongs to the range.
        end_inclusive: whether a row at exactly `endTime` belongs to the range.
        compare_whole_seconds: whether a row's milliseconds are dropped before it is compared with the range.
        filter_by: which time of a call the range of cdr/page is about, its "start" or its "end".
        publish_delay: seconds after its end before a call shows up (a flash call: after it was made), by the emulator's
            clock; None shows everything at once, even calls in its future.
        late_calls: shares of the calls, chosen by their ids, and the seconds that these show up later still: one in
            fifty by an hour is ((0.02, 3600.0),). Counts only with `publish_delay`.
        price_delay: seconds after a call's end before its price is in its row, which is 0 until then, by the emulator's
            clock; None for at once.
        record_url_delay: seconds after a call's end before the addresses of its recording and message are in its row;
            None for at once.
        repeat_last_page: whether a page beyond the last answers the last page again instead of nothing.
        ignore_page: whether the page number is ignored, so that each page is page 1.
        ignore_range: whether the range of cdr/page and the flash list, and the date of did/cdr, are ignored.
        ignore_filters: whether all that narrows an answer besides its range is ignored; of an order, the answer is then
            the earliest hundred calls.
        page_cap: rows a page or a list holds at most, however many are asked for; None for no cap.
        page_overlap: rows at the head of each further page of cdr/page that already stood at the end of the one before.
        arrivals_per_page: new calls that turn up after each reply of cdr/page, at random past times inside the range.
        empty_as: how cdr/page writes "no rows": as a "list" ([]), "null" or "object" ({}).
        date: what the `Date` header does: it is "running" with the emulator's clock, "frozen" at its first reply, or
            "absent". Timestamps are checked by the emulator's clock in any case.
        date_offset: seconds it is ahead of the emulator's clock, as a relay's may be; negative for behind.
        date_drift: seconds it gains in each second after the first reply; negative for loses.
        relays: seconds added to it, one after the other by turns: replies come through relays with clocks of their own.
        depth_cap: rows of an answer that cdr/page and did/cdr show at most, however many pages are asked for; the pages
            behind them are empty. None for no cap.
        depth_cap_code: those pages are refused with this result code instead; None leaves them empty.
        max_span: seconds between the ends of a range of cdr/page or the flash list, beyond which it is refused; None
            for no such limit.
        max_span_code: the result code of that refusal.
        retention: seconds that the gateway looks back, by the emulator's clock: a range of cdr/page or the flash list
            that begins earlier is refused, and so is a day of did/cdr that ended earlier. None for no such limit.
        retention_code: the result code of that refusal; None answers with what is younger, and with nothing of what is
            not.
        recording_redirect: whether the address of a recording answers with a redirect (302) to its file.
        recording_delay: seconds after a call's end before the file is there (404 until then); None for at once.
        recording_retention: seconds after a call's end that the file is kept (404 then); None for ever.
        recording_rate: bytes a second that a file comes with; None as fast as can be.
        recording_ranges: whether a part of a file can be asked for (`Range`).
        language: of the explanations beside result codes: Chinese ("zh") or English ("en").
        redirect_to: URL every request is redirected to (302); None for none.
        extra_keys: keys merged into each row.
        legs: how many calls of cdr/page, one after the other, share a call id, as the legs of a transfer may; 1 gives
            each call an id of its own.
    """

    latency: tuple[float, float] = field(default=(0.0, 0.0), validator=_check_latency, on_setattr=_checked)
    max_in_flight: int | None = None
    max_per_second: float | None = None
    retry_after: int | None = None
    fault_rate: float = 0.0
    faults: list[FaultKind] = field(
        factory=lambda: ["429", "503", "99"],
        validator=validators.deep_iterable(one_of(EVERY_KIND)),
        on_setattr=_checked,
    )
    row_fault_rate: float = field(default=0.0, validator=_check_share, on_setattr=_checked)
    row_faults: list[RowFaultKind] = field(
        factory=lambda: list(ROW_FAULT_KINDS),
        validator=validators.deep_iterable(one_of(ROW_FAULT_KINDS)),
        on_setattr=_checked,
    )
    charset: str = field(default="utf-8", validator=_check_charset, on_setattr=_checked)
    declared_charset: str | None = field(default=None, validator=_check_declared, on_setattr=_checked)
    order: Order = field(default="descending", validator=one_of(get_args(Order)), on_setattr=_checked)
    flash_order: Order = field(default="ascending", validator=one_of(get_args(Order)), on_setattr=_checked)
    start_inclusive: bool = True
    end_inclusive: bool = True
    compare_whole_seconds: bool = False
    filter_by: Literal["start", "end"] = field(default="start", validator=one_of(("start", "end")), on_setattr=_checked)
    publish_delay: float | None = None
    late_calls: tuple[tuple[float, float], ...] = field(default=(), validator=_check_late, on_setattr=_checked)
    price_delay: float | None = field(default=None, validator=_check_delay, on_setattr=_checked)
    record_url_delay: float | None = field(default=None, validator=_check_delay, on_setattr=_checked)
    repeat_last_page: bool = False
    ignore_page: bool = False
    ignore_range: bool = False
    ignore_filters: bool = False
    page_cap: int | None = None
    page_overlap: int = 0
    arrivals_per_page: int = 0
    empty_as: Literal["list", "null", "object"] = field(
        default="list", validator=one_of(("list", "null", "object")), on_setattr=_checked
    )
    date: DateMode = field(default="running", validator=one_of(get_args(DateMode)), on_setattr=_checked)
    date_offset: float = field(default=0.0, validator=_check_number, on_setattr=_checked)
    date_drift: float = field(default=0.0, validator=_check_number, on_setattr=_checked)
    relays: tuple[float, ...] = field(default=(), validator=_check_relays, on_setattr=_checked)
    depth_cap: int | None = field(default=None, validator=_check_depth, on_setattr=_checked)
    depth_cap_code: int | None = field(default=None, validator=_check_code, on_setattr=_checked)
    max_span: float | None = field(default=None, validator=_check_span, on_setattr=_checked)
    max_span_code: int = field(default=1002, validator=_check_code, on_setattr=_checked)
    retention: float | None = field(default=None, validator=_check_span, on_setattr=_checked)
    retention_code: int | None = field(default=41000, validator=_check_code, on_setattr=_checked)
    recording_redirect: bool = False
    recording_delay: float | None = field(default=None, validator=_check_delay, on_setattr=_checked)
    recording_retention: float | None = field(default=None, validator=_check_span, on_setattr=_checked)
    recording_rate: float | None = field(default=None, validator=_check_span, on_setattr=_checked)
    recording_ranges: bool = True
    language: Literal["zh", "en"] = field(default="zh", validator=one_of(("zh", "en")), on_setattr=_checked)
    redirect_to: str | None = None
    extra_keys: dict[str, Any] = field(factory=dict)
    legs: int = field(default=1, validator=_check_legs, on_setattr=_checked)

    def capped(self, size: int) -> int:
        """Return how many rows an answer holds of which so many were asked for."""
        return size if self.page_cap is None else min(size, self.page_cap)

    def bounds_ms(self, start: int, end: int) -> tuple[int, int]:
        """Return the half-open range of epoch milliseconds that a range of epoch seconds means."""
        moment = 1000 if self.compare_whole_seconds else 1
        first = start * 1000 if self.start_inclusive else start * 1000 + moment
        last = end * 1000 + moment if self.end_inclusive else end * 1000
        return first, last

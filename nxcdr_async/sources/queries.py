"""What can be asked for: filters in the user's terms to parameters in the vendor's. Pure."""

from collections.abc import Mapping
from datetime import date, datetime, tzinfo
from typing import Any

from attrs import define

from nxcdr_async._util.moments import moment_at
from nxcdr_async._util.validation import as_text, as_whole
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.protocol.filter_check import Filter, answered_filter, direction_filter, id_filter, text_filter
from nxcdr_async.records.converter import to_local
from nxcdr_async.records.models import Direction
from nxcdr_async.windows import Window


@define(frozen=True, kw_only=True)
class CallQuery:
    """Filters of cdr/page; None leaves one out."""

    direction: Direction | None = None
    answered: bool | None = None
    agent: str | None = None
    caller: str | None = None
    callee: str | None = None
    call_id: str | None = None
    order_id: str | None = None

    def __attrs_post_init__(self) -> None:
        _check_direction(self.direction, {Direction.INBOUND, Direction.OUTBOUND, Direction.AICC})
        if self.answered is not None and not isinstance(self.answered, bool):
            raise ConfigurationError(f"answered is {self.answered!r}: give True, False or None")
        _make_plain(self, "agent", "caller", "callee", "call_id", "order_id")

    def page(self, window: Window, number: int, size: int) -> Mapping[str, Any]:
        """Return the parameters of one page. A request counts directions and answers one higher than a reply."""
        start, end = window.bounds
        filters = {
            "direction": None if self.direction is None else self.direction + 1,
            "answered": None if self.answered is None else 1 + self.answered,
            "name": self.agent,
            "caller": self.caller,
            "callee": self.callee,
            "callId": self.call_id,
            "orderId": self.order_id,
        }
        return {"startTime": start, "endTime": end, **_given(filters), "size": size, "page": number}

    @property
    def filters(self) -> tuple[Filter, ...]:
        """What every row of an answer has to be like."""
        possible = (
            self.direction is not None and direction_filter(self.direction, "direction"),
            self.answered is not None and answered_filter(self.answered),
            self.agent and text_filter("agent", self.agent, "agentName", "agentNickName"),
            self.caller and text_filter("caller", self.caller, "caller"),
            self.callee and text_filter("callee", self.callee, "callee"),
            self.call_id and id_filter("call_id", self.call_id, "callId"),
            self.order_id and id_filter("order_id", self.order_id, "orderId"),
        )
        return tuple(one for one in possible if one)


@define(frozen=True, kw_only=True)
class DidQuery:
    """Filters of did/cdr; None leaves one out."""

    did_number: str | None = None
    call_number: str | None = None
    direction: Direction | None = None

    def __attrs_post_init__(self) -> None:
        _check_direction(self.direction, {Direction.INBOUND, Direction.OUTBOUND})
        _make_plain(self, "did_number", "call_number")

    def page(self, day: date, number: int, size: int) -> Mapping[str, Any]:
        """Return the parameters of one page."""
        filters = {
            "didNumber": self.did_number,
            "callNumber": self.call_number,
            "type": None if self.direction is None else int(self.direction),
        }
        return {"date": day.isoformat(), **_given(filters), "pageSize": size, "page": number}

    @property
    def filters(self) -> tuple[Filter, ...]:
        """What every row of an answer has to be like."""
        possible = (
            self.did_number and text_filter("did_number", self.did_number, "number"),
            self.call_number and text_filter("call_number", self.call_number, "callNumber"),
            self.direction is not None and direction_filter(self.direction, "callType"),
        )
        return tuple(one for one in possible if one)


def order_parameters(order_id: str, tenant_id: int) -> Mapping[str, Any]:
    """Return the parameters of cdr/queryByOrderId.

    Raises:
        ConfigurationError: no order id, or a tenant id that is no whole number.
    """
    if order_id is None:
        raise ConfigurationError("order_id is None: give the id of the order whose calls you want")
    tenant = as_whole(tenant_id)
    if tenant is None:
        raise ConfigurationError(f"tenant_id is {tenant_id!r}: give the team's whole number from the vendor's console")
    return {"tenantId": tenant, "orderId": _text("order_id", order_id)}


def order_filters(order_id: str) -> tuple[Filter, ...]:
    """Return what every row of an answer of cdr/queryByOrderId has to be like."""
    return (id_filter("order_id", order_id, "orderId"),)


def flash_parameters(start: int, end: int, zone: tzinfo) -> Mapping[str, str]:
    """Return the parameters of the flash-call list for what lies between two seconds (epoch), in the vendor's zone."""
    return {name: to_local(moment_at(at), zone) for name, at in (("start", start), ("end", end))}


def checked_days(first_day: date, last_day: date | None) -> tuple[date, date]:
    """Return the first and last day of a range of whole days, both inclusive.

    Raises:
        ConfigurationError: not dates, or in the wrong order.
    """
    last = first_day if last_day is None else last_day
    for name, day in (("first_day", first_day), ("last_day", last)):
        if not isinstance(day, date) or isinstance(day, datetime):
            raise ConfigurationError(f"{name} must be a datetime.date, as the gateway keeps DID calls by its local day")
    if first_day.year < 1970 or last.year > 9998:  # noqa: PLR2004 - what epoch seconds and a day more can say
        raise ConfigurationError("first_day and last_day must lie between the years 1970 and 9998")
    if last < first_day:
        raise ConfigurationError(f"last_day ({last}) must not be before first_day ({first_day})")
    # Without what a class of dates may add.
    return date(first_day.year, first_day.month, first_day.day), date(last.year, last.month, last.day)


def _given(filters: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}


def _text(name: str, value: object) -> str | None:
    if value is None:
        return None
    text = as_text(value)
    if not text:
        raise ConfigurationError(f"{name} is {value!r}: give it as text, or None to leave it out")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{name} is {text!r}, which is no valid text: half a character is missing") from None
    return text


def _make_plain(query: object, *names: str) -> None:
    """Have texts of a frozen query be plain ones, while it is being made."""
    for name in names:
        object.__setattr__(query, name, _text(name, getattr(query, name)))


def _check_direction(direction: Direction | None, allowed: set[Direction]) -> None:
    if direction is not None and (not isinstance(direction, Direction) or direction not in allowed):
        names = ", ".join(f"Direction.{known.name}" for known in sorted(allowed))
        raise ConfigurationError(f"direction is {direction!r}: give one of {names}, or None")

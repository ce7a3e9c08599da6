"""The requests of each API: their parameters, checked the way the vendor checks them."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, TypeVar

from attrs import define

from nxcdr_async.records.converter import UTC_PLUS_8
from nxcdr_async.testing.data.call_rows import Row
from nxcdr_async.testing.data.times import local_ms
from nxcdr_async.testing.emulator.replies import RefusedError

_WRONG, _MISSING = 1002, 41000
_WRONG_FLASH_DATE = 7
_LARGEST_PAGE, _LARGEST_DID_PAGE = 100, 999
_ANSWERED: dict[int | None, bool | None] = {None: None, 0: None, 1: False, 2: True}
_DIRECTIONS: dict[int | None, int | None] = {None: None, 0: None, 1: 0, 2: 1, 3: 2}
_DID_TYPES: dict[int | None, int | None] = {None: None, 0: 0, 1: 1}
_TEXT_FILTERS = {"name": "agentName", "caller": "caller", "callee": "callee", "callId": "callId", "orderId": "orderId"}
_DID_TEXT_FILTERS = {"didNumber": "number", "callNumber": "callNumber"}

Choice = TypeVar("Choice")
Filters = tuple[tuple[str, Any], ...]


@define(frozen=True)
class CallQuestion:
    """A request of cdr/page.

    Attributes:
        start: `startTime`, epoch seconds.
        end: `endTime`, epoch seconds.
        page: from 1.
        size: rows a page, 1 to 100.
        filters: keys of a row with the value each has to have.
    """

    start: int
    end: int
    page: int
    size: int
    filters: Filters

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> "CallQuestion":
        """Check the JSON body of a request.

        Raises:
            RefusedError: 41000 where something required is missing, 1002 where something is wrong.
        """
        for key, name in (("startTime", "Start date"), ("endTime", "End date"), ("page", "Page"), ("size", "Size")):
            if parameters.get(key) is None:
                raise RefusedError(_MISSING, f"{name} cannot be empty")
        answered = parameters.get("answered")
        wanted = {
            "answered": answered if isinstance(answered, bool) else _choice(_ANSWERED, answered),
            "direction": _choice(_DIRECTIONS, parameters.get("direction")),
            **_texts(parameters, _TEXT_FILTERS),
        }
        return cls(
            start=_number(parameters["startTime"], least=0),
            end=_number(parameters["endTime"], least=0),
            page=_number(parameters["page"]),
            size=_number(parameters["size"], most=_LARGEST_PAGE),
            filters=_filters(wanted),
        )

    @property
    def is_filtered(self) -> bool:
        """Whether rows have to be looked at to know which belong to the answer."""
        return bool(self.filters)

    @property
    def call_id(self) -> str | None:
        """The only call asked for."""
        return dict(self.filters).get("callId")

    @property
    def order_id(self) -> str | None:
        """The only order asked for."""
        return dict(self.filters).get("orderId")

    def admits(self, row: Row) -> bool:
        """Return whether a row passes the filters."""
        return all(row.get(key) == value for key, value in self.filters)


@define(frozen=True)
class DidQuestion:
    """A request of did/cdr.

    Attributes:
        day: `date`, a day in the vendor's local time, UTC+8.
        page: from 1.
        size: `pageSize`, 1 to 999.
        filters: keys of a row with the value each has to have.
    """

    day: date
    page: int
    size: int
    filters: Filters

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> "DidQuestion":
        """Check the JSON body of a request.

        Raises:
            RefusedError: 1002.
        """
        kind = parameters.get("type")
        wanted = {
            "callType": _choice(_DID_TYPES, None if kind == "" else kind),
            **_texts(parameters, _DID_TEXT_FILTERS),
        }
        return cls(
            day=_day(parameters.get("date")),
            page=_number(parameters.get("page")),
            size=_number(parameters.get("pageSize"), most=_LARGEST_DID_PAGE),
            filters=_filters(wanted),
        )

    @property
    def is_filtered(self) -> bool:
        """Whether rows have to be looked at to know which belong to the answer."""
        return bool(self.filters)

    def admits(self, row: Row) -> bool:
        """Return whether a row passes the filters."""
        return all(row.get(key) == value for key, value in self.filters)


@define(frozen=True)
class FlashQuestion:
    """A request of the flash list.

    Attributes:
        start_ms: `start`, epoch milliseconds.
        end_ms: `end`, epoch milliseconds.
    """

    start_ms: int
    end_ms: int

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> "FlashQuestion":
        """Check the query of a request.

        Raises:
            RefusedError: 7, the date format.
        """
        return cls(_flash_ms(parameters.get("start", "")), _flash_ms(parameters.get("end", "")))


def order_of_tenant(parameters: Mapping[str, Any], tenant_id: int) -> str:
    """Return the order asked for by cdr/queryByOrderId.

    Raises:
        RefusedError: 41000 where the order is missing, 1002 where it is another tenant's.
    """
    if parameters.get("tenantId") is None:
        raise RefusedError(_MISSING, "tenantId cannot be empty")
    if _number(parameters["tenantId"]) != tenant_id:
        raise RefusedError(_WRONG)
    order_id = parameters.get("orderId")
    if not order_id:
        raise RefusedError(_MISSING, "orderId cannot be empty")
    return _text(order_id)


def flash_request_id(parameters: Mapping[str, str]) -> str:
    """Return the id of the request whose flash call is asked for.

    Raises:
        RefusedError: 41000 where it is missing.
    """
    if not parameters.get("requestId"):
        raise RefusedError(_MISSING)
    return parameters["requestId"]


def _number(value: Any, *, least: int = 1, most: int | None = None) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise RefusedError(_WRONG)
    if value < least or (most is not None and value > most):
        raise RefusedError(_WRONG)
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise RefusedError(_WRONG)
    return value


def _choice(choices: dict[int | None, Choice], value: Any) -> Choice:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise RefusedError(_WRONG)
    if value not in choices:
        raise RefusedError(_WRONG)
    return choices[value]


def _texts(parameters: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str | None]:
    given = {key: parameters.get(name) for name, key in names.items()}
    return {key: None if value is None or value == "" else _text(value) for key, value in given.items()}


def _filters(wanted: Mapping[str, Any]) -> Filters:
    return tuple((key, value) for key, value in wanted.items() if value is not None)


def _day(value: Any) -> date:
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC_PLUS_8).date()
    except (TypeError, ValueError):
        raise RefusedError(_WRONG) from None


def _flash_ms(text: str) -> int:
    try:
        return local_ms(text)
    except ValueError:
        raise RefusedError(_WRONG_FLASH_DATE) from None

"""Records for pydantic and FastAPI: types to annotate with in place of the record classes. Pure.

To Python and to type checkers they are the record classes. Pydantic writes them as JSON just as `json_lines` does:
money as text, times in UTC, directions as names. It makes records of such JSON again, and describes it for OpenAPI. All
is derived from the attributes of the record class.

>>> @app.get("/orders/{order_id}")
... async def calls_of_order(order_id: str, tenant: int, request: Request) -> list[CallModel]:
...     return await request.state.cdr.calls_by_order(order_id, tenant_id=tenant)

Derived values in such JSON (`queue_wait`) are derived anew when a record is made of it. Amounts are read from text or
whole numbers, as a number with a decimal point would become a float on the way. Unknown keys are refused, unless in
`extra`.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, get_args

from attrs import NOTHING, define, fields

from nxcdr_async._util.moments import TrueTypes
from nxcdr_async.records.converter import are_sensible
from nxcdr_async.records.hangup import HangupParty
from nxcdr_async.records.json_lines import DERIVED, row_of
from nxcdr_async.records.models import CallRecord, DidCallRecord, Direction, FlashCallRecord

try:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import PydanticCustomError, PydanticSerializationUnexpectedValue, core_schema as cs
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{__name__} needs the package {missing.name}: install nxcdr-async with its extra pydantic", name=missing.name
    ) from None

__all__ = ["CallModel", "DidCallModel", "FlashCallModel"]

_AMOUNT = r"^-?[0-9]+(?:\.[0-9]+)?$"
_KNOWN_DIRECTIONS = {direction.name.lower(): direction for direction in Direction}
_DIRECTION = f"^(?:{'|'.join(_KNOWN_DIRECTIONS)}|unknown_-?[0-9]{{1,18}})$"


def _no_float(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise PydanticCustomError("amount_type", "Input should be text or a whole number, as a float loses digits")
    return value


def _sensible(amount: Decimal) -> Decimal:
    if not are_sensible([amount]):
        raise PydanticCustomError("amount_size", "Input should be a number of a sensible size")
    return amount


def _direction(value: Any) -> Direction:
    if isinstance(value, Direction):
        return value
    if not isinstance(value, str) or not re.fullmatch(_DIRECTION, value):
        names = ", ".join(_KNOWN_DIRECTIONS)
        raise PydanticCustomError("direction", "Input should be {names} or unknown_ and a number", {"names": names})
    known = _KNOWN_DIRECTIONS.get(value)
    return Direction(int(value.rpartition("_")[2])) if known is None else known


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("year", "Input should lie in a year from 1 to 9999 in UTC") from None


_SIMPLE: dict[Any, cs.CoreSchema] = {
    str: cs.str_schema(),
    int: cs.int_schema(),
    bool: cs.bool_schema(),
    dict: cs.dict_schema(cs.str_schema(), cs.any_schema()),
}

_READ: dict[Any, cs.CoreSchema] = {
    **_SIMPLE,
    TrueTypes.DATETIME: cs.no_info_after_validator_function(_in_utc, cs.datetime_schema(tz_constraint="aware")),
    Decimal: cs.no_info_before_validator_function(
        _no_float,
        cs.no_info_after_validator_function(_sensible, cs.decimal_schema(allow_inf_nan=False)),
        json_schema_input_schema=cs.str_schema(pattern=_AMOUNT),
    ),
    Direction: cs.no_info_plain_validator_function(
        _direction, json_schema_input_schema=cs.str_schema(pattern=_DIRECTION)
    ),
}
"""How a value is made of JSON, by its type."""

_WRITTEN: dict[Any, cs.CoreSchema] = {
    **_SIMPLE,
    float: cs.float_schema(),
    TrueTypes.DATETIME: cs.datetime_schema(),
    Decimal: cs.str_schema(pattern=_AMOUNT),
    Direction: cs.str_schema(pattern=_DIRECTION),
    HangupParty: cs.enum_schema(HangupParty, list(HangupParty)),
}
"""What a value is in JSON, by its type."""


def _of(kind: Any, schemas: Mapping[Any, cs.CoreSchema]) -> cs.CoreSchema:
    """Return the schema of a type that may be optional, or a dictionary of whatever."""
    args = get_args(kind)
    if type(None) in args:
        return cs.nullable_schema(schemas[args[0]])
    return schemas[dict if args else kind]


@define(frozen=True)
class _AsJsonLine:
    """Tells pydantic about the record class that is annotated with it."""

    def __get_pydantic_core_schema__(self, record_class: type[Any], _: GetCoreSchemaHandler) -> cs.CoreSchema:
        title = cs.CoreConfig(title=record_class.__name__)

        def record_or_made(value: Any, make: cs.ValidatorFunctionWrapHandler) -> Any:
            return value if isinstance(value, record_class) else make(value)

        def row(record: Any) -> dict[str, Any]:
            if not isinstance(record, record_class):
                raise PydanticSerializationUnexpectedValue(f"{record!r} is no {record_class.__name__}")
            return row_of(record)

        return cs.no_info_wrap_validator_function(
            record_or_made,
            _from_values(record_class, title),
            serialization=cs.plain_serializer_function_ser_schema(row, return_schema=_row(record_class, title)),
            ref=f"{record_class.__module__}.{record_class.__qualname__}:{id(record_class)}",
        )


def _from_values(record_class: type[Any], title: cs.CoreConfig) -> cs.CoreSchema:
    derived = DERIVED.get(record_class, {})
    values = {
        attribute.name: cs.typed_dict_field(_of(attribute.type, _READ), required=attribute.default is NOTHING)
        for attribute in fields(record_class)
    }
    values |= {name: cs.typed_dict_field(_of(kind, _WRITTEN), required=False) for name, kind in derived.items()}

    def made(given: dict[str, Any]) -> Any:
        return record_class(**{name: value for name, value in given.items() if name not in derived})

    row = cs.typed_dict_schema(values, cls_name=record_class.__name__, extra_behavior="forbid", config=title)
    return cs.no_info_after_validator_function(made, row)


def _row(record_class: type[Any], title: cs.CoreConfig) -> cs.CoreSchema:
    kinds = {attribute.name: attribute.type for attribute in fields(record_class)}
    kinds |= DERIVED.get(record_class, {})
    values = {name: cs.typed_dict_field(_of(kind, _WRITTEN)) for name, kind in kinds.items()}
    return cs.typed_dict_schema(values, cls_name=record_class.__name__, config=title)


CallModel = Annotated[CallRecord, _AsJsonLine()]
"""A `CallRecord` to pydantic and FastAPI."""

DidCallModel = Annotated[DidCallRecord, _AsJsonLine()]
"""A `DidCallRecord` to pydantic and FastAPI."""

FlashCallModel = Annotated[FlashCallRecord, _AsJsonLine()]
"""A `FlashCallRecord` to pydantic and FastAPI."""

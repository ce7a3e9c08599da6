"""Records to pydantic: written as JSON lines are, read back as they were, told of in JSON schema."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, get_args

import msgspec
import pytest
from attrs import fields
from hypothesis import given, strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from nxcdr_async import CallRecord, CdrSession, DidCallRecord, Direction, FlashCallRecord, json_lines
from nxcdr_async.pydantic import CallModel, DidCallModel, FlashCallModel
from nxcdr_async.records.json_lines import DERIVED, row_of
from nxcdr_async.testing import Gateway
from tests.examples import examples

START = datetime(2026, 1, 1, 8, 30, tzinfo=UTC)
CALL = CallRecord(
    call_id="0gQAAC8W/Waas@103.251.203.149",
    start_time=START,
    in_queue_time=START,
    out_queue_time=START + timedelta(seconds=6),
    direction=Direction(7),
    answered=True,
    hangup_code=11042,
    total_customer_price=Decimal("0.20280000"),
    mos=Decimal("4.409999847412109"),
    extra={"牛": [1, None, {"a": "b"}]},
)
DID = DidCallRecord(id=2**60, start_time=START, call_type=Direction.OUTBOUND, call_price=Decimal("0E-8"))
FLASH = FlashCallRecord(id=7, gmt_create=START, msisdn=" 5511999999999", price=Decimal(-1))
MODELS = {CallRecord: CallModel, DidCallRecord: DidCallModel, FlashCallRecord: FlashCallModel}
CALLS: TypeAdapter[CallRecord] = TypeAdapter(CallModel)
LEAST = {"call_id": "a", "start_time": "2026-01-01T08:30:00Z"}

every_record = pytest.mark.parametrize("record", [CALL, DID, FLASH], ids=lambda record: type(record).__name__)

_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(codec="utf-8"), min_size=1, max_size=5),
    int: st.integers(),
    bool: st.booleans(),
    datetime: st.datetimes(timezones=st.just(UTC)),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=12),
    Direction: st.integers(-9, 9).map(Direction),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    return _VALUES[kind] if kind in _VALUES else st.none() | _VALUES[get_args(kind)[0]]


@st.composite
def records(draw: st.DrawFn) -> Any:
    record_class: Any = draw(st.sampled_from(list(MODELS)))
    kinds = {attribute.name: attribute.type for attribute in fields(record_class) if attribute.name != "extra"}
    extra = st.dictionaries(_VALUES[str], st.none() | st.booleans() | _VALUES[str] | st.integers(), max_size=2)
    return draw(st.builds(record_class, **{name: values_of(kind) for name, kind in kinds.items()}, extra=extra))


@examples(50)
@given(record=records())
def test_any_record_is_written_as_json_lines_are_and_read_back_as_it_was(record: Any) -> None:
    adapter = TypeAdapter[Any](MODELS[type(record)])
    written = adapter.dump_json(record)
    assert msgspec.json.decode(written) == msgspec.json.decode(json_lines([record]))
    assert adapter.validate_json(written) == record


@every_record
def test_lists_and_models_hold_records(record: Any) -> None:
    model = MODELS[type(record)]

    class Answer(BaseModel):
        first: model  # type: ignore[valid-type]
        all: list[model]  # type: ignore[valid-type]

    answer = Answer(first=record, all=[record])
    assert answer.first is record
    assert Answer.model_validate_json(answer.model_dump_json()) == answer


def test_records_of_several_kinds_are_told_apart() -> None:
    adapter = TypeAdapter[list[Any]](list[CallModel | DidCallModel | FlashCallModel])
    assert adapter.validate_json(adapter.dump_json([CALL, FLASH, DID])) == [CALL, FLASH, DID]


async def test_calls_as_they_come_are_written_whole(gateway: Gateway) -> None:
    async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as session:
        calls = await session.calls(gateway.first_call, gateway.last_call).collect()
    adapter = TypeAdapter(list[CallModel])
    assert msgspec.json.decode(adapter.dump_json(calls)) == [
        msgspec.json.decode(line) for line in json_lines(calls).splitlines()
    ]


def schema_of(record_class: type[Any], mode: Any) -> Any:
    schema = TypeAdapter[Any](MODELS[record_class]).json_schema(mode=mode)
    return schema["$defs"][record_class.__name__] if "$ref" in schema else schema


@pytest.mark.parametrize("mode", ["validation", "serialization"])
@every_record
def test_the_schema_has_every_attribute_and_what_is_derived(record: Any, mode: Any) -> None:
    assert set(schema_of(type(record), mode)["properties"]) == set(row_of(record))


def test_what_is_derived_is_what_lines_have_beside_the_attributes() -> None:
    names = {attribute.name for attribute in fields(CallRecord)}
    assert list(DERIVED[CallRecord]) == [name for name in row_of(CALL) if name not in names]


def test_only_what_every_record_has_is_required_of_what_is_read() -> None:
    assert schema_of(CallRecord, "validation")["required"] == ["call_id", "start_time"]
    assert CALLS.validate_python(LEAST) == CallRecord(call_id="a", start_time=START)


def test_a_time_of_another_zone_becomes_utc() -> None:
    there = CALLS.validate_python({**LEAST, "start_time": START.astimezone(timezone(timedelta(hours=8)))})
    assert (there.start_time, there.start_time.tzinfo) == (START, UTC)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("start_time", "2026-01-01T08:30:00", "timezone_aware"),
        ("start_time", "0001-01-01T00:00:00+05:00", "year"),
        ("end_time", "9999-12-31T23:59:59-05:00", "year"),
        ("total_customer_price", 0.1, "amount_type"),
        ("total_customer_price", True, "amount_type"),
        ("total_customer_price", "1e999999", "amount_size"),
        ("total_customer_price", "NaN", "finite_number"),
        ("direction", "sideways", "direction"),
        ("direction", 1, "direction"),
        ("answered", "perhaps", "bool_parsing"),
        ("call_duration", "long", "int_parsing"),
        ("brand_new", 1, "extra_forbidden"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object, kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CALLS.validate_python({**LEAST, name: value})
    assert [(fault["loc"], fault["type"]) for fault in caught.value.errors()] == [((name,), kind)]


def test_without_pydantic_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['pydantic'] = None; import nxcdr_async.pydantic"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "nxcdr_async.pydantic needs the package pydantic: install nxcdr-async with its extra pydantic" in told.stderr

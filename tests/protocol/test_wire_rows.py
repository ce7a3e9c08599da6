"""Whatever a body holds, records made of whole columns must be what the converter makes row by row."""

import copy
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError
from cattrs import Converter
from hypothesis import event, example, given, strategies as st

from nxcdr_async import CallRecord, Direction, NxcdrError, RecordError, make_converter
from nxcdr_async._util.redaction import NO_SECRETS
from nxcdr_async.protocol.endpoints import CALLS, DID, FLASH, ORDER, Endpoint
from nxcdr_async.protocol.responses import Page, ReadSuccess, Response, WireRow, parse_page, plain_page
from nxcdr_async.protocol.wire_rows import MOST_UNKNOWN_KEYS, PageDecoder, columns_of, extras_of
from nxcdr_async.records.columns import ColumnConverter, records_from
from nxcdr_async.records.converter import structure_row
from nxcdr_async.records.models import vendor_fields
from nxcdr_async.testing import CallHistory

SAMPLES = Path(__file__).parent.parent / "samples"
SAMPLE = (SAMPLES / "cdr_page.json").read_bytes()
CONVERTER = make_converter()
LATEST = 253_402_300_799_999
NAMES = [attribute.name for attribute in attrs.fields(CallRecord)]
CALL = '"callId": "a", "startTime": 1690442492841'


def read(body: bytes, read_success: ReadSuccess | None = None, status: int = 200) -> Page:
    response = Response(status, {}, body)
    page = None if read_success is None else plain_page(response, read_success)
    return page or parse_page(
        response,
        rows_at=CALLS.rows_at,
        codes=CALLS.codes,
        now=1_700_000_000.0,
        redactor=NO_SECRETS,
    )


def body_of(*rows: str) -> bytes:
    return f'{{"reqId": "r", "code": 0, "msg": "success", "data": [{", ".join(rows)}]}}'.encode(
        "utf-8", "surrogatepass"
    )


def facts(value: Any) -> Any:
    """Return all that can be told of a value: its type, and its digits to the last."""
    if isinstance(value, dict):
        return {key: facts(inner) for key, inner in value.items()}
    return [facts(inner) for inner in value] if isinstance(value, list) else (type(value), repr(value))


def values_of(record: Any) -> dict[str, Any]:
    return {attribute.name: facts(getattr(record, attribute.name)) for attribute in attrs.fields(type(record))}


def by_converter(row: Any, endpoint: Endpoint[Any] = CALLS) -> Any:
    """Return what the converter makes of a row: the values of a record, or an error."""
    try:
        record = structure_row(CONVERTER, row.as_dict() if isinstance(row, WireRow) else row, endpoint.record_class)
    except RecordError as bad:
        return str(bad), bad.path, bad.record_id, facts(bad.row)
    return values_of(record)


def converted(rows: list[Any], converter: ColumnConverter) -> tuple[list[Any], set[int]]:
    return converter.values(columns_of(rows, converter.keys), extras_of(rows, converter.keys))


def by_columns(rows: list[Any], endpoint: Endpoint[Any] = CALLS) -> list[Any]:
    """Return what is made of the rows of a page, as `by_converter` does; only bad rows are left to the converter."""
    if not rows:
        return []
    values, to_judge = converted(rows, ColumnConverter(endpoint.record_class, CONVERTER))
    records = records_from(values)
    told = []
    for place, row in enumerate(rows):
        told.append(by_converter(row, endpoint) if place in to_judge else values_of(records[place]))
        assert isinstance(told[-1], tuple) == (place in to_judge)
        assert type(records[place]) is endpoint.record_class
    return told


def records_of(body: bytes, decoder: PageDecoder | None = None) -> list[CallRecord]:
    page = (decoder or PageDecoder(CALLS)).page(body)
    assert page is not None
    values, to_judge = converted(page.rows, ColumnConverter(CallRecord, CONVERTER))
    assert not to_judge
    return records_from(values)


def page_or_error(body: bytes, read_success: ReadSuccess | None = None) -> Page | NxcdrError:
    try:
        return read(body, read_success)
    except NxcdrError as error:
        return error


def assert_same(body: bytes, decoder: PageDecoder) -> Page | None:
    """Read a body both ways, check that they tell the same, and return the page."""
    expected, page = page_or_error(body), page_or_error(body, decoder.page)
    if isinstance(expected, NxcdrError) or isinstance(page, NxcdrError):
        assert (type(page), str(page)) == (type(expected), str(expected))
        return None
    assert by_columns(page.rows) == by_columns(expected.rows) == [by_converter(row) for row in expected.rows]
    assert (page.is_vague, page.total_rows) == (expected.is_vague, expected.total_rows)
    assert [CALLS.row_key(row) for row in page.rows] == [CALLS.row_key(row) for row in expected.rows]
    return page


ODD_WORDS = """
    0 -0 1 -1 2 7 1.0 -0.0 0.5 1e3 1E-7 0E-50 1e40 1e41 1E-40 1E-41 1e999999 1e9999999999999999999 true false null
    {} [] [1] {"a":1.50} "" "0" "1" "true" "false" "x" "0.10" "1.5" "1_000" "NaN" "sNaN" "-Infinity" "1E+3" "1e41"
    "1e999999" "1690442492841" "2023-07-27T07:21:32Z" "\\ud83d" "\\ud83d\\ude00" "\\u0000" 253402300799999
    253402300800000 18446744073709551616 -9223372036854775809 100000000000000000000000000000000000000000
"""
ODD_VALUES = [
    *ODD_WORDS.split(),
    '" "',
    '" 1 "',
    "1" * 41,
    "1" * 400,
    "1" * 5000,
    f'"{"1" * 41}"',
    f"0.{'1' * 60}",
    str(LATEST * 1000),
]
ODD = st.sampled_from(ODD_VALUES)
TEXTS = st.text().map(json.dumps) | st.sampled_from(['""', "null", "12345"])
NUMBERS = st.integers(-3, 10**6).map(str) | st.sampled_from(['""', "null"])
TIMES = st.integers(0, LATEST).map(str) | st.sampled_from(["0", '""', '"0"', "null"])
AMOUNTS = (
    st.decimals(-(10**6), 10**6, allow_nan=False).map(str)
    | st.decimals(0, 9, places=4).map('"{}"'.format)
    | st.just("null")
)
PLAUSIBLE: dict[Any, st.SearchStrategy[str]] = {
    str: st.text(min_size=1).map(json.dumps),
    str | None: TEXTS,
    int | None: NUMBERS,
    bool | None: st.sampled_from(["true", "false", "null", '""']),
    Direction | None: NUMBERS,
    Decimal | None: AMOUNTS,
    datetime: st.integers(1, LATEST).map(str),
    datetime | None: TIMES,
}
KNOWN = {key: PLAUSIBLE[attribute.type] for key, attribute in vendor_fields(CallRecord).items()}
REQUIRED = {key: KNOWN[key] for key in ("callId", "startTime")}
ODD_KEYS = [
    "new",
    "extra",
    "call_id",
    "unknown_0",
    "unknown_1",
    "self",
    "cls",
    "record_class",
    "as_dict",
    "__class__",
    "__dict__",
    "__init__",
    "__struct_fields__",
    "__slots__",
    "__post_init__",
    "CALLID",
    "callid",
    "CallId",
    'a"b',
    "a\\b",
    "None",
    "class",
]
UNKNOWN_KEYS = st.sampled_from([*ODD_KEYS, "", " ", "新 x", "a\0b", "\ud83d"]) | st.text()


def written(members: dict[str, str]) -> str:
    return f"{{{', '.join(f'{json.dumps(key)}: {value}' for key, value in members.items())}}}"


GOOD = st.fixed_dictionaries(REQUIRED, optional={key: KNOWN[key] for key in KNOWN if key not in REQUIRED})
UNKNOWN = st.dictionaries(UNKNOWN_KEYS, ODD, max_size=3)
BENT = st.dictionaries(st.sampled_from(sorted(KNOWN)), ODD, max_size=2)
ROWS = (
    GOOD.map(written)
    | st.builds(lambda good, unknown: written(good | unknown), GOOD, UNKNOWN)
    | st.builds(lambda good, bent, unknown: written(good | bent | unknown), GOOD, BENT, UNKNOWN)
    | st.dictionaries(st.sampled_from(sorted(KNOWN)), ODD, max_size=5).map(written)
    | ODD
)


@given(st.lists(st.lists(ROWS, max_size=4).map(lambda rows: body_of(*rows)), min_size=1, max_size=3))
@example([body_of(f'{{{CALL}, "totalCustomerPrice": "NaN"}}', f"{{{CALL}}}")])
@example([body_of(f'{{{CALL}, "new": 1.50}}'), body_of(f"{{{CALL}}}"), body_of(f'{{{CALL}, "newer": [1e5]}}')])
def test_any_rows_become_the_same_records_or_the_same_errors(bodies: list[bytes]) -> None:
    decoder = PageDecoder(CALLS)
    for body in bodies:
        page = assert_same(body, decoder)
        for row in page.rows if page else []:
            event(type(row).__name__)


@pytest.mark.parametrize("key", sorted(KNOWN))
def test_any_odd_value_of_any_key_means_the_same(key: str) -> None:
    decoder = PageDecoder(CALLS)
    whole = {"callId": '"a"', "startTime": "1690442492841"}
    assert_same(body_of(written({name: value for name, value in whole.items() if name != key})), decoder)
    for value in ODD_VALUES:
        assert_same(body_of(written(whole | {key: value})), decoder)
        assert_same(body_of(written(whole), written(whole | {key: value}), written(whole)), decoder)


OTHER_ODD = st.sampled_from(
    [
        None,
        "",
        0,
        1,
        "1",
        "x",
        True,
        1.5,
        Decimal("0.10"),
        [],
        {},
        "2026-01-01 08:00:00",
        "2026-01-01T08:00:00Z",
        10**12,
    ]
)


@pytest.mark.parametrize("endpoint", [DID, FLASH], ids=lambda endpoint: endpoint.name)
@given(data=st.data())
def test_rows_of_other_apis_become_the_same_too(endpoint: Endpoint[Any], data: st.DataObject) -> None:
    history = CallHistory(calls=50, did_calls=20, flash_calls=20)
    genuine = list(history.did_calls() if endpoint is DID else history.flash_calls())
    keys = [*vendor_fields(endpoint.record_class), "new"]
    bent = st.dictionaries(st.sampled_from(keys), OTHER_ODD, max_size=3)
    rows = data.draw(st.lists(st.builds(dict.__or__, st.sampled_from(genuine), bent) | OTHER_ODD, max_size=5))
    assert by_columns(rows, endpoint) == [by_converter(row, endpoint) for row in rows]


JSON = st.recursive(ODD, lambda inner: st.lists(inner, max_size=2).map(lambda found: f"[{', '.join(found)}]"))
# Python reads no whole number of over 4,300 digits; the quick way does not look at keys it has no use for.
READABLE = JSON.filter(lambda value: len(value) < 4300)
ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "code": st.sampled_from(["0", '"0"', '"00"', "0.0", "1004", '"88"']) | JSON,
        "data": st.lists(ROWS, max_size=2).map(lambda rows: f"[{', '.join(rows)}]") | JSON,
        "msg": JSON,
        "reqId": JSON,
        "totalRow": READABLE,
        "new": READABLE,
    },
).map(lambda envelope: written(envelope).encode("utf-8", "surrogatepass"))


@given(ENVELOPES | st.builds(lambda body, length: body[:length], ENVELOPES, st.integers(0, 200)))
@example(b"\xef\xbb\xbf" + SAMPLE)
@example(b'{"code": 0, "data": [], "msg": "\xff"}')
@example(b'{"code": 0, "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
@example(b'{"code": 0, "data": [{"new": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}")
def test_any_body_is_the_same_page_or_the_same_error(body: bytes) -> None:
    assert_same(body, PageDecoder(CALLS))


@pytest.mark.parametrize("status", [201, 302, 404, 429, 500])
def test_only_a_plain_success_is_read_on_the_quick_way(status: int) -> None:
    def never(_body: bytes) -> Page:
        pytest.fail("read on the quick way")

    try:
        assert len(read(SAMPLE, never, status).rows) == 2
    except NxcdrError:
        assert status >= 300


@pytest.mark.parametrize(("name", "endpoint"), [("cdr_page.json", CALLS), ("order.json", ORDER)])
def test_the_documented_rows_are_wire_rows(name: str, endpoint: Any) -> None:
    page = PageDecoder(endpoint).page((SAMPLES / name).read_bytes())
    assert page is not None
    assert [isinstance(row, WireRow) for row in page.rows] == [True, True]


@pytest.mark.parametrize(
    "odd", ["{}", f'{{{CALL}, "totalCustomerPrice": "NaN"}}', f'{{{CALL}, "mos": [1e99]}}', '{"callId": 5, "new": {}}']
)
def test_a_row_of_any_values_is_a_wire_row(odd: str) -> None:
    page = PageDecoder(CALLS).page(body_of(f"{{{CALL}}}", odd, f"{{{CALL}}}"))
    assert page is not None
    assert all(isinstance(row, WireRow) for row in page.rows)
    assert [row.as_dict() for row in page.rows] == read(body_of(f"{{{CALL}}}", odd, f"{{{CALL}}}")).rows


@pytest.mark.parametrize("odd", ["null", "[]", f'{{{CALL}, "a\\"b": 1}}'])
def test_where_a_row_does_not_fit_all_are_as_they_came(odd: str) -> None:
    body = body_of(f"{{{CALL}}}", odd)
    page = PageDecoder(CALLS).page(body)
    assert page == read(body)


def test_a_key_beside_the_rows_that_nobody_knows_does_not_matter() -> None:
    page = PageDecoder(CALLS).page(SAMPLE.replace(b'"code"', b'"totalRow": 2, "new": [1], "code"', 1))
    assert page is not None
    assert all(isinstance(row, WireRow) for row in page.rows)


def test_a_key_that_nobody_knows_is_learned_and_kept_exactly() -> None:
    decoder = PageDecoder(CALLS)
    with_key = body_of(f'{{{CALL}, "new": [1.50, {{"deep": 1e2}}]}}', f"{{{CALL}}}")
    for _ in range(2):
        first, second = records_of(with_key, decoder)
        assert repr(first.extra) == "{'new': [Decimal('1.50'), {'deep': Decimal('1E+2')}]}"
        assert second.extra == {}


def test_keys_beyond_the_most_are_kept_all_the_same() -> None:
    decoder = PageDecoder(CALLS)
    keys = [f"new{number:03}" for number in range(MOST_UNKNOWN_KEYS + 2)]
    body = body_of(*(f'{{{CALL}, "{key}": 1}}' for key in keys))
    assert [record.extra for record in records_of(body, decoder)] == [{key: 1} for key in keys]
    page = decoder.page(body_of(*(f'{{{CALL}, "{key}": 1}}' for key in keys[:MOST_UNKNOWN_KEYS])))
    assert page is not None
    assert all(isinstance(row, WireRow) for row in page.rows)


def test_a_thousand_keys_of_each_row_alone_take_no_place_in_the_others() -> None:
    keys = [[f"new{place}-{number}" for number in range(1000)] for place in range(100)]
    rows = [{"callId": "a", "startTime": 1_690_442_492_841, **dict.fromkeys(own, 1)} for own in keys]
    converter = ColumnConverter(CallRecord, CONVERTER)
    assert set(columns_of(rows, converter.keys)) == set(converter.keys)
    values, to_judge = converted(rows, converter)
    assert not to_judge
    assert [list(record.extra) for record in records_from(values)] == keys


OPTIONAL = [attribute for attribute in vendor_fields(CallRecord).values() if attribute.default is None]


def is_left_to(converter: Converter) -> bool:
    """Return whether all rows are left to a converter."""
    values, to_judge = converted(read(SAMPLE).rows, ColumnConverter(CallRecord, converter))
    assert bool(values) != bool(to_judge)
    return to_judge == {0, 1}


@pytest.mark.parametrize("kind", [CallRecord, str, int, bool, Decimal, datetime, Direction])
def test_a_hook_of_the_users_own_ends_the_quick_way(kind: Any) -> None:
    converter = make_converter()
    assert not is_left_to(converter)
    converter.register_structure_hook(kind, lambda value, _: value)
    assert is_left_to(converter)


@pytest.mark.parametrize("kind", [CallRecord, *dict.fromkeys(attribute.type for attribute in OPTIONAL)], ids=str)
def test_a_hook_factory_of_the_users_own_ends_it_too(kind: Any) -> None:
    converter = make_converter()
    converter.register_structure_hook_factory(lambda cls: cls == kind, lambda _: lambda value, _: value)
    assert is_left_to(converter)


def test_a_factory_that_raises_makes_each_row_a_bad_one() -> None:
    def fail(_kind: Any) -> Any:
        raise ZeroDivisionError

    converter = make_converter()
    converter.register_structure_hook_factory(lambda cls: cls == Decimal | None, fail)
    assert is_left_to(converter)
    with pytest.raises(RecordError):
        structure_row(converter, read(SAMPLE).rows[0], CallRecord)


def test_a_hook_for_something_else_does_not() -> None:
    converter = make_converter()
    converter.register_structure_hook(Path, lambda value, _: Path(value))
    converter.register_structure_hook_factory(lambda cls: cls is bytes, lambda _: lambda value, _: value)
    converter.register_unstructure_hook(Decimal, float)
    assert not is_left_to(converter)
    assert not is_left_to(converter.copy())


def test_a_converter_that_is_not_ours_makes_every_row() -> None:
    assert is_left_to(Converter())


@pytest.mark.parametrize(
    "whole",
    [
        hash,
        repr,
        type,
        attrs.asdict,
        attrs.astuple,
        attrs.evolve,
        copy.copy,
        copy.deepcopy,
        CONVERTER.unstructure,
        lambda record: pickle.loads(pickle.dumps(record)),
        lambda record: pickle.loads(pickle.dumps(record, 0)),
        lambda record: attrs.evolve(record, caller="x"),
        lambda record: (record.queue_wait, record.hangup, record.hangup_party),
        lambda record: record,
    ],
)
def test_a_record_made_by_columns_is_like_any_other(whole: Callable[[CallRecord], Any]) -> None:
    twins = [structure_row(CONVERTER, row, CallRecord) for row in read(SAMPLE).rows]
    for record, twin in zip(records_of(SAMPLE), twins, strict=True):
        assert whole(record) == whole(twin)
        assert whole(twin) == whole(record)


def test_a_record_made_by_columns_cannot_be_changed() -> None:
    (record,) = records_of(body_of(f"{{{CALL}}}"))
    for name in ("caller", "extra", "nobody"):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, "b")
        with pytest.raises(FrozenInstanceError):
            delattr(record, name)


def test_each_record_has_a_dictionary_of_its_own_for_unknown_keys() -> None:
    first, second = records_of(body_of(f"{{{CALL}}}", f"{{{CALL}}}"))
    first.extra["mine"] = 1
    assert second.extra == {}


@given(st.lists(st.integers(10**11, LATEST), min_size=1, max_size=5))
@example([1_690_442_492_841])
@example([2**32 * 1000 - 1])
def test_a_start_is_kept_to_the_millisecond(milliseconds: list[int]) -> None:
    records = records_of(body_of(*(f'{{"callId": "a", "startTime": {each}}}' for each in milliseconds)))
    assert [CALLS.start_ms(record) for record in records] == milliseconds
    assert all(record.start_time.tzinfo is UTC for record in records)


SOME_TIMES = ["startTime", "endTime", "answerTime", "outQueueTime"]


def row_with(key: str, value: int) -> str:
    return json.dumps({"callId": "a", "startTime": 1_690_442_492_841, key: value})


@pytest.mark.parametrize("key", SOME_TIMES)
def test_a_time_told_in_seconds_is_read_as_what_it_is(key: str) -> None:
    (record,) = records_of(body_of(row_with(key, 1_690_442_492)))
    assert getattr(record, vendor_fields(CallRecord)[key].name) == datetime(2023, 7, 27, 7, 21, 32, tzinfo=UTC)


@pytest.mark.parametrize("key", SOME_TIMES)
def test_a_number_too_small_for_a_time_makes_its_row_bad_alone(key: str) -> None:
    first, second = by_columns(read(body_of(row_with(key, 7), row_with("answerTime", 0)), PageDecoder(CALLS).page).rows)
    assert f"{key}: is 7, too small" in first[0]
    assert second["answer_time"] == facts(None)

"""Whatever a body holds, the quick way to records must tell what the converter tells, row by row."""

import copy
import json
import pickle
import random
from collections.abc import Callable
from contextlib import suppress
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
from nxcdr_async.protocol.endpoints import CALLS, ORDER
from nxcdr_async.protocol.responses import Page, ReadTyped, Response, parse_page
from nxcdr_async.protocol.typed_rows import MOST_UNKNOWN_KEYS, RECORDS_TO_JUDGE_BY, TypedRow, TypedRows
from nxcdr_async.records.converter import structure_row
from nxcdr_async.records.models import convert_record, lazy_row, vendor_fields

SAMPLES = Path(__file__).parent.parent / "samples"
SAMPLE = (SAMPLES / "cdr_page.json").read_bytes()
CONVERTER = make_converter()
LATEST = 253_402_300_799_999
NAMES = [attribute.name for attribute in attrs.fields(CallRecord)]
CALL = '"callId": "a", "startTime": 1690442492841'


def read(body: bytes, read_typed: ReadTyped | None = None, status: int = 200) -> Page:
    reply = Response(status, {}, body)
    return parse_page(
        reply, rows_at=CALLS.rows_at, codes=CALLS.codes, now=1_700_000_000.0, redactor=NO_SECRETS, read_typed=read_typed
    )


def body_of(*rows: str) -> bytes:
    return f'{{"reqId": "r", "code": 0, "msg": "success", "data": [{", ".join(rows)}]}}'.encode(
        "utf-8", "surrogatepass"
    )


def typed_rows(converter: Converter = CONVERTER) -> TypedRows[CallRecord]:
    return TypedRows(CALLS, converter)


def quick(*rows: str, converter: Converter = CONVERTER) -> list[Any]:
    """Return the rows of a page that must be read on the quick way."""
    page = typed_rows(converter).page(body_of(*rows))
    assert page is not None
    return page.rows


def unread(members: str = CALL) -> CallRecord:
    """Return a record none of whose values is converted yet."""
    rows = typed_rows()
    page = rows.page(body_of(f"{{{members}}}"))
    assert page is not None
    record = rows.record(page.rows[0])
    assert lazy_row(record) is page.rows[0]
    return record


def sample_records() -> list[tuple[CallRecord, CallRecord]]:
    """Return the records of the vendor's sample, each as yet unread and made at once."""
    rows = typed_rows()
    page = rows.page(SAMPLE)
    assert page is not None
    return [
        (rows.record(row), structure_row(CONVERTER, plain, CallRecord))
        for row, plain in zip(page.rows, read(SAMPLE).rows, strict=True)
    ]


def facts(value: Any) -> Any:
    """Return all that can be told of a value: its type, and its digits to the last."""
    if isinstance(value, dict):
        return {key: facts(inner) for key, inner in value.items()}
    return [facts(inner) for inner in value] if isinstance(value, list) else (type(value), repr(value))


def outcome(make: Callable[[Any], CallRecord], row: Any) -> Any:
    try:
        record = make(row)
    except RecordError as bad:
        return str(bad), bad.path, bad.record_id, facts(bad.row)
    return values_of(record)


def values_of(record: CallRecord) -> dict[str, Any]:
    return {name: facts(getattr(record, name)) for name in NAMES}


def all_made_ahead(rows: TypedRows[CallRecord], typed: list[Any]) -> list[CallRecord]:
    """Return the records of typed rows with all values made, as they are once all were asked for before."""
    for record in rows.records(typed * RECORDS_TO_JUDGE_BY):
        values_of(record)
    records = rows.records(typed)
    assert all(made(record) == NAMES for record in records)
    return records


def made(record: CallRecord) -> list[str]:
    """Return the names of the attributes whose values are there already."""
    there = []
    for name in NAMES:
        with suppress(AttributeError):
            CallRecord.__dict__[name].__get__(record)
            there.append(name)
    return there


def structured(row: Any) -> CallRecord:
    return structure_row(CONVERTER, row, CallRecord)


def page_or_error(body: bytes, read_typed: ReadTyped | None = None) -> Page | NxcdrError:
    try:
        return read(body, read_typed)
    except NxcdrError as error:
        return error


def assert_same(body: bytes, rows: TypedRows[CallRecord]) -> Page | None:
    """Read a body both ways, check that they tell the same, and return the page."""
    expected, page = page_or_error(body), page_or_error(body, rows.reading())
    if isinstance(expected, NxcdrError) or isinstance(page, NxcdrError):
        assert (type(page), str(page)) == (type(expected), str(expected))
        return None
    told = [outcome(structured, row) for row in expected.rows]
    assert [outcome(rows.record, row) for row in page.rows] == told
    typed = [(row, one) for row, one in zip(page.rows, told, strict=True) if isinstance(row, TypedRow)]
    ahead = all_made_ahead(rows, [row for row, _ in typed])
    assert [values_of(record) for record in ahead] == [one for _, one in typed]
    assert page.is_vague == expected.is_vague
    assert not page.is_typed or all(isinstance(row, TypedRow) for row in page.rows)
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
UNKNOWN_KEYS = st.sampled_from(["new", "extra", "call_id", "unknown_0", "self", 'a"b', "新 x", "readers"]) | st.text()


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
    rows = typed_rows()
    for body in bodies:
        page = assert_same(body, rows)
        for row in page.rows if page else []:
            event(type(row).__name__)


@pytest.mark.parametrize("key", sorted(KNOWN))
def test_any_odd_value_of_any_key_means_the_same(key: str) -> None:
    rows = typed_rows()
    whole = {"callId": '"a"', "startTime": "1690442492841"}
    assert_same(body_of(written({name: value for name, value in whole.items() if name != key})), rows)
    for value in ODD_VALUES:
        assert_same(body_of(written(whole | {key: value})), rows)


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
    assert_same(body, typed_rows())


@pytest.mark.parametrize("status", [201, 302, 404, 429, 500])
def test_only_a_plain_success_is_read_on_the_quick_way(status: int) -> None:
    def never(_body: bytes) -> Page:
        pytest.fail("read on the quick way")

    try:
        assert len(read(SAMPLE, never, status).rows) == 2
    except NxcdrError:
        assert status >= 300


@pytest.mark.parametrize(("name", "endpoint"), [("cdr_page.json", CALLS), ("order.json", ORDER)])
def test_the_documented_rows_are_all_read_on_the_quick_way(name: str, endpoint: Any) -> None:
    page = TypedRows(endpoint, CONVERTER).page((SAMPLES / name).read_bytes())
    assert page is not None
    assert [isinstance(row, TypedRow) for row in page.rows] == [True, True]


@pytest.mark.parametrize(
    "bad", ["null", "[]", "{}", f'{{{CALL}, "totalCustomerPrice": "NaN"}}', f'{{{CALL}, "mos": 1e99}}', '{"callId": 5}']
)
def test_a_row_that_is_not_as_expected_slows_down_no_other(bad: str) -> None:
    found = quick(f"{{{CALL}}}", bad, f"{{{CALL}}}")
    assert [isinstance(row, TypedRow) for row in found] == [True, False, True]
    assert found[1] == read(body_of(bad)).rows[0]


def test_a_key_beside_the_rows_that_nobody_knows_slows_down_no_row() -> None:
    page = typed_rows().page(SAMPLE.replace(b'"code"', b'"totalRow": 2, "new": [1], "code"', 1))
    assert page is not None
    assert all(isinstance(row, TypedRow) for row in page.rows)


def test_a_key_that_nobody_knows_is_learned_once_and_kept_exactly() -> None:
    rows = typed_rows()
    with_key = body_of(f'{{{CALL}, "new": [1.50, {{"deep": 1e2}}]}}', f"{{{CALL}}}")
    for _ in range(2):
        page = rows.page(with_key)
        assert page is not None
        assert all(isinstance(row, TypedRow) for row in page.rows)
        first, second = map(rows.record, page.rows)
        assert repr(first.extra) == "{'new': [Decimal('1.50'), {'deep': Decimal('1E+2')}]}"
        assert second.extra == {}


def test_a_row_is_the_same_row_after_a_key_was_learned() -> None:
    rows = typed_rows()
    plain, with_key = body_of(f"{{{CALL}}}"), body_of(f'{{{CALL}, "new": 1}}')
    before, learned, after = (rows.page(body) for body in (plain, with_key, plain))
    assert before == after != learned
    assert before is not None
    assert after is not None
    assert type(before.rows[0]) is not type(after.rows[0])
    assert before.rows[0] != {}


def test_keys_beyond_the_most_are_kept_all_the_same() -> None:
    rows = typed_rows()
    keys = [f"new{number:03}" for number in range(MOST_UNKNOWN_KEYS + 2)]
    page = rows.page(body_of(*(f'{{{CALL}, "{key}": 1}}' for key in keys)))
    assert page is not None
    assert [isinstance(row, TypedRow) for row in page.rows] == [True] * MOST_UNKNOWN_KEYS + [False] * 2
    assert [rows.record(row).extra for row in page.rows] == [{key: 1} for key in keys]


OPTIONAL = [attribute for attribute in vendor_fields(CallRecord).values() if attribute.default is None]


@pytest.mark.parametrize("is_used_before", [False, True])
@pytest.mark.parametrize("kind", [CallRecord, str, int, bool, Decimal, datetime, Direction])
def test_a_hook_of_the_users_own_ends_the_quick_way(kind: Any, *, is_used_before: bool) -> None:
    converter = make_converter()
    rows = typed_rows(converter)
    if is_used_before:
        assert rows.reading()(SAMPLE) is not None
    reading = rows.reading()
    converter.register_structure_hook(kind, lambda value, _: value)
    assert reading(SAMPLE) is None
    assert all(isinstance(row, dict) for row in read(SAMPLE, reading).rows)


@pytest.mark.parametrize("kind", [CallRecord, *dict.fromkeys(attribute.type for attribute in OPTIONAL)], ids=str)
def test_a_hook_factory_of_the_users_own_ends_it_too(kind: Any) -> None:
    converter = make_converter()
    converter.register_structure_hook_factory(lambda cls: cls == kind, lambda _: lambda value, _: value)
    assert typed_rows(converter).reading()(SAMPLE) is None


def test_a_factory_that_raises_makes_each_row_a_bad_one() -> None:
    def fail(_kind: Any) -> Any:
        raise ZeroDivisionError

    converter = make_converter()
    converter.register_structure_hook_factory(lambda cls: cls == Decimal | None, fail)
    rows = typed_rows(converter)
    with pytest.raises(RecordError):
        rows.record(read(SAMPLE, rows.reading()).rows[0])


def test_a_hook_for_something_else_does_not() -> None:
    converter = make_converter()
    rows = typed_rows(converter)
    before = quick(f"{{{CALL}}}", converter=converter)
    converter.register_structure_hook(Path, lambda value, _: Path(value))
    converter.register_structure_hook_factory(lambda cls: cls is bytes, lambda _: lambda value, _: value)
    converter.register_unstructure_hook(Decimal, float)
    page = rows.reading()(body_of(f"{{{CALL}}}"))
    assert page is not None
    assert page.rows == before
    assert typed_rows(converter.copy()).reading()(SAMPLE) is not None


def test_a_converter_that_is_not_ours_is_asked_for_every_row() -> None:
    assert typed_rows(Converter()).reading()(SAMPLE) is None


@pytest.mark.parametrize(
    "whole",
    [
        hash,
        repr,
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
def test_an_unread_record_is_no_other_than_one_made_at_once(whole: Callable[[CallRecord], Any]) -> None:
    for record, twin in sample_records():
        assert whole(record) == whole(twin)
    for record, twin in sample_records():
        assert whole(twin) == whole(record)
        assert record == twin
        assert repr(record) == repr(twin)


def test_what_is_asked_of_many_records_is_made_ahead_for_those_that_follow() -> None:
    rows = typed_rows()
    page = rows.page(body_of(*[f"{{{CALL}}}"] * RECORDS_TO_JUDGE_BY))
    assert page is not None
    first = rows.records(page.rows)
    assert made(first[0]) == ["call_id", "start_time"]
    _ = [record.caller for record in first], [record.mos for record in first[:2]]
    assert {tuple(made(record)) for record in rows.records(page.rows)} == {("call_id", "start_time", "caller")}
    assert made(rows.records(page.rows)[0]) == ["call_id", "start_time", "caller"]


def test_what_is_asked_of_few_records_is_not_made_ahead() -> None:
    rows = typed_rows()
    page = rows.page(body_of(f"{{{CALL}}}"))
    assert page is not None
    values_of(rows.records(page.rows)[0])
    rows.records(page.rows * RECORDS_TO_JUDGE_BY)
    assert made(rows.records(page.rows)[0]) == ["call_id", "start_time"]


def test_a_hook_registered_during_a_query_does_not_change_what_it_gives() -> None:
    converter = make_converter()
    rows = typed_rows(converter)
    read_typed = rows.reading()
    assert read_typed(body_of(f"{{{CALL}}}")) is not None
    converter.register_structure_hook(Decimal, lambda *_: Decimal(7))
    page = read_typed(body_of(f'{{{CALL}, "new": 1, "mos": 4.2}}'))
    assert page is not None
    assert rows.record(page.rows[0]).mos == Decimal("4.2")
    assert rows.reading()(body_of(f"{{{CALL}}}")) is None


def test_an_attribute_is_converted_once_in_whatever_order_they_are_read() -> None:
    names = NAMES.copy()
    for seed in range(20):
        random.Random(seed).shuffle(names)
        for record, twin in sample_records():
            assert [getattr(record, name) for name in names] == [getattr(twin, name) for name in names]
            assert all(getattr(record, name) is getattr(record, name) for name in names)


def test_reading_a_record_whole_changes_nothing_but_when_its_values_are_converted() -> None:
    record = unread(f'{CALL}, "new": 1, "caller": 852')
    record.extra["mine"] = 2
    convert_record(record)
    convert_record(record)
    assert CallRecord.__dict__["caller"].__get__(record) == "852"
    assert record.extra == {"new": 1, "mine": 2}
    made = attrs.evolve(record)
    convert_record(made)
    assert made == record


def test_an_unread_record_cannot_be_changed() -> None:
    for name in ("caller", "extra", "_row", "nobody"):
        with pytest.raises(FrozenInstanceError):
            setattr(unread(), name, "b")
        with pytest.raises(FrozenInstanceError):
            delattr(unread(), name)


@pytest.mark.parametrize("name", ["nobody", "callId", "__len__", "readers"])
@pytest.mark.parametrize(
    "make",
    [unread, lambda: attrs.evolve(unread()), lambda: object.__new__(CallRecord), lambda: copy.copy(unread())],
)
def test_a_name_nobody_knows_is_no_attribute(name: str, make: Callable[[], CallRecord]) -> None:
    record = make()
    assert not hasattr(record, name)
    with pytest.raises(AttributeError, match=f"'CallRecord' object has no attribute '{name}'") as missing:
        getattr(record, name)
    assert (missing.value.name, missing.value.obj) == (name, record) if hasattr(record, "call_id") else name


def test_a_record_that_is_only_half_made_has_no_attributes() -> None:
    half = object.__new__(CallRecord)
    assert not [name for name in ("call_id", "start_time", "extra", "_row", "hangup") if hasattr(half, name)]


@given(st.integers(10**11, LATEST))
@example(1_690_442_492_841)
def test_a_start_is_the_same_to_the_millisecond_before_and_after_it_is_converted(milliseconds: int) -> None:
    record = unread(f'"callId": "a", "startTime": {milliseconds}')
    assert lazy_row(record).start_ms == milliseconds == CALLS.start_ms(record) == CALLS.start_ms(attrs.evolve(record))
    assert record.start_time == structured({"callId": "a", "startTime": milliseconds}).start_time
    assert record.start_time.tzinfo is UTC


SOME_TIMES = ["startTime", "endTime", "answerTime", "outQueueTime"]


def row_with(key: str, value: int) -> str:
    return json.dumps({"callId": "a", "startTime": 1_690_442_492_841, key: value})


@pytest.mark.parametrize("key", SOME_TIMES)
def test_a_time_told_in_seconds_is_read_as_what_it_is(key: str) -> None:
    rows = typed_rows()
    page = rows.page(body_of(row_with(key, 1_690_442_492)))
    assert page is not None
    record = rows.record(page.rows[0])
    assert getattr(record, vendor_fields(CallRecord)[key].name) == datetime(2023, 7, 27, 7, 21, 32, tzinfo=UTC)


@pytest.mark.parametrize("key", SOME_TIMES)
def test_a_number_too_small_for_a_time_makes_its_row_bad_alone(key: str) -> None:
    rows = typed_rows()
    page = rows.page(body_of(row_with(key, 7), row_with("answerTime", 0)))
    assert page is not None
    with pytest.raises(RecordError, match=f"{key}: is 7, too small"):
        rows.record(page.rows[0])
    assert rows.record(page.rows[1]).answer_time is None

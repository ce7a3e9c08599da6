import json
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from nxcdr_async.protocol.json_rows import MOST_WORK, _Scan, is_cut_off, split_body
from nxcdr_async.protocol.json_text import decode_body

TEXTS = st.text(st.sampled_from('ab"\\{}[],:\t\n é牛'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
ROWS = st.lists(VALUES, max_size=5)
CALLS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), min_size=1, max_size=6)
REST = st.dictionaries(TEXTS.filter(lambda key: key not in ("data", "list")), VALUES, max_size=3)
INDENTS = st.sampled_from([None, 0, 2])

BROKEN = [
    '{"callId": "b", "mos": NaN}',
    '{"callId": "b", "mos": }',
    '{"callId": "b", "agentName": "5" screen"}',
    '{"callId": "b", "agentName": "a "quoted" name"}',
    '{"callId": "b", "agentName": "never ends}',
    '{"callId": "b", "tags": [1, 2}',
    '{"callId": "b", "tags": {"deep": 1}',
    '{"callId": "b", "tags": 1, 2]}',
    '{"callId": "b",, "mos": 1}',
    '{"callId": "b", "mos": ' + "[" * 2_000 + "}",
]


def written(calls: list[dict[str, Any]]) -> list[str]:
    return [json.dumps({"callId": str(number)} | call) for number, call in enumerate(calls)]


def rows_in(body: str, rows_at: tuple[str, ...] = ("data",)) -> list[bytes]:
    split = split_body(body.encode(), rows_at)
    assert split is not None
    return split.rows


@given(ROWS, REST, REST, INDENTS, st.booleans())
def test_valid_json_is_split_as_a_decoder_reads_it(
    rows: list[Any], before: dict[str, Any], behind: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    body = json.dumps({**before, "data": rows, **behind}, indent=indent, ensure_ascii=ascii_only).encode()
    split = split_body(body, ("data",))
    assert split is not None
    assert [json.loads(row) for row in split.rows] == json.loads(body)["data"]
    assert json.loads(split.envelope) == json.loads(body) | {"data": []}


@given(ROWS, REST, INDENTS)
def test_rows_deeper_down_are_found(rows: list[Any], rest: dict[str, Any], indent: int | None) -> None:
    body = json.dumps({"x": {"list": [1]}, "data": {**rest, "list": rows}}, indent=indent).encode()
    split = split_body(body, ("data", "list"))
    assert split is not None
    assert [json.loads(row) for row in split.rows] == rows


@pytest.mark.parametrize("broken", BROKEN, ids=range(len(BROKEN)))
@given(calls=CALLS, place=st.integers(0, 6), behind=st.sampled_from(["}", ', "code": "0"}', ', "t": [{"a": 1}]}']))
def test_a_broken_row_leaves_all_others_as_they_are(
    broken: str, calls: list[dict[str, Any]], place: int, behind: str
) -> None:
    rows = written(calls)
    rows.insert(place, broken)
    found = rows_in(f'{{"code": 0, "data": [{", ".join(rows)}]{behind}')
    assert [row for row in found if row in set(map(str.encode, rows))][: len(rows)] == [
        row.encode() for row in rows if row.encode() in found
    ]
    others = [row.encode() for row in rows if row != broken]
    assert [row for row in found if row in set(others)] == others
    assert len(found) == len(rows)


@given(CALLS, st.sets(st.integers(0, 8), min_size=2), st.sampled_from(BROKEN))
def test_several_broken_rows_stay_apart(calls: list[dict[str, Any]], places: set[int], broken: str) -> None:
    rows = written(calls)
    for place in sorted(places):
        rows.insert(place, broken)
    assert len(rows_in(f'{{"data": [{",".join(rows)}]}}')) == len(rows)


@pytest.mark.parametrize("broken", BROKEN, ids=range(len(BROKEN)))
@pytest.mark.parametrize("place", range(6))
def test_rows_that_begin_with_one_key_or_another_stay_apart(broken: str, place: int) -> None:
    rows = ['{"number": 1, "callId": "a"}', '{"callId": "c"}'] * 3
    rows.insert(place, broken)
    assert rows_in(f'{{"data": [{",".join(rows)}]}}') == list(map(str.encode, rows))


def test_a_list_of_objects_in_a_row_is_no_row() -> None:
    row = '{"callId": "a", "legs": [{"callId": "x"}, {"callId": "y"}], "mos": NaN}'
    assert rows_in(f'{{"data": [{row}, {row}]}}') == [row.encode()] * 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"data": 5}',
        b'{"data": {}}',
        b'{"rows": []}',
        b'{"data": [',
        b'{"data": [{"callId": "a"}',
        b'{"data": [{"callId": "a"} {"callId": "b"}]}',
        b'{"data": [{"callId": "a"}, , {"callId": "b"}]}',
        b'{"x" "data": [',
        b'{"x": {"a": [}, "data": [{"callId": "a"}]}',
        b'{"code": "0, "data": [{"callId": "a"}]}',
    ],
)
def test_what_cannot_be_told_apart_is_not_split(body: bytes) -> None:
    assert split_body(body, ("data",)) is None


@given(st.binary(max_size=60) | st.text(st.sampled_from('{}[]",:\\ a'), max_size=60).map(str.encode))
@example(b'{"data": [' + b'{"a":[{"b":1},' * 500)
def test_anything_is_looked_at_only_so_often(body: bytes) -> None:
    scan = _Scan(body)
    scan.split(("data",))
    # What is looked at last may go beyond what is left, once.
    assert scan._bytes_left >= -2 * len(body)


@pytest.mark.parametrize(
    "row",
    [
        '{"a":{"b":1},',
        '{"a":[{"a":1},{"a":[',
        '{"a":"x"y"},',
        '{"a":"x},',
        '{"a":[',
        '"',
        "{",
        "[{",
        '{"a":1},"',
        "]}",
    ],
)
def test_the_work_grows_with_the_body_alone(row: str) -> None:
    for times in (100, 10_000):
        scan = _Scan(f'{{"data": [{row * times}]}}'.encode())
        scan.split(("data",))
        assert scan._bytes_left >= -2 * len(scan.text)
    assert MOST_WORK < 100


WHOLE = json.dumps(
    {"code": 0, "data": [{"callId": "a,}]\\", "n": [1, {"b": None}]}, {"callId": '"'}], "msg": "é"}
).encode()


@given(st.integers(0, len(WHOLE) - 1))
def test_what_is_cut_anywhere_is_cut_off(length: int) -> None:
    assert is_cut_off(WHOLE[:length])


@pytest.mark.parametrize(
    "body", [WHOLE, WHOLE + b" \n", WHOLE + b" x", b"[]", b'{"a": NaN}', b'{"a": "b"c"}', b'{"a": [1}']
)
def test_what_has_its_end_is_not_cut_off(body: bytes) -> None:
    assert not is_cut_off(body)


def test_a_body_cut_off_behind_a_broken_row_is_cut_off() -> None:
    assert is_cut_off(b'{"data": [{"callId": "a", "mos": NaN}, {"callId": "b", "agent')


@given(VALUES)
def test_a_row_that_is_read_alone_is_the_same(value: Any) -> None:
    assert decode_body(json.dumps(value).encode()) == value

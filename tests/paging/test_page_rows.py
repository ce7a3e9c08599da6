import json
from typing import Any

import pytest
from attrs import define

from nxcdr_async.paging.page_reader import RowStructurer
from nxcdr_async.paging.page_rows import AmbiguousRows, distinct_rows, first_of_each
from nxcdr_async.protocol import responses
from nxcdr_async.protocol.endpoints import CALLS
from nxcdr_async.protocol.wire_rows import PageDecoder
from nxcdr_async.records.converter import make_converter
from nxcdr_async.stats import PaginatorStats


@define(frozen=True)
class Row:
    identity: Any
    start_ms: float
    agent: str = ""


def test_rows_of_different_ids_pass_as_they_are() -> None:
    pages = [[Row("a", 1), Row(None, 1)], [Row("b", 2), Row(None, 1)]]
    found = distinct_rows(pages, {})
    assert found.rows == [*pages[0], *pages[1]]
    assert (found.duplicates, found.ambiguous) == (0, [])


def test_a_row_that_moved_to_the_next_page_is_one() -> None:
    found = distinct_rows([[Row("a", 1), Row("b", 2)], [Row("b", 2), Row("c", 3)]], {})
    assert sorted(row.identity for row in found.rows) == ["a", "b", "c"]
    assert (found.duplicates, found.ambiguous) == (1, [])


MOVED: dict[str, Any] = {"callId": "b", "startTime": 1_690_442_492_841}
WITH_UNKNOWN_KEY = MOVED | {"callId": "c", "new": 1}


@pytest.mark.parametrize("others", [[WITH_UNKNOWN_KEY], [WITH_UNKNOWN_KEY, "no object"]], ids=["wire rows", "dicts"])
def test_a_row_that_moved_beside_one_with_an_unknown_key_is_one(others: list[Any]) -> None:
    decoder = PageDecoder(CALLS)
    structurer = RowStructurer(CALLS, make_converter(), lambda _bad: None, PaginatorStats())
    pages: list[list[responses.Row]] = [[], []]
    for rows, kept in zip([[MOVED], [MOVED, *others]], pages, strict=True):
        page = decoder.page(json.dumps({"code": 0, "data": rows}).encode())
        assert page is not None
        structurer.add(page, kept, "")
    found = distinct_rows(pages, {})
    assert [row.identity for row in found.rows] == ["b", "c"]
    assert (found.duplicates, found.ambiguous) == (1, [])


def test_starts_a_second_apart_are_two_calls() -> None:
    found = distinct_rows([[Row("a", 0)], [Row("a", 1_000)]], {})
    assert (len(found.rows), found.ambiguous) == (2, [])


def test_different_rows_on_one_page_are_two_calls() -> None:
    legs = [Row("a", 0, "Ann"), Row("a", 5, "Bob")]
    found = distinct_rows([legs, legs[1:]], {})
    assert (found.rows, found.duplicates, found.ambiguous) == (legs, 1, [])


def test_the_same_twice_on_one_page_is_doubtful() -> None:
    found = distinct_rows([[Row("a", 0), Row("a", 0)]], {})
    assert (len(found.rows), found.ambiguous) == (2, [AmbiguousRows("a", 0, page=1)])


def test_different_rows_on_two_pages_are_doubtful() -> None:
    found = distinct_rows([[Row("a", 0, "Ann")], [Row("a", 0, "Bob")]], {})
    assert (len(found.rows), found.ambiguous) == (2, [AmbiguousRows("a", 0, page=None)])


def test_of_doubtful_rows_only_one_is_sure() -> None:
    found = distinct_rows([[Row("a", 0, "Ann"), Row("b", 0)], [Row("a", 0, "Bob")]], {})
    assert sorted(row.identity for row in found.certain) == ["a", "b"]


def test_what_was_asked_decides() -> None:
    pages = [[Row("a", 0, "Ann")], [Row("a", 0, "Bob")]]
    changed = Row("a", 0, "Bob")
    found = distinct_rows(pages, {AmbiguousRows("a", 0, page=None): [changed]})
    assert (found.rows, found.duplicates, found.ambiguous) == ([changed], 1, [])


def test_an_answer_without_the_row_decides_nothing() -> None:
    found = distinct_rows([[Row("a", 0), Row("a", 0)]], {AmbiguousRows("a", 0, page=1): []})
    assert (len(found.rows), found.ambiguous) == (2, [])


def test_ids_of_rows_count_once() -> None:
    rows = [Row("a", 0), Row(None, 0), Row("a", 5_000), Row(None, 0), Row("b", 1)]
    assert first_of_each(rows) == [Row("a", 0), Row(None, 0), Row(None, 0), Row("b", 1)]

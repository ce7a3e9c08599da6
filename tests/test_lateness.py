import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from nxcdr_async.lateness import (
    BINS,
    DEFAULT_SETTLE,
    EDGES,
    EVIDENCE,
    LATER_THAN_SETTLED,
    NOTHING_KNOWN,
    SHORTEST_SETTLE,
    Lateness,
    next_look,
)
from nxcdr_async.windows import DAY, HOUR

START = 1_767_225_600

ages = st.floats(0, 2 * EDGES[-1])
counts = st.lists(st.integers(0, 10**6), min_size=BINS, max_size=BINS).map(tuple)


@st.composite
def latenesses(draw: st.DrawFn) -> Lateness:
    since = draw(st.integers(START, START + DAY))
    return Lateness(draw(counts), draw(counts), since, since + draw(st.integers(0, 60 * DAY)))


def watched(*rows: tuple[int, float], days: int = 8) -> Lateness:
    """Return what is known once some rows were seen at some ages, over some days."""
    known = Lateness()
    for count, age in rows:
        for at in (START, START + days * DAY):
            known = known.with_rows(count // 2, youngest=age, oldest=age, at=at)
    return known


def test_hours_are_edges() -> None:
    assert {HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR} <= set(EDGES)
    assert list(EDGES) == sorted(set(EDGES))


@given(latenesses(), st.integers(0, 5_000), ages, ages)
def test_every_row_is_counted_once_between_its_ages(known: Lateness, count: int, one: float, other: float) -> None:
    youngest, oldest = sorted([one, other])
    added = known.with_rows(count, youngest=youngest, oldest=oldest, at=START)
    assert added.total == known.total + count
    assert added.changes == known.changes
    lower = max((edge for edge in EDGES if edge < youngest), default=0)
    assert added.later_than(lower) - known.later_than(lower) == count
    for upper in [edge for edge in EDGES if edge >= oldest][:1]:
        assert added.later_than(upper) == known.later_than(upper)


def test_rows_of_an_unknown_age_are_shared_out_as_those_that_are_known() -> None:
    known = watched((900, 100), (100, 20 * HOUR))
    added = known.with_rows(1_000, youngest=0, oldest=3 * DAY, at=START)
    assert added.later_than(HOUR) == 200
    assert added.later_than(DAY) == 0


def test_the_first_rows_of_an_unknown_age_count_as_of_the_greater_one() -> None:
    assert Lateness().with_rows(5, youngest=0, oldest=DAY, at=START).later_than(20 * HOUR) == 5


@given(latenesses())
def test_it_is_read_from_json_as_it_was_written(known: Lateness) -> None:
    assert msgspec.json.decode(msgspec.json.encode(known), type=Lateness) == known


@pytest.mark.parametrize("rows", [[0] * (BINS - 1), [-1] + [0] * (BINS - 1), "many"])
def test_json_that_is_none_of_it_is_refused(rows: Any) -> None:
    with pytest.raises(ValueError, match=r"rows|Expected"):
        msgspec.json.decode(msgspec.json.encode({"rows": rows}), type=Lateness)


@given(latenesses())
def test_fewer_than_one_row_in_a_million_are_later_than_settle(known: Lateness) -> None:
    assert known.settle >= SHORTEST_SETTLE
    if known.is_evidence:
        if known.settle < EDGES[-1]:
            assert known.later_than(known.settle) <= LATER_THAN_SETTLED * known.total
            assert known.changed_later_than(known.settle) <= LATER_THAN_SETTLED * known.total
    else:
        assert known.settle == DEFAULT_SETTLE


@pytest.mark.parametrize("known", [NOTHING_KNOWN, watched((10**6, 60), days=6)])
def test_without_a_week_of_evidence_it_is_a_day(known: Lateness) -> None:
    assert known.settle == DEFAULT_SETTLE
    assert EVIDENCE == 7 * DAY


def test_prompt_rows_make_it_an_hour() -> None:
    assert watched((2 * 10**6, 200)).settle == SHORTEST_SETTLE


def test_few_rows_say_little_of_one_in_a_million() -> None:
    few, many = watched((1_000, HOUR)).settle, watched((100_000, HOUR)).settle
    assert few == DEFAULT_SETTLE
    assert 3 * HOUR < many < 4 * HOUR


def test_rows_later_than_a_day_make_it_longer() -> None:
    assert watched((10**6, 60), (100, 30 * HOUR)).settle > 30 * HOUR


def test_changes_are_waited_for_like_rows() -> None:
    known = watched((2 * 10**6, 200))
    changed = known.with_changes(100, youngest=4 * HOUR, oldest=5 * HOUR, at=START + DAY)
    assert known.settle < 5 * HOUR <= changed.settle
    assert changed.total == known.total


@given(ages, st.floats(HOUR, 60 * DAY), latenesses())
def test_the_next_look_is_later_and_none_comes_after_it_has_settled(age: float, settle: float, known: Lateness) -> None:
    look = next_look(age, settle=settle, lateness=known)
    if age >= settle:
        assert look == math.inf
    else:
        assert age < look <= settle


@given(st.floats(0, 20 * DAY), st.floats(HOUR, 20 * DAY), st.floats(60, 2 * HOUR))
def test_a_row_is_seen_within_twice_the_delay_of_looking_each_time(lateness: float, settle: float, step: float) -> None:
    looked, age, seen_by_all = 0.0, 0.0, math.inf
    due = next_look(0.0, settle=settle)
    while looked < lateness and age < settle:
        age += step
        if age >= lateness:
            seen_by_all = min(seen_by_all, age)
        if age >= due:
            looked, due = age, next_look(age, settle=settle)
    if looked >= lateness > 0:
        assert looked <= 2 * seen_by_all + 1e-6


def test_looks_are_few() -> None:
    age, looks = 0.0, 0
    while (age := next_look(age, settle=DAY)) < math.inf:
        looks += 1
    assert looks == 12  # from a minute to a day
    assert age == math.inf


def test_ages_at_which_nothing_ever_came_are_left_out() -> None:
    known = watched((10**6, 60), (10**4, 20 * HOUR))
    assert next_look(2 * HOUR, settle=DAY, lateness=known) > 12 * HOUR
    assert next_look(2 * HOUR, settle=DAY) == 4 * HOUR

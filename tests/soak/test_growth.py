"""The verdict of the soak: growth is told from noise, and a leak cannot hide."""

from random import Random

import pytest
from hypothesis import given, strategies as st

from tests.soak.growth import LEAST, Point, changes

BEFORE = Point(0, 50_000, 300_000, 90_000, 1, 10, 0)


def grown(before: Point, points: list[Point]) -> set[str]:
    return {change.figure for change in changes(before, points) if change.has_grown}


def points_of(kib: list[int], **others: int) -> list[Point]:
    known = {"blocks": 300_000, "objects": 90_000, "tasks": 1, "files": 10, "connections": 0}
    return [Point(seconds=number, kib=value, **{**known, **others}) for number, value in enumerate(kib)]


@given(st.lists(st.integers(60_000, 60_000 + LEAST["kib"]), min_size=4, max_size=40))
def test_noise_is_no_growth(kib: list[int]) -> None:
    assert grown(BEFORE, points_of(kib)) == set()


def test_what_is_taken_once_at_the_start_is_no_growth() -> None:
    assert grown(BEFORE, points_of([50_000, 70_000, 90_000, *[100_000] * 9])) == set()


@given(st.integers(12, 60), st.integers(1_000, 5_000))
def test_a_steady_leak_is_growth_however_much_it_spreads_itself(count: int, each: int) -> None:
    assert grown(BEFORE, points_of([60_000 + number * each for number in range(count)])) == {"kib"}


@given(st.integers(0, 10_000))
def test_a_leak_is_told_from_noise_of_its_own_size(seed: int) -> None:
    chance = Random(seed)
    kib = [60_000 + number * 1_000 + chance.randrange(1_000) for number in range(24)]
    assert grown(BEFORE, points_of(kib)) == {"kib"}


@pytest.mark.parametrize("figure", ["tasks", "files", "connections"])
def test_one_task_file_or_connection_more_than_before_is_growth(figure: str) -> None:
    points = points_of([60_000] * 9)
    one_more = points_of([60_000], **{figure: getattr(BEFORE, figure) + 1})
    assert grown(BEFORE, [*points, *one_more]) == {figure}


def test_too_few_points_are_no_proof() -> None:
    with pytest.raises(ValueError, match="go on for longer"):
        changes(BEFORE, points_of([1, 2, 3]))

from hypothesis import given, strategies as st

from nxcdr_async.records.legs import APART_MS, clusters, pairs

STARTS = st.lists(st.integers(0, 5_000), max_size=6)


@given(STARTS, STARTS)
def test_no_row_is_two(known: list[int], came: list[int]) -> None:
    found = [place for place in pairs(known, came) if place is not None]
    assert len(found) == len(set(found))


@given(STARTS, STARTS)
def test_only_near_rows_are_one(known: list[int], came: list[int]) -> None:
    for start, place in zip(came, pairs(known, came), strict=True):
        assert place is None or abs(known[place] - start) < APART_MS


@given(STARTS)
def test_rows_that_come_again_are_all_known(starts: list[int]) -> None:
    assert None not in pairs(starts, starts)


def test_a_second_apart_is_another_row() -> None:
    assert pairs([0], [APART_MS - 1]) == [0]
    assert pairs([0], [APART_MS]) == [None]


def test_the_nearest_is_the_same() -> None:
    assert pairs([0, 400], [500]) == [1]


def test_likeness_comes_before_nearness() -> None:
    assert pairs([0, 0], [0, 0], lambda known, came: known != came) == [1, 0]


@given(STARTS)
def test_each_row_is_in_one_cluster(starts: list[int]) -> None:
    groups = clusters(starts)
    assert sorted(place for group in groups for place in group) == list(range(len(starts)))
    assert all(starts[group[-1]] - starts[group[0]] < APART_MS for group in groups)

"""Many to be stored, some of which cannot be held."""

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.errors import SinkError
from nxcdr_async.ingest.table_writer import store_by_halves
from nxcdr_async.sinks.protocol import UnfitError


class Shelf:
    """Holds all numbers but some: all of those given at once, or none."""

    def __init__(self, unfit: set[int]) -> None:
        self.unfit = unfit
        self.held: list[int] = []
        self.tries = 0

    def store(self, numbers: Sequence[int]) -> None:
        self.tries += 1
        if self.unfit.intersection(numbers):
            raise UnfitError("too large")
        self.held += numbers


@given(st.integers(1, 200), st.sets(st.integers(0, 199), max_size=8))
def test_all_but_those_that_cannot_be_held_are_stored_once(count: int, unfit: set[int]) -> None:
    shelf, numbers = Shelf(unfit), range(count)
    told = [number for number, _ in store_by_halves(numbers, shelf.store)]
    assert told == sorted(unfit & set(numbers))
    assert shelf.held == [number for number in numbers if number not in unfit]
    assert shelf.tries <= 1 + len(told) * 2 * count.bit_length()


@given(st.integers(1, 60), st.integers(0, 59))
def test_all_before_one_are_stored_once_it_is_told(count: int, unfit: int) -> None:
    shelf = Shelf({unfit})
    told = next(store_by_halves(range(count), shelf.store), None)
    assert shelf.held == list(range(count if told is None else unfit))


def test_any_other_error_ends_it() -> None:
    def store(_numbers: Sequence[int]) -> None:
        raise SinkError("the disk is full")

    with pytest.raises(SinkError, match="full"):
        list(store_by_halves([1, 2], store))

from decimal import Decimal

import pytest

from nxcdr_async.arguments import is_number, is_whole


@pytest.mark.parametrize("value", [0, -1, 10**30])
def test_an_integer_is_a_whole_number(value: object) -> None:
    assert is_whole(value)
    assert is_number(value)


@pytest.mark.parametrize("value", [1.0, float("inf"), float("nan")])
def test_a_float_is_a_number_and_no_whole_one(value: object) -> None:
    assert is_number(value)
    assert not is_whole(value)


@pytest.mark.parametrize("value", [True, False, None, "1", Decimal(1), 1j])
def test_all_else_is_no_number(value: object) -> None:
    assert not is_whole(value)
    assert not is_number(value)

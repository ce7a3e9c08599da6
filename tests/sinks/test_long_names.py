"""A name as long as the file system takes is taken, with a shorter one for each file beside it; or it is refused."""

import os
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import ConfigurationError, backfill, prune, sync
from nxcdr_async.sinks.paths import LONGEST_NAME, name_beside
from nxcdr_async.testing import Gateway
from tests.sessions import OpenSession

LONGEST = {"sqlite": LONGEST_NAME - 8, "duckdb": LONGEST_NAME - 4, "parquet": LONGEST_NAME, "csv": LONGEST_NAME}
"""The longest name for each: databases keep a log under it, with an end of their own."""


def named(size: int, suffix: str) -> str:
    """Return a name of so many bytes, of two bytes a character as far as they go."""
    room = size - len(suffix) - 1
    return f"{'é' * (room // 2)}{'x' * (room % 2)}.{suffix}"


@pytest.mark.parametrize("suffix", LONGEST)
async def test_the_longest_name_is_taken(
    suffix: str, tmp_path: Path, gateway: Gateway, open_session: OpenSession
) -> None:
    to, session = tmp_path / named(LONGEST[suffix], suffix), open_session()
    report = await backfill(session, "calls", gateway.first_call, gateway.last_call, to=to)
    assert report.rows_new > 0
    assert (await sync(session, "calls", to)).rows_new >= 0
    assert (await prune(to, gateway.last_call)).sources[0].rows > 0
    held = [path for path in tmp_path.iterdir() if path != to]  # noqa: ASYNC240 - a test's
    assert len(held) == 2
    assert all(path.name.endswith("lock") for path in held)


@pytest.mark.parametrize("suffix", LONGEST)
async def test_a_longer_one_is_refused_before_anything_is_made(
    suffix: str, tmp_path: Path, gateway: Gateway, open_session: OpenSession
) -> None:
    to = tmp_path / named(LONGEST[suffix] + 1, suffix)
    with pytest.raises(ConfigurationError, match=r"is 1 byte too long|File name too long"):
        await backfill(open_session(), "calls", gateway.first_call, gateway.last_call, to=to)
    assert not list(tmp_path.iterdir())  # noqa: ASYNC240 - as above


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=300)


@given(NAMES, NAMES, st.sampled_from([".lock", ".next.lock", ".part"]), st.integers(0, 20))
def test_the_name_of_a_file_beside_another_always_fits_and_is_its_own(
    name: str, other: str, suffix: str, random: int
) -> None:
    beside = name_beside(name, suffix, random=random)
    assert len(os.fsencode(beside)) + random <= LONGEST_NAME
    assert beside.startswith(".")
    assert beside.endswith(suffix)
    assert beside == name_beside(name, suffix, random=random)
    assert (beside == name_beside(other, suffix, random=random)) == (name == other)


def test_a_name_that_fits_is_as_it_always_was() -> None:
    assert name_beside("calls.sqlite", ".next.lock") == ".calls.sqlite.next.lock"
    assert name_beside("x" * (LONGEST_NAME - 6), ".lock") == f".{'x' * (LONGEST_NAME - 6)}.lock"

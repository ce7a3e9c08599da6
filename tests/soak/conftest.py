"""Long tests: `nox -s soak`, or `python -m pytest tests/soak`. SOAK_MINUTES: how long the load goes on, 30 if unset."""

import os
from collections.abc import Callable

import pytest


@pytest.fixture
def minutes() -> float:
    return float(os.environ.get("SOAK_MINUTES", "30"))


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Give what prints a line at once, as whoever waits for half an hour wants to see how it goes."""

    def told(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", end="", flush=True)  # noqa: T201 - what this fixture is for

    return told

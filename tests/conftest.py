"""What many tests share: an emulator, sessions on it, and the rule that nothing is left behind."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from nxcdr_async import CdrSession
from nxcdr_async.testing import Gateway

# A busy machine is no fault of a test; and what CI finds must be found again.
settings.register_profile(
    "nxcdr", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("nxcdr")

pytest_plugins = ["pytester"]
"""For the tests of our own plugin; pytest takes this from the uppermost conftest only."""

OpenSession = Callable[..., CdrSession]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=2_000, days=2) as running:
        yield running


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Fail a test after which a task is still under way, but for a clock of the test's own, which ends by itself."""
    yield
    own = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not own and task.get_name() != "clock of the test"]
    assert not left, f"left behind: {left}"


@pytest.fixture
async def open_session(gateway: Gateway, no_task_left: None) -> AsyncIterator[OpenSession]:  # noqa: ARG001 - checks on leaving
    """Give sessions on the emulator, and check at the end that none has a request in flight."""
    sessions: list[CdrSession] = []

    def open_one(**changes: Any) -> CdrSession:
        known = {"gateway": gateway.url, "credentials": gateway.credentials, "flash_app": gateway.flash_app}
        sessions.append(CdrSession(**{**known, **changes}))
        return sessions[-1]

    yield open_one
    for session in sessions:
        await session.aclose()
        assert session.stats.in_flight == 0

"""What many tests share: an emulator, sessions on it, and the rule that nothing is left behind."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from nxcdr_async import CdrSession
from nxcdr_async.testing import Gateway
from tests.examples import ELSE, IN_FULL
from tests.sessions import OpenSession

# A busy machine is no fault of a test; and what CI finds must be found again.
settings.register_profile(
    "full",
    max_examples=IN_FULL,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("each day", settings.get_profile("full"), max_examples=ELSE)
settings.load_profile("each day")

pytest_plugins = ["pytester", "tests.sinks.fixtures", "tests.sinks.postgresql.fixtures"]
"""Fixtures of more than one folder: a server they share is started once. pytest takes this from here only."""


def pytest_xdist_auto_num_workers() -> int:
    """Start two processes a core: half of the time a test waits for a process, a disk or a clock."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)  # before the slow ones are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave variants that show no value of a marked parameter for the first time to the slow tests."""
    seen: set[tuple[str, str, str]] = set()
    for item in items:
        marker, variant = item.get_closest_marker("first_of"), getattr(item, "callspec", None)
        if marker is None or variant is None:
            continue
        family = item.nodeid.partition("[")[0]
        if unknown := set(marker.args) - set(variant.params):
            raise pytest.UsageError(f"{family} is marked first_of {sorted(unknown)}, which are no parameters of it")
        shown = {(family, name, repr(variant.params[name])) for name in marker.args} or {(family, "", "")}
        if shown <= seen:
            item.add_marker(pytest.mark.slow)
        seen |= shown


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

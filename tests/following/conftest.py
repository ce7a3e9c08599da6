"""The live tenant of each test."""

from collections.abc import Iterator

import pytest

from nxcdr_async.testing import Gateway
from tests.following.live import LiveTenant
from tests.sessions import OpenSession


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=0) as running:
        yield running


@pytest.fixture
async def live(gateway: Gateway, open_session: OpenSession) -> LiveTenant:
    return LiveTenant(gateway, open_session())

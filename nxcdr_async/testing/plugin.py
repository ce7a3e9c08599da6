"""The pytest plugin: a fixture with a fresh emulator.

pytest loads it wherever the package is installed. That imports the SDK, as any part of the package does; the emulator
and the web server it takes are imported by the first test that asks for one.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nxcdr_async.testing.gateway import Gateway


@pytest.fixture
def nxcdr_gateway() -> "Iterator[Gateway]":
    """Give a running emulator of the vendor's gateway with 300 calls of 2026-01-01, fresh for each test."""
    from nxcdr_async.testing.gateway import Gateway  # noqa: PLC0415 - imports aiohttp's web server

    with Gateway(calls=300) as gateway:
        yield gateway

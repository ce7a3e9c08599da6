"""What the tests of backfills share."""

from pathlib import Path

import pytest
from all_sinks import Places
from postgresql_fixtures import (
    fresh_postgresql,
    own_postgresql,
    postgresql,
    postgresql_database,
    postgresql_loader,
    postgresql_standby,
)

__all__ = [
    "fresh_postgresql",
    "own_postgresql",
    "postgresql",
    "postgresql_database",
    "postgresql_loader",
    "postgresql_standby",
]


@pytest.fixture
def places(tmp_path: Path, request: pytest.FixtureRequest) -> Places:
    """Make fresh places for sinks of every kind."""
    return Places(tmp_path, request)

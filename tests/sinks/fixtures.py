"""Places for sinks, as fixtures that any test may ask for."""

from pathlib import Path

import pytest

from tests.sinks.all_sinks import Places


@pytest.fixture
def places(tmp_path: Path, request: pytest.FixtureRequest) -> Places:
    """Make fresh places for sinks of every kind."""
    return Places(tmp_path, request)

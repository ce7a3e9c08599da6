"""A sink of each kind, filled from the emulator of the module."""

from collections.abc import Callable

import pytest

from nxcdr_async import CdrSession
from nxcdr_async.ingest import pipeline
from nxcdr_async.testing import Gateway
from tests.ingest.filling import Filling
from tests.sinks.all_sinks import Places


@pytest.fixture
def filling(
    gateway: Gateway,
    open_session: Callable[..., CdrSession],
    places: Places,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Filling:
    """Fill a sink of the kind that the test is given, three days of calls in several windows."""
    monkeypatch.setattr(pipeline, "ROWS_A_WINDOW", 100)
    monkeypatch.setattr(pipeline, "RECORDS_AT_ONCE", 50)
    return Filling(gateway, open_session(concurrency=1), places.fresh(kind))

"""The service of the docs, run as it stands there."""

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nxcdr_async.testing import Gateway

PAGE = Path(__file__).parents[2] / "docs" / "following.md"


@pytest.mark.filterwarnings("ignore:Using `httpx` with")
def test_the_service_keeps_up_over_a_restart(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient  # noqa: PLC0415 - its import warns, as the filter has it

    for name, value in {**gateway.environment(), "LIVE_STORE": str(tmp_path / "live.sqlite")}.items():
        monkeypatch.setenv(name, value)
    (block,) = (each for each in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "FastAPI(" in each)
    for calls in (1, 2):
        service: dict[str, Any] = {}
        exec(compile(block, str(PAGE), "exec"), service)
        # So that the first round finds a call that is there.
        service["datetime"] = SimpleNamespace(now=lambda zone: datetime.now(zone) - timedelta(hours=1))
        gateway.add_call(startTime=datetime.now(UTC) - timedelta(minutes=5))
        with TestClient(service["app"]) as client:
            end = time.monotonic() + 30
            while client.get("/live").json()["calls"] < calls and time.monotonic() < end:
                time.sleep(0.05)
            assert client.get("/live").json() == {"calls": calls}

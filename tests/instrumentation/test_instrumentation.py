"""Real tools that patch aiohttp's client, in programs of their own, as they cannot be taken out again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nxcdr_async.testing import Gateway

PROGRAM = Path(__file__).parent / "spied_program.py"


@pytest.mark.parametrize("tool", ["sentry", "opentelemetry", "elastic"])
def test_no_secret_is_recorded(tool: str) -> None:
    with Gateway(flash_calls=300, days=1) as gateway:
        known = [tool, gateway.url, gateway.flash_app.appkey, gateway.flash_app.secretkey]
        run = subprocess.run(
            [sys.executable, PROGRAM], input=json.dumps(known), capture_output=True, text=True, timeout=300, check=False
        )
    assert run.returncode == 0, run.stderr
    recorded = run.stdout.split("recorded:")[1]
    assert "/otp/call/list" in recorded
    assert "\nread " in run.stdout
    assert gateway.flash_app.secretkey not in f"{run.stdout}{run.stderr}"

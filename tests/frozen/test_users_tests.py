"""Users freeze time in their tests, with either tool: all works under it, in whatever order things are imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

STORES = ["calls.duckdb", "calls.sqlite", "calls.parquet", "calls.jsonl", "calls.csv"]
CHILD = Path(__file__).with_name("frozen_child.py")
ORDERS = [(imported, started) for imported in ("before", "while") for started in ("before", "while")]
TOOLS = [
    "freezegun, tick",
    "freezegun, auto_tick_seconds",
    "freezegun, real_asyncio",
    "time_machine",
    "time_machine, tick",
]
VARIANTS = [*(("freezegun", *order) for order in ORDERS), *((tool, "while", "while") for tool in TOOLS)]
EACH_DAY = [("freezegun", "before", "while"), ("time_machine", "while", "while")]


@pytest.mark.first_of
@pytest.mark.parametrize(
    ("tool", "imported", "started"),
    [pytest.param(*variant, marks=() if variant in EACH_DAY else pytest.mark.slow) for variant in VARIANTS],
)
def test_all_works_while_time_is_frozen(tool: str, imported: str, started: str, tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, str(CHILD), tool, imported, started, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert set(found.pop("kinds")) == {"datetime.datetime"}
    assert found == {
        "counts": [300, 60, 29],
        "lines": 301,
        "own": "2026-01-01T00:00:00Z",
        "frames": [300, 300, 300],
        "is_made_again": True,
        "is_tried_again": True,
        "stores": {name: [300, 2, 360] for name in STORES},
        "pushed": 1,
    }

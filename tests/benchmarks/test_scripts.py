"""The scripts run as they stand, at tiny sizes: what they find is of no use then, but it is found and told."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from shared.by_hand import days_of
from shared.emulation import emulator

from tests.child_processes import environment_of_children

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "processor.py --calls 500 --rounds 1 --beside .",
        "wall.py --rounds 1 --only 'one day of 300' --beside .",
        "memory.py --calls 300 600 --beside .",
        "startup.py --runs 1",
        "faults.py --calls 1200 --sdk-only --only 503 ignore_filters clock expired",
        "backfill.py --calls 300 --long 600 --rounds 1",
        "service.py --calls 300 3000 --exports 2 --seconds 0.5 --rounds 1",
        "short_ranges.py --calls 1000 --minutes 60",
        "throttling.py --only '12 at once' start sessions --scale 0.02 --rounds 1 --beside .",
    ],
)
def test_a_script_tells_what_it_found_and_whether_that_will_do(command: str, tmp_path: Path) -> None:
    script, *options = shlex.split(command)
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), *options, "--json", str(tmp_path / "result.json")],
        env=environment_of_children(),
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=600,  # however busy the machine is
        check=False,
    )
    # Whether its limits are met says nothing here, where a figure may be anything, or be none.
    told = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert done.stdout.splitlines()[-1] == json.dumps(told)
    assert done.returncode == (1 if told["missed"] else 0), done.stderr
    assert told["figures"].get("rows amiss", 0) == told["figures"].get("rows lost", 0) == 0


def test_the_emulator_tells_what_it_saw_since_it_was_last_asked() -> None:
    with emulator(10, days=2) as running:
        assert running.told.calls == 10
        assert len(days_of(running.told)) == 2
        assert running.seen().requests == 0

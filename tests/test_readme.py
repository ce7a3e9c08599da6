"""README's code is run as it stands, on the emulator."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fault_table.cases import cases
from fault_table.false_gateways import certificates

from nxcdr_async.testing import Gateway

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
(SERVICE,) = (block for block in BLOCKS if "FastAPI(" in block)
# Starlette wants its own successor of httpx by now.
PYTEST = ["-m", "pytest", "-q", "-p", "no:asyncio", "-W", "ignore:Using `httpx` with"]
PREPARED = """
import asyncio
from datetime import UTC, datetime, timedelta
from nxcdr_async import CdrSession

async def main():
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
    async with CdrSession.from_env() as cdr:
{code}

asyncio.run(main())
"""


def script_of(block: str) -> str:
    """Return a block that can be run: as it is, or inside an open session if it speaks of one."""
    if re.search(r"\bcdr\b", block) and "async with CdrSession" not in block:
        return PREPARED.format(code=textwrap.indent(block, " " * 8))
    return block


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_each_python_block_runs(number: int, tmp_path: Path) -> None:
    script = tmp_path / "test_block.py"
    script.write_text(script_of(BLOCKS[number]), encoding="utf-8")
    (tmp_path / "service.py").write_text(SERVICE, encoding="utf-8")  # as README calls it
    command = [sys.executable, *(PYTEST if "def test_" in BLOCKS[number] else [])]
    with Gateway(calls=300, days=2) as gateway:
        environment = {
            **os.environ,
            "PYTHONWARNINGS": "error",
            "PYTHONIOENCODING": "utf-8",
            **gateway.environment(),
        }
        done = subprocess.run(
            [*command, str(script)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_two_commands_stand_first_each_on_one_line() -> None:
    shells = re.findall(r"^```sh\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    first, second = shells[:2]
    assert first.count("\n") == second.count("\n") == 1
    assert first.rstrip().endswith("nxcdr demo")
    assert second.rstrip().endswith("pytest")
    assert README.index("```sh") < README.index("```python")


def test_the_table_of_faults_has_a_line_for_each_that_is_tried() -> None:
    part = README.split("\n## Under faults\n")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    assert [line[0] for line in lines[1:]] == [*(case.fault for case in cases()), *certificates()]
    assert {figure for line in lines[1:] for figure in line[3:6]} == {"0"}

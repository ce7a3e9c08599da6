"""README and docs are as true as the code: what is written in Python is run, and what is pointed at is there."""

import ast
import inspect
import logging
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_table.cases import cases
from fault_table.false_gateways import certificates

from nxcdr_async import errors
from nxcdr_async.testing import Gateway

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
CODE_BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Starlette wants its own successor of httpx by now.
PYTEST = ["-m", "pytest", "-q", "-p", "no:asyncio", "-W", "ignore:Using `httpx` with"]
IN_A_SESSION = """
import asyncio
from datetime import UTC, datetime, timedelta
from nxcdr_async import CdrSession

async def main():
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
    async with CdrSession.from_env() as cdr:
{code}

asyncio.run(main())
"""


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks_of(page: Path) -> Iterator[tuple[str, str]]:
    """Yield each Python block of a page, and where it stands."""
    text = text_of(page)
    for found in PYTHON_BLOCK.finditer(text):
        yield f"{page.name}:{text.count(chr(10), 0, found.start()) + 2}", found[1]


BLOCKS = dict(block for page in PAGES for block in blocks_of(page))
PROGRAMS = {place: block for place, block in BLOCKS.items() if "def test_" not in block}
TESTS = {place: block for place, block in BLOCKS.items() if "def test_" in block}
(SERVICE,) = (block for block in BLOCKS.values() if "FastAPI(" in block and "CALLS_STORE" in block)


def script_of(block: str) -> str:
    """Return a block that can be run: as it is, or inside an open session if it speaks of one."""
    if re.search(r"\bcdr\b", block) and "async with CdrSession" not in block:
        return IN_A_SESSION.format(code=textwrap.indent(block, " " * 8))
    return block


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=300, days=2) as running:
        yield running


@pytest.fixture
def _as_in_a_shell(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give a block what a user's process has: an environment, a folder, and a logger that nobody has set up."""
    for name, value in gateway.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("nxcdr_async")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.mark.parametrize("place", PROGRAMS)
@pytest.mark.usefixtures("_as_in_a_shell")
def test_program_runs(place: str) -> None:
    code = compile(script_of(PROGRAMS[place]), place, "exec")
    exec(code, {"__name__": "__main__"})


@pytest.mark.slow
@pytest.mark.parametrize("place", TESTS)
def test_test_passes(place: str, tmp_path: Path) -> None:
    script = tmp_path / "test_block.py"
    script.write_text(TESTS[place], encoding="utf-8")
    (tmp_path / "service.py").write_text(SERVICE, encoding="utf-8")  # as the docs call it
    done = subprocess.run(
        [sys.executable, *PYTEST, str(script)],
        env={**os.environ, "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_two_commands_stand_first() -> None:
    readme = text_of(README)
    first, second = re.findall(r"^```sh\n(.*?)^```$", readme, flags=re.DOTALL | re.MULTILINE)[:2]
    assert first.count("\n") == second.count("\n") == 1
    assert first.rstrip().endswith("nxcdr demo")
    assert "python -m pytest" in second
    assert readme.index("```sh") < readme.index("```python")


def test_readme_is_of_one_sitting() -> None:
    assert text_of(README).count("\n") <= 250


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub and MyST give to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", CODE_BLOCK.sub("", text_of(page)), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)", CODE_BLOCK.sub("", text_of(page)))
    targets = [(page.parent / path if path else page, anchor) for path, anchor in links]
    assert not [target for target, _ in targets if not target.exists()]
    # Sphinx checks those of the reference: it makes other anchors of names with dots.
    anchored = [(target, anchor) for target, anchor in targets if anchor and target.name != "reference.md"]
    assert not [(target.name, anchor) for target, anchor in anchored if anchor not in anchors_of(target)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    named = re.findall(r"`((?:nxcdr_async|tests|benchmarks|docs)/[\w./]*)`", text_of(page))
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_are_named_are_there(page: Path) -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", text_of(page)))
    assert named <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}


def test_architecture_names_what_the_code_has() -> None:
    answer = re.compile(r"^- \*\*(?:Where|What) .*?(?=^- |^$)", re.MULTILINE | re.DOTALL)
    places = answer.findall(text_of(ROOT / "docs" / "architecture.md"))
    assert len(places) >= 5
    for place in places:
        defined = {
            node.name
            for path in re.findall(r"`(nxcdr_async/[\w/]+\.py)`", place)
            for node in ast.walk(ast.parse(text_of(ROOT / path)))
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        }
        names = re.findall(r"`([A-Za-z_][\w.]*)`", place)
        assert {part for name in names for part in name.split(".")} - {"Decimal"} <= defined


def test_each_command_is_documented() -> None:
    command = [sys.executable, "-m", "nxcdr_async", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("Commands:")[1]
    commands = set(re.findall(r"^  ([a-z-]+) {2,}", shown, re.MULTILINE))
    assert {"calls", "backfill"} <= commands
    assert commands <= set(re.findall(r"^nxcdr ([a-z-]+)", text_of(ROOT / "docs" / "command-line.md"), re.MULTILINE))


def test_error_trees_are_that_of_the_code() -> None:
    known = [name for name, thing in vars(errors).items() if inspect.isclass(thing) and issubclass(thing, Exception)]
    for page in (README, ROOT / "docs" / "errors.md"):
        drawn = re.findall(r"^[│├└─ ]*(\w+Error)\b", text_of(page), re.MULTILINE)
        assert sorted(drawn) == sorted(known)


def test_fault_table_has_a_line_for_each_that_is_tried() -> None:
    part = text_of(ROOT / "docs" / "benchmarks.md").split("\n## Under faults\n")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    faults = [*(case.fault for case in cases()), *certificates()]
    assert [line[0] for line in lines[1:]] == faults
    assert {figure for line in lines[1:] for figure in line[3:6]} == {"0"}
    assert f"under each of {len(faults)} faults" in text_of(README)
